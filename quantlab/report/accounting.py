"""The two sums of the accounts, exactly, from the fills of the ledger alone.

Amounts are fractions, so nothing is rounded here but the cost that leaves with a partial sale, which the books round
to 16 places, half to even; a report that rounded otherwise would differ in the last digit.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction

from quantlab.model import Fill, Side

_COST_UNIT = Fraction(1, 10**16)


@dataclass(slots=True)
class Sums:
    """The terms of `capital = cash + cost + fees - realised`, quote units; `held` in base units."""

    capital: Fraction = Fraction(0)
    cash: Fraction = Fraction(0)
    held: Fraction = Fraction(0)
    cost: Fraction = Fraction(0)
    fees: Fraction = Fraction(0)
    realised: Fraction = Fraction(0)

    @property
    def difference(self) -> Fraction:
        """Zero when the money adds up."""
        return self.cash + self.cost + self.fees - self.realised - self.capital


@dataclass(slots=True)
class AssetSums:
    """The flows of one asset; `balance` is what they leave."""

    deposits: Fraction = Fraction(0)
    received: Fraction = Fraction(0)
    given: Fraction = Fraction(0)
    fees: Fraction = Fraction(0)

    @property
    def balance(self) -> Fraction:
        return self.deposits + self.received - self.given - self.fees


def bot_sums(fills: Iterable[Fill], capitals: Mapping[int, Fraction]) -> dict[int, Sums]:
    """Fold each bot's fills, in the order of their numbers, from its starting capital."""
    books = {bot: Sums(capital=capital, cash=capital) for bot, capital in capitals.items()}
    for fill in sorted(fills, key=lambda fill: (fill.bot, fill.number)):
        _fold(books[fill.bot], fill)
    return books


def fleet_sums(books: Iterable[Sums]) -> Sums:
    """The sums of all bots together; `held` means nothing across symbols and stays zero."""
    total = Sums()
    for book in books:
        for name in ("capital", "cash", "cost", "fees", "realised"):
            setattr(total, name, getattr(total, name) + getattr(book, name))
    return total


def asset_sums(
    fills: Iterable[Fill], deposits: Mapping[str, Fraction], quotes: Mapping[str, str]
) -> dict[str, AssetSums]:
    """Flows by asset. `deposits` by asset; `quotes` names each symbol's quote asset, the rest of its name is the
    base."""
    sums: dict[str, AssetSums] = defaultdict(AssetSums)
    for asset, amount in deposits.items():
        sums[asset].deposits += amount
    for fill in fills:
        quote = quotes[fill.symbol]
        base = fill.symbol.removesuffix(quote)
        got, gave = (base, quote) if fill.side is Side.BUY else (quote, base)
        notional, quantity = Fraction(fill.price) * Fraction(fill.quantity), Fraction(fill.quantity)
        sums[got].received += quantity if got == base else notional
        sums[gave].given += quantity if gave == base else notional
        sums[fill.fee_asset].fees += Fraction(fill.fee)
    return dict(sums)


def _fold(book: Sums, fill: Fill) -> None:
    price, quantity, fee = Fraction(fill.price), Fraction(fill.quantity), Fraction(fill.fee)
    book.fees += Fraction(fill.fee_quote)
    if fill.side is Side.BUY:
        book.cash -= quantity * price
        book.held += quantity - fee
        book.cost += (quantity - fee) * price
        return
    leaving = book.cost
    if quantity != book.held and book.held:
        leaving = round(book.cost * quantity / book.held / _COST_UNIT) * _COST_UNIT
    book.cash += quantity * price - fee
    book.held -= quantity
    book.cost -= leaving
    book.realised += quantity * price - leaving
