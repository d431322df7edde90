"""The ticker streams: once a second of market time what `GET /api/v3/ticker/24hr` says, if it changed.

Source: Binance spot WebSocket streams docs, "Mini Ticker" and "Ticker" streams, checked 2026-11-23. `!ticker@arr` is
not among them any more.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import msgspec

from quantlab.venue.source import Market

ALL_MINI = "!miniTicker@arr"
PERIOD_MS = 1_000

_MINI = {
    "s": "symbol",
    "c": "lastPrice",
    "o": "openPrice",
    "h": "highPrice",
    "l": "lowPrice",
    "v": "volume",
    "q": "quoteVolume",
}
_FULL = {
    "s": "symbol",
    "p": "priceChange",
    "P": "priceChangePercent",
    "w": "weightedAvgPrice",
    "x": "prevClosePrice",
    "c": "lastPrice",
    "Q": "lastQty",
    "b": "bidPrice",
    "B": "bidQty",
    "a": "askPrice",
    "A": "askQty",
    "o": "openPrice",
    "h": "highPrice",
    "l": "lowPrice",
    "v": "volume",
    "q": "quoteVolume",
    "O": "openTime",
    "C": "closeTime",
    "F": "firstId",
    "L": "lastId",
    "n": "count",
}
_TIMES = ("openTime", "closeTime")


def is_ticker(stream: str) -> bool:
    """Whether this module plays `stream`, and not the market."""
    return stream == ALL_MINI or stream.endswith(("@ticker", "@miniTicker"))


class Tickers:
    """What `market` says of its symbols' last 24 hours. Nothing is computed of symbols that nobody asks for."""

    def __init__(self, market: Market) -> None:
        self._market = market
        self._second = -1
        self._said: dict[str, dict[str, Any]] = {}

    def due(self, wanted: Collection[str]) -> list[tuple[str, bytes]]:
        """(stream, JSON data) for the streams of `wanted` that are tickers, when a second has passed since the last."""
        market = self._market
        second = market.now_ms // PERIOD_MS
        if second == self._second:
            return []
        self._second = second
        tickers = sorted(filter(is_ticker, wanted))
        named = {stream.partition("@")[0].upper() for stream in tickers if stream != ALL_MINI}
        changed = {
            symbol: row
            for symbol in market.symbols
            if (ALL_MINI in tickers or symbol in named) and (row := self._changed(symbol)) is not None
        }
        return [(stream, data) for stream in tickers if (data := self._data(stream, changed))]

    def _changed(self, symbol: str) -> dict[str, Any] | None:
        row = self._market.ticker_24h(symbol)
        before, self._said[symbol] = self._said.get(symbol), row
        if before is not None and all(row[name] == before[name] for name in row if name not in _TIMES):
            return None
        return row

    def _data(self, stream: str, changed: dict[str, dict[str, Any]]) -> bytes:
        if stream == ALL_MINI:
            rows = [self._event("24hrMiniTicker", _MINI, row) for row in changed.values()]
            return msgspec.json.encode(rows) if rows else b""
        name, _, kind = stream.partition("@")
        row = changed.get(name.upper())
        if row is None:
            return b""
        event = ("24hrTicker", _FULL) if kind == "ticker" else ("24hrMiniTicker", _MINI)
        return msgspec.json.encode(self._event(*event, row))

    def _event(self, kind: str, fields: dict[str, str], row: dict[str, Any]) -> dict[str, Any]:
        return {"e": kind, "E": self._market.now_ms} | {short: row[name] for short, name in fields.items()}
