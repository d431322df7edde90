"""The bots on one symbol and timeframe."""

from __future__ import annotations

from typing import Any

import polars as pl

from quantlab.fleet.bot import Bot
from quantlab.market import CandleSeries
from quantlab.model import Candle, timeframe_ms


class Group:
    """The bots on one symbol and timeframe: one `select` answers for all of them."""

    def __init__(self, series: CandleSeries) -> None:
        self.series = series
        self.bots: list[Bot] = []
        #: What differs among the bots' strategies, and which of it each bot asks for.
        self.expressions: list[pl.Expr] = []
        self._asked: list[int] = []
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
        self._ask(bot)

    def _ask(self, bot: Bot) -> None:
        """Bots that follow the same strategy with the same parameters share its answer."""
        wanted = bot.strategy.exposure()
        same = (n for n, known in enumerate(self.expressions) if known.meta.eq(wanted))
        number = next(same, len(self.expressions))
        if number == len(self.expressions):
            self.expressions.append(wanted)
        self._asked.append(number)

    def __getstate__(self) -> dict[str, Any]:
        """Without the expressions: the strategies know them, and a user's own may hold code that is in no module."""
        return {name: value for name, value in self.__dict__.items() if name not in ("expressions", "_asked")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.expressions, self._asked = [], []
        for bot in self.bots:
            self._ask(bot)

    def evaluate(self) -> list[tuple[Bot, float | None]]:
        """The exposure each bot wants at the newest close; None where its lookback is not filled yet."""
        held = len(self.series)
        if held == 0:
            return [(bot, None) for bot in self.bots]
        row = self.series.frame().select(_last(each, n) for n, each in enumerate(self.expressions)).row(0)
        answers = ((bot, row[number]) for bot, number in zip(self.bots, self._asked, strict=True))
        return [
            (bot, value if held >= bot.strategy.lookback and value is not None and value == value else None)
            for bot, value in answers
        ]


def _last(exposure: pl.Expr, number: int) -> pl.Expr:
    return exposure.last().cast(pl.Float64).alias(str(number))
