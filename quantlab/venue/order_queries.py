"""What may be asked of the account's orders and trades, and which order a request names.

Source: Binance spot REST docs, "Account endpoints", checked 2026-11-23.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from quantlab.venue import errors, parameters
from quantlab.venue.errors import VenueError
from quantlab.venue.order import Order, Row
from quantlab.venue.orders import Orders
from quantlab.venue.parameters import Params

_DAY_MS = 86_400_000
#: Which of these may come with `symbol`, together.
_TRADE_QUERIES: tuple[set[str], ...] = (
    set(), {"orderId"}, {"startTime"}, {"endTime"}, {"fromId"}, {"startTime", "endTime"}, {"orderId", "fromId"},
)  # fmt: skip


class OrderQueries:
    """Answers over `orders`; `symbols` are those of the market."""

    def __init__(self, orders: Orders, symbols: tuple[str, ...]) -> None:
        self._orders, self._symbols = orders, symbols

    def order(self, params: Params) -> Row:
        return self.find(params, errors.unknown_order()).row

    def open(self, params: Params) -> list[Row]:
        """The open orders of `symbol`, or of all symbols where none is given."""
        symbol = parameters.symbol(params, self._symbols) if "symbol" in params else None
        return [order.row for order in self._orders.open if symbol in (None, order.request.symbol)]

    def all(self, params: Params) -> list[Row]:
        symbol = parameters.symbol(params, self._symbols)
        first, within = parameters.integer(params, "orderId"), _window(params)
        rows = [
            order.row
            for order in self._orders.all
            if order.request.symbol == symbol and order.number >= (first or 0) and within(order.time_ms)
        ]
        return _page(rows, parameters.limit(params, 500, 1000), first is not None or "startTime" in params)

    def trades(self, params: Params) -> list[Row]:
        symbol = parameters.symbol(params, self._symbols)
        sent = {name for name in ("orderId", "startTime", "endTime", "fromId") if name in params}
        if sent not in _TRADE_QUERIES:
            raise errors.bad_combination()
        order, first, within = (
            parameters.integer(params, "orderId"),
            parameters.integer(params, "fromId"),
            _window(params),
        )
        rows = [
            row
            for row in self._orders.trades
            if row["symbol"] == symbol
            and order in (None, row["orderId"])
            and row["id"] >= (first or 0)
            and within(row["time"])
        ]
        return _page(rows, parameters.limit(params, 500, 1000), first is not None or "startTime" in params)

    def find(
        self, params: Params, missing: VenueError, number: str = "orderId", client_id: str = "origClientOrderId"
    ) -> Order:
        """The order that a request names by the parameters `number` and `client_id`, else `missing`.

        Among orders of one client id the open one is meant, else the newest.
        """
        symbol = parameters.symbol(params, self._symbols)
        wanted, name = parameters.integer(params, number), params.get(client_id)
        if wanted is None and not name:
            words = f"Param '{client_id}' or '{number}' must be sent, but both were empty/null!"
            raise VenueError(-1102, words)
        own = [order for order in self._orders.all if order.request.symbol == symbol]
        if wanted is not None:
            found = next((order for order in own if order.number == wanted), None)
            if found is not None and name and found.client_id != name:
                raise VenueError(-2039, "Client order ID is not correct for this order ID.")
        else:
            named = [order for order in own if order.client_id == name]
            found = max(named, key=lambda order: (order.is_open, order.number), default=None)
        if found is None:
            raise missing
        return found


def _window(params: Params) -> Callable[[int], bool]:
    start, end = parameters.integer(params, "startTime"), parameters.integer(params, "endTime")
    if start is not None and end is not None and end - start > _DAY_MS:
        raise VenueError(-1127, "More than 24 hours between startTime and endTime.")
    return lambda time_ms: (start is None or time_ms >= start) and (end is None or time_ms <= end)


def _page(rows: list[dict[str, Any]], limit: int, from_first: bool) -> list[dict[str, Any]]:
    """The first rows where the request says from where on, else the newest."""
    return rows[:limit] if from_first else rows[-limit:]
