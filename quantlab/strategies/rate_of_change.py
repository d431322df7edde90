"""Momentum by the rate of change."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from quantlab.strategies.base import Strategy, check_number, check_whole
from quantlab.strategies.indicators import above


@dataclass(frozen=True)
class RateOfChange(Strategy):
    """Long while the close is more than `threshold_pct` above the close of `period` candles ago, else flat.

    Idea: what went up goes on going up for a while; the threshold keeps out moves that fees would eat.
    Parameters: `period` in candles; `threshold_pct` in percent.
    Source: time series momentum, Moskowitz, Ooi and Pedersen, Journal of Financial Economics 104 (2012).
    """

    period: int = 24
    threshold_pct: float = 0.5

    def __post_init__(self) -> None:
        check_whole(self, "period", at_least=1)
        check_number(self, "threshold_pct", at_least=0, at_most=100)

    @property
    def lookback(self) -> int:
        return self.period + 1

    def exposure(self) -> pl.Expr:
        bar = pl.col("close").shift(self.period) * (1 + self.threshold_pct / 100)
        return above("close", bar).fill_null(value=False).cast(pl.Float64)
