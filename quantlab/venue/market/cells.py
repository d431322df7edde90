"""Minute cells: every candle, of whatever timeframe, as one-minute candles that add up to it exactly.

One-minute candles are their own cells. Coarser ones are split by the same path that trades take inside a minute, so
that the density of events and the code that makes them do not depend on the timeframe of the folder.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from quantlab.model.timeframe import HOUR_MS, MINUTE_MS
from quantlab.venue.market.candles import CandleTable
from quantlab.venue.market.draws import Ints, draw, key_of, lognormal, normal
from quantlab.venue.market.filters import Grid, on_grid
from quantlab.venue.market.path import deal, offsets, walk

#: Lots that a cell needs to reach open, high, low and close by trades of their own.
_FULL_CELL_LOTS = 4


@dataclass(frozen=True)
class Cells:
    """One-minute candles in whole ticks and lots; `row` is the row of the table that each belongs to."""

    open_ms: Ints
    open: Ints
    high: Ints
    low: Ints
    close: Ints
    volume: Ints
    row: Ints

    def __len__(self) -> int:
        return len(self.open_ms)

    def between(self, from_ms: int, to_ms: int) -> Cells:
        first, last = np.searchsorted(self.open_ms, (from_ms, to_ms))
        return Cells(*(column[first:last] for column in self.columns()))

    def columns(self) -> tuple[Ints, ...]:
        return self.open_ms, self.open, self.high, self.low, self.close, self.volume, self.row


class CellSource:
    """The cells of one symbol's candles that open in [from_ms, to_ms).

    Raises ConfigurationError when a candle from `checked_ms` on lies off the grid; those before are rounded to it.
    """

    def __init__(self, table: CandleTable, grid: Grid, seed: int, *, from_ms: int, checked_ms: int, to_ms: int) -> None:
        rows = table.rows(from_ms - from_ms % table.base_ms, to_ms)
        checked = table.rows(checked_ms, to_ms)
        times = table.open_ms
        for name in ("open", "high", "low", "close"):
            on_grid(getattr(table, name)[checked], grid.tick, table, times[checked], f"the {name} price", "tick size")
        on_grid(table.volume[checked], grid.step, table, times[checked], "the volume", "step size")
        prices = (np.rint(getattr(table, n)[rows] / grid.tick) for n in ("open", "high", "low", "close"))
        o, h, l, c = (np.maximum(price.astype(np.int64), 1) for price in prices)  # noqa: E741
        volume = np.rint(table.volume[rows] / grid.step).astype(np.int64)
        numbers = np.arange(rows.start, rows.stop)
        self._rows = Cells(times[rows], o, h, l, c, volume, numbers)
        self._base_ms = table.base_ms
        self._keys = [key_of(seed, table.symbol, "cells", part) for part in ("candle", "point", "wick", "weight")]
        self._split: tuple[int, int, Cells] | None = None

    def hour(self, hour_ms: int) -> Cells:
        """The cells that open in [hour_ms, hour_ms + 1 h)."""
        if self._base_ms == MINUTE_MS:
            return self._rows.between(hour_ms, hour_ms + HOUR_MS)
        first_ms = hour_ms - hour_ms % self._base_ms if self._base_ms > HOUR_MS else hour_ms
        last_ms = first_ms + max(self._base_ms, HOUR_MS)
        if self._split is None or self._split[:2] != (first_ms, last_ms):
            self._split = first_ms, last_ms, self._split_rows(self._rows.between(first_ms, last_ms))
        return self._split[2].between(hour_ms, hour_ms + HOUR_MS)

    def _split_rows(self, rows: Cells) -> Cells:
        each = self._base_ms // MINUTE_MS
        full = rows.volume >= each * _FULL_CELL_LOTS
        parts = [self._split_full(_take(rows, full), each), self._split_thin(_take(rows, ~full), each)]
        columns = [np.concatenate(pair) for pair in zip(*(part.columns() for part in parts), strict=True)]
        order = np.argsort(columns[0], kind="stable")
        return Cells(*(column[order] for column in columns))

    def _split_full(self, rows: Cells, each: int) -> Cells:
        """Enough volume for every cell: a path through the cells' borders, a wick to each side of every cell."""
        candle, point, wick, weight = self._keys
        minute = rows.open_ms // MINUTE_MS
        counts = np.full(len(rows), each + 1)
        owner, index = offsets(counts)
        at = draw(point, minute[owner] + index)
        prices = walk(counts, rows.open, rows.high, rows.low, rows.close, draw(candle, minute), at)
        prices = prices.reshape(-1, each + 1)
        o, c = prices[:, :-1].ravel(), prices[:, 1:].ravel()
        row, place = offsets(np.full(len(rows), each))
        cell = minute[row] + place
        span = (rows.high - rows.low)[row]
        up = np.abs(normal(draw(wick, cell * 2))) * span * 0.1
        down = np.abs(normal(draw(wick, cell * 2 + 1))) * span * 0.1
        return Cells(
            open_ms=cell * MINUTE_MS,
            open=o,
            high=np.minimum(np.maximum(o, c) + up.astype(np.int64), rows.high[row]),
            low=np.maximum(np.minimum(o, c) - down.astype(np.int64), rows.low[row]),
            close=c,
            volume=deal(
                rows.volume, np.full(len(rows), each), lognormal(draw(weight, cell), 0.8), least=_FULL_CELL_LOTS
            ),
            row=rows.row[row],
        )

    def _split_thin(self, rows: Cells, each: int) -> Cells:
        """Hardly any volume: as many single-price cells as there are lots; the others repeat the price before."""
        candle, point, _, weight = self._keys
        minute = rows.open_ms // MINUTE_MS
        row, place = offsets(np.full(len(rows), each))
        active = np.minimum(rows.volume, each)
        if each < _FULL_CELL_LOTS:  # three cells cannot hold four prices: the first takes the candle, the others rest
            first = place == 0
            o, h, l = (np.where(first, x[row], rows.close[row]) for x in (rows.open, rows.high, rows.low))  # noqa: E741
            volume = np.where(first, rows.volume[row], 0)
            return Cells((minute[row] + place) * MINUTE_MS, o, h, l, rows.close[row], volume, rows.row[row])
        owner, index = offsets(active)
        at = minute[owner] + index
        prices = walk(active, rows.open, rows.high, rows.low, rows.close, draw(candle, minute), draw(point, at))
        lots = deal(rows.volume, active, lognormal(draw(weight, at), 0.8))
        price = rows.close[row].copy()
        volume = np.zeros(len(row), np.int64)
        slot = owner * each + index * each // np.maximum(active[owner], 1)
        volume[slot] = lots
        price[slot] = prices
        last = np.maximum.accumulate(np.where((volume > 0) | (place == 0), np.arange(len(row)), 0))
        price = price[last]
        return Cells((minute[row] + place) * MINUTE_MS, price, price, price, price, volume, rows.row[row])


def _take(rows: Cells, mask: np.ndarray) -> Cells:
    return Cells(*(column[mask] for column in rows.columns()))
