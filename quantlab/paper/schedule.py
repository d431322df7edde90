"""What is due when: a heap of actions in (due time, sequence) order. Time is engine time, ms."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush

#: "Nothing is due": later than any engine time.
NEVER_MS = 1 << 62


class Schedule:
    """Actions due at equal times run in the order in which they were scheduled."""

    __slots__ = ("_count", "_heap", "next_due_ms")

    def __init__(self) -> None:
        self.next_due_ms = NEVER_MS
        self._heap: list[tuple[int, int, Callable[[], None]]] = []
        self._count = 0

    def at(self, due_ms: int, action: Callable[[], None]) -> None:
        self._count += 1
        heappush(self._heap, (due_ms, self._count, action))
        self.next_due_ms = self._heap[0][0]

    def pop(self) -> tuple[int, Callable[[], None]]:
        """The next due time and action; raises IndexError when nothing is scheduled."""
        due_ms, _, action = heappop(self._heap)
        self.next_due_ms = self._heap[0][0] if self._heap else NEVER_MS
        return due_ms, action

    def clear(self) -> None:
        self._heap.clear()
        self.next_due_ms = NEVER_MS
