"""What the exchange takes: filters, the account's counts, what it can pay."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from quantlab.model import AT_MARKET, BookView, OrderType, Side
from quantlab.paper import filters, matching
from quantlab.paper.accounts import Account
from quantlab.paper.filters import Rejection
from quantlab.paper.resting import Resting
from quantlab.paper.taking import Taking
from quantlab.paper.working import Working, reservations


class Admission:
    """Judges orders as they arrive. With `one_account` the orders and holdings of all bots are the account's."""

    def __init__(self, resting: Resting, accounts: Mapping[int, Account], taking: Taking, *, one_account: bool) -> None:
        self._resting, self._accounts, self._taking = resting, accounts, taking
        self._one_account = one_account

    def refuses(self, working: Working, book: BookView) -> Rejection | None:
        """The first reason for which the exchange would not take the order, or None: then it has entered."""
        order = working.order
        if not book.in_sync:
            return filters.OUT_OF_SYNC
        failed = filters.check(order, working.instrument, working.arrival.far(order.side)) or self._counts(working)
        if failed is None and order.quote_quantity is not None:
            failed = self._find_quantity(working, book)
        if failed is not None:
            return failed
        working.enter()
        if working.dormant and filters.would_trigger(order, *working.arrival):
            return filters.WOULD_TRIGGER
        others = self._resting.list_of(working)
        if not all(filters.makes_pair(order, other.order, *working.arrival) for other in others):
            return filters.WRONG_PAIR
        if order.type is OrderType.LIMIT_MAKER and self._would_take(working, book):
            return filters.WOULD_TAKE
        return None if self.affords(working, book) else filters.INSUFFICIENT_BALANCE

    def affords(self, working: Working, book: BookView) -> bool:
        """Does the account hold what the order may need, beside what the bot's other orders reserve? A buy at
        market needs what its walk costs, to the last digit."""
        order, account = working.order, self._accounts[working.order.bot]
        if working.dormant or order.type not in AT_MARKET:
            quote, base = reservations([*self._resting.of(order.bot, order.symbol), working])
            return quote <= account.cash and base <= account.quantity
        if order.side is Side.SELL:
            return order.remaining <= account.available_quantity
        matches = self._taking.matches(working, book, working.lots)
        tick_lots = sum(match.price_ticks * match.lots for match in matches)
        return working.instrument.price(tick_lots) * working.instrument.step_size <= account.available_cash

    def _counts(self, working: Working) -> Rejection | None:
        """What the filters say that look at all of the account's orders and holdings."""
        order, instrument = working.order, working.instrument
        if not (instrument.max_open_orders or instrument.max_algo_orders or instrument.max_position):
            return None
        if self._one_account:
            resting = list(self._resting.by_symbol.get(order.symbol, ()))
            accounts = [account for account in self._accounts.values() if account.symbol == order.symbol]
        else:
            resting = self._resting.of(order.bot, order.symbol)
            accounts = [self._accounts[order.bot]]
        held = sum((account.quantity for account in accounts), Decimal(0))
        return filters.check_account(order, instrument, [each.order for each in resting], held)

    def _find_quantity(self, working: Working, book: BookView) -> Rejection | None:
        """How much an order by quote quantity is of the base asset, by the book that it meets."""
        order, instrument = working.order, working.instrument
        tick_lots = (order.quote_quantity or Decimal(0)) // (instrument.tick_size * instrument.step_size)
        order.quantity = instrument.quantity(self._taking.lots_for_quote(working, book, int(tick_lots)))
        return filters.TOO_THIN if order.quantity < max(instrument.min_quantity, instrument.step_size) else None

    def _would_take(self, working: Working, book: BookView) -> bool:
        side, limit = working.order.side, working.price_ticks
        if matching.crosses(side, limit, book):
            return True
        return self._one_account and any(
            not other.dormant and other.order.side is not side and not matching.is_worse(side, other.price_ticks, limit)
            for other in self._resting.by_symbol.get(working.order.symbol, ())
        )
