"""From a target exposure to the order that gets there."""

from __future__ import annotations

import math
from decimal import Decimal

from quantlab.model import ConfigurationError, Instrument, Side

#: Part of the cash that a buy leaves untouched: room for what the price does during the order's latency and
#: for the depth that it walks. The fee of a buy is taken in base and needs none.
CASH_RESERVE = Decimal("0.005")


def order_for_target(
    exposure: float,
    equity: Decimal,
    position: Decimal,
    bid: Decimal,
    ask: Decimal,
    instrument: Instrument,
    *,
    cash: Decimal | None = None,
    max_position: Decimal | None = None,
    rebalance_pct: float | None = None,
    previous_exposure: float | None = None,
) -> tuple[Side, Decimal] | None:
    """The market order (side, quantity in base units) that brings a bot to `exposure` of its equity, or None.

    An order is due only when `exposure` differs from `previous_exposure` (None counts as 0: flat), or when
    the position's value is more than `rebalance_pct` percent of equity away from its target. The target is
    exposure x equity at the bid, at most `max_position` (quote units). A buy leaves `CASH_RESERVE` of the
    cash (by default: equity less the position at the bid) and pays the ask; a sale never exceeds what is
    held. Quantities are floored to the step and cut to the largest market order; below the smallest quantity
    or notional the rest is dust: None.

    Raises ConfigurationError when `exposure` is not within 0 to 1: the account is spot and long only.
    """
    if not -1e-9 <= exposure <= 1 + 1e-9:  # NaN fails, too
        raise ConfigurationError(f"exposure {exposure}: a strategy must want 0 to 1 (spot, long only)")
    if bid <= 0 or ask <= 0 or equity <= 0:
        return None
    wanted = Decimal(str(min(max(exposure, 0.0), 1.0)))
    target = wanted * equity
    if max_position is not None:
        target = min(target, max_position)
    drift = target - position * bid
    if math.isclose(exposure, previous_exposure or 0.0, abs_tol=1e-9) and not _drifted(drift, equity, rebalance_pct):
        return None
    if drift > 0:
        if cash is None:
            cash = equity - position * bid
        amount = min(drift / bid, cash * (1 - CASH_RESERVE) / ask)
        if max_position is not None:
            amount = min(amount, (max_position - position * bid) / ask)
        return _order(Side.BUY, amount, ask, instrument)
    amount = position if target == 0 else min(position, -drift / bid)
    return _order(Side.SELL, amount, bid, instrument)


def _drifted(drift: Decimal, equity: Decimal, rebalance_pct: float | None) -> bool:
    return bool(rebalance_pct) and abs(drift) * 100 > Decimal(str(rebalance_pct)) * equity


def _order(side: Side, amount: Decimal, price: Decimal, instrument: Instrument) -> tuple[Side, Decimal] | None:
    """`amount` as an order that the filters let through, or None when it is dust."""
    for largest in (instrument.max_quantity, instrument.market_max_quantity):
        amount = min(amount, largest) if largest else amount
    quantity = instrument.quantity(instrument.floor_lots(amount)) if amount > 0 else Decimal(0)
    step = instrument.market_step_size
    if step:
        quantity -= quantity % step
    smallest = max(instrument.min_quantity, instrument.market_min_quantity)
    if quantity <= 0 or quantity < smallest:
        return None
    if instrument.min_notional_applies_to_market and quantity * price < instrument.min_notional:
        return None
    return side, quantity
