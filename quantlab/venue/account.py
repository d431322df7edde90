"""The signed side: an account that answers as Binance's would, and orders that are recorded.

An order is accepted and never filled: it rests as NEW until it is cancelled. What matters here is that it is *seen*.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from quantlab.venue.errors import VenueError, bad_symbol, missing, unknown_order

Params = Mapping[str, str]

#: A careful key: reading and spot trading, bound to addresses. Source: Binance wallet docs, checked 2026-11-23.
RESTRICTIONS: dict[str, Any] = {
    "ipRestrict": True,
    "createTime": 1_700_000_000_000,
    "enableReading": True,
    "enableWithdrawals": False,
    "enableInternalTransfer": False,
    "enableMargin": False,
    "enableFutures": False,
    "permitsUniversalTransfer": False,
    "enableVanillaOptions": False,
    "enableFixApiTrade": False,
    "enableFixReadOnly": False,
    "enableSpotAndMarginTrading": True,
    "enablePortfolioMarginTrading": False,
}


class Account:
    """One account behind all keys of the venue. `restrictions` may be changed by whoever tests an audit."""

    def __init__(self, symbols: tuple[str, ...]) -> None:
        self.restrictions = dict(RESTRICTIONS)
        self.orders: list[dict[str, Any]] = []
        self._symbols = symbols

    def answer(self, method: str, path: str, params: Params) -> Any:
        """The answer to a signed request whose signature was right. Raises VenueError."""
        if method == "GET":
            return self._read(path, params)
        if path == "/api/v3/order/test" and method == "POST":
            self._checked(params)
            return {}
        if path == "/api/v3/order" and method == "POST":
            return self._new_order(params)
        if path in ("/api/v3/order", "/api/v3/openOrders") and method == "DELETE":
            return self._cancel(path, params)
        raise VenueError(-1100, "The replay venue records this request and does not play it.", 404)

    def _read(self, path: str, params: Params) -> Any:
        if path == "/api/v3/account":
            return self._balances()
        if path == "/api/v3/account/commission":
            return self._commission(params)
        if path == "/sapi/v1/account/apiRestrictions":
            return self.restrictions
        if path == "/api/v3/openOrders":
            return [o for o in self._of(params) if o["status"] == "NEW"]
        if path == "/api/v3/allOrders":
            return self._of(params)
        if path == "/api/v3/myTrades":
            return []
        if path == "/api/v3/order":
            return self._find(params)
        raise VenueError(-1100, "The replay venue does not have this path.", 404)

    def _balances(self) -> dict[str, Any]:
        return {
            "makerCommission": 10,
            "takerCommission": 10,
            "buyerCommission": 0,
            "sellerCommission": 0,
            "commissionRates": {"maker": "0.00100000", "taker": "0.00100000", "buyer": "0", "seller": "0"},
            "canTrade": True,
            "canWithdraw": False,
            "canDeposit": True,
            "brokered": False,
            "requireSelfTradePrevention": False,
            "preventSor": False,
            "updateTime": 0,
            "accountType": "SPOT",
            "balances": [{"asset": "USDT", "free": "45000.00000000", "locked": "0.00000000"}],
            "permissions": ["SPOT"],
            "uid": 1,
        }

    def _commission(self, params: Params) -> dict[str, Any]:
        rates = {"maker": "0.00100000", "taker": "0.00100000", "buyer": "0.00000000", "seller": "0.00000000"}
        none = dict.fromkeys(rates, "0.00000000")
        discount = {"enabledForAccount": False, "enabledForSymbol": False, "discountAsset": "BNB", "discount": "0.75"}
        return {
            "symbol": self._symbol(params),
            "standardCommission": rates,
            "specialCommission": none,
            "taxCommission": none,
            "discount": discount,
        }

    def _new_order(self, params: Params) -> dict[str, Any]:
        self._checked(params)
        now = time.time_ns() // 1_000_000
        number = len(self.orders) + 1
        order = {
            "symbol": params["symbol"],
            "orderId": number,
            "orderListId": -1,
            "clientOrderId": params.get("newClientOrderId") or f"venue-{number}",
            "transactTime": now,
            "price": params.get("price", "0.00000000"),
            "origQty": params.get("quantity", "0.00000000"),
            "executedQty": "0.00000000",
            "cummulativeQuoteQty": "0.00000000",
            "status": "NEW",
            "timeInForce": params.get("timeInForce", "GTC"),
            "type": params["type"],
            "side": params["side"],
            "workingTime": now,
            "selfTradePreventionMode": "EXPIRE_MAKER",
            "fills": [],
        }
        self.orders.append(order)
        return order

    def _cancel(self, path: str, params: Params) -> Any:
        chosen = [self._find(params)] if path == "/api/v3/order" else self._of(params)
        open_orders = [order for order in chosen if order["status"] == "NEW"]
        if not open_orders:
            raise VenueError(-2011, "Unknown order sent.")
        for order in open_orders:
            order["status"] = "CANCELED"
        return open_orders[0] if path == "/api/v3/order" else open_orders

    def _checked(self, params: Params) -> None:
        self._symbol(params)
        for name in ("side", "type"):
            if not params.get(name):
                raise missing(name)
        if not params.get("quantity") and not params.get("quoteOrderQty"):
            raise missing("quantity")

    def _symbol(self, params: Params) -> str:
        if not params.get("symbol"):
            raise missing("symbol")
        if params["symbol"] not in self._symbols:
            raise bad_symbol()
        return params["symbol"]

    def _of(self, params: Params) -> list[dict[str, Any]]:
        return [order for order in self.orders if params.get("symbol") in (None, order["symbol"])]

    def _find(self, params: Params) -> dict[str, Any]:
        for order in self.orders:
            if (
                params.get("orderId") == str(order["orderId"])
                or params.get("origClientOrderId") == order["clientOrderId"]
            ):
                return order
        raise unknown_order()
