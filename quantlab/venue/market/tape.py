"""One symbol of a synthesised market: its hour as frames, and every answer as of a moment within it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from quantlab.model import TIMEFRAMES
from quantlab.model.timeframe import DAY_MS, HOUR_MS, MINUTE_MS
from quantlab.venue.market.bars import (
    Bars,
    Carry,
    bucket_start,
    empty_bars,
    interval_bars,
    join,
    slot_bars,
    trades_bar,
)
from quantlab.venue.market.candles import CandleTable
from quantlab.venue.market.cells import CellSource
from quantlab.venue.market.draws import Ints
from quantlab.venue.market.filters import Grid
from quantlab.venue.market.history import KlineHistory, offered
from quantlab.venue.market.ladder import Ladder, Touches, nothing
from quantlab.venue.market.liquidity import LiquidityTable
from quantlab.venue.market.plan import IDS_PER_MINUTE, SLOT_MS, HourPlan, Planner
from quantlab.venue.market.ticker import merged, ticker_row
from quantlab.venue.market.wire import Wire

#: Candles are told this long after they end: before the next one's first quote or trade.
KLINE_DELAY_MS = 5
#: The first event of an hour comes later than this.
HOUR_LEAD_MS = 20
_MOST_TRADES = 1000
#: Trade ids count from here, so that the day before the window has room for its own.
#: How often a candle is told while it forms; Binance does each second or two. Few readers look, all must decode.
FORMING_MS = 3 * SLOT_MS
_FIRST_TRADE_ID = 10_000_001


@dataclass(frozen=True)
class Frames:
    """Frames of one stream in time order. `rank` orders what happens in the same ms."""

    rank: int
    time_ms: Ints
    payloads: list[bytes]


class Tape:
    """Call `load` with each hour in turn; questions may then be asked about any moment of the hour loaded last.

    `start_ms` is where playing begins and `end_ms` where the candles to be played end.
    """

    def __init__(self, table: CandleTable, grid: Grid, seed: int, start_ms: int, end_ms: int) -> None:
        self.symbol = grid.symbol
        self.intervals = offered(table.base_ms)
        self._first_hour = start_ms - start_ms % HOUR_MS - HOUR_MS
        self._grid, self._wire = grid, Wire(grid)
        self._history = KlineHistory(table)
        self._history.play_from(table.rows(self._first_hour, end_ms).start)
        self._cells = CellSource(table, grid, seed, from_ms=self._first_hour, checked_ms=start_ms, to_ms=end_ms)
        self._liquidity = LiquidityTable(table, grid)
        self._planner = Planner(seed, grid.symbol)
        self._ladder = Ladder(seed, grid.symbol, self._liquidity)

        self._hour_ms = 0
        self._plan: HourPlan | None = None
        self._slots = empty_bars((60, 6))
        self._first_id = self._next_id = _FIRST_TRADE_ID
        self._tail: list[tuple[Ints, ...]] = []
        self._touch, self._book_id = nothing(start_ms), start_ms // MINUTE_MS * IDS_PER_MINUTE
        self._quote: tuple[int, int, int, int, int] | None = None
        self._carries: dict[str, Carry] = {}
        self._next_carries: dict[str, Carry] = {}
        self._frames: dict[str, Frames] = {}
        self.load(self._first_hour)
        if not len(self._require().quotes.time_ms):
            self._open_book(table, start_ms)

    @property
    def hour_ms(self) -> int:
        return self._hour_ms

    def load(self, hour_ms: int) -> None:
        """Plan the hour that starts at `hour_ms` and leave the one before."""
        if self._plan is not None:
            self._leave()
        cells = self._cells.hour(hour_ms)
        plan = self._planner.plan(cells, self._liquidity.at(hour_ms), 1e4 / np.maximum(cells.open, 1))
        self._plan, self._hour_ms, self._frames = plan, hour_ms, {}
        self._first_id = self._next_id
        self._next_id += len(plan.trades.time_ms)
        trades, tick, step = plan.trades, self._grid.tick, self._grid.step
        volume = trades.lots * step
        bought = ~trades.buyer_is_maker
        self._history.played(
            cells.row[trades.cell], trades.price * tick * volume, volume * bought, trades.price * tick * volume * bought
        )
        self._slots = slot_bars(plan, hour_ms, self._first_id)
        self._next_carries = {}
        for interval in self.intervals:
            if TIMEFRAMES[interval] > HOUR_MS:
                _, carry = interval_bars(self._slots, TIMEFRAMES[interval], hour_ms, self._carry(interval, hour_ms))
                if carry is not None:
                    self._next_carries[interval] = carry

    # Frames

    def frames(self, stream: str) -> Frames:
        """The loaded hour's frames of `stream` (what follows the "@", such as "kline_1m"); empty when there is no
        such stream."""
        if stream not in self._frames:
            self._frames[stream] = self._render(stream)
        return self._frames[stream]

    def _render(self, stream: str) -> Frames:
        plan, wire = self._require(), self._wire
        if stream == "bookTicker":
            return Frames(2, plan.quotes.time_ms, wire.quotes(plan.quotes))
        if stream == "trade":
            return Frames(1, plan.trades.time_ms, wire.trades(plan.trades, self._first_id))
        if stream == "aggTrade":
            return Frames(1, plan.trades.time_ms, wire.agg_trades(plan.trades, self._first_id))
        if stream in ("depth@100ms", "depth"):
            return self._depth_frames(plan)
        if stream.startswith("kline_") and stream[6:] in self.intervals:
            return self._kline_frames(plan, stream[6:])
        return Frames(0, np.zeros(0, np.int64), [])

    def _depth_frames(self, plan: HourPlan) -> Frames:
        touches = self._published(plan)
        if not len(touches.time_ms):
            return Frames(3, touches.time_ms, [])
        moments = touches.after(self._touch)
        bids, asks = (self._ladder.changes(moments, is_bid=is_bid) for is_bid in (True, False))
        ids = plan.quotes.update_id[plan.published]
        return Frames(3, touches.time_ms, self._wire.depth(touches.time_ms, ids, self._book_id, bids, asks))

    def _kline_frames(self, plan: HourPlan, interval: str) -> Frames:
        """Every thirty seconds the candle as it stands, while candles of the source are there; and each at its end."""
        length, hour = TIMEFRAMES[interval], self._hour_ms
        bars, _ = interval_bars(self._slots, length, hour, self._carry(interval, hour))
        begins = hour + np.arange(HOUR_MS // SLOT_MS) * SLOT_MS
        offset = bucket_start(0, length) % length
        opens = (begins - offset) // length * length + offset
        closed = begins + SLOT_MS == opens + length
        playing = np.isin(begins // MINUTE_MS, plan.cells.open_ms // MINUTE_MS)
        due = (begins - hour) % FORMING_MS == FORMING_MS - SLOT_MS
        told = np.flatnonzero((bars.open >= 0) & (playing & due | closed))
        times = begins[told] + SLOT_MS + KLINE_DELAY_MS
        ends = opens[told] + length - 1
        payloads = self._wire.klines(bars.at(told), times, opens[told], ends, interval, closed[told].tolist())
        return Frames(0, times, payloads)

    # Answers

    def depth(self, limit: int, now_ms: int) -> dict[str, Any]:
        """The book of the last update before `now_ms`."""
        plan = self._require()
        times = plan.quotes.time_ms[plan.published]
        count = int(np.searchsorted(times, now_ms))
        touch, update_id = self._touch, self._book_id
        if count:
            touch = self._published(plan)[slice(count - 1, count)]
            update_id = int(plan.quotes.update_id[plan.published[count - 1]])
        bids, asks = self._ladder.book(touch) if touch.bid_lots[0] else ([], [])
        sides = ([[self._wire.price(p), self._wire.quantity(q)] for p, q in side[:limit]] for side in (bids, asks))
        return {"lastUpdateId": update_id, **dict(zip(("bids", "asks"), sides, strict=True))}

    def klines(
        self, interval: str, start_ms: int | None, end_ms: int | None, limit: int, now_ms: int
    ) -> list[list[Any]]:
        rows = self._history.closed(interval, start_ms, end_ms, limit, now_ms)
        length = TIMEFRAMES[interval]
        bucket = bucket_start(now_ms, length)
        wanted = (start_ms is None or bucket >= start_ms) and (end_ms is None or bucket <= end_ms)
        if wanted and (start_ms is None or len(rows) < limit):
            bar = self._forming(interval, now_ms)
            if bar is not None:
                rows = [*rows, self._wire.kline_row(bar, bucket, bucket + length - 1)][-limit:]
        return rows

    def trades(self, limit: int, now_ms: int) -> list[dict[str, Any]]:
        return [
            {
                "id": number, "price": self._wire.price(price), "qty": self._wire.quantity(lots),
                "quoteQty": f"{price * lots * self._grid.tick * self._grid.step:.8f}", "time": time,
                "isBuyerMaker": bool(sold), "isBestMatch": True,
            }
            for time, price, lots, sold, number in self._recent(limit, now_ms)
        ]  # fmt: skip

    def agg_trades(self, limit: int, now_ms: int) -> list[dict[str, Any]]:
        return [
            {
                "a": number, "p": self._wire.price(price), "q": self._wire.quantity(lots), "f": number, "l": number,
                "T": time, "m": bool(sold), "M": True,
            }
            for time, price, lots, sold, number in self._recent(limit, now_ms)
        ]  # fmt: skip

    def book_ticker(self, now_ms: int) -> dict[str, Any]:
        bid, bid_lots, ask, ask_lots = self._top(now_ms)
        price, quantity = self._wire.price, self._wire.quantity
        return {
            "symbol": self.symbol, "bidPrice": price(bid), "bidQty": quantity(bid_lots),
            "askPrice": price(ask), "askQty": quantity(ask_lots),
        }  # fmt: skip

    def ticker_24h(self, now_ms: int) -> dict[str, Any]:
        """The last 24 hours of base candles, the forming one included."""
        day, before = self._history.span(now_ms - DAY_MS, now_ms)
        forming = self._forming(self.intervals[0], now_ms)
        spans = [span for span in (day, self._wire.span(forming) if forming is not None else None) if span is not None]
        latest = self.trades(1, now_ms)
        return ticker_row(self.book_ticker(now_ms), merged(spans), before, latest[0] if latest else None, now_ms)

    # Inside

    def _require(self) -> HourPlan:
        assert self._plan is not None  # set by the first load, in __init__
        return self._plan

    def _leave(self) -> None:
        """Keep of the hour that ends what later answers need."""
        plan = self._require()
        trades, quotes = plan.trades, plan.quotes
        ids = np.arange(self._first_id, self._next_id)
        columns = (trades.time_ms, trades.price, trades.lots, trades.buyer_is_maker, ids)
        self._tail.append(tuple(column[-_MOST_TRADES:] for column in columns))
        while len(self._tail) > 1 and sum(len(part[0]) for part in self._tail[1:]) >= _MOST_TRADES:
            self._tail.pop(0)
        if len(quotes.time_ms):
            self._quote = self._quote_at(len(quotes.time_ms) - 1)
        if len(plan.published):
            self._touch = self._published(plan)[slice(-1, None)]
            self._book_id = int(quotes.update_id[plan.published[-1]])
        self._carries = self._next_carries

    def _open_book(self, table: CandleTable, start_ms: int) -> None:
        """A book for the start where no candle leads up to it: around the last price known by then."""
        known = int(np.searchsorted(table.open_ms, start_ms))
        if known:
            price = float(table.close[known - 1])
        elif len(table.open_ms) and table.open_ms[0] == start_ms:
            price = float(table.open[0])
        else:
            return
        ticks = max(1, round(price / self._grid.tick))
        self._touch = self._planner.still(ticks, start_ms, self._liquidity.at(start_ms - start_ms % HOUR_MS))
        at = self._touch
        self._quote = (self._book_id, int(at.bid[0]), int(at.bid_lots[0]), int(at.ask[0]), int(at.ask_lots[0]))

    def _published(self, plan: HourPlan) -> Touches:
        q, at = plan.quotes, plan.published
        return Touches(q.time_ms[at], q.bid[at], q.bid_lots[at], q.ask[at], q.ask_lots[at])

    def _quote_at(self, index: int) -> tuple[int, int, int, int, int]:
        q = self._require().quotes
        columns = (q.update_id, q.bid, q.bid_lots, q.ask, q.ask_lots)
        update_id, bid, bid_lots, ask, ask_lots = (int(column[index]) for column in columns)
        return update_id, bid, bid_lots, ask, ask_lots

    def _top(self, now_ms: int) -> tuple[int, int, int, int]:
        count = int(np.searchsorted(self._require().quotes.time_ms, now_ms))
        quote = self._quote_at(count - 1) if count else self._quote
        return quote[1:] if quote is not None else (0, 0, 0, 0)

    def _recent(self, limit: int, now_ms: int) -> list[tuple[int, int, int, bool, int]]:
        trades = self._require().trades
        count = int(np.searchsorted(trades.time_ms, now_ms))
        rows = slice(max(0, count - limit), count)
        ids = np.arange(self._first_id + rows.start, self._first_id + count)
        newest = (*(c[rows] for c in (trades.time_ms, trades.price, trades.lots, trades.buyer_is_maker)), ids)
        parts = [*self._tail, newest]
        columns = (np.concatenate(column)[-limit:].tolist() for column in zip(*parts, strict=True))
        return list(zip(*columns, strict=True))

    def _carry(self, interval: str, hour_ms: int) -> Carry | None:
        """What a candle longer than an hour was before `hour_ms`."""
        bucket = bucket_start(hour_ms, TIMEFRAMES[interval])
        if bucket == hour_ms:
            return None
        known = self._carries.get(interval)
        if known is not None and known.bucket_ms == bucket:
            return known
        if hour_ms > self._first_hour:
            return None
        bar = self._history.bar(bucket, hour_ms, self._grid)
        return None if bar is None else Carry(bucket, bar)

    def _forming(self, interval: str, now_ms: int) -> Bars | None:
        """The candle of `interval` that `now_ms` lies in, from what happened before `now_ms`; None when nothing did."""
        length, hour = TIMEFRAMES[interval], self._hour_ms
        bucket = bucket_start(now_ms, length)
        if now_ms == bucket or bucket >= hour + HOUR_MS:
            return None
        cells = self._require().cells
        from_ms = max(bucket, hour)
        ended = np.flatnonzero((cells.open_ms >= from_ms) & (cells.open_ms + MINUTE_MS <= now_ms))
        bar = empty_bars((1,))
        carry = self._carry(interval, hour) if bucket < hour else None
        if carry is not None:
            bar = join(bar, carry.bar)
        for cell in ((cells.open_ms[ended] - hour) // MINUTE_MS).tolist():
            bar = join(bar, self._slots.at((slice(cell, cell + 1), -1)))
        part = self._trades_of(int(now_ms - now_ms % MINUTE_MS), now_ms)
        if part is not None:
            bar = join(bar, part)
        return None if bar.open[0] < 0 else bar

    def _trades_of(self, from_ms: int, to_ms: int) -> Bars | None:
        plan = self._require()
        first, last = np.searchsorted(plan.trades.time_ms, (from_ms, to_ms))
        return trades_bar(plan, int(first), int(last), self._first_id) if first < last else None


def stream_suffix(stream: str) -> tuple[str, str]:
    """("BTCUSDT", "depth@100ms") of "btcusdt@depth@100ms"."""
    symbol, _, suffix = stream.partition("@")
    return symbol.upper(), suffix
