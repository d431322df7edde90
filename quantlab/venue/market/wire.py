"""Binance's JSON, written from integers: ticks and lots in, frames with eight decimals out.

Payload forms: Binance spot WebSocket streams and REST docs, checked 2026-11-23, and recorded frames of 2024-08-08.
A frame is formatted from a template that is made once a symbol: about a microsecond each.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import numpy as np

from quantlab.venue.market.bars import Bars
from quantlab.venue.market.draws import Ints
from quantlab.venue.market.filters import UNITS, Grid
from quantlab.venue.market.ladder import Changes
from quantlab.venue.market.plan import Quotes, Trades
from quantlab.venue.market.ticker import Span

_FLAG = ("false", "true")
_PRICE = "%d.%08d"


def decimal(units: int) -> str:
    """`units` of 1e-8 with eight decimals."""
    whole, rest = divmod(units, UNITS)
    return f"{whole}.{rest:08d}"


class Wire:
    """Writes the frames of one symbol."""

    def __init__(self, grid: Grid) -> None:
        self.grid = grid
        name = grid.symbol
        p = f'"{_PRICE}"'
        self._quote = f'{{"u":%d,"s":"{name}","b":{p},"B":{p},"a":{p},"A":{p}}}'.encode()
        self._trade = f'{{"e":"trade","E":%d,"s":"{name}","t":%d,"p":{p},"q":{p},"T":%d,"m":%s,"M":true}}'
        self._agg_trade = (
            f'{{"e":"aggTrade","E":%d,"s":"{name}","a":%d,"p":{p},"q":{p},"f":%d,"l":%d,"T":%d,"m":%s,"M":true}}'
        )
        self._depth = f'{{"e":"depthUpdate","E":%d,"s":"{name}","U":%d,"u":%d,"b":[%s],"a":[%s]}}'
        self._level = f"[{p},{p}]"
        self._kline = (
            f'{{"e":"kline","E":%d,"s":"{name}","k":{{"t":%d,"T":%d,"s":"{name}","i":"%s","f":%d,"L":%d,'
            f'"o":{p},"c":{p},"h":{p},"l":{p},"v":{p},"n":%d,"x":%s,"q":"%.8f","V":{p},"Q":"%.8f","B":"0"}}}}'
        )

    def quotes(self, quotes: Quotes) -> list[bytes]:
        columns = zip(
            quotes.update_id.tolist(),
            *self._price(quotes.bid), *self._quantity(quotes.bid_lots),
            *self._price(quotes.ask), *self._quantity(quotes.ask_lots),
            strict=True,
        )  # fmt: skip
        template = self._quote
        return [template % row for row in columns]

    def trades(self, trades: Trades, first_id: int) -> list[bytes]:
        """A trade is told a millisecond after it happened."""
        times = trades.time_ms.tolist()
        ids = range(first_id, first_id + len(times))
        told = (trades.time_ms + 1).tolist()
        side = [_FLAG[sold] for sold in trades.buyer_is_maker.tolist()]
        template = self._trade
        columns = zip(told, ids, *self._price(trades.price), *self._quantity(trades.lots), times, side, strict=True)
        return [(template % row).encode() for row in columns]

    def agg_trades(self, trades: Trades, first_id: int) -> list[bytes]:
        """Every trade is an aggregate of its own: each has its own aggressor."""
        times = trades.time_ms.tolist()
        ids = range(first_id, first_id + len(times))
        told = (trades.time_ms + 1).tolist()
        side = [_FLAG[sold] for sold in trades.buyer_is_maker.tolist()]
        price, lots = self._price(trades.price), self._quantity(trades.lots)
        columns = zip(told, ids, *price, *lots, ids, ids, times, side, strict=True)
        return [(self._agg_trade % row).encode() for row in columns]

    def depth(self, times: Ints, ids: Ints, before: int, bids: Changes, asks: Changes) -> list[bytes]:
        """Book updates at `times` that end with `ids`; the first follows update id `before`."""
        ends = ids.tolist()
        starts = [before + 1, *(end + 1 for end in ends[:-1])]
        sides = (self._level_lists(side, len(ends)) for side in (bids, asks))
        template = self._depth
        return [(template % row).encode() for row in zip(times.tolist(), starts, ends, *sides, strict=True)]

    def klines(
        self, bars: Bars, told: Ints, opens: Ints, ends: Ints, interval: str, closed: Iterable[bool]
    ) -> list[bytes]:
        """One frame a bar; `told` is the event time, `opens` and `ends` the first and last ms of each candle."""
        value = self.grid.tick * self.grid.step
        columns = zip(
            told.tolist(), opens.tolist(), ends.tolist(), [interval] * len(told),
            bars.first.tolist(), bars.last.tolist(),
            *self._price(bars.open), *self._price(bars.close), *self._price(bars.high), *self._price(bars.low),
            *self._quantity(bars.lots), bars.trades.tolist(), [_FLAG[end] for end in closed],
            (bars.quote * value).tolist(), *self._quantity(bars.taker_lots), (bars.taker_quote * value).tolist(),
            strict=True,
        )  # fmt: skip
        template = self._kline
        return [(template % row).encode() for row in columns]

    def kline_row(self, bar: Bars, open_ms: int, end_ms: int) -> list[Any]:
        """A forming candle as a row of `GET /api/v3/klines`."""
        price, quantity, value = self.price, self.quantity, self.grid.tick * self.grid.step
        return [
            open_ms, price(bar.open[0]), price(bar.high[0]), price(bar.low[0]), price(bar.close[0]),
            quantity(bar.lots[0]), end_ms, f"{bar.quote[0] * value:.8f}", int(bar.trades[0]),
            quantity(bar.taker_lots[0]), f"{bar.taker_quote[0] * value:.8f}", "0",
        ]  # fmt: skip

    def span(self, bar: Bars) -> Span:
        """A single bar in the units of people."""
        tick, step = self.grid.tick, self.grid.step
        return Span(
            open=float(bar.open[0]) * tick,
            high=float(bar.high[0]) * tick,
            low=float(bar.low[0]) * tick,
            close=float(bar.close[0]) * tick,
            volume=float(bar.lots[0]) * step,
            quote=float(bar.quote[0]) * tick * step,
            trades=int(bar.trades[0]),
        )

    def price(self, ticks: int | np.integer[Any]) -> str:
        return decimal(int(ticks) * self.grid.tick_units)

    def quantity(self, lots: int | np.integer[Any]) -> str:
        return decimal(int(lots) * self.grid.step_units)

    def _price(self, ticks: Ints) -> tuple[list[int], list[int]]:
        whole, rest = np.divmod(ticks * self.grid.tick_units, UNITS)
        return whole.tolist(), rest.tolist()

    def _quantity(self, lots: Ints) -> tuple[list[int], list[int]]:
        whole, rest = np.divmod(lots * self.grid.step_units, UNITS)
        return whole.tolist(), rest.tolist()

    def _level_lists(self, side: Changes, count: int) -> list[str]:
        template = self._level
        rows = zip(*self._price(side.price), *self._quantity(side.lots), strict=True)
        levels = [template % row for row in rows]
        borders = np.searchsorted(side.step, np.arange(count + 1)).tolist()
        return [",".join(levels[a:b]) for a, b in pairwise(borders)]
