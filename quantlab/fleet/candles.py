"""Takes candles in, from the stream and from answers, and asks the bots of a series at each of its closes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

from quantlab.fleet.bot import Bot
from quantlab.fleet.group import Group
from quantlab.market import CandleSeries
from quantlab.model import Candle, Instrument
from quantlab.model.timeframe import timeframe_ms


class Candles:
    """The series of a fleet.

    `closed_at(ms)` is called before a close is taken in, so that engine time has come to it; `wants(bot, exposure)` at
    a close, of each bot of the series; `missing(candle)` when the stream left candles out before one.
    """

    def __init__(
        self,
        bots: Sequence[Bot],
        instruments: Mapping[str, Instrument],
        *,
        closed_at: Callable[[int], None],
        wants: Callable[[Bot, float | None], None],
        missing: Callable[[Candle], None],
    ) -> None:
        self.groups: dict[tuple[str, str], Group] = {}
        self._closed_at = closed_at
        self._wants = wants
        self._missing = missing
        members: dict[tuple[str, str], list[Bot]] = defaultdict(list)
        for bot in bots:
            if not bot.strategy.uses_book:
                members[bot.spec.symbol, bot.spec.timeframe].append(bot)
        for (symbol, timeframe), of_series in members.items():
            keep = max(bot.strategy.lookback for bot in of_series) + 1
            group = Group(CandleSeries(symbol, timeframe, instruments[symbol].tick_size, keep))
            self.groups[symbol, timeframe] = group
            for bot in of_series:
                group.add(bot)

    def owe_all(self) -> None:
        """A connection stands: what closed before it is not known."""
        for group in self.groups.values():
            group.owed = True

    def take(self, candle: Candle) -> None:
        """A candle of the stream, closed or still forming."""
        group = self.groups.get((candle.symbol, candle.timeframe))
        if group is None:
            return
        if group.owed:
            if candle.closed:
                group.waiting.append(candle)
            return
        if group.waiting:
            self._take_waiting(group)
        if candle.closed and group.misses_before(candle):
            group.owed = True
            group.waiting.append(candle)
            self._missing(candle)
        elif self._append(group, candle):
            self._evaluate(group)

    def take_page(self, symbol: str, timeframe: str, candles: Sequence[Candle]) -> None:
        """A page of history. Its last row may still be forming: it waits for the stream to tell."""
        group = self.groups[symbol, timeframe]
        group.owed = False
        if not candles:
            return
        if group.tentative is not None and group.tentative.open_time_ms < candles[0].open_time_ms:
            group.series.append(group.tentative)
        for candle in candles[:-1]:
            group.series.append(candle)
        group.tentative = candles[-1]

    def history_whole(self, symbol: str, timeframe: str) -> None:
        """The last page of a history was taken."""
        self._take_waiting(self.groups[symbol, timeframe])

    def _append(self, group: Group, candle: Candle) -> bool:
        """True when `candle` is closed and new. One that was only told by an answer is closed by its successor."""
        if (held := group.tentative) is not None:
            if held.open_time_ms < candle.open_time_ms:
                group.series.append(held)
            group.tentative = None
        if not candle.closed:
            return False
        self._closed_at(candle.open_time_ms + timeframe_ms(candle.timeframe))
        return group.series.append(candle)

    def _take_waiting(self, group: Group) -> None:
        """Take what the stream closed while a history was on its way. Bots act on the newest close only."""
        waiting, group.waiting = group.waiting, []
        for candle in waiting:
            self._append(group, candle)
        if waiting and group.series.last_open_time_ms == waiting[-1].open_time_ms:
            self._evaluate(group)

    def _evaluate(self, group: Group) -> None:
        for bot, exposure in group.evaluate():
            self._wants(bot, exposure)
