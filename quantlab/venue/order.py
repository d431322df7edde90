"""One order of the account: what was asked, what has become of it, and how Binance shows it.

Payload forms: Binance spot REST docs, "Trading endpoints", "Query order" and "Conditional fields in order responses",
checked 2026-11-23. Times are market time.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from quantlab.venue.balances import plain
from quantlab.venue.matching import STOPS

Row = dict[str, Any]

OPEN = ("NEW", "PARTIALLY_FILLED")


@dataclass(frozen=True)
class Request:
    """A new order as it was asked for, its parameters checked. Zero stands for what was not sent."""

    symbol: str
    side: str
    type: str
    quantity: Decimal
    price: Decimal
    stop_price: Decimal
    quote_quantity: Decimal
    iceberg_quantity: Decimal
    time_in_force: str
    client_id: str
    shows: str  # newOrderRespType
    prevention: str  # selfTradePreventionMode
    labels: dict[str, int]  # strategyId, strategyType

    @property
    def is_stop(self) -> bool:
        return self.type in STOPS

    @property
    def is_market(self) -> bool:
        return self.type in ("MARKET", "STOP_LOSS", "TAKE_PROFIT")

    @property
    def buys(self) -> bool:
        return self.side == "BUY"


@dataclass
class Order:
    """`lock` is what of the balance is locked for it, in the asset it pays with; `ahead` is the queue before it."""

    request: Request
    number: int
    client_id: str
    list_id: int
    quantity: Decimal
    time_ms: int
    status: str = "NEW"
    executed: Decimal = Decimal(0)
    spent: Decimal = Decimal(0)  # quote asset, or received
    lock: Decimal = Decimal(0)
    ahead: Decimal = Decimal(0)
    updated_ms: int = 0
    working_ms: int = -1  # -1: a stop that was not set off yet
    expiry: str = ""
    fills: list[Row] = field(default_factory=list)

    @property
    def is_open(self) -> bool:
        return self.status in OPEN

    @property
    def is_working(self) -> bool:
        return self.working_ms >= 0

    @property
    def left(self) -> Decimal:
        return self.quantity - self.executed

    @property
    def row(self) -> Row:
        """As a query answers it."""
        return {
            **self._result(),
            "stopPrice": plain(self.request.stop_price),
            "icebergQty": plain(self.request.iceberg_quantity),
            "time": self.time_ms,
            "updateTime": self.updated_ms,
            "isWorking": self.is_working,
            "workingTime": self.working_ms,
        }

    def answer(self, shows: str = "") -> Row:
        """As it is answered when it is placed: ACK, RESULT or FULL."""
        shows = shows or self.request.shows
        said = {**self._named(), "transactTime": self.updated_ms}
        if shows == "ACK":
            return said
        said |= {**self._result(), "workingTime": self.working_ms, **self._conditional()}
        return {**said, "fills": self.fills} if shows == "FULL" else said

    def cancelled(self, client_id: str) -> Row:
        """As it is answered when it is cancelled."""
        return {
            **self._result(),
            **self._conditional(),
            "origClientOrderId": self.client_id,
            "clientOrderId": client_id,
            "transactTime": self.updated_ms,
        }

    def _named(self) -> Row:
        return {
            "symbol": self.request.symbol,
            "orderId": self.number,
            "orderListId": self.list_id,
            "clientOrderId": self.client_id,
        }

    def _result(self) -> Row:
        request = self.request
        return {
            **self._named(),
            "price": plain(request.price),
            "origQty": plain(self.quantity),
            "executedQty": plain(self.executed),
            "origQuoteOrderQty": plain(request.quote_quantity),
            "cummulativeQuoteQty": plain(self.spent),
            "status": self.status,
            "timeInForce": request.time_in_force,
            "type": request.type,
            "side": request.side,
            "selfTradePreventionMode": request.prevention,
            **request.labels,
            **({"expiryReason": self.expiry} if self.expiry else {}),
        }

    def _conditional(self) -> Row:
        request = self.request
        shown: Row = {"stopPrice": plain(request.stop_price)} if request.is_stop else {}
        return shown | ({"icebergQty": plain(request.iceberg_quantity)} if request.iceberg_quantity else {})
