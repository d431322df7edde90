"""What a fill costs: a rate per role, taken in the asset received.

A buy pays in base (after buying q one holds q minus the fee), a sale in quote: Binance spot without BNB
discount. Source: Binance spot REST docs and fee schedule, 0.1 % maker and taker, checked 2026-11-23. How
Binance rounds a commission is not documented; here it is rounded up to the asset's commission precision (8
places on all of spot), against the bot by less than 1e-8 units a fill, so that paper never flatters.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_UP, Decimal
from typing import Protocol

from quantlab.model import ConfigurationError, Instrument, Side
from quantlab.paper.money import EXACT


@dataclass(frozen=True, slots=True)
class Fee:
    """`amount` in `asset`; `quote` is that amount at the fill's own price, in quote units."""

    amount: Decimal
    asset: str
    quote: Decimal


class FeeModel(Protocol):
    """Which rate a fill pays, as a fraction (0.001 = 0.1 %), and where that figure comes from."""

    @property
    def source(self) -> str:
        """Goes into each receipt: "setting", "account commission of 2026-11-23" …"""
        ...

    def rate(self, *, maker: bool) -> Decimal: ...


@dataclass(frozen=True, slots=True)
class StandardFees:
    """One rate for makers and one for takers, the same on every symbol."""

    maker: Decimal = Decimal("0.001")
    taker: Decimal = Decimal("0.001")
    source: str = "setting"

    def __post_init__(self) -> None:
        for name, rate in (("maker", self.maker), ("taker", self.taker)):
            if not 0 <= rate < Decimal("0.1"):
                raise ConfigurationError(f"{name} fee rate {rate}: give a fraction from 0 to 0.1 (0.001 is 0.1 %)")

    def rate(self, *, maker: bool) -> Decimal:
        return self.maker if maker else self.taker


def charge(side: Side, price: Decimal, quantity: Decimal, rate: Decimal, instrument: Instrument) -> Fee:
    """The fee of one fill at `rate`, in the asset received."""
    if side is Side.BUY:
        amount = _round_up(EXACT.multiply(quantity, rate), instrument.base_precision)
        return Fee(amount, instrument.base, EXACT.multiply(amount, price))
    notional = EXACT.multiply(quantity, price)
    amount = _round_up(EXACT.multiply(notional, rate), instrument.quote_precision)
    return Fee(amount, instrument.quote, amount)


def _round_up(amount: Decimal, places: int) -> Decimal:
    return amount.quantize(Decimal(1).scaleb(-places), rounding=ROUND_UP)
