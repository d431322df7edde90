"""Mean reversion by Bollinger bands."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from quantlab.strategies.base import Strategy, check_number, check_whole
from quantlab.strategies.indicators import above, bollinger, hold


@dataclass(frozen=True)
class BollingerReversion(Strategy):
    """Buy a close below the lower band, sell when the close is above the middle again.

    Idea: far from its average, measured in its own deviations, a price tends back. In a trend it does not.
    Parameters: `period` in candles; `deviations`, how far the band is from the middle; `max_candles`, how long a
    position is held at most after the last close below the band.
    Source: John Bollinger, Bollinger on Bollinger Bands (2001); 20 and 2 are his.
    """

    period: int = 20
    deviations: float = 2.0
    max_candles: int = 48

    def __post_init__(self) -> None:
        check_whole(self, "period", at_least=2)
        check_number(self, "deviations", at_least=0.1, at_most=10)
        check_whole(self, "max_candles", at_least=1)

    @property
    def lookback(self) -> int:
        return self.period + self.max_candles

    def exposure(self) -> pl.Expr:
        lower, middle, _ = bollinger(self.period, self.deviations)
        return hold(above(lower, "close"), above("close", middle), self.max_candles)
