"""One hour of one symbol, planned: its trades, its quotes and the moments at which the book is published.

Every ten seconds of a minute cell (a *slot*) have one to four trades (two on average), a quote before and after each,
a quote with the book's update, and at times one more: about 5.3 quotes, 2 trades and 1 book update, near the mix that
Binance sends (68 % bookTicker, 24 % trade, 8 % depth on recorded frames of 2024-08-08) at a tenth of its density. The
density is the same at every speed, so that results are.

A cell is planned from its own candle and draws named by its minute: nothing depends on where the playing began.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from quantlab.model.timeframe import MINUTE_MS
from quantlab.venue.market.cells import Cells
from quantlab.venue.market.draws import Floats, Ints, draw, key_of, lognormal, uniform
from quantlab.venue.market.ladder import Touches
from quantlab.venue.market.liquidity import Liquidity
from quantlab.venue.market.path import deal, offsets, walk

SLOT_MS = 10_000
_SLOTS = MINUTE_MS // SLOT_MS
#: Nothing happens in the first 30 ms of a slot: candles are told there, before the next one's trades.
_QUIET_MS = 30
_MIN_APART_MS = 3
#: Update ids: a thousand for every minute since 1970, so that an id tells its minute.
IDS_PER_MINUTE = 1000
_TAIL_FROM_BPS, _TAIL_GROWTH = 0.02, 60.0


@dataclass(frozen=True)
class Trades:
    """In time order; prices in ticks, quantities in lots. `cell` is the index of the cell within the hour's cells."""

    time_ms: Ints
    price: Ints
    lots: Ints
    buyer_is_maker: np.ndarray
    cell: Ints


@dataclass(frozen=True)
class Quotes:
    """Top of book after each change, in order; update ids rise strictly."""

    time_ms: Ints
    update_id: Ints
    bid: Ints
    bid_lots: Ints
    ask: Ints
    ask_lots: Ints


@dataclass(frozen=True)
class HourPlan:
    cells: Cells
    trades: Trades
    quotes: Quotes
    #: Index of the quote at which each book update is published (same time, same update id).
    published: Ints


