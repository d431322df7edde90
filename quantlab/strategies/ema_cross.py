"""Trend following by two exponential moving averages."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from quantlab.strategies.base import Strategy, check_above, check_whole
from quantlab.strategies.indicators import above, ema, ema_memory


@dataclass(frozen=True)
class EmaCross(Strategy):
    """Long while the fast EMA of the close is above the slow one, else flat.

    Idea: among the oldest of trend rules; late at every turn, in for every long move. It loses in a market that goes
    sideways, where each crossing costs two fees.
    Parameters: `fast` and `slow`, spans in candles.
    Source: moving average rules as tested by Brock, Lakonishok and LeBaron, Journal of Finance 47 (1992).
    """

    fast: int = 12
    slow: int = 26

    def __post_init__(self) -> None:
        check_whole(self, "fast", at_least=1)
        check_whole(self, "slow", at_least=2)
        check_above(self, "slow", "fast")

    @property
    def lookback(self) -> int:
        return ema_memory(self.slow)

    def exposure(self) -> pl.Expr:
        return above(ema("close", self.fast), ema("close", self.slow)).cast(pl.Float64)
