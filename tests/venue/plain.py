"""A market of two symbols that a test can read off: each stream has one event a second, numbered from 1."""

from __future__ import annotations

import json
from typing import Any

import aiohttp

from quantlab.venue.market.filters import exchange_info_of, symbol_row

#: 2025-06-02 09:00 UTC.
START_MS = 1_748_854_800_000
STREAMS = tuple(f"{name}@{kind}" for name in ("aaausdt", "bbbusdt") for kind in ("bookTicker", "trade", "depth@100ms"))


class PlainMarket:
    """Event n of a stream comes n seconds after the start, less half a second. The touch is 99.99 / 100.01."""

    kind, name = "generated", "plain"
    symbols = ("AAAUSDT", "BBBUSDT")
    intervals = ("1m", "5m")

    def __init__(self, seconds: int = 60) -> None:
        self.start_ms = self.now_ms = START_MS
        self.end_ms = START_MS + seconds * 1000
        self.exchange_info: dict[str, Any] = exchange_info_of(
            [symbol_row("AAA", "USDT", 2, 3), symbol_row("BBB", "USDT", 2, 3)], START_MS
        )

    @property
    def told(self) -> int:
        """How many events each stream has had."""
        return (self.now_ms - self.start_ms + 500) // 1000

    def go_back(self, to_ms: int) -> bool:
        self.now_ms = to_ms
        return True

    def peek(self, to_ms: int, wanted: frozenset[str]) -> list[tuple[str, bytes]] | None:
        return None

    def advance(self, to_ms: int, wanted: frozenset[str]) -> list[tuple[str, bytes]]:
        before = self.told
        self.now_ms = to_ms
        chosen = [stream for stream in STREAMS if stream in wanted]
        return [(stream, b'{"n":%d}' % n) for n in range(before + 1, self.told + 1) for stream in chosen]

    def depth(self, symbol: str, limit: int) -> dict[str, Any]:
        levels = min(limit, 50)
        bids = [[f"{99.99 - i / 100:.8f}", "1.00000000"] for i in range(levels)]
        asks = [[f"{100.01 + i / 100:.8f}", "1.00000000"] for i in range(levels)]
        return {"lastUpdateId": 5_000 + self.told, "bids": bids, "asks": asks}

    def klines(
        self, symbol: str, interval: str, start_ms: int | None, end_ms: int | None, limit: int
    ) -> list[list[Any]]:
        return [[start_ms, end_ms, limit]]

    def trades(self, symbol: str, limit: int) -> list[dict[str, Any]]:
        """Trade n at n seconds before the start: quantity n, price 100 + n."""
        return [
            {
                "id": 1001 - n, "price": f"{100 + n}.00000000", "qty": f"{n}.00000000", "quoteQty": "0.00000000",
                "time": self.start_ms - n * 1000, "isBuyerMaker": True, "isBestMatch": True,
            }
            for n in range(min(limit, 1000), 0, -1)
        ]  # fmt: skip

    def agg_trades(self, symbol: str, limit: int) -> list[dict[str, Any]]:
        return [{"a": row["id"], "T": row["time"]} for row in self.trades(symbol, limit)]

    def ticker_24h(self, symbol: str) -> dict[str, Any]:
        names = "openPrice highPrice lowPrice lastPrice volume quoteVolume openTime closeTime firstId lastId count"
        return {"symbol": symbol, **dict.fromkeys(names.split(), "1.00000000"), "bidPrice": "99.99000000"}

    def book_ticker(self, symbol: str) -> dict[str, Any]:
        return {
            "symbol": symbol, "bidPrice": "99.99000000", "bidQty": "1.00000000",
            "askPrice": "100.01000000", "askQty": "1.00000000",
        }  # fmt: skip


class BrokenMarket(PlainMarket):
    """Cannot be played beyond its first seconds."""

    def advance(self, to_ms: int, wanted: frozenset[str]) -> list[tuple[str, bytes]]:
        if self.told >= 3:
            raise ValueError("the tape tore")
        return super().advance(to_ms, wanted)


async def numbers(socket: aiohttp.ClientWebSocketResponse, count: int) -> list[int]:
    """The numbers of the next `count` events on a raw or combined socket."""
    found = []
    for _ in range(count):
        frame = await socket.receive_json(timeout=5)
        found.append(frame.get("data", frame)["n"])
    return found


def order(**changes: str) -> dict[str, str]:
    """A market order for one AAA, with `changes`."""
    return {"symbol": "AAAUSDT", "side": "BUY", "type": "MARKET", "quantity": "1", **changes}


def command(method: str, *params: object, number: object = 1) -> str:
    """A command of the market streams as it is sent."""
    return json.dumps({"method": method, "params": list(params), "id": number})
