"""A market made from candles: books, quotes and trades are synthesised inside each candle, hour by hour."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from quantlab.model import ConfigurationError, NotFound
from quantlab.model.timeframe import HOUR_MS
from quantlab.venue.market.candles import CandleTable
from quantlab.venue.market.draws import Ints
from quantlab.venue.market.filters import Grid
from quantlab.venue.market.history import offered
from quantlab.venue.market.tape import HOUR_LEAD_MS, Tape, stream_suffix

#: The window ends a second after its last candle, so that this candle is told as closed.
CLOSING_MS = 1000

Event = tuple[str, bytes]


class SyntheticMarket:
    """Plays candle tables (of a folder, or generated) as a market. Implements the venue's `Market`.

    `end_ms` is the end of the last candle played and one second more, in which that candle is told. `left_out` names
    symbols that were not played, and why. Everything is a function of (candles, seed, symbol, time).
    """

    def __init__(
        self,
        kind: str,
        name: str,
        tables: Sequence[CandleTable],
        grids: dict[str, Grid],
        exchange_info: dict[str, Any],
        *,
        seed: int,
        start_ms: int,
        end_ms: int,
        left_out: dict[str, str] | None = None,
    ) -> None:
        self.kind, self.name = kind, name
        self.exchange_info = exchange_info
        self.symbols = tuple(table.symbol for table in tables)
        self.intervals = offered(tables[0].base_ms)
        self.left_out = left_out or {}
        self.start_ms, self.end_ms = start_ms, end_ms + CLOSING_MS
        self.now_ms = start_ms
        self._tapes = {table.symbol: Tape(table, grids[table.symbol], seed, start_ms, end_ms) for table in tables}
        self._hour_ms = start_ms - start_ms % HOUR_MS - HOUR_MS
        self._times: Ints = np.zeros(0, np.int64)
        self._events: list[Event] = []
        self._wanted: frozenset[str] | None = None
        #: Where the last step began and what it gave; and, when it is to be played again, where it ends and for whom.
        self._last: tuple[int, list[Event]] = (-1, [])
        self._again: tuple[int, frozenset[str], list[Event]] | None = None
        self._reach(start_ms)

    def advance(self, to_ms: int, wanted: frozenset[str]) -> list[Event]:
        """Play up to `to_ms` (exclusive): (stream, data) in time order, for the streams in `wanted`.

        Raises ConfigurationError when `to_ms` lies before what was played.
        """
        if to_ms < self.now_ms:
            raise ConfigurationError(f"market time {to_ms} was played already; it stands at {self.now_ms}")
        to_ms = min(to_ms, self.end_ms)
        again, self._again = self._again, None
        if again is not None and again[:2] == (to_ms, wanted):
            self._last = self.now_ms, again[2]
            self.now_ms = to_ms
            return again[2]
        if wanted != self._wanted:
            self._wanted = wanted
            self._merge()
        events = self._take(to_ms)
        while to_ms > self._hour_ms + HOUR_MS + HOUR_LEAD_MS:
            self._load_next()
            events += self._take(to_ms)
        self._last = self.now_ms, events
        self.now_ms = to_ms
        return events

    def go_back(self, to_ms: int) -> bool:
        """By one step only: what it gave is kept, since some of it may be of an hour that is no longer loaded."""
        before_ms, events = self._last
        if to_ms != before_ms or self._wanted is None:
            return False
        self._again = self.now_ms, self._wanted, events
        self.now_ms = to_ms
        return True

    def peek(self, to_ms: int, wanted: frozenset[str]) -> list[Event] | None:
        """What `advance` would return, where that is known already; nothing moves. None where it is not."""
        to_ms = min(to_ms, self.end_ms)
        if self._again or wanted != self._wanted or to_ms > self._hour_ms + HOUR_MS + HOUR_LEAD_MS:
            return None
        return self._take(to_ms)

    def depth(self, symbol: str, limit: int) -> dict[str, Any]:
        return self._tape(symbol).depth(limit, self.now_ms)

    def klines(
        self, symbol: str, interval: str, start_ms: int | None, end_ms: int | None, limit: int
    ) -> list[list[Any]]:
        """Binance's rows as of now, ascending; NotFound for an interval finer than the candles."""
        if interval not in self.intervals:
            raise NotFound(f"{interval}: the candles of this market give {' '.join(self.intervals)}")
        return self._tape(symbol).klines(interval, start_ms, end_ms, limit, self.now_ms)

    def trades(self, symbol: str, limit: int) -> list[dict[str, Any]]:
        return self._tape(symbol).trades(limit, self.now_ms)

    def agg_trades(self, symbol: str, limit: int) -> list[dict[str, Any]]:
        return self._tape(symbol).agg_trades(limit, self.now_ms)

    def ticker_24h(self, symbol: str) -> dict[str, Any]:
        return self._tape(symbol).ticker_24h(self.now_ms)

    def book_ticker(self, symbol: str) -> dict[str, Any]:
        return self._tape(symbol).book_ticker(self.now_ms)

    def _tape(self, symbol: str) -> Tape:
        try:
            return self._tapes[symbol]
        except KeyError:
            raise NotFound(f"{symbol}: not a symbol of this market ({' '.join(self.symbols)})") from None

    def _take(self, to_ms: int) -> list[Event]:
        first, last = np.searchsorted(self._times, (self.now_ms, to_ms))
        return self._events[first:last]

    def _reach(self, time_ms: int) -> None:
        while time_ms > self._hour_ms + HOUR_MS + HOUR_LEAD_MS:
            self._load_next()

    def _load_next(self) -> None:
        self._hour_ms += HOUR_MS
        for tape in self._tapes.values():
            tape.load(self._hour_ms)
        self._merge()

    def _merge(self) -> None:
        """The hour's wanted frames of all symbols in one order, which does not depend on what else is wanted."""
        order = {symbol: number for number, symbol in enumerate(self.symbols)}
        streams = []
        for stream in self._wanted or ():
            symbol, suffix = stream_suffix(stream)
            if symbol in self._tapes:
                streams.append((order[symbol], stream, self._tapes[symbol].frames(suffix)))
        streams.sort(key=lambda entry: entry[:2])
        if not streams:
            self._times, self._events = np.zeros(0, np.int64), []
            return
        times = np.concatenate([frames.time_ms for _, _, frames in streams])
        ranks = np.concatenate([np.full(len(frames.time_ms), frames.rank) for _, _, frames in streams])
        sequence = np.lexsort((ranks, times))
        events = [(stream, payload) for _, stream, frames in streams for payload in frames.payloads]
        self._times, self._events = times[sequence], [events[i] for i in sequence.tolist()]
