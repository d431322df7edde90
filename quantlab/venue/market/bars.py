"""Klines while they form: what each interval's candle is at every ten seconds of an hour.

Inside a minute cell a bar grows with the trades; at the cell's end it is the cell, so that a closed candle equals the
candle of the source to the last lot. Times are slots of ten seconds; prices ticks, quantities lots.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from quantlab.model import TIMEFRAMES
from quantlab.model.timeframe import DAY_MS, HOUR_MS, MINUTE_MS
from quantlab.venue.market.draws import Floats, Ints
from quantlab.venue.market.plan import SLOT_MS, HourPlan

_CELLS = HOUR_MS // MINUTE_MS
_SLOTS = MINUTE_MS // SLOT_MS
_NEVER = 1 << 62
#: Weeks start on Monday, and 1970 began on a Thursday.
_WEEK_OFFSET_MS = 4 * DAY_MS


def bucket_start(time_ms: int, interval_ms: int) -> int:
    """Open time of the candle of `interval_ms` that holds `time_ms`."""
    offset = _WEEK_OFFSET_MS if interval_ms == TIMEFRAMES["1w"] else 0
    return (time_ms - offset) // interval_ms * interval_ms + offset


@dataclass(frozen=True)
class Bars:
    """Candles as columns of equal shape. `first`/`last` are trade ids, -1 where nothing traded; `open` is -1 where
    there is no candle at all. `quote` and `taker_quote` are sums of ticks × lots."""

    open: Ints
    high: Ints
    low: Ints
    close: Ints
    lots: Ints
    taker_lots: Ints
    quote: Floats
    taker_quote: Floats
    trades: Ints
    first: Ints
    last: Ints

    def at(self, index: object) -> Bars:
        return Bars(*(getattr(self, field.name)[index] for field in fields(self)))


@dataclass(frozen=True)
class Carry:
    """The bar of a candle longer than an hour, at the end of the hours played so far."""

    bucket_ms: int
    bar: Bars


def empty_bars(shape: tuple[int, ...]) -> Bars:
    def whole(value: int) -> Ints:
        return np.full(shape, value, np.int64)

    return Bars(
        open=whole(-1), high=whole(-1), low=whole(_NEVER), close=whole(-1), lots=whole(0), taker_lots=whole(0),
        quote=np.zeros(shape), taker_quote=np.zeros(shape), trades=whole(0), first=whole(-1), last=whole(-1),
    )  # fmt: skip


def join(a: Bars, b: Bars) -> Bars:
    """Bar `a` followed by bar `b`; either may be empty."""
    return Bars(
        open=np.where(a.open < 0, b.open, a.open),
        high=np.maximum(a.high, b.high),
        low=np.minimum(a.low, b.low),
        close=np.where(b.close < 0, a.close, b.close),
        lots=a.lots + b.lots,
        taker_lots=a.taker_lots + b.taker_lots,
        quote=a.quote + b.quote,
        taker_quote=a.taker_quote + b.taker_quote,
        trades=a.trades + b.trades,
        first=np.where(a.first < 0, b.first, a.first),
        last=np.where(b.last < 0, a.last, b.last),
    )


def slot_bars(plan: HourPlan, hour_ms: int, first_id: int) -> Bars:
    """Bars inside each minute cell, shape (60, 6): the cell's trades up to each slot's end, at its end the cell."""
    trades, cells = plan.trades, plan.cells
    slot = (trades.time_ms - hour_ms) // SLOT_MS
    flat = empty_bars((_CELLS * _SLOTS,))
    if len(slot):
        starts = np.flatnonzero(np.diff(slot, prepend=-1))
        at, ends = slot[starts], np.append(starts[1:], len(slot)) - 1
        worth = trades.price.astype(np.float64) * trades.lots
        bought = ~trades.buyer_is_maker
        flat.open[at], flat.close[at] = trades.price[starts], trades.price[ends]
        flat.high[at] = np.maximum.reduceat(trades.price, starts)
        flat.low[at] = np.minimum.reduceat(trades.price, starts)
        flat.lots[at] = np.add.reduceat(trades.lots, starts)
        flat.taker_lots[at] = np.add.reduceat(np.where(bought, trades.lots, 0), starts)
        flat.quote[at] = np.add.reduceat(worth, starts)
        flat.taker_quote[at] = np.add.reduceat(np.where(bought, worth, 0.0), starts)
        flat.trades[at] = ends - starts + 1
        flat.first[at], flat.last[at] = first_id + starts, first_id + ends
    grown = _accumulate(flat.at(np.arange(_CELLS * _SLOTS).reshape(_CELLS, _SLOTS)))
    row = (cells.open_ms - hour_ms) // MINUTE_MS
    for name in ("open", "high", "low", "close"):
        getattr(grown, name)[row, -1] = getattr(cells, name)
    grown.lots[row, -1] = cells.volume
    return grown


def interval_bars(slots: Bars, interval_ms: int, hour_ms: int, carry: Carry | None) -> tuple[Bars, Carry | None]:
    """The candle of `interval_ms` as it stands at the end of every slot, shape (360,); and what the next hour needs.

    `slots` is `slot_bars` of the hour that starts at `hour_ms`.
    """
    groups = max(1, HOUR_MS // interval_ms)
    each = _CELLS // groups
    grown = _accumulate(slots.at((slice(None), -1)).at(np.arange(_CELLS).reshape(groups, each)))
    before = empty_bars((groups, each, 1))  # a cell's candle so far: the cells up to the one before
    for field in fields(Bars):
        getattr(before, field.name)[:, 1:, 0] = getattr(grown, field.name)[:, :-1]
    inside = slots.at(np.arange(_CELLS).reshape(groups, each))
    joined = join(before, inside)
    bars = Bars(*(getattr(joined, field.name).ravel() for field in fields(Bars)))
    if interval_ms <= HOUR_MS:
        return bars, None
    bucket = bucket_start(hour_ms, interval_ms)
    if carry is not None and carry.bucket_ms == bucket:
        bars = join(carry.bar, bars)
    ends = bucket_start(hour_ms + HOUR_MS, interval_ms) != bucket
    return bars, None if ends else Carry(bucket, bars.at(slice(-1, None)))


def trades_bar(plan: HourPlan, first: int, last: int, first_id: int) -> Bars:
    """One bar of the hour's trades number `first` up to `last` (exclusive); at least one."""
    trades = plan.trades
    price, lots = trades.price[first:last], trades.lots[first:last]
    bought = ~trades.buyer_is_maker[first:last]
    worth = price.astype(np.float64) * lots

    def whole(value: object) -> Ints:
        return np.array([value], np.int64)

    return Bars(
        open=whole(price[0]), high=whole(price.max()), low=whole(price.min()), close=whole(price[-1]),
        lots=whole(lots.sum()), taker_lots=whole(lots[bought].sum()),
        quote=np.array([worth.sum()]), taker_quote=np.array([worth[bought].sum()]),
        trades=whole(last - first), first=whole(first_id + first), last=whole(first_id + last - 1),
    )  # fmt: skip


