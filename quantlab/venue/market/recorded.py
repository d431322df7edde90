"""A recording played as a market: its frames at their engine time, its answers as of the moment they are asked for."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from quantlab.model import TIMEFRAMES, ConfigurationError, MalformedMessage, NotFound
from quantlab.model.timeframe import HOUR_MS
from quantlab.recording import Kind, Recording
from quantlab.venue.market.filters import read_exchange_info, rows_for
from quantlab.venue.market.recorded_state import RecordedSymbol, Row

Event = tuple[str, bytes]


class _Frame(msgspec.Struct):
    stream: str
    data: msgspec.Raw


class _Stamp(msgspec.Struct):
    told: int = msgspec.field(name="E", default=0)
    traded: int = msgspec.field(name="T", default=0)


_FRAME = msgspec.json.Decoder(_Frame)
_STAMP = msgspec.json.Decoder(_Stamp)


class _Contents:
    """What one reading of the whole file finds."""

    def __init__(self, recording: Recording) -> None:
        self.first_ms = self.last_ms = 0
        self.symbols: dict[str, None] = {}
        self.exchange_info: dict[str, Any] | None = None
        self.snapshots: dict[str, list[bytes]] = defaultdict(list)
        self.intervals: set[str] = set()
        candles: list[tuple[int, str, str, bytes]] = []
        for entry in recording:
            if entry.kind is Kind.FRAME:
                stream, _, time_ms = _read(entry.payload, recording.path)
                self.last_ms = max(self.last_ms, time_ms)
                self.first_ms = self.first_ms or self.last_ms
                self.symbols[stream.partition("@")[0].upper()] = None
                if "@kline_" in stream:
                    self.intervals.add(stream.partition("@kline_")[2])
            elif entry.kind is Kind.ANSWER:
                name, _, rest = entry.name.partition(":")
                if name == "exchangeInfo" and self.exchange_info is None:
                    self.exchange_info = msgspec.json.decode(entry.payload)
                elif name == "depth":
                    self.snapshots[rest].append(entry.payload)
                elif name == "klines":
                    candles.append((self.last_ms, *_split(rest), entry.payload))
        if not self.first_ms:
            raise NotFound(f"{recording.path}: no frame with a time in this recording")
        self.candles: dict[str, dict[str, dict[int, Row]]] = defaultdict(lambda: defaultdict(dict))
        for at_ms, symbol, interval, payload in candles:
            self.intervals.add(interval)
            for row in msgspec.json.decode(payload):
                if row[6] < (at_ms or self.first_ms):  # the last row of an answer mostly still formed
                    self.candles[symbol][interval][row[0]] = row


class RecordedMarket:
    """Plays a recording of quantlab. Implements the venue's `Market`.

    Frames come at their engine time: the running maximum of the exchange's stamps. Candles come from recorded answers
    and frames, else from recorded trades. Streams that were not recorded do not exist.
    """

    kind = "recording"

    def __init__(
        self,
        path: Path,
        *,
        exchange_info: Path | None = None,
        from_ms: int | None = None,
        hours: float | None = None,
        symbols: Sequence[str] | None = None,
    ) -> None:
        self._recording = Recording(path)
        contents = _Contents(self._recording)
        body = contents.exchange_info if exchange_info is None else read_exchange_info(exchange_info)
        if body is None:
            raise ConfigurationError(f"{path}: holds no exchangeInfo answer; give --exchange-info FILE")
        known = {row["symbol"] for row in body["symbols"]}
        self.left_out = {s: "no row in the exchangeInfo" for s in contents.symbols if s not in known}
        played = [symbol for symbol in contents.symbols if symbol in known]
        missing = [symbol for symbol in symbols or () if symbol not in played]
        if missing or not played:
            raise NotFound(f"{path}: has no {', '.join(missing) or 'symbol with a row'}; it has {', '.join(played)}")
        self.name = path.name
        self.symbols = tuple(symbol for symbol in played if not symbols or symbol in symbols)
        self.intervals = tuple(name for name in TIMEFRAMES if name in contents.intervals) or tuple(TIMEFRAMES)
        self.exchange_info = rows_for(body, self.symbols)
        self.start_ms = max(contents.first_ms, from_ms or 0)
        self.end_ms = contents.last_ms + 1
        if hours is not None:
            self.end_ms = min(self.end_ms, self.start_ms + int(hours * HOUR_MS))
        if self.start_ms >= self.end_ms:
            raise NotFound(f"{path}: nothing was recorded from the time asked for; it ends at {contents.last_ms} ms")
        self.now_ms = self.start_ms
        self._states = {
            symbol: RecordedSymbol(symbol, contents.snapshots[symbol], contents.candles[symbol])
            for symbol in self.symbols
        }
        self._first_ms = contents.first_ms
        self._frames = self._read_frames()
        self._ahead = next(self._frames, None)
        self._play(self.start_ms, frozenset())

    def advance(self, to_ms: int, wanted: frozenset[str]) -> list[Event]:
        """Play up to `to_ms` (exclusive): (stream, data) in the order received, for the streams in `wanted`."""
        to_ms = min(to_ms, self.end_ms)
        events = self._play(to_ms, wanted)
        self.now_ms = max(self.now_ms, to_ms)
        return events

    def go_back(self, to_ms: int) -> bool:
        """False: a recording's books move with its frames."""
        return False

    def peek(self, to_ms: int, wanted: frozenset[str]) -> list[Event] | None:
        """None: a recording's books move with its frames."""
        return None

    def depth(self, symbol: str, limit: int) -> dict[str, Any]:
        return self._state(symbol).book.answer(limit)

    def klines(self, symbol: str, interval: str, start_ms: int | None, end_ms: int | None, limit: int) -> list[Row]:
        if interval not in self.intervals:
            raise NotFound(f"{interval}: this recording has {' '.join(self.intervals)}")
        return self._state(symbol).klines(interval, start_ms, end_ms, limit, self.now_ms)

    def trades(self, symbol: str, limit: int) -> list[dict[str, Any]]:
        return self._state(symbol).trades(limit)

    def agg_trades(self, symbol: str, limit: int) -> list[dict[str, Any]]:
        return self._state(symbol).agg_trades(limit)

    def ticker_24h(self, symbol: str) -> dict[str, Any]:
        return self._state(symbol).ticker_24h(self.now_ms)

    def book_ticker(self, symbol: str) -> dict[str, Any]:
        return self._state(symbol).book_ticker()

    def _state(self, symbol: str) -> RecordedSymbol:
        try:
            return self._states[symbol]
        except KeyError:
            raise NotFound(f"{symbol}: not in this recording ({' '.join(self.symbols)})") from None

    def _play(self, to_ms: int, wanted: frozenset[str]) -> list[Event]:
        events: list[Event] = []
        states = self._states
        while self._ahead is not None and self._ahead[0] < to_ms:
            _, stream, payload = self._ahead
            name, _, suffix = stream.partition("@")
            state = states.get(name.upper())
            if state is not None:
                state.apply(suffix, payload)
                if stream in wanted:
                    events.append((stream, payload))
                if suffix == "depth@100ms" and (plain := stream[:-6]) in wanted:
                    events.append((plain, payload))
            self._ahead = next(self._frames, None)
        return events

    def _read_frames(self) -> Iterator[tuple[int, str, bytes]]:
        """(engine time, stream, data) of each frame; those before the first stamp come with it."""
        clock = self._first_ms
        for entry in self._recording:
            if entry.kind is Kind.FRAME:
                stream, payload, time_ms = _read(entry.payload, self._recording.path)
                clock = max(clock, time_ms)
                yield clock, stream, payload


def _read(raw: bytes, path: Path) -> tuple[str, bytes, int]:
    """Stream, data and newest stamp (0 where there is none) of a combined-stream frame."""
    try:
        frame = _FRAME.decode(raw)
        payload = bytes(frame.data)
        stamp = _STAMP.decode(payload)
    except msgspec.DecodeError as error:
        raise MalformedMessage(f"{path}: a frame is not of a combined stream ({error})") from error
    return frame.stream, payload, max(stamp.told, stamp.traded)


def _split(rest: str) -> tuple[str, str]:
    symbol, _, interval = rest.partition(":")
    return symbol, interval
