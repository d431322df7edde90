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

from quantlab.exchange.weight.window import Row, State, WeightRule

#: A process that was not heard of for so long does not stand in the line any more.
LEASE_S = 1.0


class Priority(IntEnum):
    """What is asked for, the most urgent first."""

    SAFETY = 0  # cancels, what became of an order, the exchange's clock
    LIVE_FEED = 1  # what the books of a running fleet need
    WARM_UP = 2  # candles before the first decision
    BACKFILL = 3  # gaps, history, a user's questions


class Waiter:
    """One request that waits; `future` is told when it may go."""

    __slots__ = (
        "arrived",
        "caller",
        "deadline",
        "future",
        "passed",
        "priority",
        "progress",
        "since_s",
        "weight",
        "what",
    )

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
        self.since_s = 0.0  # when it asked
        self.progress = 0.0  # how far the line had come then
        self.passed = 0  # weight that went before it although it was its turn


class _Lane:
    """The waiters of one priority by caller, and the callers' marks."""

    def __init__(self) -> None:
        self.queues: dict[str, deque[Waiter]] = {}
        self.marks: dict[str, float] = {}
        self.count = 0
        self.weight = 0

    def tag(self, waiter: Waiter) -> float:
        return max(waiter.progress, self.marks.get(waiter.caller, 0.0))

    def heads(self) -> list[tuple[float, int, Waiter]]:
        """The first of each caller, with its tag: the lowest goes next."""
        return [(self.tag(queue[0]), queue[0].arrived, queue[0]) for queue in self.queues.values()]


class Line:
    """The waiters of one process. `number` is the process's own in `State.processes`."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._lanes = {priority: _Lane() for priority in Priority}
        self._arrivals = 0

    def __len__(self) -> int:
        return sum(lane.count for lane in self._lanes.values())

    def may_go_at_once(self, waiter: Waiter, rule: WeightRule, state: State, now: float) -> bool:
        """Whether one that just comes need not join: nobody waits before it, here or elsewhere, and there is room."""
        waiter.since_s, waiter.progress = now, state.progress[waiter.priority]
        if any(self._lanes[priority].count for priority in Priority if priority <= waiter.priority):
            return False
        room = rule.room(state, now, for_safety=waiter.priority == Priority.SAFETY)
        return self._may_go(waiter, self._lanes[waiter.priority].tag(waiter), room, rule, state, now)

    def join(self, waiter: Waiter, state: State, now: float) -> None:
        self._arrivals += 1
        lane = self._lanes[waiter.priority]
        waiter.arrived, waiter.since_s, waiter.progress = self._arrivals, now, state.progress[waiter.priority]
        lane.queues.setdefault(waiter.caller, deque()).append(waiter)
        lane.count += 1
        lane.weight += waiter.weight

    def leave(self, waiter: Waiter) -> bool:
        """Out of the line, served or not; False for one that is not in it."""
        lane = self._lanes[waiter.priority]
        queue = lane.queues.get(waiter.caller)
        if queue is None or waiter not in queue:
            return False
        queue.remove(waiter)
        lane.count -= 1
        lane.weight -= waiter.weight
        if not queue:
            del lane.queues[waiter.caller]
        return True

    def next(self, rule: WeightRule, state: State, now: float) -> Waiter | None:
        """Who may go now: to be taken out of the line, counted as `served`, and given its weight."""
        for priority, lane in self._lanes.items():
            if not lane.count:
                continue
            room = rule.room(state, now, for_safety=priority == Priority.SAFETY)
            heads = lane.heads()
            tag, _, first = min(heads)
            if self._may_go(first, tag, room, rule, state, now):
                return first
            if first.weight > room > 0:
                for tag, _, other in sorted(heads)[1:]:
                    may_pass = other.weight <= room and first.passed + other.weight <= first.weight
                    if may_pass and self._may_go(other, tag, room, rule, state, now):
                        first.passed += other.weight
                        return other
            return None  # the less urgent never pass the more urgent
        return None

    def served(self, waiter: Waiter, state: State) -> None:
        """`waiter`, of the line or just come, was given its weight: move its caller's mark, and the line's progress."""
        lane = self._lanes[waiter.priority]
        start = lane.tag(waiter)
        lane.marks[waiter.caller] = start + waiter.weight
        state.progress[waiter.priority] = progress = max(state.progress[waiter.priority], start)
        if len(lane.marks) > 2 * len(lane.queues) + 64:  # who is not ahead of the line needs no mark
            lane.marks = {caller: mark for caller, mark in lane.marks.items() if mark > progress}

    def rows(self, state: State) -> list[Row]:
        """What the other processes need to know of this line."""
        known = state.processes.get(self._number)
        before = {row.priority: row for row in known.rows} if known is not None else {}
        rows = []
        for priority, lane in self._lanes.items():
            if not lane.count:
                continue
            tag, number, first = min(lane.heads())
            row = before.get(priority)
            if row is not None and row.head == number:
                first.passed = max(first.passed, row.passed)
            rows.append(Row(priority, number, tag, first.since_s, first.weight, lane.count, lane.weight, first.passed))
        return rows

    def _may_go(self, waiter: Waiter, tag: float, room: int, rule: WeightRule, state: State, now: float) -> bool:
        """Whether there is room for `waiter`, and no other process goes before it."""
        if waiter.weight > room:
            return False
        before = self._before(waiter, tag, room, rule, state, now)
        if not before or waiter.weight + sum(row.total for row in before) <= room:
            return True
        for row in before:
            if row.priority < waiter.priority or row.weight <= room or row.passed + waiter.weight > row.weight:
                return False
        for row in before:
            row.passed += waiter.weight
        return True

    def _before(self, waiter: Waiter, tag: float, room: int, rule: WeightRule, state: State, now: float) -> list[Row]:
        """The lines of other processes whose first goes before `waiter`. Among equals there is leeway where both have
        room: the other only has to wake. Where not, it needs the room that `waiter` would take."""
        turn = max(1, rule.limit // 100)
        before = []
        for number, process in state.processes.items():
            if number == self._number or process.seen_s <= now - LEASE_S:
                continue
            for row in process.rows:
                if row.priority != waiter.priority:
                    first = row.priority < waiter.priority
                elif row.weight + waiter.weight <= room:
                    first = row.tag + turn < tag
                else:
                    first = (row.tag, row.since_s, number) < (tag, waiter.since_s, self._number)
                if first:
                    before.append(row)
        return before
