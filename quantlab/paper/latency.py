"""How long an order takes to the book, and its answer back. Models map a uniform draw to whole ms; they hold no state.

The defaults (median 40 ms out, 20 ms back) are a proxy, not a measurement: order latency cannot be measured
without sending orders, and the way from a home line to the exchange differs from one machine to the next.
"""

from __future__ import annotations

import math
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
