"""Momentum by MACD and its signal line."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from quantlab.strategies.base import Strategy, check_above, check_whole
from quantlab.strategies.indicators import above, ema_memory, macd


@dataclass(frozen=True)
class MacdMomentum(Strategy):
    """Long while the MACD line is above its signal line, else flat.

    Idea: the difference of two averages is the trend, its own average tells whether the trend still gains. Faster in
    and out than a crossing of the averages, so it trades more and pays more.
    Parameters: `fast` and `slow`, spans of the two EMAs; `signal`, span of the signal line; all in candles.
    Source: Gerald Appel, Technical Analysis: Power Tools for Active Investors (2005); 12, 26, 9 are his.
    """

    fast: int = 12
    slow: int = 26
    signal: int = 9

    def __post_init__(self) -> None:
        check_whole(self, "fast", at_least=1)
        check_whole(self, "slow", at_least=2)
        check_whole(self, "signal", at_least=1)
        check_above(self, "slow", "fast")

    @property
    def lookback(self) -> int:
        return ema_memory(self.slow) + ema_memory(self.signal)

    def exposure(self) -> pl.Expr:
        line, signal = macd("close", self.fast, self.slow, self.signal)
        return above(line, signal).cast(pl.Float64)
