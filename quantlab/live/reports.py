"""What the exchange says of an order, in one form whatever its source: stream, answer, query or list of trades.

Source of the fields: Binance spot REST docs ("New order", "Query order", "Account trade list") and user data stream
("executionReport"), checked 2026-11-23.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec

from quantlab.model import MalformedMessage, OrderStatus

#: Binance's states that the model has no own word for. PENDING_NEW waits for its list, PENDING_CANCEL is unused.
_STATUS = {
    "PENDING_NEW": OrderStatus.NEW,
    "PENDING_CANCEL": OrderStatus.NEW,
    "EXPIRED_IN_MATCH": OrderStatus.EXPIRED_IN_MATCH,
}


class Execution(msgspec.Struct, frozen=True, kw_only=True):
    """One trade of an order. `trade_id` is unique on the symbol; `fee` is as the exchange took it."""

    trade_id: int
    price: Decimal
    quantity: Decimal
    fee: Decimal
    fee_asset: str
    time_ms: int
    maker: bool


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What was heard of the order (bot, number). `executed` is its whole filled quantity as the source knows it, None
    where it does not tell; `order_id` the exchange's number, 0 where unknown."""

    bot: int
    number: int
    source: str
    order_id: int = 0
    status: OrderStatus | None = None
    executed: Decimal | None = None
    trades: tuple[Execution, ...] = ()
    reject_code: int = 0
    reject_reason: str = ""


def of_event(key: tuple[int, int], event: Mapping[str, Any]) -> Report:
    """An `executionReport` of the user data stream. Raises MalformedMessage."""
    try:
        trades: tuple[Execution, ...] = ()
        if event["x"] == "TRADE":
            trades = (
                Execution(
                    trade_id=int(event["t"]),
                    price=Decimal(event["L"]),
                    quantity=Decimal(event["l"]),
                    fee=Decimal(event["n"] or 0),
                    fee_asset=event["N"] or "",
                    time_ms=int(event["T"]),
                    maker=bool(event["m"]),
                ),
            )
        reason = str(event.get("r", "NONE"))
        return Report(
            bot=key[0],
            number=key[1],
            source="stream",
            order_id=int(event["i"]),
            status=_status(event["X"]),
            executed=Decimal(event["z"]),
            trades=trades,
            reject_reason="" if reason == "NONE" else reason,
        )
    except (KeyError, TypeError, ValueError, InvalidOperation) as error:
        raise MalformedMessage(f"an executionReport is not what Binance documents ({error!r})") from None


def of_row(key: tuple[int, int], row: Mapping[str, Any], source: str) -> Report:
    """The answer to an order, a cancellation or a query. Raises MalformedMessage.

    The fills of an answer of type FULL have no time of their own: they have the answer's.
    """
    try:
        time_ms = int(row.get("transactTime") or row.get("updateTime") or 0)
        trades = tuple(
            Execution(
                trade_id=int(fill["tradeId"]),
                price=Decimal(fill["price"]),
                quantity=Decimal(fill["qty"]),
                fee=Decimal(fill["commission"]),
                fee_asset=fill["commissionAsset"],
                time_ms=time_ms,
                maker=False,
            )
            for fill in row.get("fills", ())
        )
        return Report(
            bot=key[0],
            number=key[1],
            source=source,
            order_id=int(row["orderId"]),
            status=_status(row["status"]),
            executed=Decimal(row["executedQty"]),
            trades=trades,
        )
    except (KeyError, TypeError, ValueError, InvalidOperation) as error:
        raise MalformedMessage(f"the exchange's answer is not an order as Binance documents it ({error!r})") from None


def of_trades(key: tuple[int, int], order_id: int, rows: Iterable[Mapping[str, Any]]) -> Report:
    """Rows of the account's trade list that belong to one order. Raises MalformedMessage."""
    try:
        trades = tuple(
            Execution(
                trade_id=int(row["id"]),
                price=Decimal(row["price"]),
                quantity=Decimal(row["qty"]),
                fee=Decimal(row["commission"]),
                fee_asset=row["commissionAsset"],
                time_ms=int(row["time"]),
                maker=bool(row["isMaker"]),
            )
            for row in rows
            if row["orderId"] == order_id
        )
    except (KeyError, TypeError, ValueError, InvalidOperation) as error:
        raise MalformedMessage(f"a trade of the account is not what Binance documents ({error!r})") from None
    return Report(bot=key[0], number=key[1], source="trades", order_id=order_id, trades=trades)


def _status(name: str) -> OrderStatus:
    return _STATUS.get(name) or OrderStatus(name)
