"""How this machine's clock stands to the exchange's: measured all along, cheaply, with what is not known of it stated.

A question for the exchange's time is answered somewhere between sending and answer: the middle is the estimate, half of
the round trip its uncertainty. Of the last readings the least uncertain counts, each growing worse with its age by what
a crystal may drift: the filter of NTP (RFC 5905, section 10). Between readings the `Date` of any answer, a whole
second, is enough to notice that one of the two clocks was set.

The estimate is carried on by a clock that nobody sets and that goes on while the machine sleeps. So a step of this
machine's wall clock changes `offset_ms` at once and `now_ms` not at all.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from quantlab.model.errors import QuantlabError

_log = logging.getLogger(__name__)

#: Beyond this, signed requests come near to being refused (Binance accepts 1 s ahead), and people should set the clock.
ALERT_MS = 500.0
#: What a crystal may go wrong by, generously: 100 ppm is 30 ms in five minutes. NTP reckons with 15 (RFC 5905).
_DRIFT_MS_PER_S = 0.1
#: A change of "wall minus monotonic" in one look that no slewing explains (it does at most 0.5 ms a second).
_JUMP_MS = 250.0
#: What a `Date` may disagree by: it is written by a server in front, in whole seconds.
_DATE_SLACK_MS = 1_000.0
_READINGS = 8
_FIRST_READINGS, _FIRST_EVERY_S, _AGAIN_S, _LOOK_S = 3, 10.0, 30.0, 1.0


class Reading(NamedTuple):
    """The exchange said `server_ms` (UTC, cut to `resolution_ms`) between `sent_s` and `answered_s` (monotonic)."""

    server_ms: int
    sent_s: float
    answered_s: float
    resolution_ms: float = 1.0


class _Estimate(NamedTuple):
    """The exchange's clock minus the steady one, as it was known at `at_s`."""

    at_s: float
    offset_ms: float
    uncertainty_ms: float

    def uncertainty_at(self, now_s: float) -> float:
        return self.uncertainty_ms + (now_s - self.at_s) * _DRIFT_MS_PER_S


