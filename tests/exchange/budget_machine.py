"""The budget of several processes on a virtual clock: the pure rule and the pure line, without files or sockets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from quantlab.exchange.weight.line import Line, Priority, Waiter
from quantlab.exchange.weight.window import LOST_MARGIN_S, WINDOW_S, Process, State, Stop, WeightRule


@dataclass
class Sent:
    weight: int
    taken: float
    counted: float


def most_in_any_window(requests: list[Sent]) -> int:
    """The heaviest 60 s, by the moment at which the exchange counted each request."""
    return max(
        (
            sum(other.weight for other in requests if 0 <= other.counted - request.counted < WINDOW_S)
            for request in requests
        ),
        default=0,
    )


class Machine:
    """Several processes on one state, on a virtual clock. What is asked waits in its process's line."""

    def __init__(self, rule: WeightRule, processes: int) -> None:
        self.rule, self.state, self.now = rule, State(), 1000.0
        self.lines = {number: Line(number) for number in range(1, processes + 1)}
        self.sent: list[Sent] = []
        self.granted: list[Waiter] = []
        self.due: list[tuple[float, int, int, str]] = []  # when, request, weight, what becomes of it
        self.inversions = 0

    def ask(self, process: int, weight: int, priority: Priority, caller: str, fate: Any) -> Waiter:
        waiter = Waiter(weight, "", 0.0, priority, caller, fate)
        if not self.stopped and self.lines[process].may_go_at_once(waiter, self.rule, self.state, self.now):
            self.grant(process, waiter)
        else:
            self.lines[process].join(waiter, self.state, self.now)
            self.look(process)
        return waiter

    @property
    def stopped(self) -> bool:
        return self.state.stop is not None and self.now < self.state.stop.until_s

    def look(self, process: int) -> None:
        line = self.lines[process]
        while not self.stopped and (waiter := line.next(self.rule, self.state, self.now)) is not None:
            line.leave(waiter)
            self.grant(process, waiter)
        self.state.processes[process] = Process(self.now, self.rule.limit, rows=line.rows(self.state))

    def grant(self, process: int, waiter: Waiter) -> None:
        kind, trip, where = waiter.future  # what becomes of it stands in the place of who waits
        self.granted_over(process, waiter)
        self.lines[process].served(waiter, self.state)
        request = len(self.granted)
        self.granted.append(waiter)
        self.rule.take(self.state, request, waiter.weight, self.now)
        if kind == "returned":
            self.due.append((self.now + trip, request, waiter.weight, kind))
            return
        latest = {
            "answered": trip,
            "lost": self.rule.timeout_s + LOST_MARGIN_S,
            "killed": self.rule.timeout_s + LOST_MARGIN_S,
        }[kind]
        self.sent.append(Sent(waiter.weight, self.now, self.now + latest * where))
        if kind != "killed":
            self.due.append(
                (self.now + (trip if kind == "answered" else self.rule.timeout_s), request, waiter.weight, kind)
            )

    def granted_over(self, process: int, waiter: Waiter) -> None:
        """Look whether anybody more urgent waits: in this process never, in others only where there is room for all."""
        more = [
            row
            for number, other in self.state.processes.items()
            if number != process
            for row in other.rows
            if row.priority < waiter.priority
        ]
        room = self.rule.room(self.state, self.now, for_safety=waiter.priority == Priority.SAFETY)
        here = any(row.priority < waiter.priority for row in self.lines[process].rows(self.state))
        self.inversions += here or (bool(more) and waiter.weight + sum(row.total for row in more) > room)

    def advance(self, seconds: float) -> None:
        """Let time pass; each process looks when something is settled, and at least each 0.4 s."""
        end = self.now + seconds
        while self.now < end:
            first = min((due for due, *_ in self.due), default=end)
            self.now = min(end, max(first, self.now), self.now + 0.4)
            for entry in sorted(self.due):
                due, request, weight, kind = entry
                if due <= self.now:
                    self.due.remove(entry)
                    self.settle(request, weight, kind)
            for process in self.lines:
                self.look(process)

    def settle(self, request: int, weight: int, kind: str) -> None:
        if kind == "answered":
            self.rule.answered(self.state, request, weight, self.now)
        elif kind == "lost":
            self.rule.lost(self.state, request, self.now)
        else:
            self.rule.returned(self.state, request)


def play(machine: Machine, steps: list[Any]) -> None:
    asked: list[tuple[int, Waiter]] = []
    for step in steps:
        if step[0] == "stop":
            until = machine.now + step[1]
            machine.rule.stop(machine.state, Stop(until, 0, step[2], 0, "quiet"), machine.now)
        elif step[0] == "cancel":
            if asked:
                process, waiter = asked[step[1] % len(asked)]
                machine.lines[process].leave(waiter)
        else:
            process, weight, priority, caller, fate, pause = step
            asked.append((process, machine.ask(process, weight, priority, caller, fate)))
            machine.advance(pause)
    for _ in range(200):
        machine.advance(30.0)
        if not any(machine.lines.values()):
            break
