"""How an order meets the market: pure functions of book levels and trades.

The market of the venue is played from data and does not move by the orders that are sent to it: a taker walks the
levels as displayed, and the next order finds them whole again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import ROUND_DOWN, Decimal
from typing import Any

#: (price, quantity).
Level = tuple[Decimal, Decimal]

STOPS = ("STOP_LOSS", "STOP_LOSS_LIMIT", "TAKE_PROFIT", "TAKE_PROFIT_LIMIT")


def far_side(side: str, depth: Mapping[str, Any]) -> list[Level]:
    """The levels that an order of `side` takes from, best first."""
    rows = depth["asks"] if side == "BUY" else depth["bids"]
    return [(Decimal(price), Decimal(quantity)) for price, quantity in rows]


def displayed(side: str, price: Decimal, depth: Mapping[str, Any]) -> Decimal:
    """What rests at `price` already: the queue that a new order of `side` joins at its end."""
    rows = depth["bids"] if side == "BUY" else depth["asks"]
    return sum((Decimal(quantity) for level, quantity in rows if Decimal(level) == price), Decimal(0))


def crosses(side: str, price: Decimal, far: Decimal) -> bool:
    """Whether a limit at `price` trades against `far`, a price of the other side."""
    return far <= price if side == "BUY" else price <= far


def walk(side: str, quantity: Decimal, levels: Iterable[Level], limit: Decimal | None = None) -> list[Level]:
    """The levels that `quantity` takes, the last one in part; no worse than `limit`."""
    taken = []
    for price, there in levels:
        if quantity <= 0 or (limit is not None and not crosses(side, limit, price)):
            break
        part = min(quantity, there)
        taken.append((price, part))
        quantity -= part
    return taken


def for_quote(amount: Decimal, levels: Iterable[Level], step: Decimal) -> Decimal:
    """The quantity, in whole steps, whose value comes nearest to `amount` from below."""
    quantity = Decimal(0)
    for price, there in levels:
        lots = (amount / price / step).to_integral_value(ROUND_DOWN) * step
        quantity += min(lots, there)
        if lots <= there:
            break
        amount -= there * price
    return quantity


def value_of(taken: Sequence[Level]) -> Decimal:
    return sum((price * quantity for price, quantity in taken), Decimal(0))


def is_triggered(kind: str, side: str, stop: Decimal, last: Decimal) -> bool:
    """Whether the last traded price sets off a stop. Source: Binance spot REST docs, "New order": STOP_LOSS BUY and
    TAKE_PROFIT SELL lie above the market, the other two below."""
    above = kind.startswith("STOP_LOSS") == (side == "BUY")
    return last >= stop if above else last <= stop


def filled_by(
    side: str, price: Decimal, left: Decimal, ahead: Decimal, trade: Mapping[str, Any]
) -> tuple[Decimal, Decimal]:
    """What a trade of the market gives to an order that rests at `price` with `left` to fill, and the queue that is
    then `ahead` of it.

    A trade at a worse price went through the order: it is filled. A trade at its price, by a taker of the other side,
    fills the queue first. The queue moves by trades only.
    """
    at = Decimal(trade["price"])
    if at != price:
        return (left, Decimal(0)) if crosses(side, price, at) else (Decimal(0), ahead)
    if trade["isBuyerMaker"] != (side == "BUY"):
        return Decimal(0), ahead
    reached = max(Decimal(0), Decimal(trade["qty"]) - ahead)
    return min(left, reached), max(Decimal(0), ahead - Decimal(trade["qty"]))
