"""What the account tells those who listen: the events of the user data stream, in the order in which things happened.

Payload forms: Binance spot docs, "User data streams", checked 2026-11-23. Times are market time.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from quantlab.venue.balances import Balances, plain
from quantlab.venue.order import Order

Event = dict[str, Any]
Listener = Callable[[Event], None]


class UserStream:
    """`now_ms` tells the market's time. Who listens is told at once, within the call that made it happen."""

    def __init__(self, balances: Balances, now_ms: Callable[[], int]) -> None:
        self._balances, self._now_ms = balances, now_ms
        self._listeners: dict[Listener, None] = {}
        self._executions = 0

    def listen(self, listener: Listener) -> None:
        self._listeners[listener] = None

    def leave(self, listener: Listener) -> None:
        self._listeners.pop(listener, None)

    def report(self, order: Order, execution: str, *, client_id: str = "", fill: dict[str, Any] | None = None) -> None:
        """Tell what happened to an order (NEW, TRADE, CANCELED, EXPIRED or REJECTED), then the balances it moved.

        `client_id` is the cancellation's own id, `fill` the row of the trade.
        """
        self._executions += 1
        self._tell(_execution_report(order, execution, self._executions, self._now_ms(), client_id, fill))
        self.position()

    def list_status(self, row: dict[str, Any]) -> None:
        """Tell the state of an order list; `row` is how a query answers it."""
        self._tell(
            {
                "e": "listStatus",
                "E": self._now_ms(),
                "s": row["symbol"],
                "g": row["orderListId"],
                "c": row["contingencyType"],
                "l": row["listStatusType"],
                "L": row["listOrderStatus"],
                "r": "NONE",
                "C": row["listClientOrderId"],
                "T": row["transactionTime"],
                "O": [{"s": one["symbol"], "i": one["orderId"], "c": one["clientOrderId"]} for one in row["orders"]],
            }
        )

    def position(self) -> None:
        """Tell the balances that have moved since they were told."""
        if not self._balances.changed:
            return
        now_ms = self._now_ms()
        rows = []
        for asset in sorted(self._balances.changed):
            free, locked = self._balances.row(asset)
            rows.append({"a": asset, "f": free, "l": locked})
        self._balances.changed.clear()
        self._tell({"e": "outboundAccountPosition", "E": now_ms, "u": now_ms, "B": rows})

    def _tell(self, event: Event) -> None:
        for listener in tuple(self._listeners):
            listener(event)


def _execution_report(
    order: Order, execution: str, number: int, now_ms: int, client_id: str, fill: dict[str, Any] | None
) -> Event:
    request, traded = order.request, fill or {}
    event: Event = {
        "e": "executionReport",
        "E": now_ms,
        "s": request.symbol,
        "c": client_id or order.client_id,
        "S": request.side,
        "o": request.type,
        "f": request.time_in_force,
        "q": plain(order.quantity),
        "p": plain(request.price),
        "P": plain(request.stop_price),
        "F": plain(request.iceberg_quantity),
        "g": order.list_id,
        "C": order.client_id if client_id else "",
        "x": execution,
        "X": order.status,
        "r": "NONE",
        "i": order.number,
        "l": traded.get("qty", plain(Decimal(0))),
        "z": plain(order.executed),
        "L": traded.get("price", plain(Decimal(0))),
        "n": traded.get("commission", "0"),
        "N": traded.get("commissionAsset"),
        "T": order.updated_ms,
        "t": traded.get("id", -1),
        "I": number,
        "w": order.is_open and order.is_working,
        "m": traded.get("isMaker", False),
        "M": bool(traded),
        "O": order.time_ms,
        "Z": plain(order.spent),
        "Y": traded.get("quoteQty", plain(Decimal(0))),
        "Q": plain(request.quote_quantity),
        "V": request.prevention,
    }
    if order.is_working:
        event["W"] = order.working_ms
    if order.expiry:
        event["eR"] = order.expiry
    for name, field in (("j", "strategyId"), ("J", "strategyType")):
        if field in request.labels:
            event[name] = request.labels[field]
    return event