def _accumulate(bars: Bars) -> Bars:
    """Each bar joined with those before it along the last axis."""
    places = np.arange(bars.open.shape[-1])

    def latest(valid: np.ndarray, values: Ints) -> Ints:
        at = np.maximum.accumulate(np.where(valid, places, -1), axis=-1)
        return np.where(at < 0, -1, np.take_along_axis(values, np.maximum(at, 0), axis=-1))

    def earliest(valid: np.ndarray, values: Ints) -> Ints:
        first = np.take_along_axis(values, np.argmax(valid, axis=-1)[..., None], axis=-1)
        return np.where(np.logical_or.accumulate(valid, axis=-1), first, -1)

    valid, traded = bars.open >= 0, bars.first >= 0
    return Bars(
        open=earliest(valid, bars.open),
        high=np.maximum.accumulate(bars.high, axis=-1),
        low=np.minimum.accumulate(bars.low, axis=-1),
        close=latest(valid, bars.close),
        lots=np.cumsum(bars.lots, axis=-1),
        taker_lots=np.cumsum(bars.taker_lots, axis=-1),
        quote=np.cumsum(bars.quote, axis=-1),
        taker_quote=np.cumsum(bars.taker_quote, axis=-1),
        trades=np.cumsum(bars.trades, axis=-1),
        first=earliest(traded, bars.first),
        last=np.maximum.accumulate(bars.last, axis=-1),
    )
