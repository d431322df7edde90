"""Candles from the exchange into the history, in pages, within the weight budget."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import msgspec
import polars as pl

from quantlab.lab.reader import MarketReader
from quantlab.market.history import SCHEMA, History
from quantlab.model import ConfigurationError, NotFound, timeframe_ms

#: One candle, as the columns of a history.
Row = tuple[float, ...]

_PAGE = 1_000
#: Pages that are written together: some seconds of asking are lost at most when it is interrupted.
_AT_ONCE = 20


def pull(
    history: History,
    reader: MarketReader,
    symbols: Sequence[str],
    timeframe: str,
    from_ms: int,
    to_ms: int | None = None,
    *,
    now_ms: int,
    on_progress: Callable[[str, int, int], None] | None = None,
) -> dict[str, int]:
    """Closed candles from `from_ms` to `to_ms` (default: the exchange's now), and the symbols' filters. Interrupted, it
    goes on where it stopped. `on_progress` hears (symbol, ms done, ms in all). Returns how many are new by symbol;
    raises ConfigurationError, NotFound and the door's errors."""
    length_ms = timeframe_ms(timeframe)
    there_ms = reader.ask(lambda door: door.rest.server_time_ms())
    end_ms = there_ms if to_ms is None else min(to_ms, there_ms)
    if end_ms <= from_ms:
        raise ConfigurationError(f"from {_utc(from_ms)} is not before the end, {_utc(end_ms)}")
    history.keep_filters(reader.ask(lambda door: door.rest.exchange_info(symbols)), symbols, _utc(there_ms)[:10])
    new = dict.fromkeys(symbols, 0)
    for symbol in symbols:
        rows = list[Row]()
        at_ms = _known_to(history, reader, symbol, timeframe, from_ms, end_ms)
        while at_ms < end_ms:
            page = _page(reader, symbol, timeframe, at_ms, end_ms)
            rows += page
            at_ms = int(page[-1][0]) + length_ms if page else end_ms
            if len(rows) >= _AT_ONCE * _PAGE or at_ms >= end_ms:
                frame = pl.DataFrame(rows, schema=SCHEMA, orient="row")
                new[symbol] += history.add(symbol, timeframe, frame, source=reader.label, now_ms=max(now_ms, there_ms))
                rows = []
            if on_progress is not None:
                on_progress(symbol, at_ms - from_ms, end_ms - from_ms)
    return new


def _known_to(
    history: History, reader: MarketReader, symbol: str, timeframe: str, from_ms: int, end_ms: int
) -> int:  # fmt: skip
    """Where to go on: behind the newest candle that is kept, where the oldest is the first that there is."""
    try:
        frame = history.candles(symbol, timeframe, from_ms)
    except NotFound:
        return from_ms
    oldest = _page(reader, symbol, timeframe, from_ms, end_ms, 1)
    if not oldest or frame["open_time"][0] > oldest[0][0]:
        return from_ms
    return int(frame["open_time"][-1]) + timeframe_ms(timeframe)


def _page(
    reader: MarketReader, symbol: str, timeframe: str, at_ms: int, end_ms: int, limit: int = _PAGE
) -> list[Row]:  # fmt: skip
    """Closed candles from `at_ms` on."""
    raw = reader.ask(lambda door: door.rest.klines(symbol, timeframe, start_ms=at_ms, end_ms=end_ms - 1, limit=limit))
    rows = [(int(row[0]), *map(float, row[1:6]), int(row[6])) for row in msgspec.json.decode(raw)]
    return [row[:6] for row in rows if row[6] < end_ms]


def _utc(time_ms: int) -> str:
    return f"{datetime.fromtimestamp(time_ms / 1000, UTC):%Y-%m-%d %H:%M} UTC"
