"""The paper engine: a `Broker` whose exchange is the books as they were received. No order leaves the process.

An order reaches the book one drawn latency after its bot decided, and meets the book as it stands then. Its
report comes back one drawn response latency later, and only once the fills in it are on disk. A bot's
messages travel on one connection each way: they never overtake each other. Everything is a function of the
calls made and the seed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from functools import partial
from typing import Any

from msgspec.structs import replace

from quantlab.model import (
    BookView,
    Fill,
    Instrument,
    Journal,
    Order,
    OrderReport,
    QuantlabError,
    Trade,
)
from quantlab.paper.accounts import Account
from quantlab.paper.assumptions import Terms
from quantlab.paper.draws import Purpose, uniform
from quantlab.paper.execution import Executor
from quantlab.paper.liquidity import Liquidity
from quantlab.paper.recovery import as_unknown
from quantlab.paper.schedule import NEVER_MS, Schedule
from quantlab.paper.simulator import Outcome, SimulatedExchange
from quantlab.paper.taking import Taking
from quantlab.paper.working import Working, touch


class PaperBroker:
    """Carries the orders of all bots of a run to the simulated exchange, and its answers back.

    `accounts` (by bot) are the exchange's: they change at the fill, which the bot hears of one response
    latency later. `resting` has the symbols with resting orders as keys, and only those. `next_due_ms` is the
    engine time at which something happens next. `now_ms` is engine time: when time has moved, set it (or call
    `advance`) before `on_trade`, `on_book` and `cancel`.
    """

    def __init__(
        self,
        instruments: Mapping[str, Instrument],
        books: Mapping[str, BookView],
        journal: Journal,
        *,
        accounts: Sequence[Account],
        terms: Terms,
        seed: int,
        on_report: Callable[[OrderReport], None],
    ) -> None:
        self.accounts = {account.bot: account for account in accounts}
        self.next_due_ms = NEVER_MS
        self.now_ms = 0
        basis = "; book synthesised from candles" if terms.synthesised else ""
        liquidity = Liquidity(shared=terms.shared_liquidity, reaches_beyond=terms.reaches_beyond)
        self._exchange = SimulatedExchange(
            instruments,
            books,
            journal,
            self.accounts,
            Executor(terms.fees, f"{terms.latency.name}{basis}", seed, terms.queue, terms.slippage.name),
            liquidity,
            Taking(liquidity, terms.slippage, seed),
            prevention=terms.prevention,
            answer=self._answer,
            response_ms=self._response_ms,
        )
        self.resting: Mapping[str, Sequence[Working]] = self._exchange.resting
        self._instruments = instruments
        self._books = books
        self._journal = journal
        self._latency = terms.latency
        self._seed = seed
        self._on_report = on_report
        self._schedule = Schedule()
        #: Orders that are not final at the exchange, and orders as their bots know them.
        self._working: dict[tuple[int, int], Working] = {}
        self._known: dict[int, dict[int, Order]] = {bot: {} for bot in self.accounts}
        self._cancelling: set[tuple[int, int]] = set()
        self._last_number = dict.fromkeys(self.accounts, 0)
        self._last_arrival_ms = dict.fromkeys(self.accounts, 0)
        self._last_report_ms = dict.fromkeys(self.accounts, 0)
        self._ticket = 0
        self._durable_ticket = 0

    def __getstate__(self) -> dict[str, Any]:
        """Tickets are of one journal: where this goes on with another, all that was written before is on disk."""
        return self.__dict__ | {"_ticket": 0, "_durable_ticket": 0}

    # -- Broker: what a bot may do ---------------------------------------------------------------------------

    def submit(self, order: Order) -> None:
        """Send `order`, decided at engine time `created_ms`. The object stays the bot's: its `status` and
        `filled` change when a report is delivered, not before.

        Raises QuantlabError for what no exchange could see: an order of an unknown bot, on another symbol
        than the bot's account, or with a number that does not follow the last one.
        """
        working = self._take_in(order)
        due_ms = self._arrival_ms(order.created_ms, order.bot, order.number, Purpose.ORDER_LATENCY)
        self._at(due_ms, partial(self._order_arrives, working))

    def _take_in(self, order: Order) -> Working:
        bot, number = order.bot, order.number
        account = self.accounts.get(bot)
        if account is None or account.symbol != order.symbol:
            raise QuantlabError(f"order {number} of bot {bot}: the bot has no account on {order.symbol}")
        if number <= self._last_number[bot]:
            raise QuantlabError(
                f"order {number} of bot {bot}: numbers never repeat, go on from {self._last_number[bot]}"
            )
        self._last_number[bot] = number
        self.now_ms = max(self.now_ms, order.created_ms)
        instrument = self._instruments[order.symbol]
        working = Working(replace(order), instrument, decision=touch(self._books[order.symbol], instrument))
        self._working[bot, number] = working
        self._known[bot][number] = order
        self._ticket = self._journal.order(working.order)
        return working

    def cancel(self, bot: int, order_number: int) -> None:
        """Ask for the cancel of an order; the request travels as an order does.

        Asking again while one is on its way changes nothing, and an order that becomes final before the
        cancel arrives is answered by its own report.
        """
        key = (bot, order_number)
        if key in self._working and key not in self._cancelling:
            self._cancelling.add(key)
            due_ms = self._arrival_ms(self.now_ms, bot, order_number, Purpose.CANCEL_LATENCY)
            self._at(due_ms, partial(self._cancel_arrives, key))

    def replace(self, bot: int, order_number: int, order: Order) -> None:
        """Cancel an order and send `order` in its place, in one message. Where the old one is not open any more when it
        arrives, or the new one fails a filter, nothing changes and `order` is rejected (STOP_ON_FAILURE).

        Raises QuantlabError as `submit` does.
        """
        working = self._take_in(order)
        due_ms = self._arrival_ms(order.created_ms, bot, order.number, Purpose.ORDER_LATENCY)
        self._at(due_ms, partial(self._replacement_arrives, (bot, order_number), working))

    def amend(self, bot: int, order_number: int, quantity: Decimal) -> None:
        """Ask to reduce an order to `quantity` (base units, what has been filled included); it keeps its place in the
        queue. An order that becomes final before is answered by its own report; a refusal comes as a report with a
        reason, and the order stands as it stood."""
        working = self._working.get((bot, order_number))
        if working is not None:
            working.amendments += 1
            draw = uniform(self._seed, bot, order_number, Purpose.AMEND_LATENCY, working.amendments)
            due_ms = self._in_order(bot, self.now_ms + self._latency.order_ms(draw))
            self._at(due_ms, partial(self._amendment_arrives, working, quantity))

    def open_orders(self, bot: int) -> list[Order]:
        """The bot's orders as the bot knows them: sent, and not yet reported final."""
        return list(self._known[bot].values())

    # -- the engine's calls ----------------------------------------------------------------------------------

    def advance(self, engine_time_ms: int) -> None:
        """Run everything due at or before `engine_time_ms`, in order of (due time, sequence)."""
        while self.next_due_ms <= engine_time_ms:
            due_ms, action = self._schedule.pop()
            self.next_due_ms = self._schedule.next_due_ms
            self.now_ms = max(self.now_ms, due_ms)
            action()
        self.now_ms = max(self.now_ms, engine_time_ms)

    def on_trade(self, trade: Trade) -> None:
        """A trade printed. Costs one look-up when nothing rests on its symbol."""
        if trade.symbol in self.resting:
            self.now_ms = self._exchange.now_ms = max(self.now_ms, trade.time_ms)
            self._exchange.on_trade(trade)

    def on_book(self, symbol: str) -> None:
        """The top of the book of `symbol` changed, or the book is whole again."""
        if symbol in self.resting:
            self._exchange.now_ms = self.now_ms
            self._exchange.on_book(symbol)

    def look_anew(self, symbol: str) -> None:
        """The book of `symbol` began anew after a gap: what it shows less than before may have been traded."""
        self._exchange.look_anew(symbol)

    def lose_track(self, symbol: str, why: str) -> None:
        """Cancel the orders that wait in a queue of `symbol`. Stops and targets stay: they have no place to lose."""
        self._exchange.now_ms = self.now_ms
        for working in tuple(self.resting.get(symbol, ())):
            if not (working.dormant or working.order.status.is_final):
                self._note(working, "order cancelled", {"reason": why})
                self._exchange.cancel(working)

    def end(self, engine_time_ms: int, reason: str) -> None:
        """The run is over: whatever rests or is on its way is cancelled and written down; no report comes any more."""
        self.now_ms = max(self.now_ms, engine_time_ms)
        for working in tuple(self._working.values()):
            if not working.order.status.is_final:
                self._note(working, "order cancelled", {"reason": reason})
                self._exchange.cancel(working)
        self._schedule.clear()
        self.next_due_ms = NEVER_MS
        for known in self._known.values():
            known.clear()
        self._journal.wait(self._ticket)

    # -- recovery --------------------------------------------------------------------------------------------

    def restore(self, fills: Sequence[Fill], open_orders: Iterable[Order], engine_time_ms: int = 0) -> list[Order]:
        """Continue where a ledger ends: fold `fills` into the accounts, close `open_orders` as unknown.

        Returns the orders as they were closed (FILLED where the fills say so, else CANCELED). To be called
        once, on fresh accounts, before anything else. Raises QuantlabError when a fill is missing or
        impossible.
        """
        self.now_ms = max(self.now_ms, engine_time_ms)
        counts = dict.fromkeys(self.accounts, 0)
        for fill in fills:
            counts[fill.bot] += 1
            self._last_number[fill.bot] = max(self._last_number[fill.bot], fill.order_number)
        for account in self.accounts.values():
            account.restore(fills)
        self.restore_counters(counts)
        closed = [as_unknown(order, fills) for order in open_orders]
        for order in closed:
            self._last_number[order.bot] = max(self._last_number[order.bot], order.number)
            self._ticket = self._journal.order(order)
        return closed

    def restore_counters(self, fills: Mapping[int, int]) -> None:
        """How many fills each bot has had: its next one is numbered one higher."""
        self._exchange.fill_counts.update(fills)

    # -- the way there and back ------------------------------------------------------------------------------

    def _order_arrives(self, working: Working) -> None:
        self._exchange.now_ms = self.now_ms
        self._exchange.arrive(working)

    def _cancel_arrives(self, key: tuple[int, int]) -> None:
        working = self._working.get(key)
        if working is not None:
            self._exchange.now_ms = self.now_ms
            self._exchange.cancel(working)

    def _replacement_arrives(self, key: tuple[int, int], working: Working) -> None:
        self._exchange.now_ms = self.now_ms
        self._exchange.replace(self._working.get(key), working)

    def _amendment_arrives(self, working: Working, quantity: Decimal) -> None:
        if not working.order.status.is_final:
            self._exchange.now_ms = self.now_ms
            self._exchange.amend(working, quantity)

    def _answer(self, working: Working, outcome: Outcome) -> None:
        """The exchange's answer: written down at once, heard by the bot later."""
        order, rejection = working.order, outcome.rejection
        if rejection is not None:
            kind = "order rejected" if outcome.status.is_final else "amendment rejected"
            self._note(working, kind, rejection._asdict())
        self._ticket = self._journal.order(order)
        if outcome.status.is_final:
            del self._working[working.key]
            self._cancelling.discard(working.key)
        due_ms = self.now_ms + self._response_ms(working)
        self._last_report_ms[order.bot] = due_ms
        working.reports += 1
        report = OrderReport(
            bot=order.bot,
            order_number=order.number,
            status=outcome.status,
            time_ms=due_ms,
            fills=outcome.fills,
            reject_code=rejection.code if rejection else 0,
            reject_reason=rejection.reason if rejection else "",
            quantity=order.quantity,
            prevented=order.prevented,
        )
        self._at(due_ms, partial(self._deliver, report))

    def _deliver(self, report: OrderReport) -> None:
        """The bot hears, once all of it is on disk. One wait covers everything that was written until now."""
        if self._durable_ticket < self._ticket:
            self._journal.wait(self._ticket)
            self._durable_ticket = self._ticket
        known = self._known[report.bot]
        order = known[report.order_number]
        order.status = report.status
        order.filled = sum((fill.quantity for fill in report.fills), order.filled)
        order.prevented = report.prevented
        if report.quantity is not None:
            order.quantity = report.quantity
        if report.status.is_final:
            del known[report.order_number]
        self._on_report(report)

    def _note(self, working: Working, kind: str, detail: Mapping[str, object]) -> None:
        order = working.order
        self._ticket = self._journal.event(self.now_ms, kind, order.bot, {"order": order.number, **detail})

    # -- time ------------------------------------------------------------------------------------------------

    def _at(self, due_ms: int, action: Callable[[], None]) -> None:
        self._schedule.at(due_ms, action)
        self.next_due_ms = self._schedule.next_due_ms

    def _arrival_ms(self, sent_ms: int, bot: int, number: int, purpose: Purpose) -> int:
        """When a message of `bot` reaches the exchange: never before one that it sent earlier."""
        return self._in_order(bot, sent_ms + self._latency.order_ms(uniform(self._seed, bot, number, purpose)))

    def _in_order(self, bot: int, due_ms: int) -> int:
        self._last_arrival_ms[bot] = max(self._last_arrival_ms[bot], due_ms)
        return self._last_arrival_ms[bot]

    def _response_ms(self, working: Working) -> int:
        """How long the next answer about an order travels from now: it never arrives before an earlier one."""
        bot, number = working.order.bot, working.order.number
        draw = uniform(self._seed, bot, number, Purpose.RESPONSE_LATENCY, working.reports)
        return max(self._latency.response_ms(draw), self._last_report_ms[bot] - self.now_ms)
