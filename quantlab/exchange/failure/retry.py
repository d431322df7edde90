"""How often again, and after how long. Reads only: what changes an account is never sent twice by itself."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from quantlab.exchange.failure.taxonomy import Failure

#: Attempts at one question, the first included.
TRIES = 3
_FIRST_S, _LONGEST_S = 0.5, 30.0

T = TypeVar("T")


async def asked_again(
    attempt: Callable[[], Awaitable[tuple[T, Failure | None]]], deadline: float, clock: Callable[[], float]
) -> T:
    """What `attempt` gives, tried at most three times and not begun again after `deadline` (seconds of `clock`).

    A failure that asking again cannot help is raised at once. Between attempts lies a jittered pause, or a longer one
    that the exchange told this request; what it told the whole address, the budget keeps.
    """
    backoff = Backoff()
    tries = 0
    while True:
        tries += 1
        found, failure = await attempt()
        if failure is None:
            return found
        pause_s = backoff.pause_s()
        if failure.pause_for == "request":
            pause_s = max(pause_s, failure.pause_s)
        if not failure.transient or tries == TRIES or clock() + pause_s >= deadline:
            raise failure.error
        await asyncio.sleep(pause_s)


class Backoff:
    """Growing, jittered pauses: 0.25–0.5 s, 0.5–1 s, … up to 15–30 s. Jitter keeps many clients that lost the same
    exchange from coming back in one wave. Never used for anything that a trading decision reads."""

    def __init__(self, rng: random.Random | None = None) -> None:
        self._rng = rng or random.Random()  # noqa: S311 - spreads load, guards nothing
        self._next_s = _FIRST_S

    def pause_s(self) -> float:
        """The next pause in seconds."""
        longest, self._next_s = self._next_s, min(2 * self._next_s, _LONGEST_S)
        return longest * self._rng.uniform(0.5, 1.0)

    def reset(self) -> None:
        """It went well: begin small again."""
        self._next_s = _FIRST_S
