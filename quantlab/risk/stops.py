"""Where the stop and the target of a position rest."""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import NamedTuple

from quantlab.model import Instrument, OrderType


class Protection(NamedTuple):
    """A sale that protects a position: its trigger and its limit (quote units; None: from the first trade on, at
    market), and how far it trails (basis points; 0: it does not)."""

    type: OrderType
    stop_price: Decimal | None = None
    price: Decimal | None = None
    trailing_delta: int = 0


def protective_orders(
    average_price: Decimal,
    instrument: Instrument,
    *,
    stop_loss_pct: float | None = None,
    stop_limit_pct: float | None = None,
    trailing_stop_pct: float | None = None,
    take_profit_pct: float | None = None,
) -> list[Protection]:
    """The sales that protect a position bought at `average_price` (quote units).

    Percentages are of that price; `stop_limit_pct` of the trigger: the stop sells at no less than so far below it.
    Both triggers round up to the tick: a stop goes off no later, a target pays no less than asked. On a grid so coarse
    that the stop would meet the price itself it rests one tick below; a stop that would have to rest at zero is left
    out. A trailing stop follows the best price seen since it was placed.
    """
    if average_price <= 0:
        return []
    tick, orders = instrument.tick_size, []
    if stop_loss_pct is not None:
        stop = _on_tick(average_price * (1 - _share(stop_loss_pct)), tick)
        if stop >= average_price:
            stop -= tick
        limit = None if stop_limit_pct is None else _on_tick(stop * (1 - _share(stop_limit_pct)), tick, ROUND_FLOOR)
        if stop > 0 and limit != 0:
            orders.append(Protection(OrderType.STOP_LOSS if limit is None else OrderType.STOP_LOSS_LIMIT, stop, limit))
    if trailing_stop_pct is not None:
        orders.append(Protection(OrderType.STOP_LOSS, trailing_delta=round(trailing_stop_pct * 100)))
    if take_profit_pct is not None:
        orders.append(Protection(OrderType.TAKE_PROFIT, _on_tick(average_price * (1 + _share(take_profit_pct)), tick)))
    return orders


def _share(percent: float) -> Decimal:
    return Decimal(str(percent)) / 100


def _on_tick(price: Decimal, tick_size: Decimal, rounding: str = ROUND_CEILING) -> Decimal:
    return (price / tick_size).to_integral_value(rounding=rounding) * tick_size
