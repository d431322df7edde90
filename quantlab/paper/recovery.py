"""What becomes of an order that was open when a run broke off."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from msgspec.structs import replace

from quantlab.model import Fill, Order, OrderStatus


def as_unknown(order: Order, fills: Iterable[Fill]) -> Order:
    """The order as it is closed after a restart: what the market did meanwhile was not seen.

    The fills on disk decide how much of it was filled, since they may have been written a moment before the
    order's state: FILLED when they are all of it, else CANCELED with the reason.
    """
    own = (fill for fill in fills if (fill.bot, fill.order_number) == (order.bot, order.number))
    filled = sum((fill.quantity for fill in own), Decimal(0))
    if order.quote_quantity is not None:  # it took at once or not at all; how much that was may not be in its row yet
        order = replace(order, quantity=filled)
    if filled and filled == order.quantity:
        return replace(order, filled=filled, status=OrderStatus.FILLED)
    reason = f"{order.reason} (unknown after a restart: cancelled)".strip()
    return replace(order, filled=filled, status=OrderStatus.CANCELED, reason=reason)
