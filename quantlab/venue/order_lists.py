"""One-cancels-the-other pairs: two orders over one quantity, of which the first to trade ends the other.

Source: Binance spot REST docs, "New order list - OCO" and "Cancel order list", checked 2026-11-23. Both legs share what
is locked, and the dearer one says how much that is: the docs leave it open. OTO, OTOCO and OPO lists are not played.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from quantlab.venue import errors, order_request, parameters
from quantlab.venue.errors import VenueError
from quantlab.venue.order import Order, Request, Row
from quantlab.venue.order_count import OrderCount
from quantlab.venue.orders import Orders, need_of
from quantlab.venue.parameters import Params
from quantlab.venue.source import Market
from quantlab.venue.user_stream import UserStream

_STOPS = ("STOP_LOSS", "STOP_LOSS_LIMIT")
_TARGETS = ("LIMIT_MAKER", "TAKE_PROFIT", "TAKE_PROFIT_LIMIT")
_SHARED = ("symbol", "side", "quantity", "selfTradePreventionMode")


@dataclass
class OrderList:
    """`legs` are its orders, in the order in which they were entered."""

    number: int
    client_id: str
    symbol: str
    time_ms: int
    legs: list[Order]

    @property
    def is_open(self) -> bool:
        return any(leg.is_open for leg in self.legs)

    @property
    def row(self) -> Row:
        """As a query answers it."""
        return {
            "orderListId": self.number,
            "contingencyType": "OCO",
            "listStatusType": "EXEC_STARTED" if self.is_open else "ALL_DONE",
            "listOrderStatus": "EXECUTING" if self.is_open else "ALL_DONE",
            "listClientOrderId": self.client_id,
            "transactionTime": self.time_ms,
            "symbol": self.symbol,
            "orders": [
                {"symbol": self.symbol, "orderId": leg.number, "clientOrderId": leg.client_id} for leg in self.legs
            ],
        }


class OrderLists:
    """The pairs of one account, oldest first."""

    def __init__(self, market: Market, orders: Orders, stream: UserStream, count: OrderCount) -> None:
        self._market, self._orders, self._stream, self._count = market, orders, stream, count
        self._lists: list[OrderList] = []
        self._told: set[int] = set()  # those whose end was told

    def place(self, params: Params) -> Row:
        """Enter both orders of a pair, or neither. Raises VenueError."""
        above, below = (order_request.read(_leg(params, name), self._market.symbols) for name in ("above", "below"))
        client_id = order_request.client_id(params, "listClientOrderId")
        shows = params.get("newOrderRespType", "RESULT")
        self._check(above, below, client_id)
        quantities = [self._orders.admit(leg) for leg in (above, below)]
        self._count.take(2)
        for leg, quantity in zip((above, below), quantities, strict=True):
            self._orders.check(leg, quantity)
        if above.client_id and above.client_id == below.client_id:
            raise errors.rejected_order("Duplicate order sent.")
        shared = max(need_of(leg, quantity) for leg, quantity in zip((above, below), quantities, strict=True))
        number = len(self._lists) + 1
        legs = [self._orders.accept(above, quantities[0], number, shared)]
        legs.append(self._orders.accept(below, quantities[1], number, Decimal(0)))
        self._orders.lists[number] = legs
        made = OrderList(number, client_id or f"venuelist{number}", above.symbol, self._market.now_ms, legs)
        self._lists.append(made)
        self._stream.list_status(made.row)
        return {**made.row, "orderReports": [leg.answer(shows) for leg in legs]}

    def cancel(self, params: Params) -> Row:
        """Cancel a whole list."""
        found = self._find(params, VenueError(-2011, "Unknown order list sent."))
        if not found.is_open:
            raise VenueError(-2011, "Unknown order list sent.")
        return self._cancelled(found, order_request.client_id(params, "newClientOrderId"))

    def cancelled_with(self, order: Order) -> Row | None:
        """Cancel the list of `order`; None where it is in none."""
        found = next((one for one in self._lists if one.number == order.list_id), None)
        return None if found is None else self._cancelled(found, "")

    def query(self, params: Params) -> Row:
        """The list named by `orderListId` or `origClientOrderId`."""
        return self._find(params, VenueError(-2013, "Order list does not exist.")).row

    def open(self, params: Params) -> list[Row]:
        return [one.row for one in self._lists if one.is_open]

    def tell_ends(self) -> None:
        """Tell which lists have ended since the last call."""
        for one in self._lists:
            if one.number not in self._told and not one.is_open:
                self._told.add(one.number)
                one.time_ms = max(leg.updated_ms for leg in one.legs)
                self._stream.list_status(one.row)

    def _cancelled(self, found: OrderList, client_id: str) -> Row:
        reports = []
        for leg in found.legs:
            if leg.is_open:
                self._orders.cancel(leg, client_id)
            reports.append(leg.cancelled(client_id or f"cancel{leg.number}"))
        self.tell_ends()
        return {**found.row, "orderReports": reports}

    def _check(self, above: Request, below: Request, client_id: str) -> None:
        """Raise VenueError where the two do not make a pair around the last price."""
        kinds = {above.type, below.type}
        if not kinds & set(_STOPS) and not kinds & {"TAKE_PROFIT", "TAKE_PROFIT_LIMIT"}:
            raise VenueError(-1168, "At least one OCO order must be contingent.")
        if not (kinds & set(_STOPS) and kinds & set(_TARGETS)):
            raise VenueError(-1158, "Order type not supported in OCO.")
        if (above.type in _STOPS) != above.buys:
            raise _misplaced(above, below)
        last = self._orders.last_price(above.symbol)
        if not _price_of(below) < last < _price_of(above):
            raise errors.rejected_order("The relationship of the prices for the orders is not correct.")
        if client_id and any(one.client_id == client_id and one.is_open for one in self._lists):
            raise errors.rejected_order("Duplicate order sent.")
        here = sum(one.is_open and one.symbol == above.symbol for one in self._lists)
        self._orders.rules[above.symbol].check_lists(here, sum(one.is_open for one in self._lists))

    def _find(self, params: Params, missing: VenueError) -> OrderList:
        number = parameters.integer(params, "orderListId")
        client_id = params.get("listClientOrderId", params.get("origClientOrderId"))
        if number is None and client_id is None:
            words = "Param 'orderListId' or 'listClientOrderId' must be sent, but both were empty/null!"
            raise VenueError(-1102, words)
        for one in reversed(self._lists):
            if number in (None, one.number) and client_id in (None, one.client_id):
                return one
        raise missing


def _leg(params: Params, name: str) -> dict[str, Any]:
    """The parameters of one leg, as those of an order."""
    own = {key.removeprefix(name): value for key, value in params.items() if key.startswith(name)}
    leg = {key[:1].lower() + key[1:]: value for key, value in own.items() if key}
    if "clientOrderId" in leg:
        leg["newClientOrderId"] = leg.pop("clientOrderId")
    return {**{key: params[key] for key in _SHARED if key in params}, **leg}


def _price_of(leg: Request) -> Decimal:
    """Where a leg stands against the last price: limits by their price, stops by theirs."""
    return leg.price if leg.type in ("LIMIT_MAKER", "TAKE_PROFIT_LIMIT") else leg.stop_price


def _misplaced(above: Request, below: Request) -> VenueError:
    """The words for a pair that stands upside down. Source: Binance spot docs, "Error codes"."""
    limit = "LIMIT_MAKER" in (above.type, below.type)
    if above.buys:
        if limit:
            return VenueError(-1165, "A limit order in a buy OCO must be below.")
        return VenueError(-1196, "A stop loss order in a buy OCO must be above.")
    if limit:
        return VenueError(-1166, "A limit order in a sell OCO must be above.")
    return VenueError(-1197, "A stop loss order in a sell OCO must be below.")
