"""What the venue plays: the protocol between its server and the market behind it."""

from __future__ import annotations

from typing import Any, Protocol


class Market(Protocol):
    """A market that is played step by step. Times are UTC ms of market time; payloads are in Binance's form."""

    kind: str  # "generated", "candles" or "recording"
    name: str
    symbols: tuple[str, ...]
    intervals: tuple[str, ...]
    start_ms: int
    end_ms: int
    now_ms: int
    exchange_info: dict[str, Any]

    def advance(self, to_ms: int, wanted: frozenset[str]) -> list[tuple[str, bytes]]:
        """Play up to `to_ms` (exclusive); returns (stream name, JSON data) in order of time for the streams in
        `wanted`. What happens never depends on `wanted`."""
        ...

    def go_back(self, to_ms: int) -> bool:
        """Play the last step, which began at `to_ms`, again as it was. False, and nothing is changed, where that
        cannot be."""
        ...

    def peek(self, to_ms: int, wanted: frozenset[str]) -> list[tuple[str, bytes]] | None:
        """What `advance` would return, where that is known already; nothing moves. None where it is not."""
        ...

    def depth(self, symbol: str, limit: int) -> dict[str, Any]: ...

    def klines(
        self, symbol: str, interval: str, start_ms: int | None, end_ms: int | None, limit: int
    ) -> list[list[Any]]: ...

    def trades(self, symbol: str, limit: int) -> list[dict[str, Any]]: ...

    def agg_trades(self, symbol: str, limit: int) -> list[dict[str, Any]]: ...

    def ticker_24h(self, symbol: str) -> dict[str, Any]: ...

    def book_ticker(self, symbol: str) -> dict[str, Any]: ...