class Planner:
    """Plans the hours of one symbol."""

    def __init__(self, seed: int, symbol: str) -> None:
        names = (
            "count", "time", "candle", "point", "lots", "spread", "side", "before", "after", "extra", "extra time",
            "bid", "ask", "refill", "id",
        )  # fmt: skip
        self._key = {name: key_of(seed, symbol, "plan", name) for name in names}
        #: Offset of the book's update within each slot: a moment of its own for every symbol, so that updates of
        #: many symbols do not arrive at once.
        self._phase_ms = 500 + 100 * int(key_of(seed, symbol, "phase") % np.uint64(90)) + 7

    def plan(self, cells: Cells, liquidity: Liquidity, tick_bps: Floats) -> HourPlan:
        """`tick_bps` is what one tick is in bps of each cell's open."""
        trades = self._trades(cells)
        wild = (cells.high - cells.low) * tick_bps / liquidity.range_bps
        wild = np.clip(wild, 1.0, 6.0)
        spreads = self._spreads(trades, liquidity.spread_bps * wild, tick_bps)
        quotes, published = self._quotes(cells, trades, spreads, liquidity, tick_bps)
        return HourPlan(cells, trades, quotes, published)

    def still(self, ticks: int, time_ms: int, liquidity: Liquidity) -> Touches:
        """A touch around `ticks` while nothing has traded yet."""
        spread = max(1, round(liquidity.spread_bps * ticks / 1e4))
        bid, time = np.array([max(1, ticks - spread // 2)]), np.array([time_ms])
        ask = bid + spread
        sizes = (self._sizes(side, level, time, liquidity.touch_lots) for side, level in (("bid", bid), ("ask", ask)))
        bid_lots, ask_lots = sizes
        return Touches(time, bid, bid_lots, ask, ask_lots)

    def _trades(self, cells: Cells) -> Trades:
        key, minute = self._key, cells.open_ms // MINUTE_MS
        slots = (minute[:, None] * _SLOTS + np.arange(_SLOTS)).ravel()
        u = uniform(draw(key["count"], slots))
        per_slot = 1 + (u >= 0.4) + (u >= 0.7) + (u >= 0.9)
        slot, place = offsets(per_slot)
        spread = uniform(draw(key["time"], slots[slot] * 4 + place))
        times = np.sort(slots[slot] * SLOT_MS + _QUIET_MS + (spread * 9_900).astype(np.int64))
        # Trades of one symbol stand apart, so that a quote fits between any two.
        rank = np.arange(len(times)) * _MIN_APART_MS
        times = np.maximum.accumulate(times - rank) + rank

        planned = per_slot.reshape(-1, _SLOTS).sum(axis=1)
        counts = np.minimum(planned, cells.volume)
        cell, index = offsets(planned)
        have, want = planned[cell], counts[cell]
        kept = (index + 1) * want // have > index * want // have
        times, cell = times[kept], cell[kept]

        _, index = offsets(counts)
        point = minute[cell] * 32 + index
        prices = walk(
            counts, cells.open, cells.high, cells.low, cells.close,
            draw(key["candle"], minute), draw(key["point"], point),
        )  # fmt: skip
        lots = deal(cells.volume, counts, lognormal(draw(key["lots"], point), 1.6))
        return Trades(times, prices, lots, self._sides(cells, cell, index, point, prices), cell)

    def _sides(self, cells: Cells, cell: Ints, index: Ints, point: Ints, prices: Ints) -> np.ndarray:
        """True where the aggressor sold: after a fall. At an equal price mostly as before."""
        before = np.where(index == 0, cells.close[np.maximum(cell - 1, 0)], np.concatenate([prices[:1], prices[:-1]]))
        step = np.where((index == 0) & (cell == 0), 0, prices - before)
        u = uniform(draw(self._key["side"], point))
        # A cell's first trade has its own side when the price stands: a cell never looks further back than one.
        known = (step != 0) | (index == 0)
        sold = np.where(step != 0, step < 0, u < 0.5)
        if len(known):
            sold = sold[np.maximum.accumulate(np.where(known, np.arange(len(known)), 0))]
            sold = sold ^ (~known & (u < 0.15))
        return sold | (prices <= 1)  # at one tick there is no room for a bid below the ask

    def _spreads(self, trades: Trades, median_bps: Floats, tick_bps: Floats) -> Ints:
        """Spread around each trade in ticks: near the median, in one case of ten with a heavy tail."""
        cell = trades.cell
        point = trades.time_ms
        shape = lognormal(draw(self._key["spread"], point * 2), 0.35)
        u = uniform(draw(self._key["spread"], point * 2 + 1))
        tail = np.where(u > 0.9, _TAIL_FROM_BPS * _TAIL_GROWTH ** ((u - 0.9) / 0.09), 0.0)
        bps = (median_bps[cell] * shape) + tail * np.maximum(median_bps[cell], 1.0)
        ticks: Ints = np.maximum(1, np.rint(bps / tick_bps[cell])).astype(np.int64)
        return ticks

    def _quotes(
        self, cells: Cells, trades: Trades, spreads: Ints, liquidity: Liquidity, tick_bps: Floats
    ) -> tuple[Quotes, Ints]:
        key, minute = self._key, cells.open_ms // MINUTE_MS
        t, cell, sold = trades.time_ms, trades.cell, trades.buyer_is_maker
        bid = np.where(sold, trades.price, np.maximum(trades.price - spreads, 1))
        ask = np.where(sold, trades.price + spreads, trades.price)

        # A quote before each trade and one after, nearer to it than to the neighbours' quotes.
        starts = cells.open_ms[cell] + _QUIET_MS - 4
        ends = cells.open_ms[cell] + MINUTE_MS - 4
        same = cell[1:] == cell[:-1]
        gap = np.concatenate([(t - starts)[:1], np.where(same, t[1:] - t[:-1], (t - starts)[1:])])
        room = np.concatenate([np.where(same, t[1:] - t[:-1], (ends - t)[:-1]), (ends - t)[-1:]])
        before = t - 1 - (np.maximum(gap - 3, 0) * 0.4 * uniform(draw(key["before"], t))).astype(np.int64)
        after = t + (np.maximum(room - 3, 0) * 0.4 * uniform(draw(key["after"], t))).astype(np.int64)

        # Quotes in between: with each book update, and in three slots of ten once more.
        slots = (minute[:, None] * _SLOTS + np.arange(_SLOTS)).ravel()
        publish = slots * SLOT_MS + self._phase_ms
        more = uniform(draw(key["extra"], slots)) < 0.3
        extra = slots * SLOT_MS + _QUIET_MS + (uniform(draw(key["extra time"], slots)) * 9_900).astype(np.int64)
        between = np.concatenate([extra[more], publish])
        home = np.repeat(np.arange(len(cells)), _SLOTS)
        home = np.concatenate([home[more], home])
        bid_between, ask_between = self._standing(cells, trades, home, between, before, bid, ask, liquidity, tick_bps)

        time = np.concatenate([np.column_stack([before, after]).ravel(), between])
        bids = np.concatenate([np.repeat(bid, 2), bid_between])
        asks = np.concatenate([np.repeat(ask, 2), ask_between])
        order = np.argsort(time, kind="stable")
        place = np.empty_like(order)
        place[order] = np.arange(len(order))
        time, bids, asks = time[order], bids[order], asks[order]
        published = np.sort(place[len(order) - len(publish) :])

        owner = np.searchsorted(cells.open_ms, time, side="right") - 1
        ordinal = np.arange(len(time)) - np.searchsorted(owner, np.arange(len(cells)))[owner]
        ids = minute[owner] * IDS_PER_MINUTE + 8 + ordinal * 8
        ids += (draw(key["id"], ids) % np.uint64(8)).astype(np.int64)

        bid_lots = self._sizes("bid", bids, time, liquidity.touch_lots)
        ask_lots = self._sizes("ask", asks, time, liquidity.touch_lots)
        hit = place[1 : 2 * len(t) : 2]  # the quotes after the trades: what was taken is gone, or was filled up again
        refill = self._sizes("refill", ids[hit], time[hit], liquidity.touch_lots)
        bid_lots[hit] = np.where(sold, _left(bid_lots[hit], trades.lots, refill), bid_lots[hit])
        ask_lots[hit] = np.where(sold, ask_lots[hit], _left(ask_lots[hit], trades.lots, refill))
        # Odd and even by turns: a book update always has a change to tell, even where sizes are a few lots.
        turn = time[published] // SLOT_MS % 2
        for lots in (bid_lots, ask_lots):
            lots[published] = lots[published] // 2 * 2 + 1 + turn
        return Quotes(time, ids, bids, bid_lots, asks, ask_lots), published

    def _standing(
        self,
        cells: Cells,
        trades: Trades,
        home: Ints,
        time: Ints,
        before: Ints,
        bid: Ints,
        ask: Ints,
        liquidity: Liquidity,
        tick_bps: Floats,
    ) -> tuple[Ints, Ints]:
        """Bid and ask that stand at `time`: those of the trade before, at a cell's start those of its first trade; in
        a cell without trades around its close."""
        spread = np.maximum(1, np.rint(liquidity.spread_bps / tick_bps)).astype(np.int64)
        still_bid = np.maximum(cells.close - spread // 2, 1)[home]
        still_ask = still_bid + spread[home]
        if not len(before):
            return still_bid, still_ask
        first = np.searchsorted(trades.cell, np.arange(len(cells)))
        none = first == np.searchsorted(trades.cell, np.arange(len(cells)), side="right")
        at = np.maximum(np.searchsorted(before, time, side="right") - 1, first[home])
        at = np.minimum(at, len(before) - 1)
        return np.where(none[home], still_bid, bid[at]), np.where(none[home], still_ask, ask[at])

    def _sizes(self, name: str, level: Ints, time: Ints, touch_lots: float) -> Ints:
        """Lots at a touch: they stand for three seconds at a price, then are drawn anew."""
        shape = lognormal(draw(self._key[name], level * 1_000_003 + time // 3_000), 0.9)
        return np.maximum(1, (shape * touch_lots).astype(np.int64))


def _left(shown: Ints, taken: Ints, refill: Ints) -> Ints:
    return np.where(shown > taken, shown - taken, refill)
