"""The weight budget: at most so much in *any* 60 seconds, wherever the exchange's clock stands.

The exchange counts a request at some moment between our sending it and its answer. So a weight is held from the moment
it is taken until 60 s after its *answer*; where no answer came, until 60 s after the last moment at which it may still
have arrived. What is held then bounds every window, at our end and at theirs.

`WeightWindow` is that rule as a function of the times it is given; `Budget` is the queue in front of it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from quantlab.model.errors import ConfigurationError, ExchangeUnreachable, QuantlabError

_log = logging.getLogger(__name__)

WINDOW_S = 60.0
#: How long after our own time limit a request may still reach the exchange.
LOST_MARGIN_S = 5.0


class Held:
    """Weight that is held. `until` is when it returns."""

    __slots__ = ("until", "weight")

    def __init__(self, weight: int, until: float) -> None:
        self.weight = weight
        self.until = until


class WeightWindow:
    """The rule. Times are monotonic seconds and never go back from call to call."""

    def __init__(self, limit: int, *, timeout_s: float, window_s: float = WINDOW_S) -> None:
        self.limit = limit
        self.peak = 0
        self.stopped_until = float("-inf")
        self.stopped_why: QuantlabError | None = None
        self._window_s = window_s
        self._lost_s = timeout_s + LOST_MARGIN_S + window_s
        self._held: set[Held] = set()
        self._foreign = Held(0, float("-inf"))

    def wait_s(self, weight: int, now: float) -> float:
        """Seconds until `weight` fits if nothing changes; 0 when it fits now."""
        if now < self.stopped_until:
            return self.stopped_until - now
        used = self.used(now)
        if used + weight <= self.limit:
            return 0.0
        for held in sorted([*self._held, self._foreign], key=lambda held: held.until):
            if held.until > now:
                used -= held.weight
                if used + weight <= self.limit:
                    return held.until - now
        raise ValueError(f"weight {weight} is more than the whole budget of {self.limit}")

    def take(self, weight: int, now: float) -> Held:
        """Hold `weight`, which must fit."""
        held = Held(weight, now + self._lost_s)
        self._held.add(held)
        own = sum(held.weight for held in self._held if held.until > now)
        self.peak = max(self.peak, own)
        return held

    def answered(self, held: Held, now: float) -> None:
        """Its answer is here: the weight returns one window from now."""
        held.until = now + self._window_s

    def returned(self, held: Held) -> None:
        """It never left: nothing was spent."""
        self._held.discard(held)

    def told_used(self, used: int, now: float) -> None:
        """The exchange's own count of its minute (`X-MBX-USED-WEIGHT-1M`). What it says beyond ours was spent by
        others at this address: it is held as theirs for one window."""
        foreign = used - (self.used(now) - self._foreign_weight(now))
        if foreign > 0 and foreign >= self._foreign_weight(now):
            self._foreign = Held(foreign, now + self._window_s)

    def stop(self, seconds: float, why: QuantlabError, now: float) -> None:
        """The exchange told us to be quiet: nothing is taken until then."""
        if now + seconds > self.stopped_until:
            self.stopped_until = now + seconds
            self.stopped_why = why

    def used(self, now: float) -> int:
        """Weight held now, others' included."""
        gone = [held for held in self._held if held.until <= now]
        self._held.difference_update(gone)
        return sum(held.weight for held in self._held) + self._foreign_weight(now)

    def _foreign_weight(self, now: float) -> int:
        return self._foreign.weight if self._foreign.until > now else 0


class Budget:
    """First come, first served. A wait that is cancelled costs nothing."""

    def __init__(
        self,
        limit: int,
        *,
        timeout_s: float,
        window_s: float = WINDOW_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._window = WeightWindow(limit, timeout_s=timeout_s, window_s=window_s)
        self._clock = clock
        self._turn = asyncio.Lock()
        self._changed = asyncio.Event()

    @property
    def peak_weight(self) -> int:
        """The most that was held at once: no 60 s of this door's requests weighed more, at either end of the line."""
        return self._window.peak

    async def take(self, weight: int, what: str, deadline: float) -> Held:
        """Wait for room and hold `weight`. `deadline` is on this budget's clock.

        Raises ConfigurationError when `weight` exceeds the whole budget, the exchange's own error when it keeps us out
        beyond `deadline`, ExchangeUnreachable when there is no room until then.
        """
        if weight > self._window.limit:
            raise ConfigurationError(
                f"{what} costs {weight} weight, more than the whole budget of {self._window.limit} a minute: "
                "raise QUANTLAB_WEIGHT_PER_MINUTE or ask for less"
            )
        async with self._turn:
            while (wait := self._window.wait_s(weight, now := self._clock())) > 0:
                self._check(now, deadline, what)
                self._changed.clear()
                try:
                    async with asyncio.timeout(min(wait, deadline - now)):
                        await self._changed.wait()
                except TimeoutError:
                    pass
            return self._window.take(weight, now)

    def answered(self, held: Held, used: int | None = None) -> None:
        """Its answer came, with the exchange's own count where it gave one."""
        now = self._clock()
        self._window.answered(held, now)
        if used is not None:
            self._window.told_used(used, now)
        self._changed.set()

    def returned(self, held: Held) -> None:
        """It never left."""
        self._window.returned(held)
        self._changed.set()

    def stop(self, seconds: float, why: QuantlabError) -> None:
        """Everything waits: 429 with its Retry-After, or a ban (418)."""
        _log.warning("no requests for %.0f s: %s", seconds, why)
        self._window.stop(seconds, why, self._clock())
        self._changed.set()

    def _check(self, now: float, deadline: float, what: str) -> None:
        window = self._window
        if window.stopped_why is not None and window.stopped_until > max(now, deadline):
            raise window.stopped_why
        if now >= deadline:
            raise ExchangeUnreachable(
                f"{what} found no room in the budget of {window.limit} weight a minute in time: ask less often, or "
                "raise QUANTLAB_WEIGHT_PER_MINUTE (Binance allows 6000 an address)"
            )
