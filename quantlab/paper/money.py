"""Exact money: the one place that says where amounts are rounded, and how.

Prices, quantities and fees of Binance spot have at most 8 decimal places, so every product has at most 16:
sums and products are kept exactly, and the `EXACT` context raises should a digit ever be lost. Two things
must be rounded: a fee (to the asset's commission precision, see `fees.py`) and the cost that leaves with a
partly sold position.
"""

from __future__ import annotations

from decimal import (
    ROUND_HALF_EVEN,
    Context,
    Decimal,
    DivisionByZero,
    Inexact,
    InvalidOperation,
    Overflow,
)

#: Arithmetic that may not lose a digit: raises decimal.Inexact instead.
EXACT = Context(prec=60, traps=[Inexact, InvalidOperation, DivisionByZero, Overflow])

#: Places to which the cost removed by a sale is rounded, half to even: the finest product of two 8-place
#: amounts.
COST_PLACES = 16

ZERO = Decimal(0)

_WIDE = Context(prec=80, rounding=ROUND_HALF_EVEN, traps=[InvalidOperation, DivisionByZero, Overflow])
_COST_QUANTUM = Decimal(1).scaleb(-COST_PLACES)


def share_of_cost(cost: Decimal, sold: Decimal, held: Decimal) -> Decimal:
    """The part of `cost` that leaves when `sold` of `held` base units are sold; all of it when nothing remains."""
    if sold == held:
        return cost
    return _WIDE.divide(_WIDE.multiply(cost, sold), held).quantize(_COST_QUANTUM, context=_WIDE)
