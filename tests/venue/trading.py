"""A market that a test moves by hand, and an account on it."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

from quantlab.venue.account import Account
from quantlab.venue.keys import Key
from quantlab.venue.market.filters import exchange_info_of, symbol_row

START_MS = 1_748_854_800_000
KEY = Key("k" * 64, "hmac", lambda payload, signature: True)


class HandMarket:
    """Books and trades are what the test says. Trades come at the market's time."""

    kind, name = "generated", "by hand"
    symbols = ("AAAUSDT", "BBBUSDT")
    intervals = ("1m",)

    def __init__(self) -> None:
        self.start_ms = self.now_ms = START_MS
        self.end_ms = START_MS + 86_400_000
        self.exchange_info: dict[str, Any] = exchange_info_of(
            [symbol_row("AAA", "USDT", 2, 3), symbol_row("BBB", "USDT", 2, 3)], START_MS
        )
        self.books: dict[str, tuple[list[tuple[str, str]], list[tuple[str, str]]]] = {}
        self._trades: dict[str, list[dict[str, Any]]] = {symbol: [] for symbol in self.symbols}
        for symbol in self.symbols:
            self.book(symbol, [("99.9", "1"), ("99.8", "2")], [("100.1", "1"), ("100.2", "2")])
            self.trade("100", "1", symbol=symbol)

    def book(self, symbol: str, bids: list[tuple[str, str]], asks: list[tuple[str, str]]) -> None:
        self.books[symbol] = (bids, asks)

    def trade(self, price: str, quantity: str, *, sold: bool = True, symbol: str = "AAAUSDT") -> None:
        """The market trades; `sold` says that the taker sold."""
        rows = self._trades[symbol]
        self.now_ms += 1
        rows.append(
            {"id": len(rows) + 1, "price": price, "qty": quantity, "time": self.now_ms, "isBuyerMaker": sold}
        )  # fmt: skip

    def advance(self, to_ms: int, wanted: frozenset[str]) -> list[tuple[str, bytes]]:
        self.now_ms = to_ms
        return []

    def peek(self, to_ms: int, wanted: frozenset[str]) -> list[tuple[str, bytes]] | None:
        return None

    def depth(self, symbol: str, limit: int) -> dict[str, Any]:
        bids, asks = self.books[symbol]
        return {"lastUpdateId": 1, "bids": [list(x) for x in bids[:limit]], "asks": [list(x) for x in asks[:limit]]}

    def klines(
        self, symbol: str, interval: str, start_ms: int | None, end_ms: int | None, limit: int
    ) -> list[list[Any]]:
        return []

    def trades(self, symbol: str, limit: int) -> list[dict[str, Any]]:
        return self._trades[symbol][-limit:]

    def agg_trades(self, symbol: str, limit: int) -> list[dict[str, Any]]:
        return []

    def ticker_24h(self, symbol: str) -> dict[str, Any]:
        last = self._trades[symbol][-1]
        return {"symbol": symbol, "lastPrice": last["price"], "closeTime": last["time"]}

    def book_ticker(self, symbol: str) -> dict[str, Any]:
        (bid, *_), (ask, *_) = (side or [("0", "0")] for side in self.books[symbol])
        return {"symbol": symbol, "bidPrice": bid[0], "bidQty": bid[1], "askPrice": ask[0], "askQty": ask[1]}


class Desk:
    """Sends requests to an account as a signed client would, and keeps the events that it is told."""

    def __init__(self, **balances: str) -> None:
        self.market = HandMarket()
        start = {asset: Decimal(amount) for asset, amount in balances.items()} if balances else None
        self.account = Account(self.market, start)
        self.events: list[dict[str, Any]] = []
        self.account.stream.listen(self.events.append)

    def ask(self, method: str, path: str, **params: object) -> Any:
        sent = {name: str(value) for name, value in params.items()}
        return json.loads(json.dumps(self.account.answer(method, f"/api/v3/{path}", sent, KEY)))

    def order(self, side: str = "BUY", type: str = "MARKET", **params: object) -> Any:
        asked = {"symbol": "AAAUSDT", "newOrderRespType": "FULL", **params}
        return self.ask("POST", "order", side=side, type=type, **asked)

    def limit(self, side: str, price: str, quantity: str, **params: object) -> Any:
        return self.order(side, "LIMIT", **{"timeInForce": "GTC", "price": price, "quantity": quantity, **params})

    def query(self, order: dict[str, Any]) -> Any:
        return self.ask("GET", "order", symbol=order["symbol"], orderId=order["orderId"])

    def cancel(self, order: dict[str, Any], **params: object) -> Any:
        return self.ask("DELETE", "order", symbol=order["symbol"], orderId=order["orderId"], **params)

    def trade(self, price: str, quantity: str, *, sold: bool = True, symbol: str = "AAAUSDT") -> None:
        """The market trades, and the account's orders meet it."""
        self.market.trade(price, quantity, sold=sold, symbol=symbol)
        self.account.advance()

    def balance(self, asset: str) -> tuple[str, str]:
        rows = self.ask("GET", "account")["balances"]
        return next((row["free"], row["locked"]) for row in rows if row["asset"] == asset)

    def told(self, kind: str) -> list[dict[str, Any]]:
        """The events of a kind so far; they are forgotten."""
        found = [event for event in self.events if event["e"] == kind]
        self.events.clear()
        return found
