"""How often again, and after how long. Reads only: nothing else leaves by this door."""

from __future__ import annotations

import random

#: Attempts at one question, the first included.
TRIES = 3
_FIRST_S, _LONGEST_S = 0.5, 30.0


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
