"""How long an order takes to the book, and its answer back. Models map a uniform draw to whole ms; they hold no state.

All are proxies: order latency cannot be measured without sending orders. The defaults (median 40 ms out, 20 ms back)
are no measurement; the way from a home line to the exchange differs from one machine to the next. What can be measured
are reads (`quantlab latency`): their round trips, frozen in the fleet file, half of one each way.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Protocol

from quantlab.model import ConfigurationError

_NORMAL = NormalDist()


class LatencyModel(Protocol):
    """`draw` is a uniform number strictly between 0 and 1 (see `draws.py`); both answers are ms, at least 0."""

    @property
    def name(self) -> str:
        """What receipts and manifests call it."""
        ...

    def order_ms(self, draw: float) -> int:
        """From the bot's decision to the matching engine, for orders and cancels."""
        ...

    def response_ms(self, draw: float) -> int:
        """From the matching engine back to the bot."""
        ...


@dataclass(frozen=True, slots=True)
class FixedLatency:
    """The same delay each time: for tests, and for comparing runs at a known latency."""

    order: int = 40
    response: int = 20

    def __post_init__(self) -> None:
        if self.order < 0 or self.response < 0:
            raise ConfigurationError(f"latency {self.order}/{self.response} ms: neither can be below 0")

    @property
    def name(self) -> str:
        return f"fixed({self.order},{self.response})"

    def order_ms(self, draw: float) -> int:
        return self.order

    def response_ms(self, draw: float) -> int:
        return self.response


@dataclass(frozen=True, slots=True)
class DrawnLatency:
    """Log-normal delays: `median` ms times exp(sigma z), never below `least` ms. A proxy, see the module."""

    order_median: float = 40.0
    response_median: float = 20.0
    sigma: float = 0.4
    least: int = 1

    def __post_init__(self) -> None:
        if not (self.order_median > 0 and self.response_median > 0 and 0 <= self.sigma <= 3 and self.least >= 0):
            raise ConfigurationError(f"{self.name}: medians must be above 0 ms, sigma 0 to 3, least 0 ms or more")

    @property
    def name(self) -> str:
        return f"lognormal({self.order_median:g},{self.response_median:g},{self.sigma:g}) proxy"

    def order_ms(self, draw: float) -> int:
        return self._ms(self.order_median, draw)

    def response_ms(self, draw: float) -> int:
        return self._ms(self.response_median, draw)

    def _ms(self, median: float, draw: float) -> int:
        return max(self.least, round(median * math.exp(self.sigma * _NORMAL.inv_cdf(draw))))


@dataclass(frozen=True, slots=True)
class MeasuredLatency:
    """Half of a round trip each way, drawn from `round_trips_ms`: equally spaced quantiles of those that were measured,
    ascending, the least and the longest among them; straight lines in between."""

    round_trips_ms: tuple[float, ...]

    def __post_init__(self) -> None:
        trips = self.round_trips_ms
        if len(trips) < 2 or not all(0 < each < 60_000 for each in trips) or list(trips) != sorted(trips):
            raise ConfigurationError(
                "round_trips_ms must be 2 or more ascending quantiles of round trips in ms, above 0 and below 60000: "
                "`quantlab latency` prints them"
            )

    @classmethod
    def of(cls, trips_ms: Sequence[float]) -> MeasuredLatency:
        """From single round trips: 21 quantiles, each 5 %, to a hundredth of a millisecond."""
        ordered = sorted(trips_ms)
        return cls(tuple(round(_between(ordered, step / 20), 2) for step in range(21)))

    @property
    def name(self) -> str:
        return f"measured round trips, median {_between(self.round_trips_ms, 0.5):g} ms: reads, a proxy"

    def order_ms(self, draw: float) -> int:
        return math.ceil(_between(self.round_trips_ms, draw) / 2)

    def response_ms(self, draw: float) -> int:
        return math.ceil(_between(self.round_trips_ms, draw) / 2)


def _between(ordered: Sequence[float], share: float) -> float:
    """The value at `share` (0 to 1) of `ordered`, linear between two."""
    place = share * (len(ordered) - 1)
    low = min(int(place), len(ordered) - 2)
    return ordered[low] + (ordered[low + 1] - ordered[low]) * (place - low)
