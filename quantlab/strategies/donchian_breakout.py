"""Trend following by channel breakouts."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from quantlab.strategies.base import Strategy, check_whole
from quantlab.strategies.indicators import above, donchian, hold


@dataclass(frozen=True)
class DonchianBreakout(Strategy):
    """Buy a close above the highest high of the last `entry` candles, sell one below the lowest low of `exit`.

    Idea: a new extreme is where a trend shows itself; the shorter exit channel gives back part of the move.
    Parameters: `entry` and `exit`, lengths of the two channels in candles (this one not counted); `max_candles`, how
    long a position is held at most after the last breakout.
    Source: Richard Donchian's channels, with the two lengths of the Turtle rules (Curtis Faith, Way of the Turtle,
    2007).
    """

    entry: int = 20
    exit: int = 10
    max_candles: int = 96

    def __post_init__(self) -> None:
        check_whole(self, "entry", at_least=1)
        check_whole(self, "exit", at_least=1)
        check_whole(self, "max_candles", at_least=1)

    @property
    def lookback(self) -> int:
        return max(self.entry, self.exit) + self.max_candles

    def exposure(self) -> pl.Expr:
        highest, _ = donchian(self.entry)
        _, lowest = donchian(self.exit)
        return hold(above("close", highest), above(lowest, "close"), self.max_candles)
