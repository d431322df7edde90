"""Trend following by breakouts from a volatility channel."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from quantlab.strategies.base import Strategy, check_number, check_whole
from quantlab.strategies.indicators import above, ema_memory, hold, keltner, wilder_memory


@dataclass(frozen=True)
class KeltnerBreakout(Strategy):
    """Buy a close above the Keltner channel, sell when the close is back below its middle.

    Idea: a move of several average ranges away from the average price is more than noise.
    Parameters: `period`, span of the middle EMA; `atr_period` and `multiple`, how wide the channel is in average true
    ranges; `max_candles`, how long a position is held at most after the last breakout.
    Source: Chester Keltner, How to Make Money in Commodities (1960), in Linda Raschke's form with EMA and ATR.
    """

    period: int = 20
    atr_period: int = 10
    multiple: float = 2.0
    max_candles: int = 96

    def __post_init__(self) -> None:
        check_whole(self, "period", at_least=2)
        check_whole(self, "atr_period", at_least=1)
        check_number(self, "multiple", at_least=0.1, at_most=20)
        check_whole(self, "max_candles", at_least=1)

    @property
    def lookback(self) -> int:
        # One more: the first true range lacks the close before it.
        return max(ema_memory(self.period), wilder_memory(self.atr_period) + 1) + self.max_candles

    def exposure(self) -> pl.Expr:
        _, middle, upper = keltner(self.period, self.atr_period, self.multiple)
        return hold(above("close", upper), above(middle, "close"), self.max_candles)
