"""Whether a stream's line is alive, from what was heard on it and when.

Three deaths are told apart. *Half-open*: the other side is gone and nothing says so. Binance pings each 20 s, so a line
on which nothing came for a while, no frame and no ping, gets a ping of our own; what does not answer is dead. *Silent*:
pings are answered and no market data comes. *Old*: a connection is cut after 24 h, so it is left before.
"""

from __future__ import annotations

from enum import StrEnum


class Verdict(StrEnum):
    ALIVE = "alive"
    ASK = "ask"  # send a ping: nothing was heard for a while
    HALF_OPEN = "half-open"
    SILENT = "silent"


class Watchdog:
    """Judges one line. `silence_s` without market data is silence; after a sixth of it without any sign a ping is
    due, and after a third the line is dead. Times are monotonic seconds."""

    def __init__(self, silence_s: float, now: float) -> None:
        self.silence_s = silence_s
        self.ask_s = silence_s / 6
        self.dead_s = silence_s / 3
        self._counts = (0, 0)
        self._data_at = self._sign_at = now
        self._asked = False

    def judge(self, frames: int, signs: int, now: float) -> Verdict:
        """`frames` and `signs` (pings and pongs) are how many were heard so far. Call it several times in `ask_s`."""
        if frames != self._counts[0]:
            self._data_at = now
        if (frames, signs) != self._counts:
            self._counts, self._sign_at, self._asked = (frames, signs), now, False
        if now - self._data_at >= self.silence_s:
            return Verdict.SILENT
        quiet_s = now - self._sign_at
        if quiet_s >= self.dead_s and self._asked:
            return Verdict.HALF_OPEN
        return Verdict.ASK if quiet_s >= self.ask_s and not self._asked else Verdict.ALIVE

    def asked(self, now: float) -> None:
        """A ping was sent. It gets its time to be answered, whatever was before: a machine that slept wakes up with
        old times."""
        self._asked = True
        self._sign_at = now - self.ask_s

    def forgive(self, now: float) -> None:
        """Nobody was listening until `now`: what was not heard then says nothing."""
        self._data_at = self._sign_at = now
        self._asked = False
