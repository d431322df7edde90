"""The book behind the touch, as a pure function of the touch and the time, and the changes between two moments.

A side is the touch and 24 levels behind it, on a lattice of prices that is fixed for a day. The size at a lattice price
is drawn anew every five minutes, each price at its own moment. So a book of any moment is known without having played
what came before, and a change of the touch by a few ticks changes a few levels only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from quantlab.model.timeframe import HOUR_MS
from quantlab.venue.market.draws import Ints, draw, key_of, lognormal
from quantlab.venue.market.liquidity import LiquidityTable

LEVELS = 24
_EPOCH_MS = 300_000
_SIGMA = 0.8
#: A lattice level gathers the orders of a few ticks around it.
_OF_TOUCH = 1.2


@dataclass(frozen=True)
class Touches:
    """Top of book at each of several moments. Zero lots on both sides: an empty book."""

    time_ms: Ints
    bid: Ints
    bid_lots: Ints
    ask: Ints
    ask_lots: Ints

    def __getitem__(self, key: slice) -> Touches:
        return Touches(self.time_ms[key], self.bid[key], self.bid_lots[key], self.ask[key], self.ask_lots[key])

    def after(self, earlier: Touches) -> Touches:
        pairs = zip(earlier._columns(), self._columns(), strict=True)
        return Touches(*(np.concatenate(pair) for pair in pairs))

    def _columns(self) -> tuple[Ints, ...]:
        return self.time_ms, self.bid, self.bid_lots, self.ask, self.ask_lots


def nothing(time_ms: int) -> Touches:
    """An empty book."""
    return Touches(np.array([time_ms]), *(np.zeros(1, np.int64) for _ in range(4)))


@dataclass(frozen=True)
class Changes:
    """Changed levels of one side: `step` is the index of the update, best price first within it; 0 lots removes."""

    step: Ints
    price: Ints
    lots: Ints


class Ladder:
    """The books of one symbol."""

    def __init__(self, seed: int, symbol: str, liquidity: LiquidityTable) -> None:
        self._phase, self._size = key_of(seed, symbol, "level phase"), key_of(seed, symbol, "level size")
        self._liquidity = liquidity

    def book(self, touch: Touches) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        """Bids and asks of the single moment `touch`, as (ticks, lots), best first."""
        moments = touch.after(nothing(int(touch.time_ms[0])))
        bids, asks = self.changes(moments, is_bid=True), self.changes(moments, is_bid=False)
        return _levels(bids), _levels(asks)

    def changes(self, touches: Touches, *, is_bid: bool) -> Changes:
        """What changed on one side from each moment to the next: one update fewer than moments."""
        new, old = touches[slice(1, None)], touches[slice(None, -1)]
        count = len(new.time_ms)
        side = _Side(is_bid)
        new_top, new_top_lots = side.touch(new)
        old_top, old_top_lots = side.touch(old)
        new_gap, old_gap = self._spacing(new.time_ms), self._spacing(old.time_ms)

        here = side.lattice(new_top, new_gap)
        there = side.lattice(old_top, old_gap)
        column = (slice(None), None)
        lots = self._lots(here, new.time_ms[column], is_bid)
        before = self._lots(here, old.time_ms[column], is_bid)
        was = side.holds(here, old_top[column], old_gap[column]) & (old_top_lots[column] > 0)
        before = np.where(was, before, 0)
        before = np.where(here == old_top[column], old_top_lots[column], before)

        gone = (there >= 1) & (old_top_lots[column] > 0) & (there != new_top[column])
        gone &= ~side.holds(there, new_top[column], new_gap[column])
        top_was = side.holds(new_top, old_top, old_gap) & (old_top_lots > 0)
        top_before = np.where(top_was, self._lots(new_top, old.time_ms, is_bid), 0)
        top_before = np.where(new_top == old_top, old_top_lots, top_before)
        top_gone = (old_top_lots > 0) & (old_top != new_top) & ~side.holds(old_top, new_top, new_gap)

        changed = (here >= 1) & (lots != before)
        top_changed = new_top_lots != top_before
        steps = np.arange(count)
        rows = np.broadcast_to(steps[:, None], here.shape)
        step = np.concatenate([rows[changed], rows[gone], steps[top_changed], steps[top_gone]])
        price = np.concatenate([here[changed], there[gone], new_top[top_changed], old_top[top_gone]])
        size = np.concatenate([lots[changed], np.zeros(int(gone.sum()), np.int64), new_top_lots[top_changed]])
        size = np.concatenate([size, np.zeros(int(top_gone.sum()), np.int64)])
        order = np.lexsort((-price if is_bid else price, step))
        return Changes(step[order], price[order], size[order])

    def _spacing(self, time: Ints) -> Ints:
        ends = {int(time[0]), int(time[-1])}
        if len({self._liquidity.level_spacing(t) for t in ends}) == 1:
            return np.full(len(time), self._liquidity.level_spacing(int(time[0])))
        return np.array([self._liquidity.level_spacing(int(t)) for t in time])

    def _lots(self, price: Ints, time: Ints, is_bid: bool) -> Ints:
        phase = draw(self._phase, price) % np.uint64(_EPOCH_MS)
        phase_ms = phase.astype(np.int64)
        epoch = (phase_ms + time) // _EPOCH_MS
        shape = lognormal(draw(self._size, (price * 2 + is_bid) * 0x100000001B3 + epoch), _SIGMA)
        hour = (epoch * _EPOCH_MS - phase_ms) // HOUR_MS  # in which these five minutes began
        first = int(hour.min())
        known = np.array([self._liquidity.at(h * HOUR_MS).touch_lots for h in range(first, int(hour.max()) + 1)])
        lots: Ints = np.maximum(1, (shape * known[hour - first] * _OF_TOUCH).astype(np.int64))
        return lots


@dataclass(frozen=True)
class _Side:
    is_bid: bool

    def touch(self, touches: Touches) -> tuple[Ints, Ints]:
        return (touches.bid, touches.bid_lots) if self.is_bid else (touches.ask, touches.ask_lots)

    def lattice(self, top: Ints, gap: Ints) -> Ints:
        """Lattice prices behind each `top`: shape (moments, LEVELS), best first; below 1 where there is no room."""
        first, steps = self._first(top, gap), np.arange(LEVELS)
        index = first[:, None] - steps if self.is_bid else first[:, None] + steps
        return index * gap[:, None]

    def holds(self, price: Ints, top: Ints, gap: Ints) -> npt.NDArray[np.bool_]:
        """Whether `price` is one of the lattice prices behind `top`."""
        index, first = price // gap, self._first(top, gap)
        away = first - index if self.is_bid else index - first
        found: npt.NDArray[np.bool_] = (price % gap == 0) & (away >= 0) & (away < LEVELS) & (price >= 1)
        return found

    def _first(self, top: Ints, gap: Ints) -> Ints:
        return (top - 1) // gap if self.is_bid else top // gap + 1


def _levels(side: Changes) -> list[tuple[int, int]]:
    return list(zip(side.price.tolist(), side.lots.tolist(), strict=True))
