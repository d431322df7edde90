"""The local order book of one symbol: depth diffs by Binance's rule, the newest quote laid on top.

The rule (Binance spot WebSocket docs, "How to manage a local order book correctly", checked 2026-11-23): buffer the
events; get a snapshot; while its `lastUpdateId` is below the first event's `U`, get another; drop events with
`u <= lastUpdateId`; apply the rest in order. An event whose `U` is beyond the last `u` + 1 is a gap: discard the book
and start again. A quantity of zero removes the level.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from decimal import Decimal
from itertools import islice

from quantlab.model import DepthSnapshot, DepthUpdate, Instrument, Quote

#: Events kept while a snapshot is awaited: over ten minutes of depth@100ms. Beyond it the oldest go, and a snapshot
#: from before them is then refused as too old, as the rule says.
_BUFFERED_EVENTS = 8192


class Book:
    """A `BookView` kept from depth updates, snapshots and quotes.

    The book knows the range of its snapshot: a level beyond it is absent until it changes. So the depth within the
    snapshot's range is whole, and a walk must not go past it.

    A quote (`@bookTicker`, in real time) newer than the last depth event (each 100 ms) is laid over the top: levels
    better than its best are hidden, its best sizes replace the book's, until the depth catches up. While the depth is
    out of sync only the newest quote is shown: enough to mark a position, not to trade on.
    """

    __slots__ = (
        "_asks",
        "_bids",
        "_buffer",
        "_depth_id",
        "_depth_ms",
        "_in_doubt",
        "_in_sync",
        "_kept_ms",
        "_quote",
        "_quote_id",
        "step_size",
        "symbol",
        "tick_size",
    )

    def __init__(self, instrument: Instrument) -> None:
        self.symbol: str = instrument.symbol
        self.tick_size: Decimal = instrument.tick_size
        self.step_size: Decimal = instrument.step_size
        self._bids = _Levels(1)
        self._asks = _Levels(-1)
        self._buffer: deque[DepthUpdate] = deque(maxlen=_BUFFERED_EVENTS)
        self._depth_id = 0
        #: Time of the depth event that is the newest in it; of a snapshot, when it was taken in; 0 before that.
        self._depth_ms = 0
        self._in_sync = False
        #: The levels are those of before a gap, which may have been none.
        self._in_doubt = False
        #: `_depth_ms` while nothing was applied since the book was kept over a gap.
        self._kept_ms = 0
        self._quote: Quote | None = None
        self._quote_id = 0

    # --- what the book is told -------------------------------------------------------------------------------------

    def apply(self, update: DepthUpdate) -> bool:
        """Take one depth event: buffered while there is no snapshot, ignored when old, a new start after a gap. False
        when it was known."""
        if not self._in_sync:
            self._buffer.append(update)
        elif update.last_update_id <= self._depth_id:
            if not self._kept_ms or update.time_ms <= self._kept_ms:
                return False
            self.reset()  # ids that begin again: the exchange is not the one it was (testnet resets each month)
            self._buffer.append(update)
        elif update.first_update_id > self._depth_id + 1:
            self._start_again(update)
        else:
            self._write(update)
        return True

    def snapshot(self, snapshot: DepthSnapshot, at_ms: int = 0) -> bool:
        """Begin from `snapshot`, taken in at engine time `at_ms`, and apply the buffered events. False: it is too old
        (or a buffered event is missing after it), ask for another; the events stay buffered. A book in sync that is
        further keeps what it has."""
        if (self._in_sync or self._in_doubt) and snapshot.last_update_id <= self._depth_id:
            return self._in_sync or self._keep()
        buffered = self._buffer
        if buffered and snapshot.last_update_id < buffered[0].first_update_id:
            return False
        self._buffer = deque(maxlen=_BUFFERED_EVENTS)
        self._bids.fill(snapshot.bids)
        self._asks.fill(snapshot.asks)
        self._depth_id = snapshot.last_update_id
        self._depth_ms, self._kept_ms = max(1, at_ms), 0
        self._in_doubt = False
        self._in_sync = True
        self._drop_quote_if_old()
        for update in buffered:
            self.apply(update)
        return self._in_sync

    def overlay(self, quote: Quote) -> bool:
        """Take one quote; ignored when older than what is known, or crossed. False when it was told before."""
        if quote.update_id <= self._quote_id:
            return False
        self._quote_id = quote.update_id
        if quote.update_id > self._depth_id and (quote.bid_ticks < quote.ask_ticks or not quote.ask_ticks):
            self._quote = quote
        return True

    def reset(self) -> None:
        """Forget everything: after a reconnect nothing tells what was missed."""
        self._forget_levels()
        self._quote = None
        self._depth_id = self._quote_id = 0

    def doubt(self) -> None:
        """Something may have been missed, or nothing: the book is out of sync until a snapshot tells. One that is not
        newer than the book leaves it as it is."""
        if (self._in_sync or self._in_doubt) and self._depth_ms:
            self._in_doubt, self._in_sync = True, False
        else:
            self.reset()

    @property
    def needs_snapshot(self) -> bool:
        """True once events wait for a snapshot: one asked for now will be young enough for them."""
        return not self._in_sync and bool(self._buffer)

    # --- what the book shows (BookView) ----------------------------------------------------------------------------

    @property
    def in_sync(self) -> bool:
        """False while the book has a gap or waits for its snapshot: do not trade on it."""
        return self._in_sync

    @property
    def book_id(self) -> int:
        """Update id of the newest change shown; 0 before the first."""
        return self._quote.update_id if self._quote is not None else self._depth_id

    @property
    def depth_id(self) -> int:
        """Update id of the newest depth event or snapshot in it; 0 before the first."""
        return self._depth_id

    def best_bid(self) -> tuple[int, int] | None:
        """(ticks, lots) of the best bid; None when there is none."""
        quote = self._quote
        if quote is None:
            return self._bids.best()
        if quote.bid_lots:
            return quote.bid_ticks, quote.bid_lots
        return next(iter(self.bids(1)), None)

    def best_ask(self) -> tuple[int, int] | None:
        """(ticks, lots) of the best ask; None when there is none."""
        quote = self._quote
        if quote is None:
            return self._asks.best()
        if quote.ask_lots:
            return quote.ask_ticks, quote.ask_lots
        return next(iter(self.asks(1)), None)

    def bids(self, levels: int = 20) -> list[tuple[int, int]]:
        """At most `levels` bids as (ticks, lots), best first."""
        quote = self._quote
        if quote is None:
            return self._bids.top(levels)
        return self._bids.top_behind(quote.bid_ticks, quote.bid_lots, levels)

    def asks(self, levels: int = 20) -> list[tuple[int, int]]:
        """At most `levels` asks as (ticks, lots), best first."""
        quote = self._quote
        if quote is None:
            return self._asks.top(levels)
        return self._asks.top_behind(quote.ask_ticks, quote.ask_lots, levels)

    def bid_lots(self, ticks: int) -> int | None:
        """Lots displayed at a bid of `ticks`; None beyond the levels that are known."""
        quote = self._quote
        return self._bids.at(ticks) if quote is None else self._bids.at_behind(quote.bid_ticks, quote.bid_lots, ticks)

    def ask_lots(self, ticks: int) -> int | None:
        """Lots displayed at an ask of `ticks`; None beyond the levels that are known."""
        quote = self._quote
        return self._asks.at(ticks) if quote is None else self._asks.at_behind(quote.ask_ticks, quote.ask_lots, ticks)

    # --- within ----------------------------------------------------------------------------------------------------

    def _keep(self) -> bool:
        """Nothing was missed: go on with the events that came meanwhile."""
        self._in_doubt, self._in_sync = False, True
        self._kept_ms = self._depth_ms
        buffered, self._buffer = self._buffer, deque(maxlen=_BUFFERED_EVENTS)
        for update in buffered:
            self.apply(update)
        return self._in_sync

    def _write(self, update: DepthUpdate) -> None:
        self._bids.change(update.bids)
        self._asks.change(update.asks)
        self._depth_id = update.last_update_id
        self._depth_ms = update.time_ms
        self._kept_ms = 0
        bid, ask = self._bids.best(), self._asks.best()
        if bid is not None and ask is not None and bid[0] >= ask[0]:
            self._start_again(update)  # a crossed book is a lie, whatever the ids say
        else:
            self._drop_quote_if_old()

    def _start_again(self, update: DepthUpdate) -> None:
        self._forget_levels()
        self._buffer.append(update)

    def _forget_levels(self) -> None:
        self._bids.fill(())
        self._asks.fill(())
        self._buffer.clear()
        self._in_sync = self._in_doubt = False
        self._depth_ms = self._kept_ms = 0

    def _drop_quote_if_old(self) -> None:
        if self._quote is not None and self._quote.update_id <= self._depth_id:
            self._quote = None


class _Levels:
    """One side of the book. Keys are ticks × `sign`, ascending, so that the best is last on both sides: most changes
    happen near the best, where a list moves least."""

    __slots__ = ("_keys", "_lots", "_sign")

    def __init__(self, sign: int) -> None:
        self._sign = sign
        self._lots: dict[int, int] = {}
        self._keys: list[int] = []

    def fill(self, levels: list[tuple[int, int]] | tuple[()]) -> None:
        self._lots = {self._sign * ticks: lots for ticks, lots in levels if lots}
        self._keys = sorted(self._lots)

    def change(self, levels: list[tuple[int, int]]) -> None:
        known, keys, sign = self._lots, self._keys, self._sign
        for ticks, lots in levels:
            key = sign * ticks
            if lots:
                if key not in known:
                    insort(keys, key)
                known[key] = lots
            elif known.pop(key, 0):
                del keys[bisect_left(keys, key)]

    def at(self, ticks: int) -> int | None:
        """None beyond the worst level that is known."""
        key = self._sign * ticks
        if key in self._lots:
            return self._lots[key]
        return None if self._keys and key < self._keys[0] else 0

    def at_behind(self, best: int, lots: int, ticks: int) -> int | None:
        """The same where (best, lots) is laid over the top. No best at all: the side is empty."""
        if ticks == best:
            return lots
        return 0 if not best or self._sign * ticks > self._sign * best else self.at(ticks)

    def best(self) -> tuple[int, int] | None:
        if not self._keys:
            return None
        key = self._keys[-1]
        return self._sign * key, self._lots[key]

    def top(self, levels: int) -> list[tuple[int, int]]:
        known, sign = self._lots, self._sign
        return [(sign * key, known[key]) for key in islice(reversed(self._keys), levels)]

    def top_behind(self, ticks: int, lots: int, levels: int) -> list[tuple[int, int]]:
        """The level (ticks, lots), then the known levels worse than it. No ticks at all: the side is empty."""
        if not ticks:
            return []
        known, sign = self._lots, self._sign
        first = [(ticks, lots)] if lots else []
        end = bisect_left(self._keys, sign * ticks)
        start = max(0, end - max(0, levels - len(first)))
        behind = [(sign * key, known[key]) for key in reversed(self._keys[start:end])]
        return (first + behind)[:levels]
