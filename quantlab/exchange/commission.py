"""What an account pays on a symbol, from `GET /api/v3/account/commission`.

Standard, special and tax rates add up, and so do the part of the role (maker, taker) and the part of the side (buyer,
seller). Source: Binance spot docs, "Commission Rates", checked 2026-11-23. Where buyers and sellers pay different parts
the dearer one is taken: paper never flatters. A discount for paying in BNB is told, not taken off: the documents give
its figure once as the share that is left and once as the share that is taken off.
"""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import NamedTuple

from quantlab.model.errors import MalformedMessage

_PARTS = ("standardCommission", "specialCommission", "taxCommission")


class Commission(NamedTuple):
    """Fractions of the notional (0.001 is 0.1 %); whether the account pays in BNB at a discount on this symbol."""

    symbol: str
    maker: Decimal
    taker: Decimal
    bnb_discount: bool


def commission_of(answer: object) -> Commission:
    """Read the decoded `answer`. Raises MalformedMessage for any other form than the documented one."""
    try:
        if not isinstance(answer, dict) or not isinstance(answer["symbol"], str):
            raise TypeError
        parts = [{name: _rate(answer[part][name]) for name in ("maker", "taker", "buyer", "seller")} for part in _PARTS]
        side = max(sum(part["buyer"] for part in parts), sum(part["seller"] for part in parts))
        discount = answer["discount"]
        return Commission(
            answer["symbol"],
            sum((part["maker"] for part in parts), Decimal(side)),
            sum((part["taker"] for part in parts), Decimal(side)),
            discount["enabledForAccount"] is True and discount["enabledForSymbol"] is True,
        )
    except (KeyError, TypeError, ValueError, InvalidOperation):
        raise MalformedMessage(
            "the answer about the account's commission is not of the documented form: leave the fees as they are"
        ) from None


def _rate(text: object) -> Decimal:
    if not isinstance(text, str):
        raise TypeError
    rate = Decimal(text)
    if not (rate.is_finite() and 0 <= rate < 1):
        raise ValueError
    return rate
