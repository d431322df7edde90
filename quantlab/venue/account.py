"""The signed side: one account behind all keys, and the endpoints that need a signature.

Several keys of one account are what a rotation needs; who wants a second account starts a second venue.

Payload forms: Binance spot REST docs, "Account endpoints", and wallet docs, "API key permission", checked 2026-11-23.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, NamedTuple

from quantlab.venue import errors, order_request, parameters
from quantlab.venue.balances import Balances
from quantlab.venue.cancelling import Cancelling
from quantlab.venue.keys import Key
from quantlab.venue.order_count import OrderCount
from quantlab.venue.order_lists import OrderLists
from quantlab.venue.order_queries import OrderQueries
from quantlab.venue.orders import FEE, Orders
from quantlab.venue.parameters import SIGNED, Params
from quantlab.venue.source import Market
from quantlab.venue.user_stream import UserStream

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

#: What the account owns at first, unless the venue is told otherwise.
START = {"USDT": Decimal(45_000)}

_RATE = f"{FEE:.8f}"
_NONE = "0.00000000"
#: Requests that place orders, and are told the unfilled order count.
_PLACING = frozenset(
    {("POST", "/api/v3/order"), ("POST", "/api/v3/order/cancelReplace"), ("POST", "/api/v3/orderList/oco")}
)

_DISCOUNT = {
    "enabledForAccount": False,
    "enabledForSymbol": False,
    "discountAsset": "BNB",
    "discount": "0.75000000",
}

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
    """One account behind all keys of the venue. `balances` is what it owns at first, by asset.

    `restrictions` are every key's, but for what it has of its own; they may be changed by whoever tests an audit. Only
    spot trading is enforced: the other permissions are told, and open nothing here.
    """

    def __init__(self, market: Market, balances: Mapping[str, Decimal] | None = None) -> None:
        self.restrictions = dict(RESTRICTIONS)
        self._market = market
        self.balances = Balances(START if balances is None else balances)
        self.stream = UserStream(self.balances, lambda: market.now_ms)
        self.count = OrderCount(market.exchange_info.get("rateLimits", ()))
        self.orders = orders = Orders(market, self.balances, self.stream, self.count)
        self._lists = lists = OrderLists(market, orders, self.stream, self.count)
        queries = OrderQueries(orders, market.symbols)
        cancelling = Cancelling(orders, lists, queries, self.count, market.symbols)
        #: By (method, path).
        self.endpoints: dict[tuple[str, str], SignedEndpoint] = {
            ("GET", "/api/v3/account"): _signed(self._information, "omitZeroBalances"),
            ("GET", "/api/v3/account/commission"): _signed(self._commission, "symbol"),
            ("GET", "/api/v3/rateLimit/order"): _signed(lambda params: self.count.rows),
            ("GET", "/sapi/v1/account/apiRestrictions"): SignedEndpoint(
                lambda params, key: self.restrictions_of(key), SIGNED
            ),
            ("GET", "/api/v3/order"): _signed(queries.order, "symbol orderId origClientOrderId"),
            ("GET", "/api/v3/openOrders"): _signed(queries.open, "symbol"),
            ("GET", "/api/v3/allOrders"): _signed(queries.all, "symbol orderId startTime endTime limit"),
            ("GET", "/api/v3/myTrades"): _signed(queries.trades, "symbol orderId startTime endTime fromId limit"),
            ("POST", "/api/v3/order"): _signed(orders.place, _NEW_ORDER),
            ("POST", "/api/v3/order/test"): _signed(self._test_order, _NEW_ORDER + " computeCommissionRates"),
            ("DELETE", "/api/v3/order"): _signed(
                cancelling.one, "symbol orderId origClientOrderId newClientOrderId cancelRestrictions"
            ),
            ("DELETE", "/api/v3/openOrders"): _signed(cancelling.all, "symbol"),
            ("POST", "/api/v3/order/cancelReplace"): _signed(
                cancelling.replace,
                _NEW_ORDER + " cancelReplaceMode cancelNewClientOrderId cancelOrigClientOrderId cancelOrderId "
                "cancelRestrictions orderRateLimitExceededMode",
            ),
            ("POST", "/api/v3/orderList/oco"): _signed(lists.place, _PAIR),
            ("DELETE", "/api/v3/orderList"): _signed(
                lists.cancel, "symbol orderListId listClientOrderId newClientOrderId"
            ),
            ("GET", "/api/v3/orderList"): _signed(lists.query, "orderListId origClientOrderId"),
            ("GET", "/api/v3/openOrderList"): _signed(lists.open),
        }

    @property
    def now_ms(self) -> int:
        """The market's time."""
        return self._market.now_ms

    def answer(self, method: str, path: str, params: Params, key: Key) -> Any:
        """Answer a request that `key` signed. Raises VenueError: -2015 for an order of a key that may not trade."""
        endpoint = self.endpoints[method, path]
        if method != "GET" and self.restrictions_of(key).get("enableSpotAndMarginTrading") is not True:
            raise errors.rejected_key()
        parameters.check_names(params, endpoint.known)
        try:
            return endpoint.answer(params, key)
        finally:
            self._lists.tell_ends()

    def advance(self) -> None:
        """Market time has moved: let the open orders meet what happened."""
        if self.orders.open:
            self.orders.advance()
            self._lists.tell_ends()

    def order_counts(self, method: str, path: str) -> list[dict[str, Any]]:
        """The unfilled order counts that an answered request is told: none unless it placed orders."""
        return self.count.rows if (method, path) in _PLACING else []

    def restrictions_of(self, key: Key) -> dict[str, Any]:
        """What apiRestrictions answers to `key`."""
        return {**self.restrictions, **key.restrictions}

    def set_balances(self, balances: Mapping[str, Decimal]) -> None:
        """Make what is free of each asset as given, as a deposit or withdrawal would; what is locked stays."""
        for asset, amount in balances.items():
            self.balances.add(asset, amount - self.balances.free(asset))
        self.stream.position()

    def told(self) -> dict[str, Any]:
        """All of the account, for whoever tests with it: balances, orders and trades as queries answer them."""
        return {
            "balances": self._rows(),
            "orders": [order.row for order in self.orders.all],
            "trades": list(self.orders.trades),
        }

    def _information(self, params: Params) -> dict[str, Any]:
        rows = self._rows()
        if params.get("omitZeroBalances") == "true":
            rows = [row for row in rows if row["free"] != _NONE or row["locked"] != _NONE]
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
            "balances": rows,
            "permissions": ["SPOT"],
            "uid": 1,
        }

    def _rows(self) -> list[dict[str, str]]:
        """Every asset that was ever held, and every other one of the market."""
        traded = (
            asset for row in self._market.exchange_info["symbols"] for asset in (row["baseAsset"], row["quoteAsset"])
        )
        assets = dict.fromkeys((*self.balances.assets, *traded))
        return [
            {"asset": asset, "free": free, "locked": locked}
            for asset in assets
            for free, locked in (self.balances.row(asset),)
        ]

    def _commission(self, params: Params) -> dict[str, Any]:
        none = {"maker": _NONE, "taker": _NONE, "buyer": _NONE, "seller": _NONE}
        return {
            "symbol": parameters.symbol(params, self._market.symbols),
            "standardCommission": {**none, "maker": _RATE, "taker": _RATE},
            "specialCommission": none,
            "taxCommission": none,
            "discount": _DISCOUNT,
        }

    def _test_order(self, params: Params) -> dict[str, Any]:
        self.orders.admit(order_request.read(params, self._market.symbols))
        if params.get("computeCommissionRates") != "true":
            return {}
        none = {"maker": _NONE, "taker": _NONE}
        return {
            "standardCommissionForOrder": {"maker": _RATE, "taker": _RATE},
            "specialCommissionForOrder": none,
            "taxCommissionForOrder": none,
            "discount": _DISCOUNT,
        }


def _signed(answer: Callable[[Params], Any], known: str = "") -> SignedEndpoint:
    return SignedEndpoint(lambda params, key: answer(params), frozenset(known.split()) | SIGNED)