def _steady() -> float:
    """Seconds that nobody sets. On Linux they include sleep; elsewhere a sleep throws the readings away."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if _COUNTS_SLEEP else time.monotonic()


_COUNTS_SLEEP = hasattr(time, "CLOCK_BOOTTIME")


class ExchangeClock:
    """The exchange's clock as it is known here. `read` asks for it; `run` keeps it known until it is cancelled.

    `wall_ms`, `steady_s` (seconds that nobody sets) and `monotonic_s` (the clock of `Reading`) are this machine's.
    """

    def __init__(
        self,
        read: Callable[[], Awaitable[Reading]],
        *,
        every_s: float = 300.0,
        wall_ms: Callable[[], float] = lambda: time.time_ns() / 1e6,
        steady_s: Callable[[], float] = _steady,
        monotonic_s: Callable[[], float] = time.monotonic,
        counts_sleep: bool = _COUNTS_SLEEP,
    ) -> None:
        self._read = read
        self._every_s = every_s
        self._wall_ms = wall_ms
        self._steady_s = steady_s
        self._monotonic_s = monotonic_s
        self._counts_sleep = counts_sleep
        self._estimates: deque[_Estimate] = deque(maxlen=_READINGS)
        self._coarse: _Estimate | None = None
        self._readings = 0
        self._due_s = float("-inf")
        self._apart_ms = wall_ms() - monotonic_s() * 1000
        self._alerted = False
        #: How often this machine's clock was set, or the machine slept; and by how much the last time (ms).
        self.jumps = 0
        self.last_jump_ms = 0.0

    def now_ms(self) -> int:
        """The exchange's time, UTC ms, for stamps. This machine's own where nothing is known yet."""
        self._look_for_jump()
        best = self._best()
        return round(self._wall_ms() if best is None else self._steady_s() * 1000 + best.offset_ms)

    @property
    def offset_ms(self) -> float | None:
        """This machine's wall clock minus the exchange's: above zero it is ahead. None before anything is known."""
        best = self._best()
        return None if best is None else self._wall_ms() - self._steady_s() * 1000 - best.offset_ms

    @property
    def uncertainty_ms(self) -> float | None:
        """`offset_ms` is right within this much either way, if the exchange's answers were."""
        best = self._best()
        return None if best is None else best.uncertainty_at(self._steady_s())

    @property
    def age_s(self) -> float | None:
        """Seconds since the reading in use was made."""
        best = self._best()
        return None if best is None else self._steady_s() - best.at_s

    @property
    def alert(self) -> str:
        """What is wrong with this machine's clock and what to do; "" while it is within 500 ms."""
        offset_ms, uncertainty_ms = self.offset_ms, self.uncertainty_ms
        if offset_ms is None or uncertainty_ms is None or abs(offset_ms) <= max(ALERT_MS, uncertainty_ms):
            return ""
        side = "ahead of" if offset_ms > 0 else "behind"
        return (
            f"this machine's clock is {abs(offset_ms) / 1000:.2f} s {side} the exchange's: set it (`timedatectl "
            "set-ntp true`, or with chrony `chronyc makestep`). Stamps are corrected meanwhile"
        )

    def snapshot(self) -> dict[str, Any]:
        """For status and metrics: offset_ms, uncertainty_ms, age_s (None while unknown), jumps, last_jump_ms, alert."""
        self._look_for_jump()
        offset_ms, uncertainty_ms, age_s = self.offset_ms, self.uncertainty_ms, self.age_s
        return {
            "offset_ms": None if offset_ms is None else round(offset_ms, 1),
            "uncertainty_ms": None if uncertainty_ms is None else round(uncertainty_ms, 1),
            "age_s": None if age_s is None else round(age_s, 1),
            "jumps": self.jumps,
            "last_jump_ms": round(self.last_jump_ms, 1),
            "alert": self.alert,
        }

    async def measure(self) -> None:
        """Read the exchange's clock now, as after -1021. Raises what asking raises."""
        self.add(await self._read())

    async def run(self) -> None:
        """Keep it known: three readings at first, one each `every_s`, and one at once when a clock was set."""
        while True:
            self._look_for_jump()
            if self._steady_s() >= self._due_s:
                try:
                    await self.measure()
                except QuantlabError as error:
                    self._due_s = self._steady_s() + _AGAIN_S
                    _log.info("the exchange's clock could not be read: %s", error)
            await asyncio.sleep(_LOOK_S)

    def add(self, reading: Reading) -> None:
        """A reading of the exchange's own clock. Older ones that it contradicts are dropped: a clock was set."""
        self._look_for_jump()
        new = self._estimate(reading)
        agreeing = [old for old in self._estimates if _agree(old, new, slack_ms=0.0)]
        self._estimates.clear()
        self._estimates.extend([*agreeing, new])
        self._readings += 1
        every_s = self._every_s if self._readings >= _FIRST_READINGS else min(_FIRST_EVERY_S, self._every_s)
        self._due_s = self._steady_s() + every_s
        alert = self.alert
        if alert and not self._alerted:
            _log.warning("%s", alert)
        self._alerted = bool(alert)

    def saw_date(self, reading: Reading) -> None:
        """The `Date` of some answer: all there is before the first reading, afterwards a check that costs nothing."""
        seen = self._estimate(reading)
        best = self._best()
        if not self._estimates:
            if best is None or seen.uncertainty_ms <= best.uncertainty_at(seen.at_s):
                self._coarse = seen
        elif best is not None and not _agree(best, seen, slack_ms=_DATE_SLACK_MS):
            self._due_s = float("-inf")

    def _estimate(self, reading: Reading) -> _Estimate:
        ago_s = self._monotonic_s() - (reading.sent_s + reading.answered_s) / 2
        at_s = self._steady_s() - ago_s
        half_ms = (reading.answered_s - reading.sent_s) * 500 + reading.resolution_ms / 2
        return _Estimate(at_s, reading.server_ms + reading.resolution_ms / 2 - at_s * 1000, half_ms)

    def _best(self) -> _Estimate | None:
        now_s = self._steady_s()
        return min(self._estimates, key=lambda known: known.uncertainty_at(now_s), default=self._coarse)

    def _look_for_jump(self) -> None:
        """Wall and monotonic clock go at one pace, unless the wall's is set or the machine sleeps."""
        apart_ms = self._wall_ms() - self._monotonic_s() * 1000
        jump_ms, self._apart_ms = apart_ms - self._apart_ms, apart_ms
        if abs(jump_ms) < _JUMP_MS:
            return
        self.jumps += 1
        self.last_jump_ms = jump_ms
        self._due_s = float("-inf")
        if not self._counts_sleep:
            self._estimates.clear()
            self._coarse = None
        _log.warning("this machine's clock jumped by %.0f ms (set, or asleep): the exchange's is read anew", jump_ms)


def _agree(old: _Estimate, new: _Estimate, *, slack_ms: float) -> bool:
    apart_ms = abs(old.offset_ms - new.offset_ms)
    return apart_ms <= old.uncertainty_at(new.at_s) + new.uncertainty_ms + slack_ms
