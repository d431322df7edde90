"""A question is asked once: identical requests in flight are shared, answers are kept while they are true."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Literal, NamedTuple

_MOST_BYTES = 32 * 2**20

Outcome = Literal["sent", "shared", "kept"]
FOREVER = float("inf")


class Answer(NamedTuple):
    """The exchange's JSON as it came, and its wall clock when it gave it (`Date` header; ms, 0 where it gave none).

    `sent_s` and `answered_s` are monotonic seconds: between them lies the moment that the answer is of. `used_weight`
    is the exchange's own count of its minute, where the answer told it.
    """

    body: bytes
    date_ms: int = 0
    sent_s: float = 0.0
    answered_s: float = 0.0
    used_weight: int | None = None


#: Seconds for which an answer stays true: 0 not at all, `FOREVER` for what cannot change.
Lifetime = Callable[[Answer], float]


class Answers:
    """Flights under way and answers kept, by key. Keeps at most 32 MiB, the least used go first."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._flights: dict[str, _Flight] = {}
        self._kept: OrderedDict[str, tuple[float, Answer]] = OrderedDict()
        self._bytes = 0

    async def get(
        self,
        key: str,
        ask: Callable[[], Awaitable[Answer]],
        lifetime: Lifetime,
        told: Callable[[Outcome], None],
    ) -> Answer:
        """The answer to `key`: kept, shared with a flight under way, or asked now.

        `told` hears which, before anything is awaited. Whatever `ask` raises goes to all who wait for it. A waiter that
        is cancelled leaves the others their flight; when the last one leaves, the flight ends.
        """
        answer = self._look_up(key)
        if answer is not None:
            told("kept")
            return answer
        flight = self._flights.get(key)
        if flight is None or flight.given_up:
            told("sent")
            flight = self._flights[key] = _Flight(asyncio.ensure_future(ask()))
            flight.task.add_done_callback(lambda task: self._landed(key, task, lifetime))
        else:
            told("shared")
        return await flight.wait()

    def _look_up(self, key: str) -> Answer | None:
        if key not in self._kept:
            return None
        until, answer = self._kept[key]
        if until <= self._clock():
            self._drop(key)
            return None
        self._kept.move_to_end(key)
        return answer

    def _landed(self, key: str, task: asyncio.Future[Answer], lifetime: Lifetime) -> None:
        if self._flights.get(key) is not None and self._flights[key].task is task:
            del self._flights[key]
        if task.cancelled() or task.exception() is not None:
            return
        answer = task.result()
        seconds = lifetime(answer)
        if seconds > 0 and len(answer.body) <= _MOST_BYTES:
            self._kept[key] = (self._clock() + seconds, answer)
            self._bytes += len(answer.body)
            while self._bytes > _MOST_BYTES:
                self._drop(next(iter(self._kept)))

    def _drop(self, key: str) -> None:
        self._bytes -= len(self._kept.pop(key)[1].body)


class _Flight:
    """One request, and how many wait for it."""

    def __init__(self, task: asyncio.Future[Answer]) -> None:
        self.task = task
        #: Everybody left, and it is ending: who comes now must not end with it.
        self.given_up = False
        self._waiting = 0

    async def wait(self) -> Answer:
        self._waiting += 1
        try:
            return await asyncio.shield(self.task)
        finally:
            self._waiting -= 1
            if not self._waiting and not self.task.done():
                self.given_up = True
                self.task.cancel()
