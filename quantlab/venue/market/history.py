"""Closed candles as `GET /api/v3/klines` gives them, in every interval that the base candles add up to."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from quantlab.model import TIMEFRAMES
from quantlab.model.timeframe import MINUTE_MS
from quantlab.venue.market.bars import Bars, bucket_start
from quantlab.venue.market.candles import CandleTable
from quantlab.venue.market.draws import Floats, Ints
from quantlab.venue.market.filters import Grid
from quantlab.venue.market.ticker import Span

_TRADES_PER_MINUTE = 12


def offered(base_ms: int) -> tuple[str, ...]:
    """Binance's intervals that candles of `base_ms` add up to."""
    return tuple(name for name, length in TIMEFRAMES.items() if length % base_ms == 0)


class KlineHistory:
    """Candles of one symbol by interval.

    A candle file has no quote volume, number of trades or taker volume. Those of the candles that were played are the
    sums of their trades (`played`); those before are estimated: mean price × volume, twelve trades a minute, half of
    the volume bought by takers.
    """

    def __init__(self, table: CandleTable) -> None:
        self.table = table
        mean = (table.open + table.high + table.low + table.close) / 4
        self.quote: Floats = mean * table.volume
        self.taker_volume: Floats = table.volume / 2
        self.taker_quote: Floats = self.quote / 2
        self.trades: Ints = np.where(table.volume > 0, _TRADES_PER_MINUTE * table.base_ms // MINUTE_MS, 0)
        self._played_from = len(table.open_ms)
        self._buckets = cache(self._find_buckets)

    def play_from(self, row: int) -> None:
        """Rows from `row` on are counted by their trades, not estimated."""
        self._played_from = row
        for column in (self.quote, self.taker_volume, self.taker_quote, self.trades):
            column[row:] = 0

    def played(self, rows: Ints, quote: Floats, taker_volume: Floats, taker_quote: Floats) -> None:
        """Add trades, one entry each, to the candles they belong to."""
        if not len(rows) or rows[-1] < self._played_from:
            return
        kept = rows >= self._played_from
        first = int(rows[kept][0])
        at = rows[kept] - first
        until = first + int(at[-1]) + 1
        self.quote[first:until] += np.bincount(at, quote[kept])
        self.taker_volume[first:until] += np.bincount(at, taker_volume[kept])
        self.taker_quote[first:until] += np.bincount(at, taker_quote[kept])
        self.trades[first:until] += np.bincount(at)

    def closed(
        self, interval: str, start_ms: int | None, end_ms: int | None, limit: int, now_ms: int
    ) -> list[list[Any]]:
        """Rows of candles closed by `now_ms` that open in [start_ms, end_ms]: the first `limit` when a start is
        given, else the last."""
        length = TIMEFRAMES[interval]
        opens, starts = self._buckets(interval)
        first = 0 if start_ms is None else int(np.searchsorted(opens, start_ms))
        last_open = now_ms - length if end_ms is None else min(end_ms, now_ms - length)
        last = int(np.searchsorted(opens, last_open, side="right"))
        if start_ms is None:
            first = max(first, last - limit)
        last = min(last, first + limit)
        if first >= last:
            return []
        table, begin = self.table, int(starts[first])
        end = int(starts[last]) if last < len(starts) else int(np.searchsorted(table.open_ms, opens[last - 1] + length))
        at, rows = starts[first:last] - begin, slice(begin, end)
        closes = np.append(starts[first + 1 : last], end) - 1
        columns = (
            opens[first:last].tolist(),
            _text(table.open[starts[first:last]]),
            _text(np.maximum.reduceat(table.high[rows], at)),
            _text(np.minimum.reduceat(table.low[rows], at)),
            _text(table.close[closes]),
            _text(np.add.reduceat(table.volume[rows], at)),
            (opens[first:last] + length - 1).tolist(),
            _text(np.add.reduceat(self.quote[rows], at)),
            np.add.reduceat(self.trades[rows], at).tolist(),
            _text(np.add.reduceat(self.taker_volume[rows], at)),
            _text(np.add.reduceat(self.taker_quote[rows], at)),
        )
        return [[*row, "0"] for row in zip(*columns, strict=True)]

    def span(self, from_ms: int, now_ms: int) -> tuple[Span | None, float]:
        """The base candles that open at or after `from_ms` and are closed by `now_ms`, as one; and the close before
        them (0 where there is none)."""
        table = self.table
        rows = table.rows(from_ms, now_ms - table.base_ms + 1)
        before = float(table.close[rows.start - 1]) if rows.start else 0.0
        if rows.start >= rows.stop:
            return None, before
        span = Span(
            open=float(table.open[rows.start]),
            high=float(table.high[rows].max()),
            low=float(table.low[rows].min()),
            close=float(table.close[rows.stop - 1]),
            volume=float(table.volume[rows].sum()),
            quote=float(self.quote[rows].sum()),
            trades=int(self.trades[rows].sum()),
        )
        return span, before

    def bar(self, from_ms: int, to_ms: int, grid: Grid) -> Bars | None:
        """The same span in ticks and lots, to be continued by trades."""
        span, _ = self.span(from_ms, to_ms)
        if span is None:
            return None
        rows, value = self.table.rows(from_ms, to_ms - self.table.base_ms + 1), grid.tick * grid.step

        def whole(amount: float, unit: float = 1.0) -> Ints:
            return np.array([round(amount / unit)])

        return Bars(
            open=whole(span.open, grid.tick),
            high=whole(span.high, grid.tick),
            low=whole(span.low, grid.tick),
            close=whole(span.close, grid.tick),
            lots=whole(span.volume, grid.step),
            taker_lots=whole(float(self.taker_volume[rows].sum()), grid.step),
            quote=np.array([span.quote / value]),
            taker_quote=self.taker_quote[rows].sum(keepdims=True) / value,
            trades=whole(span.trades),
            first=whole(-1),
            last=whole(-1),
        )

    def _find_buckets(self, interval: str) -> tuple[Ints, Ints]:
        """Open times of the interval's candles, and the row at which each starts."""
        length, opens = TIMEFRAMES[interval], self.table.open_ms
        if not len(opens):
            return opens, opens
        offset = bucket_start(0, length) % length
        buckets = (opens - offset) // length * length + offset
        starts = np.flatnonzero(np.diff(buckets, prepend=buckets[0] - 1))
        found = buckets[starts]
        # History that begins within a candle does not know that candle.
        skip = 1 if opens[0] != found[0] else 0
        return found[skip:], starts[skip:]


def _text(values: Floats) -> list[str]:
    return [f"{value:.8f}" for value in values.tolist()]
