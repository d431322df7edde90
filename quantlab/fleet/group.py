"""The bots on one symbol and timeframe."""

from __future__ import annotations

import polars as pl

from quantlab.fleet.bot import Bot
from quantlab.market import CandleSeries
from quantlab.model import Candle, timeframe_ms


class Group:
    """The bots on one symbol and timeframe: one `select` answers for all of them."""

    def __init__(self, series: CandleSeries) -> None:
        self.series = series
        self.bots: list[Bot] = []
        self.expressions: list[pl.Expr] = []
        #: The last row of the newest REST answer: closed only if the stream shows a later candle or closes it itself.
        self.tentative: Candle | None = None
        #: True while candles before the stream's are missing: nothing is appended then, or the hole would stay.
        self.owed = True
        #: Candles that the stream closed while others before them are owed.
        self.waiting: list[Candle] = []

    def misses_before(self, candle: Candle) -> bool:
        """Whether candles between the newest one held and `candle` never came."""
        last_ms = self.series.last_open_time_ms if self.tentative is None else self.tentative.open_time_ms
        return last_ms is not None and candle.open_time_ms > last_ms + timeframe_ms(candle.timeframe)

    def add(self, bot: Bot) -> None:
        self.bots.append(bot)
        expression = bot.strategy.exposure().last().cast(pl.Float64)
        self.expressions.append(expression.alias(str(bot.index)))

    def evaluate(self) -> list[tuple[Bot, float | None]]:
        """The exposure each bot wants at the newest close; None where its lookback is not filled yet."""
        held = len(self.series)
        if held == 0:
            return [(bot, None) for bot in self.bots]
        row = self.series.frame().select(self.expressions).row(0)
        return [
            (bot, value if held >= bot.strategy.lookback and value is not None and value == value else None)
            for bot, value in zip(self.bots, row, strict=True)
        ]
