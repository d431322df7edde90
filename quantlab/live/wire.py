"""Orders as Binance wants them, and what each may cost at most.

A market buy leaves as a limit order that takes at once or expires (IOC), at most 2 % above the ask and never above
what its bot can pay: so a thin book can break neither the bot's cash nor the capital that was armed. It stays a market
order in the ledger. Source: Binance spot REST docs, "New order", checked 2026-11-23.
"""

from __future__ import annotations

from decimal import ROUND_FLOOR, Decimal

from quantlab.model import Instrument, Order, OrderType, Side

#: How far above the ask a market buy may take.
PROTECTION = Decimal("1.02")


def worst_price(order: Order, instrument: Instrument, ask: Decimal | None, cash: Decimal) -> Decimal | None:
    """The highest price that a buy may pay, on the grid; None where there is none: no ask, or no cash for one tick."""
    if order.price is not None:
        return order.price
    if order.stop_price is not None:
        return _floor(order.stop_price * PROTECTION, instrument)
    bounds = [cash / order.quantity]
    if ask is not None:
        bounds.append(ask * PROTECTION)
    price = _floor(min(bounds), instrument)
    return price if price > 0 else None


def params_of(order: Order, name: str, worst: Decimal | None) -> dict[str, str]:
    """The parameters of the order; `worst` is the highest price of a market buy."""
    params = {
        "symbol": order.symbol,
        "side": order.side.value,
        "type": order.type.value,
        "quantity": _plain(order.quantity),
        "newClientOrderId": name,
    }
    if order.price is not None:
        params["price"] = _plain(order.price)
        if order.type is not OrderType.LIMIT_MAKER:
            params["timeInForce"] = order.time_in_force.value
    if order.stop_price is not None:
        params["stopPrice"] = _plain(order.stop_price)
    if order.trailing_delta:
        params["trailingDelta"] = str(order.trailing_delta)
    if order.type is OrderType.MARKET and order.side is Side.BUY and worst is not None:
        params |= {"type": "LIMIT", "timeInForce": "IOC", "price": _plain(worst)}
    return params


def _floor(price: Decimal, instrument: Instrument) -> Decimal:
    return (price / instrument.tick_size).to_integral_value(rounding=ROUND_FLOOR) * instrument.tick_size


def _plain(value: Decimal) -> str:
    return f"{value.normalize():f}"
