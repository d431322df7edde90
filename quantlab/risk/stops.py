"""Where the stop and the target of a position rest."""

from __future__ import annotations

from decimal import ROUND_CEILING, Decimal

from quantlab.model import Instrument, OrderType


def protective_orders(
    average_price: Decimal,
    instrument: Instrument,
    *,
    stop_loss_pct: float | None = None,
    take_profit_pct: float | None = None,
) -> list[tuple[OrderType, Decimal]]:
    """Types and trigger prices of the sales that protect a position bought at `average_price` (quote units).

    Percentages are of that price. Both triggers round up to the tick: a stop goes off no later, a target pays
    no less than asked. On a grid so coarse that the stop would meet the price itself it rests one tick below;
    a stop that would have to rest at zero is left out.
    """
    if average_price <= 0:
        return []
    orders = []
    if stop_loss_pct is not None:
        stop = _tick_above(average_price * (1 - Decimal(str(stop_loss_pct)) / 100), instrument.tick_size)
        if stop >= average_price:
            stop -= instrument.tick_size
        if stop > 0:
            orders.append((OrderType.STOP_LOSS, stop))
    if take_profit_pct is not None:
        target = average_price * (1 + Decimal(str(take_profit_pct)) / 100)
        orders.append((OrderType.TAKE_PROFIT, _tick_above(target, instrument.tick_size)))
    return orders


def _tick_above(price: Decimal, tick_size: Decimal) -> Decimal:
    return (price / tick_size).to_integral_value(rounding=ROUND_CEILING) * tick_size
