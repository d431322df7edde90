"""Mean reversion by the relative strength index."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from quantlab.strategies.base import Strategy, check_above, check_number, check_whole
from quantlab.strategies.indicators import hold, rsi, wilder_memory


@dataclass(frozen=True)
class RsiReversion(Strategy):
    """Buy when the RSI falls below `entry_level`, sell when it is above `exit_level` again.

    Idea: after a run of losses a pause is likelier than another loss. It stands against every crash: give it a stop.
    Parameters: `period` in candles; the two levels, 0 to 100; `max_candles`, how long a position is held at most
    after the last buy signal.
    Source: J. Welles Wilder, New Concepts in Technical Trading Systems (1978); 14 and 30 are his.
    """

    period: int = 14
    entry_level: float = 30.0
    exit_level: float = 55.0
    max_candles: int = 48

    def __post_init__(self) -> None:
        check_whole(self, "period", at_least=2)
        check_number(self, "entry_level", at_least=0, at_most=100)
        check_number(self, "exit_level", at_least=0, at_most=100)
        check_above(self, "exit_level", "entry_level")
        check_whole(self, "max_candles", at_least=1)

    @property
    def lookback(self) -> int:
        # One more: the first change lacks the close before it.
        return wilder_memory(self.period) + 1 + self.max_candles

    def exposure(self) -> pl.Expr:
        index = rsi("close", self.period)
        return hold(index < self.entry_level, index > self.exit_level, self.max_candles)
