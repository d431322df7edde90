"""Cancelling: one order, all of a symbol, or one that is replaced by another.

Source: Binance spot REST docs, "Cancel order" and "Cancel an existing order and send a new order", checked 2026-11-23.
"""

from __future__ import annotations

from typing import Any

from quantlab.venue import errors, order_request, parameters
from quantlab.venue.errors import VenueError
from quantlab.venue.order import Order, Row
from quantlab.venue.order_count import OrderCount
from quantlab.venue.order_lists import OrderLists
from quantlab.venue.order_queries import OrderQueries
from quantlab.venue.orders import Orders
from quantlab.venue.parameters import Params

_RESTRICTIONS = {"ONLY_NEW": "NEW", "ONLY_PARTIALLY_FILLED": "PARTIALLY_FILLED"}
_MODES = ("STOP_ON_FAILURE", "ALLOW_FAILURE")
_OVER_LIMIT = ("DO_NOTHING", "CANCEL_ONLY")


class Cancelling:
    """Cancels orders of `orders`, with their lists."""

    def __init__(
        self, orders: Orders, lists: OrderLists, queries: OrderQueries, count: OrderCount, symbols: tuple[str, ...]
    ) -> None:
        self._orders, self._lists, self._queries, self._count, self._symbols = orders, lists, queries, count, symbols

    def one(self, params: Params, number: str = "orderId", name: str = "origClientOrderId") -> Row:
        """Cancel the order that a request names. Raises VenueError -2011."""
        order = self._queries.find(params, errors.nothing_to_cancel(), number, name)
        return self._cancel(order, params, "newClientOrderId")

    def all(self, params: Params) -> list[Row]:
        """Cancel what is open of a symbol; lists are answered as such."""
        symbol = parameters.symbol(params, self._symbols)
        here = [order for order in self._orders.open if order.request.symbol == symbol]
        if not here:
            raise errors.nothing_to_cancel()
        alone = [self._orders.cancel(order) for order in here if order.list_id < 0]
        pairs = [self._lists.cancelled_with(order) for order in here if order.list_id >= 0 and order.is_open]
        return [*alone, *(row for row in pairs if row is not None)]

    def replace(self, params: Params) -> Row:
        """Cancel one order and place another. Raises VenueError -2021 or -2022 with what became of either."""
        mode = parameters.choice(params, "cancelReplaceMode", _MODES, errors.invalid("cancelReplaceMode"))
        over = params.get("orderRateLimitExceededMode", "DO_NOTHING")
        if over not in _OVER_LIMIT:
            raise errors.invalid("orderRateLimitExceededMode")
        request = order_request.read(params, self._symbols)
        quantity = self._orders.admit(request)
        limited: VenueError | None = None
        try:
            self._count.take(1)
        except VenueError as error:
            if over == "DO_NOTHING":
                raise
            limited = error
        cancelled = self._replaced(params)
        placed: Order | VenueError | None = None
        stopped = isinstance(cancelled, VenueError) and mode == "STOP_ON_FAILURE"
        if limited is not None:
            placed = limited
        elif not stopped:
            try:
                placed = self._orders.accept(request, quantity)
            except VenueError as error:
                placed = error
        data = {
            "cancelResult": "FAILURE" if isinstance(cancelled, VenueError) else "SUCCESS",
            "newOrderResult": _result_of(None if stopped else placed),
            "cancelResponse": cancelled.body if isinstance(cancelled, VenueError) else cancelled,
            "newOrderResponse": None if stopped else _shown(placed),
        }
        failures = [data["cancelResult"], data["newOrderResult"]]
        if failures == ["SUCCESS", "SUCCESS"]:
            return data
        both = "SUCCESS" not in failures
        code, words = (
            (-2022, "Order cancel-replace failed.") if both else (-2021, "Order cancel-replace partially failed.")
        )
        status, headers = (400 if both else 409, {}) if limited is None else (429, limited.headers)
        raise VenueError(code, words, status, headers, data=data)

    def _replaced(self, params: Params) -> Row | VenueError:
        try:
            order = self._queries.find(params, errors.nothing_to_cancel(), "cancelOrderId", "cancelOrigClientOrderId")
            return self._cancel(order, params, "cancelNewClientOrderId")
        except VenueError as error:
            if error.code not in (-2011, -2039):
                raise
            return error

    def _cancel(self, order: Order, params: Params, named: str) -> Row:
        client_id = order_request.client_id(params, named)
        restriction = params.get("cancelRestrictions")
        if restriction is not None and restriction not in _RESTRICTIONS:
            raise VenueError(-1145, "Invalid cancelRestrictions")
        if not order.is_open:
            raise errors.nothing_to_cancel()
        if restriction is not None and order.status != _RESTRICTIONS[restriction]:
            raise VenueError(-2011, "Order was not canceled due to cancel restrictions.")
        return self._orders.cancel(order, client_id)


def _result_of(placed: Order | VenueError | None) -> str:
    if placed is None:
        return "NOT_ATTEMPTED"
    return "FAILURE" if isinstance(placed, VenueError) else "SUCCESS"


def _shown(placed: Order | VenueError | None) -> dict[str, Any] | None:
    if placed is None:
        return None
    return placed.body if isinstance(placed, VenueError) else placed.answer()
