"""What an order that takes pays beyond the best price, where it does not walk the book.

- depth: the walk through what is displayed (the default: no model at all).
- impact: the square root of its size, times what an order of 10,000 quote units costs on that symbol (`quantlab
  calibrate` finds it). The law of J. D. Farmer, A. Gerig, F. Lillo and H. Waelbroeck, "How efficiency shapes market
  impact", Quantitative Finance 13 (2013), with volume and volatility in the one coefficient.
- fixed: so many basis points, whatever the size.
- uniform: drawn evenly from 2 to 10 basis points, what simpler platforms assume.

All are beyond the best price, so that half the spread is paid before. A model fills whole orders: it knows no depth.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import ROUND_HALF_EVEN, Decimal
from enum import StrEnum

from quantlab.model import Side

#: The size at which impact coefficients are given, in quote units.
REFERENCE_NOTIONAL = Decimal(10_000)
#: Basis points of the uniform model.
UNIFORM_BPS = (2, 10)

_PLACES = Decimal("0.0001")
_WHOLE = 10**8  # one, in units of a ten-thousandth of a basis point


class SlippageKind(StrEnum):
    DEPTH = "depth"
    IMPACT = "impact"
    FIXED = "fixed"
    UNIFORM = "uniform"


@dataclass(frozen=True, kw_only=True)
class Slippage:
    """One model with its numbers: `fixed_bps`, and `impact_bps` by symbol, both in basis points."""

    kind: SlippageKind = SlippageKind.DEPTH
    fixed_bps: Decimal = Decimal(5)
    impact_bps: Mapping[str, Decimal] = field(default_factory=dict)

    @property
    def walks(self) -> bool:
        return self.kind is SlippageKind.DEPTH

    @property
    def name(self) -> str:
        if self.kind is SlippageKind.FIXED:
            return f"fixed {self.fixed_bps} bps"
        if self.kind is SlippageKind.UNIFORM:
            return f"uniform {UNIFORM_BPS[0]} to {UNIFORM_BPS[1]} bps"
        return "depth walk" if self.walks else "square root of the size"

    def bps(self, symbol: str, notional: Decimal, draw: float) -> Decimal:
        """What an order of `notional` (quote units) pays beyond the best price, to four places. `draw` (0 to 1) is used
        by the uniform model. Raises KeyError for a symbol without an impact coefficient."""
        if self.kind is SlippageKind.FIXED:
            bps = self.fixed_bps
        elif self.kind is SlippageKind.UNIFORM:
            low, high = UNIFORM_BPS
            bps = Decimal(low + (high - low) * draw)
        else:
            bps = self.impact_bps[symbol] * (notional / REFERENCE_NOTIONAL).sqrt()
        return bps.quantize(_PLACES, ROUND_HALF_EVEN)


def worsened(side: Side, ticks: int, bps: Decimal, limit_ticks: int | None) -> int:
    """The price `bps` worse than `ticks`, rounded against the order, and never worse than its limit or zero."""
    units = int(bps / _PLACES)
    if side is Side.BUY:
        price = -(-ticks * (_WHOLE + units) // _WHOLE)
        return price if limit_ticks is None else min(price, limit_ticks)
    price = max(1, ticks * (_WHOLE - units) // _WHOLE)
    return price if limit_ticks is None else max(price, limit_ticks)
