"""The exchange of the paper engine: orders that arrived, the books they meet, the accounts they change.

It knows engine time only as the stamp of what happens now. Travel times, and when a bot hears, are the
broker's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from quantlab.model import (
    BookView,
    Fill,
    Instrument,
    Journal,
    OrderStatus,
    OrderType,
    Side,
    TimeInForce,
    Trade,
)
from quantlab.paper import filters, matching
from quantlab.paper.accounts import Account
from quantlab.paper.execution import Executor, Match
from quantlab.paper.filters import Rejection
from quantlab.paper.liquidity import Liquidity, crowding
from quantlab.paper.queues import advance, join
from quantlab.paper.working import CONDITIONAL, Working, reservations, touch


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
    orders only.
    """

    def __init__(
        self,
        instruments: Mapping[str, Instrument],
        books: Mapping[str, BookView],
        journal: Journal,
        accounts: Mapping[int, Account],
        executor: Executor,
        liquidity: Liquidity,
        *,
        reaches_beyond: bool,
        answer: Callable[[Working, Outcome], None],
        response_ms: Callable[[Working], int],
    ) -> None:
        self.resting: dict[str, list[Working]] = {}
        self.now_ms = 0
        self.fill_counts = dict.fromkeys(accounts, 0)
        self._instruments = instruments
        self._books = books
        self._journal = journal
        self._accounts = accounts
        self._executor = executor
        self._liquidity = liquidity
        self._queues = executor.queue
        self._reaches_beyond = reaches_beyond
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
        rejection = self._refuses(working, book)
        if rejection is not None:
            self._settle(working, Outcome(OrderStatus.REJECTED, rejection=rejection))
            return
        crossing = order.type is OrderType.LIMIT and matching.crosses(order.side, working.price_ticks, book)
        if order.type is OrderType.MARKET or crossing:
            self._take(working, book)
        elif order.type is OrderType.LIMIT and order.time_in_force is TimeInForce.IOC:
            self._settle(working, Outcome(OrderStatus.EXPIRED))
        else:
            if order.type not in CONDITIONAL:
                self._queue(working, book)
            self._rest(working)
            self._settle(working, Outcome(OrderStatus.NEW))

    def cancel(self, working: Working) -> None:
        if working.order.type not in CONDITIONAL:
            self._step_up(working, working.lots)
        self._settle(working, Outcome(OrderStatus.CANCELED))

    def on_trade(self, trade: Trade) -> None:
        """A trade printed: queues advance, limits are reached, stops trigger."""
        for working in tuple(self.resting.get(trade.symbol, ())):
            order = working.order
            if order.status.is_final or trade.time_ms < working.arrived_ms:
                continue  # expired by its sibling a moment ago; or it was not there yet
            if order.type in CONDITIONAL:
                if working.triggered or matching.triggers(working.stop_ticks, working.falling, trade):
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
            if order.type in CONDITIONAL:
                if working.triggered:
                    self._trigger(working)
                continue
            if working.looked_id != book.depth_id:
                self._look(working, book)
            opposite = matching.far_best(order.side, book)
            if opposite is None or matching.is_worse(order.side, opposite[0], working.price_ticks):
                working.crossed_lots = 0
            else:
                self._cross(working, opposite)

    # -- refusing --------------------------------------------------------------------------------------------

    def _refuses(self, working: Working, book: BookView) -> Rejection | None:
        """The first reason for which the exchange would not take the order, or None."""
        order = working.order
        if not book.in_sync:
            return filters.OUT_OF_SYNC
        failed = filters.check(order, working.instrument, working.arrival.far(order.side))
        if failed is not None:
            return failed
        working.enter()
        if order.type in CONDITIONAL and filters.would_trigger(order, *working.arrival):
            return filters.WOULD_TRIGGER
        if order.type is OrderType.LIMIT_MAKER and matching.crosses(order.side, working.price_ticks, book):
            return filters.WOULD_TAKE
        return None if self._affords(working, book) else filters.INSUFFICIENT_BALANCE

    def _affords(self, working: Working, book: BookView) -> bool:
        """Does the account hold what the order may need, beside what the bot's other orders reserve? A buy at
        market needs what its walk costs, to the last digit."""
        order, account = working.order, self._accounts[working.order.bot]
        waits = order.type in CONDITIONAL and not working.triggered
        if order.side is Side.SELL and not waits:
            return order.remaining <= account.available_quantity
        if order.type is OrderType.MARKET or working.triggered:
            shown = matching.far_side(order.side, book)
            taken, left = matching.walk(order.side, working.lots, self._liquidity.left(order.symbol, order.side, shown))
            if left and (more := self._beyond(working, left, shown)):
                taken.append(more)
            tick_lots = sum(ticks * lots for ticks, lots in taken)
            return working.instrument.price(tick_lots) * working.instrument.step_size <= account.available_cash
        quote, base = reservations([*self._resting_of(order.bot, order.symbol), working])
        return quote <= account.cash and base <= account.quantity

    # -- matching --------------------------------------------------------------------------------------------

    def _take(self, working: Working, book: BookView) -> None:
        """Walk the far side; what is left over rests (GTC limit) or expires."""
        order = working.order
        limit = working.price_ticks if order.type is OrderType.LIMIT else None
        shown = matching.far_side(order.side, book)
        levels = self._liquidity.left(order.symbol, order.side, shown)
        taken, left = matching.walk(order.side, working.lots, levels, limit)
        self._liquidity.take(order.symbol, order.side, taken, shown)
        alone, _ = matching.walk(order.side, working.lots, shown, limit)
        worse = crowding(taken, alone)
        matches = [
            Match("depth", ticks, lots, ticks, crowding=cost) for (ticks, lots), cost in zip(taken, worse, strict=True)
        ]
        if left and order.type is not OrderType.LIMIT and (more := self._beyond(working, left, shown)):
            matches.append(Match("beyond", *more, more[0]))
            left -= more[1]
        fills = self._execute(working, matches)
        if not left:
            status = OrderStatus.FILLED
        elif limit is not None and order.time_in_force is TimeInForce.GTC:
            status = OrderStatus.PARTIALLY_FILLED if taken else OrderStatus.NEW
            self._queue(working, book)
            working.crossed_lots = sum(lots for _, lots in taken)
            self._rest(working)
        else:
            status = OrderStatus.EXPIRED
        self._settle(working, Outcome(status, fills))

    def _beyond(self, working: Working, left: int, shown: Sequence[matching.Level]) -> matching.Level | None:
        return matching.beyond(working.order.side, left, shown) if self._reaches_beyond else None

    def _trigger(self, working: Working) -> None:
        """A stop or target was reached: it becomes a market order at once, its siblings expire (an OCO list)."""
        order, book = working.order, self._books[working.order.symbol]
        working.triggered = True
        if not book.in_sync:
            return  # it goes off when the book is whole again
        for other in self._resting_of(order.bot, order.symbol):
            if other is not working and other.order.type in CONDITIONAL and other.order.side is order.side:
                self._settle(other, Outcome(OrderStatus.EXPIRED))
        self._leave(working)
        # The decision to trade falls now, at the exchange: what the price did since the bot set the stop is no cost.
        working.decision = working.arrival = touch(book, working.instrument)
        if self._affords(working, book):
            self._take(working, book)
        else:
            self._settle(working, Outcome(OrderStatus.EXPIRED, rejection=filters.INSUFFICIENT_BALANCE))

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
            self._step_up(working, lots)
            self._fill_resting(working, match)

    def _queue(self, working: Working, book: BookView) -> None:
        """Stand behind what is displayed at the price, and behind what of the fleet rests there already."""
        shown = matching.shown_at(working.order.side, working.price_ticks, book)
        working.shown_lots, working.looked_id = shown or 0, book.depth_id
        queue = join(self._queues, shown)
        working.queue_lots = None if queue is None else queue + self._before(working)

    def _look(self, working: Working, book: BookView) -> None:
        """A depth event tells what is displayed at the order's price now."""
        working.looked_id = book.depth_id
        shown = matching.shown_at(working.order.side, working.price_ticks, book)
        if shown is None:
            return
        before, traded, queue = working.shown_lots, working.traded_lots, working.queue_lots
        working.shown_lots, working.traded_lots = shown, 0
        if queue is None:  # it came to a price that the book did not know: no more than this can stand before it
            working.queue_lots = shown + self._before(working)
        elif queue and (shown != before or traded):
            ours = min(self._before(working), queue)
            rest = queue - ours
            working.queue_lots = ours + (
                min(rest, shown) if before is None else advance(self._queues, rest, before, shown, traded)
            )

    def look_anew(self, symbol: str) -> None:
        """The book of `symbol` began anew: what it showed before and shows now tells nothing of cancels."""
        for working in self.resting.get(symbol, ()):
            working.shown_lots = None

    def _before(self, working: Working) -> int:
        """Lots of the fleet that rest before it at its price."""
        if not self._liquidity.shared:
            return 0
        resting = self.resting.get(working.order.symbol, [])
        place = resting.index(working) if working in resting else len(resting)
        return sum(other.lots for other in self._beside(working) if resting.index(other) < place)

    def _beside(self, working: Working) -> Iterator[Working]:
        """The fleet's other orders that rest on the same side at the same price, in the order in which they came."""
        order = working.order
        for other in self.resting.get(order.symbol, ()):
            if (
                other is not working
                and other.order.type not in CONDITIONAL
                and other.order.side is order.side
                and other.price_ticks == working.price_ticks
            ):
                yield other

    def _step_up(self, working: Working, lots: int) -> None:
        """`lots` of a resting order are gone otherwise than by a trade at its price: who stands behind it moves up."""
        resting = self.resting.get(working.order.symbol, [])
        if not self._liquidity.shared or working not in resting:
            return
        place = resting.index(working)
        for other in self._beside(working):
            if other.queue_lots and resting.index(other) > place:
                other.queue_lots = max(0, other.queue_lots - lots)

    def _fill_resting(self, working: Working, match: Match) -> None:
        fills = self._execute(working, [match])
        self._reserve(working.order.bot, working.order.symbol)
        self._settle(working, Outcome(OrderStatus.PARTIALLY_FILLED if working.lots else OrderStatus.FILLED, fills))

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
        self.resting.setdefault(working.order.symbol, []).append(working)
        self._reserve(working.order.bot, working.order.symbol)

    def _leave(self, working: Working) -> None:
        """Take an order off the book, if it rests there."""
        symbol = working.order.symbol
        resting = self.resting.get(symbol, [])
        if working in resting:
            resting.remove(working)
            if not resting:
                del self.resting[symbol]
            self._reserve(working.order.bot, symbol)

    def _reserve(self, bot: int, symbol: str) -> None:
        account = self._accounts[bot]
        account.reserved_quote, account.reserved_base = reservations(self._resting_of(bot, symbol))

    def _resting_of(self, bot: int, symbol: str) -> list[Working]:
        return [working for working in self.resting.get(symbol, ()) if working.order.bot == bot]
