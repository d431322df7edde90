"""What one bot owns: cash, position and what both have cost; changed by fills and by nothing else.

Each bot is a spot account of its own with one base and one quote asset. The identity

    capital = cash + cost + fees_quote - realised

holds to the last digit after every fill (`accounting.py` checks it from the ledger, by another computation).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal

from quantlab.model import Fill, Instrument, Position, QuantlabError, Side
from quantlab.paper.money import EXACT, ZERO, share_of_cost


@dataclass(slots=True)
class Account:
    """The balances of one bot. `quantity` is in base units, everything else in quote units.

    `cost` is what the position has cost (its fees in base left out), `realised` the gross result of sales
    before fees, `fees` the fees paid by asset and `fees_quote` their worth at each fill's price. Open orders
    reserve what they may need: buys quote, sells base.
    """

    bot: int
    symbol: str
    base: str
    quote: str
    capital: Decimal
    cash: Decimal = field(init=False)
    quantity: Decimal = ZERO
    cost: Decimal = ZERO
    realised: Decimal = ZERO
    fees_quote: Decimal = ZERO
    fees: dict[str, Decimal] = field(default_factory=dict)
    reserved_quote: Decimal = ZERO
    reserved_base: Decimal = ZERO

    def __post_init__(self) -> None:
        self.cash = self.capital

    @classmethod
    def open(cls, bot: int, instrument: Instrument, capital: Decimal) -> Account:
        """A fresh account of `bot` on `instrument` with `capital` in quote units."""
        return cls(bot, instrument.symbol, instrument.base, instrument.quote, capital)

    @property
    def available_cash(self) -> Decimal:
        """Cash that no open order has reserved."""
        return self.cash - self.reserved_quote

    @property
    def available_quantity(self) -> Decimal:
        """Base units that no open order has reserved."""
        return self.quantity - self.reserved_base

    @property
    def position(self) -> Position:
        return Position(symbol=self.symbol, quantity=self.quantity, cost=self.cost)

    def equity(self, bid: Decimal) -> Decimal:
        """Cash plus the position at the bid, in quote units: what a sale would bring before its fee and depth."""
        return EXACT.add(self.cash, EXACT.multiply(self.quantity, bid))

    def apply(self, fill: Fill) -> None:
        """Book one fill. Raises QuantlabError, and changes nothing, when it is not this account's, when its
        fee is not in the asset received, or when a balance would fall below zero."""
        self._check(fill)
        if fill.side is Side.BUY:
            self._buy(fill)
        else:
            self._sell(fill)
        self.fees_quote = EXACT.add(self.fees_quote, fill.fee_quote)
        self.fees[fill.fee_asset] = EXACT.add(self.fees.get(fill.fee_asset, ZERO), fill.fee)

    def restore(self, fills: Iterable[Fill]) -> None:
        """Apply the account's own fills out of `fills`, in order of their number: how a run recovers.

        Raises QuantlabError when a number is missing or doubled: the ledger is then not whole.
        """
        own = sorted((fill for fill in fills if fill.bot == self.bot), key=lambda fill: fill.number)
        for expected, fill in enumerate(own, start=1):
            if fill.number != expected:
                raise _impossible(fill, f"fill {expected} was expected: the ledger is not whole")
            self.apply(fill)

    def _buy(self, fill: Fill) -> None:
        received = EXACT.subtract(fill.quantity, fill.fee)
        cash = EXACT.subtract(self.cash, EXACT.multiply(fill.quantity, fill.price))
        if cash < 0 or received < 0:
            raise _impossible(fill, f"cash would be {cash} {self.quote}")
        self.cash = cash
        self.quantity = EXACT.add(self.quantity, received)
        self.cost = EXACT.add(self.cost, EXACT.multiply(received, fill.price))

    def _sell(self, fill: Fill) -> None:
        held = EXACT.subtract(self.quantity, fill.quantity)
        gross = EXACT.multiply(fill.quantity, fill.price)
        if held < 0 or fill.fee > gross:
            raise _impossible(fill, f"the position would be {held} {self.base}")
        removed = share_of_cost(self.cost, fill.quantity, self.quantity)
        self.cash = EXACT.add(self.cash, EXACT.subtract(gross, fill.fee))
        self.quantity = held
        self.cost = EXACT.subtract(self.cost, removed)
        self.realised = EXACT.add(self.realised, EXACT.subtract(gross, removed))

    def _check(self, fill: Fill) -> None:
        if (fill.bot, fill.symbol) != (self.bot, self.symbol):
            raise _impossible(fill, f"the account is bot {self.bot}'s on {self.symbol}")
        received = self.base if fill.side is Side.BUY else self.quote
        if fill.fee_asset != received:
            raise _impossible(fill, f"the fee is in {fill.fee_asset}, not in the asset received ({received})")
        if fill.quantity <= 0 or fill.price <= 0 or fill.fee < 0:
            raise _impossible(fill, "price and quantity must be above zero, the fee not below")


def _impossible(fill: Fill, why: str) -> QuantlabError:
    return QuantlabError(f"bot {fill.bot}, fill {fill.number} ({fill.side} {fill.symbol}): {why}")
