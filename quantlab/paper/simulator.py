"""The exchange of the paper engine: orders that arrived, the books they meet, the accounts they change.

It knows engine time only as the stamp of what happens now. Travel times, and when a bot hears, are the
broker's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import NamedTuple

from quantlab.model import (
    BookView,
    Fill,
    Instrument,
    Journal,
    Order,
    OrderStatus,
    TimeInForce,
    Trade,
)
from quantlab.paper import filters, matching
from quantlab.paper.accounts import Account
from quantlab.paper.admission import Admission
from quantlab.paper.execution import Executor, Match
from quantlab.paper.filters import Rejection
from quantlab.paper.liquidity import Liquidity
from quantlab.paper.prevention import SelfTrade, meetings
from quantlab.paper.resting import Resting
from quantlab.paper.standing import Standing
from quantlab.paper.taking import Taking
from quantlab.paper.triggers import goes_off
from quantlab.paper.working import Working, reservations, touch


class Outcome(NamedTuple):
    """What the exchange answers about an order: its new state, the fills that led to it, or why it was refused."""

    status: OrderStatus
    fills: tuple[Fill, ...] = ()
    rejection: Rejection | None = None


class SimulatedExchange:
    """Matches orders against the books as received.

    `answer(working, outcome)` is called once for each change of an order, after `order.status` and
    `order.filled` are the new ones and its fills are queued in the journal. `response_ms(working)` says how
    long that answer will travel (it belongs into the receipt). `resting` holds the symbols with resting
    orders only. With a `prevention` all bots trade on one account of the exchange: their orders do not meet each other
    and are counted together; their money is kept apart all the same.
    """

    def __init__(
        self,
        instruments: Mapping[str, Instrument],
        books: Mapping[str, BookView],
        journal: Journal,
        accounts: Mapping[int, Account],
        executor: Executor,
        liquidity: Liquidity,
        taking: Taking,
        *,
        prevention: SelfTrade | None,
        answer: Callable[[Working, Outcome], None],
        response_ms: Callable[[Working], int],
    ) -> None:
        self._resting = Resting()
        self.resting: Mapping[str, Sequence[Working]] = self._resting.by_symbol
        self.now_ms = 0
        self.fill_counts = dict.fromkeys(accounts, 0)
        self._instruments = instruments
        self._books = books
        self._journal = journal
        self._accounts = accounts
        self._executor = executor
        self._liquidity = liquidity
        self._standing = Standing(self.resting, executor.queue, shared=liquidity.shared)
        self._taking = taking
        self._admission = Admission(self._resting, accounts, taking, one_account=prevention is not None)
        self._prevention = prevention
        self._answer = answer
        self._response_ms = response_ms

    # -- what reaches the exchange ---------------------------------------------------------------------------

    def arrive(self, working: Working) -> None:
        """An order arrives: refused, matched, or resting from now on."""
        order = working.order
        book = self._books[order.symbol]
        instrument = working.instrument = self._instruments[order.symbol]
        working.arrived_ms = self.now_ms
        working.latency_ms = self.now_ms - order.created_ms
        working.arrival = touch(book, instrument)
        rejection = self._admission.refuses(working, book)
        if rejection is not None:
            self._settle(working, Outcome(OrderStatus.REJECTED, rejection=rejection))
            return
        if working.dormant:
            self._rest(working)
            self._settle(working, Outcome(OrderStatus.NEW))
        else:
            self._work(working, book)

    def cancel(self, working: Working) -> None:
        """Take an order back, and with it the others of its list."""
        for each in (working, *self._resting.list_of(working)):
            if not each.dormant:
                self._standing.step_up(each, each.lots)
            self._settle(each, Outcome(OrderStatus.CANCELED))

    def replace(self, old: Working | None, working: Working) -> None:
        """Take `old` back and let another order arrive in its place, or neither."""
        refusal = filters.check_replacement(working.order, self._instruments[working.order.symbol])
        if refusal is None and old is None:
            refusal = filters.REPLACE_FAILED
        if refusal is not None or old is None:
            self._settle(working, Outcome(OrderStatus.REJECTED, rejection=refusal))
            return
        self.cancel(old)
        self.arrive(working)

    def amend(self, working: Working, quantity: Decimal) -> None:
        """Reduce a resting order, and with it the others of its list; each keeps its place in the queue."""
        orders = [working, *self._resting.list_of(working)]
        for each in orders:
            refusal = filters.check_amendment(each.order, quantity, each.instrument)
            if refusal is not None:
                self._answer(working, Outcome(working.order.status, rejection=refusal))
                return
        for each in orders:
            less = each.lots - each.instrument.lots(quantity - each.order.filled - each.order.prevented)
            if not each.dormant:
                self._standing.step_up(each, less)
            each.lots -= less
            each.order.quantity = quantity
            self._reserve(each.order.bot, each.order.symbol)
            self._settle(each, Outcome(each.order.status))

    def on_trade(self, trade: Trade) -> None:
        """A trade printed: queues advance, limits are reached, stops trigger."""
        for working in tuple(self.resting.get(trade.symbol, ())):
            order = working.order
            if order.status.is_final or trade.time_ms < working.arrived_ms:
                continue  # expired by its sibling a moment ago; or it was not there yet
            if working.dormant:
                if working.triggered or goes_off(working, trade.price_ticks):
                    self._trigger(working)
                continue
            queue_lots = working.queue_lots
            if matching.is_at_price(order.side, working.price_ticks, trade):
                working.traded_lots += trade.quantity_lots
            lots, working.queue_lots = matching.fill_by_trade(
                order.side, working.price_ticks, working.lots, queue_lots, trade
            )
            if lots:
                match = Match("trade", working.price_ticks, lots, trade.price_ticks, queue_lots or 0, trade.trade_id)
                self._fill_resting(working, match)

    def on_book(self, symbol: str) -> None:
        """The top of a book changed: limits that it reached are filled, stops that waited for the book go off."""
        book = self._books[symbol]
        if not book.in_sync:
            return
        for working in tuple(self.resting.get(symbol, ())):
            order = working.order
            if order.status.is_final:
                continue
            if working.dormant:
                if working.triggered:
                    self._trigger(working)
                continue
            if working.looked_id != book.depth_id:
                self._standing.look(working, book)
            opposite = matching.far_best(order.side, book)
            if opposite is None or matching.is_worse(order.side, opposite[0], working.price_ticks):
                working.crossed_lots = 0
            else:
                self._cross(working, opposite)

    def look_anew(self, symbol: str) -> None:
        """The book of `symbol` began anew."""
        self._standing.look_anew(symbol)

    # -- matching --------------------------------------------------------------------------------------------

    def _work(self, working: Working, book: BookView) -> None:
        """An order begins to work: it takes, rests or expires."""
        order, limit = working.order, working.limit_ticks
        if limit is None or matching.crosses(order.side, limit, book):
            self._take(working, book)
        elif self._prevention is not None and self._prevent(working, []) is not None:
            self._settle(working, Outcome(OrderStatus.EXPIRED_IN_MATCH))
        elif working.in_force is not TimeInForce.GTC:
            self._settle(working, Outcome(OrderStatus.EXPIRED))
        else:
            self._standing.join(working, book)
            self._rest(working)
            self._settle(working, Outcome(OrderStatus.NEW))

    def _take(self, working: Working, book: BookView) -> None:
        """Walk the far side; what is left over rests (GTC limit) or expires."""
        order, limit = working.order, working.limit_ticks
        stopped = None
        if working.in_force is TimeInForce.FOK:
            lots = sum(match.lots for match in self._taking.matches(working, book, working.lots))
            if lots < working.lots:
                self._settle(working, Outcome(OrderStatus.EXPIRED))
                return
        if self._prevention is not None:
            stopped = self._prevent(working, self._taking.levels(working, book))
        matches = self._taking.matches(working, book, working.lots if stopped is None else min(stopped, working.lots))
        self._taking.take(working, book, matches)
        if matches:
            self._end_list(working)
        fills = self._execute(working, matches)
        if stopped is not None:
            status = OrderStatus.EXPIRED_IN_MATCH
        elif not working.lots:
            status = _ended(order)
        elif limit is not None and working.in_force is TimeInForce.GTC:
            status = OrderStatus.PARTIALLY_FILLED if fills else OrderStatus.NEW
            self._standing.join(working, book)
            working.crossed_lots = sum(match.lots for match in matches)
            self._rest(working)
        else:
            status = OrderStatus.EXPIRED
        self._settle(working, Outcome(status, fills))

    def _prevent(self, working: Working, levels: Sequence[matching.Level]) -> int | None:
        """Keep an order from meeting others of the account. The lots after which it is stopped itself; None where it
        goes on."""
        mode, side = self._prevention, working.order.side
        resting = self.resting.get(working.order.symbol, ())
        for maker, before in list(meetings(side, working.limit_ticks, levels, resting)):
            if before >= working.lots:
                return None
            if mode is SelfTrade.EXPIRE_TAKER:
                return before
            lots = min(maker.lots, working.lots - before) if mode is SelfTrade.DECREMENT else maker.lots
            self._standing.step_up(maker, lots)
            self._take_off(maker, lots)
            if not maker.lots:
                self._end_list(maker)
            self._settle(maker, Outcome(maker.order.status if maker.lots else OrderStatus.EXPIRED_IN_MATCH))
            if mode is SelfTrade.EXPIRE_BOTH:
                return before
            if mode is SelfTrade.DECREMENT:
                self._take_off(working, lots)
                if working.lots == before:
                    return before
        return None

    def _take_off(self, working: Working, lots: int) -> None:
        working.lots -= lots
        working.order.prevented += working.instrument.quantity(lots)
        self._reserve(working.order.bot, working.order.symbol)

    def _trigger(self, working: Working) -> None:
        """A conditional order was reached: it goes to market or becomes a limit order, and its list ends."""
        book = self._books[working.order.symbol]
        working.triggered = True
        if not book.in_sync:
            return  # it goes off when the book is whole again
        self._end_list(working)
        self._leave(working)
        working.dormant = working.triggered = False
        # The decision to trade falls now, at the exchange: what the price did since the bot set the stop is no cost.
        working.decision = working.arrival = touch(book, working.instrument)
        if self._admission.affords(working, book):
            self._work(working, book)
        else:
            self._settle(working, Outcome(OrderStatus.EXPIRED, rejection=filters.INSUFFICIENT_BALANCE))

    def _end_list(self, working: Working) -> None:
        for other in self._resting.list_of(working):
            if not other.dormant:
                self._standing.step_up(other, other.lots)
            self._settle(other, Outcome(OrderStatus.EXPIRED))

    def _cross(self, working: Working, opposite: matching.Level) -> None:
        """The opposite best has come to a resting order: it takes what is displayed there, once."""
        order = working.order
        left = self._liquidity.left(order.symbol, order.side, [opposite])
        # Where the fleet remembers what it took, that includes what this order took.
        seen = 0 if self._liquidity.shared else working.crossed_lots
        lots, working.crossed_lots = matching.fill_by_cross(
            order.side, working.price_ticks, working.lots, seen, left[0] if left else None
        )
        if lots:
            self._liquidity.take(order.symbol, order.side, [(opposite[0], lots)], [opposite])
            match = Match("quote", working.price_ticks, lots, opposite[0], working.queue_lots or 0)
            self._standing.step_up(working, lots)
            self._fill_resting(working, match)

    def _fill_resting(self, working: Working, match: Match) -> None:
        self._end_list(working)
        fills = self._execute(working, [match])
        self._reserve(working.order.bot, working.order.symbol)
        status = OrderStatus.PARTIALLY_FILLED if working.lots else _ended(working.order)
        self._settle(working, Outcome(status, fills))

    def _execute(self, working: Working, matches: Sequence[Match]) -> tuple[Fill, ...]:
        """Book each fill and write it down with its receipt."""
        order = working.order
        account = self._accounts[order.bot]
        book_id = self._books[order.symbol].book_id
        response_ms = self._response_ms(working)
        fills = []
        for match in matches:
            number = self.fill_counts[order.bot] + 1
            fill, receipt = self._executor.execute(
                working, match, number=number, book_id=book_id, time_ms=self.now_ms, response_ms=response_ms
            )
            account.apply(fill)
            self.fill_counts[order.bot] = number
            self._journal.fill(fill, receipt)
            order.filled += fill.quantity
            working.lots -= match.lots
            fills.append(fill)
        return tuple(fills)

    # -- orders at rest --------------------------------------------------------------------------------------

    def _settle(self, working: Working, outcome: Outcome) -> None:
        working.order.status = outcome.status
        if outcome.status.is_final:
            self._leave(working)
        self._answer(working, outcome)

    def _rest(self, working: Working) -> None:
        self._resting.add(working)
        self._reserve(working.order.bot, working.order.symbol)

    def _leave(self, working: Working) -> None:
        """Take an order off the book, if it rests there."""
        if self._resting.remove(working):
            self._reserve(working.order.bot, working.order.symbol)

    def _reserve(self, bot: int, symbol: str) -> None:
        account = self._accounts[bot]
        account.reserved_quote, account.reserved_base = reservations(self._resting.of(bot, symbol))


def _ended(order: Order) -> OrderStatus:
    """The state of an order of which nothing is left."""
    return OrderStatus.EXPIRED_IN_MATCH if order.prevented else OrderStatus.FILLED
