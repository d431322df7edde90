"""Does the money add up? Two sums from the ledger's fills alone, each computed otherwise than `Account.apply`.

For each bot: starting capital = cash + position at cost + fees at the fill's price - gross realised result.
For each asset: balance = deposits + signed fill quantities - fees in that asset.

Nothing here calls `Account.apply` or its helpers: amounts are exact fractions, cash comes from the flow of
the quote asset alone, fees from the ledger's own `fee_quote`. So a wrong rule, a lost fill or a changed
figure shows up as a disagreement.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from quantlab.model import Fill, Instrument, Side
from quantlab.paper.accounts import Account
from quantlab.paper.money import COST_PLACES


@dataclass(frozen=True, slots=True)
class AccountsVerdict:
    """`ok` when nothing was found; otherwise each problem in one line."""

    problems: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        return not self.problems


def check_accounts(
    accounts: Iterable[Account], fills: Sequence[Fill], instruments: Mapping[str, Instrument]
) -> AccountsVerdict:
    """Both checks over a whole fleet: `accounts` as the run holds them, `fills` as the ledger has them."""
    by_bot: dict[int, list[Fill]] = defaultdict(list)
    for fill in fills:
        by_bot[fill.bot].append(fill)
    problems: list[str] = []
    deposits: dict[str, Fraction] = defaultdict(Fraction)
    balances: dict[str, Fraction] = defaultdict(Fraction)
    for account in accounts:
        problems += check_bot_identity(by_bot.pop(account.bot, []), account.capital, account).problems
        deposits[account.quote] += Fraction(account.capital)
        balances[account.quote] += Fraction(account.cash)
        balances[account.base] += Fraction(account.quantity)
    problems += [f"{len(strays)} fills are of bot {bot}, which has no account" for bot, strays in by_bot.items()]
    problems += check_asset_balances(fills, deposits, balances, instruments).problems
    return AccountsVerdict(tuple(problems))


def check_bot_identity(fills: Iterable[Fill], capital: Decimal, account: Account | None = None) -> AccountsVerdict:
    """One bot's fills against its starting capital (quote units), and against `account` where one is given."""
    sums = _BotSums(Fraction(capital))
    problems: list[str] = []
    for expected, fill in enumerate(sorted(fills, key=lambda fill: fill.number), start=1):
        where = f"bot {fill.bot}, fill {fill.number}"
        if fill.number != expected:
            problems.append(f"{where}: fill {expected} was expected")
            break
        sums.add(fill)
        if sums.cash < 0 or sums.held < 0:
            problems.append(f"{where}: a balance fell below zero")
    who = f"bot {account.bot}" if account is not None else "bot"
    total = sums.cash + sums.cost + sums.fees - sums.realised
    if total != Fraction(capital):
        problems.append(f"{who}: cash + cost + fees - realised is off by {float(total - Fraction(capital)):.3g}")
    if account is not None:
        pairs = (
            ("cash", sums.cash, account.cash),
            ("position", sums.held, account.quantity),
            ("cost", sums.cost, account.cost),
            ("fees", sums.fees, account.fees_quote),
            ("realised", sums.realised, account.realised),
        )
        problems += [
            f"{who}: {name} is {booked}, the ledger says {float(summed):.12g}"
            for name, summed, booked in pairs
            if summed != Fraction(booked)
        ]
    return AccountsVerdict(tuple(problems))


def check_asset_balances(
    fills: Iterable[Fill],
    deposits: Mapping[str, Decimal | Fraction],
    balances: Mapping[str, Decimal | Fraction],
    instruments: Mapping[str, Instrument],
) -> AccountsVerdict:
    """Per asset: deposits + what fills brought - what they took - fees in that asset must be the balance held."""
    sums: dict[str, Fraction] = defaultdict(Fraction)
    for asset, amount in deposits.items():
        sums[asset] += Fraction(amount)
    problems = []
    for fill in fills:
        instrument = instruments.get(fill.symbol)
        if instrument is None:
            problems.append(f"fill {fill.number} of bot {fill.bot} is on {fill.symbol}, a symbol that is unknown")
            continue
        signed = Fraction(fill.quantity) if fill.side is Side.BUY else -Fraction(fill.quantity)
        sums[instrument.base] += signed
        sums[instrument.quote] -= signed * Fraction(fill.price)
        sums[fill.fee_asset] -= Fraction(fill.fee)
    for asset in sorted(sums.keys() | balances.keys()):
        held = Fraction(balances.get(asset, 0))
        if sums[asset] != held:
            problems.append(f"{asset}: the balance is {float(held):.12g}, the ledger says {float(sums[asset]):.12g}")
    return AccountsVerdict(tuple(problems))


@dataclass(slots=True)
class _BotSums:
    """The terms of the identity, each from its own column of the ledger."""

    cash: Fraction
    held: Fraction = Fraction(0)
    cost: Fraction = Fraction(0)
    fees: Fraction = Fraction(0)
    realised: Fraction = Fraction(0)

    def add(self, fill: Fill) -> None:
        quantity, price, fee = Fraction(fill.quantity), Fraction(fill.price), Fraction(fill.fee)
        self.fees += Fraction(fill.fee_quote)
        if fill.side is Side.BUY:
            self.cash -= quantity * price
            self.held += quantity - fee
            self.cost += (quantity - fee) * price
            return
        self.cash += quantity * price - fee
        leaving = self.cost
        if quantity != self.held and self.held:
            # The one rounding of the books: half to even at the cost's last place, as `money.py` states.
            leaving = Fraction(round(self.cost * quantity / self.held * 10**COST_PLACES), 10**COST_PLACES)
        self.held -= quantity
        self.cost -= leaving
        self.realised += quantity * price - leaving
