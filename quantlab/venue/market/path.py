"""A price path that opens, reaches its extremes and closes exactly where a candle says, and its volume dealt out.

Everything is flat: `counts[i]` points belong to candle i, one candle after the other.
"""

from __future__ import annotations

import numpy as np

from quantlab.venue.market.draws import Floats, Hashes, Ints, normal, uniform

_WOBBLE = 0.12  # of the candle's range: standard deviation of a point around the straight way


def offsets(counts: Ints) -> tuple[Ints, Ints]:
    """For points dealt out as `counts`: the candle of each point, and its index within the candle."""
    owner = np.repeat(np.arange(len(counts)), counts)
    return owner, np.arange(len(owner)) - (np.cumsum(counts) - counts)[owner]


def walk(counts: Ints, open_: Ints, high: Ints, low: Ints, close: Ints, candle: Hashes, point: Hashes) -> Ints:
    """Prices in ticks, `counts.sum()` of them, within [low, high].

    The first point of a candle is its open, the last its close (a single point is the close); with four points or
    more both extremes are reached, with three the one that open and close leave out. The extreme on the way comes
    first in four candles of five. `candle` holds one hash a candle, `point` one a point.
    """
    rising = close >= open_
    straight = (np.where(rising, low, high) == open_) & (np.where(rising, high, low) == close)
    low_first = rising ^ ((uniform(candle) < 0.2) & ~straight)

    inner = np.maximum(counts - 2, 0)
    one = 1 + (uniform(candle * np.uint64(3)) * inner).astype(np.int64)
    two = 1 + (uniform(candle * np.uint64(7)) * np.maximum(inner - 1, 0)).astype(np.int64)
    two += two >= one
    early, late = np.minimum(one, two), np.maximum(one, two)
    first, second = np.where(low_first, low, high), np.where(low_first, high, low)

    few = counts < 4
    missing = np.where((high != open_) & (high != close), high, low)
    last = np.maximum(counts - 1, 0)
    early = np.where(few, np.minimum(1, last), early)
    late = np.where(few, np.minimum(1, last), late)
    first = np.where(few, np.where(counts == 3, missing, close), first)
    second = np.where(few, first, second)

    owner, index = offsets(counts)
    e, t, n = early[owner], late[owner], last[owner]
    p0, p1, p2, p3 = open_[owner], first[owner], second[owner], close[owner]
    leg1, leg2 = index < e, index < t
    start = np.where(leg1, 0, np.where(leg2, e, t))
    length = np.maximum(np.where(leg1, e, np.where(leg2, t, n)) - start, 1)
    begin = np.where(leg1, p0, np.where(leg2, p1, p2))
    end = np.where(leg1, p1, np.where(leg2, p2, p3))
    share = (index - start) / length
    span = (high - low)[owner]
    free = share > 0
    price = begin + (end - begin) * share + np.where(free, normal(point) * _WOBBLE * span, 0.0)
    price = np.clip(np.rint(price).astype(np.int64), low[owner], high[owner])
    price = np.where(index == e, p1, np.where(index == t, p2, price))
    price = np.where(index == 0, p0, price)
    return np.where(index == n, p3, price)


def deal(total: Ints, counts: Ints, weights: Floats, least: int = 1) -> Ints:
    """Whole lots for `counts.sum()` points: each at least `least`, each candle's sum exactly its `total`, the rest in
    proportion to `weights`. `total` must be at least `least × counts`."""
    owner, index = offsets(counts)
    if not len(owner):
        return np.zeros(0, np.int64)
    rest = total - least * counts
    running = np.cumsum(weights)
    starts = np.cumsum(counts) - counts
    before = np.concatenate([[0.0], running])[starts[counts > 0]]
    position = np.cumsum(counts > 0) - 1
    sums = np.add.reduceat(weights, starts[counts > 0])
    share = (running - before[position[owner]]) / sums[position[owner]]
    upto = np.minimum(np.floor(rest[owner] * np.minimum(share, 1.0)).astype(np.int64), rest[owner])
    is_last = index == counts[owner] - 1
    upto = np.where(is_last, rest[owner], upto)
    lots = np.diff(upto, prepend=0)
    lots = np.where(index == 0, upto, lots)
    return lots + least
