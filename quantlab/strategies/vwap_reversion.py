"""Mean reversion to the volume-weighted average price."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from quantlab.strategies.base import Strategy, check_number, check_whole
from quantlab.strategies.indicators import above, hold, vwap


@dataclass(frozen=True)
class VwapReversion(Strategy):
    """Buy a close `discount_pct` below the rolling VWAP, sell when the close is above the VWAP again.

    Idea: the VWAP is what the market paid on average; a price well below it is cheap for those who must still buy.
    Parameters: `period` in candles; `discount_pct` in percent, more than the two fees; `max_candles`, how long a
    position is held at most after the last buy signal.
    Source: Berkowitz, Logue and Noser, The Total Cost of Transactions on the NYSE, Journal of Finance 43 (1988),
    for VWAP as the measure of a fair price.
    """

    period: int = 48
    discount_pct: float = 0.6
    max_candles: int = 48

    def __post_init__(self) -> None:
        check_whole(self, "period", at_least=2)
        check_number(self, "discount_pct", at_least=0, at_most=50)
        check_whole(self, "max_candles", at_least=1)

    @property
    def lookback(self) -> int:
        return self.period + self.max_candles

    def exposure(self) -> pl.Expr:
        fair = vwap(self.period)
        return hold(above(fair * (1 - self.discount_pct / 100), "close"), above("close", fair), self.max_candles)
