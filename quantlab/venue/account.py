"""The signed side: one account behind all keys, and the endpoints that need a signature.

Payload forms: Binance spot REST docs, "Account endpoints", and wallet docs, "API key permission", checked 2026-11-23.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from quantlab.venue import errors, parameters
from quantlab.venue.keys import Key
from quantlab.venue.orders import Orders
from quantlab.venue.parameters import SIGNED, Params
from quantlab.venue.source import Market

#: What a key may do unless it says otherwise, a careful one: reading and spot trading, bound to addresses.
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

_RATE = "0.00100000"
_NONE = "0.00000000"

_NEW_ORDER = (
    "symbol side type timeInForce quantity quoteOrderQty price newClientOrderId strategyId strategyType stopPrice "
    "trailingDelta icebergQty newOrderRespType selfTradePreventionMode pegPriceType pegOffsetValue pegOffsetType"
)
_LEG = (
    "Type ClientOrderId IcebergQty Price StopPrice TrailingDelta TimeInForce StrategyId StrategyType PegPriceType "
    "PegOffsetType PegOffsetValue"
)
_PAIR = "symbol listClientOrderId side quantity newOrderRespType selfTradePreventionMode " + " ".join(
    leg + name for leg in ("above", "below") for name in _LEG.split()
)


class SignedEndpoint(NamedTuple):
    """How a signed request is answered, and the parameters it has."""

    answer: Callable[[Params, Key], Any]
    known: frozenset[str]


class Account:
    """One account behind all keys of the venue.

    `restrictions` are every key's, but for what it has of its own; they may be changed by whoever tests an audit. Only
    spot trading is enforced: the other permissions are told, and open nothing here. Balances do not move with the
    orders the venue accepts.
    """

    def __init__(self, market: Market) -> None:
        self.restrictions = dict(RESTRICTIONS)
        self.orders = Orders(market)
        self._market = market
        orders = self.orders
        #: By (method, path).
        self.endpoints: dict[tuple[str, str], SignedEndpoint] = {
            ("GET", "/api/v3/account"): _signed(self._balances, "omitZeroBalances"),
            ("GET", "/api/v3/account/commission"): _signed(self._commission, "symbol"),
            ("GET", "/sapi/v1/account/apiRestrictions"): SignedEndpoint(
                lambda params, key: self.restrictions_of(key), SIGNED
            ),
            ("GET", "/api/v3/order"): _signed(orders.find, "symbol orderId origClientOrderId"),
            ("GET", "/api/v3/openOrders"): _signed(lambda params: orders.of(params, open_only=True), "symbol"),
            ("GET", "/api/v3/allOrders"): _signed(self._all_orders, "symbol orderId startTime endTime limit"),
            ("GET", "/api/v3/myTrades"): _signed(self._trades, "symbol orderId startTime endTime fromId limit"),
            ("POST", "/api/v3/order"): _signed(orders.place, _NEW_ORDER),
            ("POST", "/api/v3/order/test"): _signed(self._test_order, _NEW_ORDER + " computeCommissionRates"),
            ("DELETE", "/api/v3/order"): _signed(
                orders.cancel, "symbol orderId origClientOrderId newClientOrderId cancelRestrictions"
            ),
            ("DELETE", "/api/v3/openOrders"): _signed(orders.cancel_all, "symbol"),
            ("POST", "/api/v3/order/cancelReplace"): _signed(
                orders.replace,
                _NEW_ORDER + " cancelReplaceMode cancelNewClientOrderId cancelOrigClientOrderId cancelOrderId "
                "cancelRestrictions orderRateLimitExceededMode",
            ),
            ("POST", "/api/v3/orderList/oco"): _signed(orders.place_pair, _PAIR),
        }

    def answer(self, method: str, path: str, params: Params, key: Key) -> Any:
        """Answer a request that `key` signed. Raises VenueError: -2015 for an order of a key that may not trade."""
        endpoint = self.endpoints[method, path]
        if method != "GET" and self.restrictions_of(key).get("enableSpotAndMarginTrading") is not True:
            raise errors.rejected_key()
        parameters.check_names(params, endpoint.known)
        return endpoint.answer(params, key)

    def restrictions_of(self, key: Key) -> dict[str, Any]:
        """What apiRestrictions answers to `key`."""
        return {**self.restrictions, **key.restrictions}

    def _balances(self, params: Params) -> dict[str, Any]:
        return {
            "makerCommission": 10,
            "takerCommission": 10,
            "buyerCommission": 0,
            "sellerCommission": 0,
            "commissionRates": {"maker": _RATE, "taker": _RATE, "buyer": _NONE, "seller": _NONE},
            "canTrade": True,
            "canWithdraw": False,
            "canDeposit": True,
            "brokered": False,
            "requireSelfTradePrevention": False,
            "preventSor": False,
            "updateTime": self._market.now_ms,
            "accountType": "SPOT",
            "balances": [{"asset": "USDT", "free": "45000.00000000", "locked": _NONE}],
            "permissions": ["SPOT"],
            "uid": 1,
        }

    def _commission(self, params: Params) -> dict[str, Any]:
        none = {"maker": _NONE, "taker": _NONE, "buyer": _NONE, "seller": _NONE}
        return {
            "symbol": parameters.symbol(params, self._market.symbols),
            "standardCommission": {**none, "maker": _RATE, "taker": _RATE},
            "specialCommission": none,
            "taxCommission": none,
            "discount": {
                "enabledForAccount": False,
                "enabledForSymbol": False,
                "discountAsset": "BNB",
                "discount": "0.75000000",
            },
        }

    def _test_order(self, params: Params) -> dict[str, Any]:
        self.orders.check(params)
        return {}

    def _all_orders(self, params: Params) -> list[dict[str, Any]]:
        parameters.symbol(params, self._market.symbols)
        first = parameters.integer(params, "orderId") or 0
        rows = [row for row in self.orders.of(params) if row["orderId"] >= first and _within(params, row)]
        return rows[-parameters.limit(params, 500, 1000) :]

    def _trades(self, params: Params) -> list[dict[str, Any]]:
        symbol = parameters.symbol(params, self._market.symbols)
        order, first = parameters.integer(params, "orderId"), parameters.integer(params, "fromId") or 0
        own = [row for row in self.orders.trades if row["symbol"] == symbol and row["id"] >= first]
        rows = [row for row in own if order in (None, row["orderId"]) and _within(params, row)]
        return rows[-parameters.limit(params, 500, 1000) :]


def _signed(answer: Callable[[Params], Any], known: str = "") -> SignedEndpoint:
    return SignedEndpoint(lambda params, key: answer(params), frozenset(known.split()) | SIGNED)


def _within(params: Params, row: dict[str, Any]) -> bool:
    start, end = parameters.integer(params, "startTime"), parameters.integer(params, "endTime")
    return (start is None or row["time"] >= start) and (end is None or row["time"] <= end)
