"""Who goes next when not all can: the more urgent first, and among equals a fair share for each caller.

Fair is meant in weight. Each caller has a mark, the weight it was given so far; the waiting caller whose mark is lowest
goes next, and within a caller the first who asked. A newcomer begins at the mark of whoever went last, so it neither
waits for all that others had nor is owed for the time it did not ask (start-time fair queueing:
Goyal, Vin, Cheng 1996).

A request that does not fit yet is waited for. Smaller ones of its own priority may pass it, for as much as its own
weight and no more; then room is kept until it fits. So it waits for the return of at most twice its weight.

Between processes the same marks hold, with a leeway of one turn (a hundredth of the limit) for each caller: a process
need not wait for another one to wake for each single request.
"""

from __future__ import annotations

import asyncio
from collections import deque
from enum import IntEnum
from typing import Any

from quantlab.exchange.window import Row, State, WeightRule

#: A process that was not heard of for so long does not stand in the line any more.
LEASE_S = 1.0


class Priority(IntEnum):
    """What is asked for, the most urgent first."""

    SAFETY = 0  # cancels, what became of an order, the exchange's clock
    LIVE_FEED = 1  # what the books of a running fleet need
    WARM_UP = 2  # candles before the first decision
    BACKFILL = 3  # gaps, history, a user's questions


class Waiter:
    """One request that waits."""

    __slots__ = ("arrived", "caller", "deadline", "future", "passed", "priority", "progress", "weight", "what")

    def __init__(
        self, weight: int, what: str, deadline: float, priority: Priority, caller: str, future: asyncio.Future[Any]
    ) -> None:
        self.weight = weight
        self.what = what
        self.deadline = deadline
        self.priority = priority
        self.caller = caller
        self.future = future
        self.arrived = 0  # its number in this process's line
        self.progress = 0.0  # how far the line had come when it asked
        self.passed = 0  # weight that went before it although it was its turn


class Line:
    """The waiters of one process. `number` is the process's own in `State.processes`."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._queues: dict[Priority, dict[str, deque[Waiter]]] = {priority: {} for priority in Priority}
        self._marks: dict[Priority, dict[str, float]] = {priority: {} for priority in Priority}
        self._arrivals = 0
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def join(self, waiter: Waiter, state: State) -> None:
        self._arrivals += 1
        waiter.arrived, waiter.progress = self._arrivals, state.progress[waiter.priority]
        self._queues[waiter.priority].setdefault(waiter.caller, deque()).append(waiter)
        self._length += 1

    def leave(self, waiter: Waiter) -> bool:
        """Out of the line, served or not; False for one that is not in it."""
        queue = self._queues[waiter.priority].get(waiter.caller)
        if queue is None or waiter not in queue:
            return False
        queue.remove(waiter)
        self._length -= 1
        if not queue:
            del self._queues[waiter.priority][waiter.caller]
        return True

    def served(self, waiter: Waiter, state: State) -> None:
        """`waiter`, of the line or just come, was given its weight: move its caller's mark, and the line's progress."""
        priority, start = waiter.priority, self._tag(waiter)
        marks = self._marks[priority]
        marks[waiter.caller] = start + waiter.weight
        state.progress[priority] = progress = max(state.progress[priority], start)
        if len(marks) > 2 * len(self._queues[priority]) + 64:  # who is not ahead of the line needs no mark
            self._marks[priority] = {caller: mark for caller, mark in marks.items() if mark > progress}

    def next(self, rule: WeightRule, state: State, now: float) -> Waiter | None:
        """Who may go now: to be taken out of the line, counted as `served`, and given its weight."""
        for priority in Priority:
            queues = self._queues[priority]
            if not queues:
                continue
            heads = [(self._tag(queue[0]), queue[0].arrived, queue[0]) for queue in queues.values()]
            tag, _, head = min(heads)
            if self._may_go(rule, state, now, priority, tag, head.weight):
                return head
            if len(heads) > 1 and not rule.fits(state, head.weight, now, for_safety=priority == Priority.SAFETY):
                for other_tag, _, other in sorted(heads)[1:]:
                    small_enough = head.passed + other.weight <= head.weight
                    if small_enough and self._may_go(rule, state, now, priority, other_tag, other.weight):
                        head.passed += other.weight
                        return other
            return None  # the less urgent never pass the more urgent
        return None

    def may_go_at_once(self, waiter: Waiter, rule: WeightRule, state: State, now: float) -> bool:
        """Whether one that just comes need not join: nobody waits before it, here or elsewhere, and there is room."""
        waiter.progress = state.progress[waiter.priority]
        if self._length and any(self._queues[priority] for priority in Priority if priority <= waiter.priority):
            return False
        return self._may_go(rule, state, now, waiter.priority, self._tag(waiter), waiter.weight)

    def rows(self, state: State) -> list[Row]:
        """What the other processes need to know of this line."""
        known = state.processes.get(self._number)
        before = {row.priority: row for row in known.rows} if known is not None else {}
        rows = []
        for priority, queues in self._queues.items():
            if not queues:
                continue
            tag, number, head = min((self._tag(queue[0]), queue[0].arrived, queue[0]) for queue in queues.values())
            row = before.get(priority)
            if row is not None and row.head == number:
                head.passed = max(head.passed, row.passed)
            everyone = [waiter.weight for queue in queues.values() for waiter in queue]
            rows.append(Row(priority, number, tag, head.weight, len(everyone), sum(everyone), head.passed))
        return rows

    def _tag(self, waiter: Waiter) -> float:
        return max(waiter.progress, self._marks[waiter.priority].get(waiter.caller, 0.0))

    def _may_go(self, rule: WeightRule, state: State, now: float, priority: Priority, tag: float, weight: int) -> bool:
        """Whether there is room, and no other process goes before it."""
        for_safety = priority == Priority.SAFETY
        if not rule.fits(state, weight, now, for_safety=for_safety):
            return False
        turn = max(1, rule.limit // 100)
        before = [
            row
            for number, process in state.processes.items()
            if number != self._number and process.rows and process.seen_s > now - LEASE_S
            for row in process.rows
            if row.priority < priority or (row.priority == priority and row.tag + turn < tag)
        ]
        if not before:
            return True
        room = rule.room(state, now, for_safety=for_safety)
        if weight + sum(row.total for row in before) <= room:
            return True
        if any(row.priority < priority or row.weight <= room or row.passed + weight > row.weight for row in before):
            return False
        for row in before:
            row.passed += weight
        return True
