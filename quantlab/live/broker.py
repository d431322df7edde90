"""The broker of a live run: what bots want goes out over a `Line`, what the exchange says comes back as fills.

It is a function of the calls made and the reports heard: no socket, no clock. Every report enters the run's input log
before anything follows from it. An intent is committed before it is sent, a fill before its bot hears of it, and a
trade is written once, whatever source tells of it first, or how often.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Protocol

import msgspec
from msgspec.structs import replace

from quantlab.live.fills import fill_of, receipt_of
from quantlab.live.ids import client_id
from quantlab.live.reports import Report
from quantlab.live.wire import params_of, worst_price
from quantlab.model import (
    BookView,
    Fill,
    Instrument,
    Journal,
    Order,
    OrderReport,
    OrderStatus,
    QuantlabError,
    Side,
    Trade,
)

_NEVER_MS = 1 << 62
_ZERO = Decimal(0)

Key = tuple[int, int]


class Holdings(Protocol):
    """What a bot owns, as fills change it."""

    bot: int
    symbol: str
    cash: Decimal
    reserved_quote: Decimal
    reserved_base: Decimal

    def apply(self, fill: Fill) -> None: ...

    def restore(self, fills: Iterable[Fill]) -> None: ...


class InputLog(Protocol):
    """The run's input log, as far as reports go into it."""

    def entry(self, kind: str, name: str, payload: bytes) -> None: ...


class Line(Protocol):
    """The way to the exchange. Nothing here blocks; what comes of it is told to `LiveBroker.take`."""

    def place(self, key: Key, params: Mapping[str, str], ticket: int) -> None:
        """Send an order, once `ticket` is on disk."""
        ...

    def cancel(self, key: Key) -> None: ...

    def owed(self, key: Key) -> None:
        """Ask for the trades of an order: more of it is filled than was told."""
        ...

    def turn_down(self, report: Report) -> None:
        """Tell a report that needs no exchange, but not within this call."""
        ...


@dataclass(slots=True, eq=False)
class Working:
    """An order until its bot knows that it is final. `order` is the bot's own object."""

    order: Order
    instrument: Instrument
    name: str
    #: The highest price that a buy may pay; what it may still cost at most is reserved.
    worst: Decimal | None
    bid: Decimal | None
    ask: Decimal | None
    order_id: int = 0
    told: OrderStatus = OrderStatus.PENDING
    final: OrderStatus | None = None
    executed: Decimal = _ZERO
    filled: Decimal = _ZERO
    trades: set[int] = field(default_factory=set)

    @property
    def status(self) -> OrderStatus:
        """The newest state that all fills are known of."""
        if self.filled == self.order.quantity:
            return OrderStatus.FILLED
        if self.final is not None and self.filled >= self.executed:
            return self.final
        if self.filled:
            return OrderStatus.PARTIALLY_FILLED
        return OrderStatus.NEW if self.order_id else OrderStatus.PENDING

    @property
    def reserved_quote(self) -> Decimal:
        if self.order.side is not Side.BUY or self.worst is None:
            return _ZERO
        return (self.order.quantity - self.filled) * self.worst


class LiveBroker:
    """Implements what the engine needs of a broker. `line` is None where a recorded run is told again.

    `capital_usdt` bounds what is bought less what is sold, open buys at their highest price included. `resting` is
    empty and nothing is ever due: the exchange matches, not the engine.
    """

    def __init__(
        self,
        instruments: Mapping[str, Instrument],
        books: Mapping[str, BookView],
        journal: Journal,
        *,
        accounts: Sequence[Holdings],
        key: str,
        capital_usdt: Decimal,
        line: Line | None,
        log: InputLog | None,
        on_report: Callable[[OrderReport], None],
    ) -> None:
        self.accounts = {account.bot: account for account in accounts}
        self.next_due_ms = _NEVER_MS
        self.now_ms = 0
        self.resting: Mapping[str, Sequence[Any]] = {}
        #: Why no more orders are sent; empty while they are.
        self.lapsed = ""
        self.working: dict[Key, Working] = {}
        self._instruments, self._books, self._journal = instruments, books, journal
        self._key, self._capital = key, capital_usdt
        self._line, self._log, self._on_report = line, log, on_report
        self._last_number = dict.fromkeys(self.accounts, 0)
        self._fill_counts = dict.fromkeys(self.accounts, 0)
        self._bought = _ZERO
        self._ticket = 0

    @property
    def net_bought_usdt(self) -> Decimal:
        """What was bought less what was sold, in quote units."""
        return self._bought

    # -- Broker: what a bot may do ------------------------------------------------------------------------------------

    def submit(self, order: Order) -> None:
        """Write the intent down and send it once it is on disk. Raises QuantlabError for what no exchange could see: an
        unknown bot, another symbol than its own, a number that was used."""
        bot, number = order.bot, order.number
        account = self.accounts.get(bot)
        if account is None or account.symbol != order.symbol:
            raise QuantlabError(f"order {number} of bot {bot}: the bot has no account on {order.symbol}")
        if number <= self._last_number[bot]:
            raise QuantlabError(
                f"order {number} of bot {bot}: numbers never repeat, go on from {self._last_number[bot]}"
            )
        self._last_number[bot] = number
        instrument, book = self._instruments[order.symbol], self._books[order.symbol]
        bid, ask = _touch(book, instrument)
        worst = None
        if order.side is Side.BUY:
            worst = worst_price(order, instrument, ask, account.cash - account.reserved_quote)
        working = Working(order, instrument, client_id(self._key, bot, number), worst, bid, ask)
        refusal = self._refusal(working)
        self.working[bot, number] = working
        self._ticket = self._journal.order(replace(order))
        self._reserve(bot)
        if self._line is None:
            return
        if refusal:
            self._line.turn_down(
                Report(bot=bot, number=number, source="here", status=OrderStatus.REJECTED, reject_reason=refusal)
            )
        else:
            self._line.place((bot, number), params_of(order, working.name, worst), self._ticket)

    def cancel(self, bot: int, order_number: int) -> None:
        """Ask for the cancel of an order. Asking again while one is on its way changes nothing."""
        if (bot, order_number) in self.working and self._line is not None:
            self._line.cancel((bot, order_number))

    def open_orders(self, bot: int) -> list[Order]:
        """The bot's orders as the bot knows them: sent, and not yet reported final."""
        return [working.order for key, working in self.working.items() if key[0] == bot]

    # -- what the exchange says ---------------------------------------------------------------------------------------

    def take(self, report: Report) -> None:
        """A report came: into the input log, then to whom it concerns."""
        payload = msgspec.json.encode(report)
        if self._log is not None:
            self._log.entry("answer", "execution", payload)
        self._hear(report)

    def heard(self, payload: bytes) -> None:
        """A report of a recorded run. Raises msgspec.DecodeError for what is none."""
        self._hear(msgspec.json.decode(payload, type=Report))

    def _hear(self, report: Report) -> None:
        working = self.working.get((report.bot, report.number))
        if working is None:
            return  # final already: the stream and the answers tell everything twice
        working.order_id = working.order_id or report.order_id
        fills = [self._book(working, report, trade) for trade in report.trades if trade.trade_id not in working.trades]
        if report.executed is not None:
            working.executed = max(working.executed, report.executed)
        if report.status is not None and report.status.is_final and working.final is None:
            working.final = report.status
        status = working.status
        if not status.is_final and working.executed > working.filled and self._line is not None:
            self._line.owed((report.bot, report.number))
        if fills or _rank(status) > _rank(working.told):
            self._deliver(working, status, tuple(fills), report)

    def _book(self, working: Working, report: Report, trade: Any) -> Fill:
        """Write one trade down, and change what its bot owns."""
        order = working.order
        working.trades.add(trade.trade_id)
        working.filled += trade.quantity
        self._fill_counts[order.bot] += 1
        fill = fill_of(order, trade, self._fill_counts[order.bot], working.instrument)
        receipt = receipt_of(fill, trade, working.order_id, bid=working.bid, ask=working.ask)
        self._ticket = self._journal.fill(fill, receipt)
        self._bought += fill.notional if fill.side is Side.BUY else -fill.notional
        try:
            self.accounts[order.bot].apply(fill)
        except QuantlabError:
            self._journal.wait(self._ticket)  # it happened, whatever it does to the books
            raise
        return fill

    def _deliver(self, working: Working, status: OrderStatus, fills: tuple[Fill, ...], report: Report) -> None:
        """The bot hears, once all of it is on disk."""
        order = working.order
        if status is OrderStatus.REJECTED:
            detail = {"order": order.number, "code": report.reject_code, "reason": report.reject_reason}
            self._journal.event(self.now_ms, "order rejected", order.bot, detail)
        self._ticket = self._journal.order(replace(order, status=status, filled=working.filled))
        self._journal.wait(self._ticket)
        working.told = order.status = status
        order.filled = working.filled
        if status.is_final:
            del self.working[order.bot, order.number]
        self._reserve(order.bot)
        self._on_report(
            OrderReport(
                bot=order.bot,
                order_number=order.number,
                status=status,
                time_ms=self.now_ms,
                fills=fills,
                reject_code=report.reject_code,
                reject_reason=report.reject_reason,
            )
        )

    # -- the engine's calls -------------------------------------------------------------------------------------------

    def advance(self, engine_time_ms: int) -> None:
        self.now_ms = max(self.now_ms, engine_time_ms)

    def on_trade(self, trade: Trade) -> None:
        """Never called: nothing rests here."""

    def on_book(self, symbol: str) -> None:
        """The exchange matches by its own book."""

    def look_anew(self, symbol: str) -> None:
        """The exchange's own book has no gap."""

    def lose_track(self, symbol: str, why: str) -> None:
        """Never called: the exchange itself says what became of its orders."""

    def end(self, engine_time_ms: int, reason: str) -> None:
        """The run is over. What is still open at the exchange stays open in the ledger: the next start asks for it."""
        self.advance(engine_time_ms)
        for working in self.working.values():
            detail = {"order": working.order.number, "reason": reason, "client_id": working.name}
            self._ticket = self._journal.event(self.now_ms, "order left open", working.order.bot, detail)
        self._journal.wait(self._ticket)

    def restore(self, fills: Sequence[Fill], open_orders: Iterable[Order], engine_time_ms: int = 0) -> list[Order]:
        """Continue where a ledger ends. Raises QuantlabError while an order of it is open: ask the exchange first."""
        for order in open_orders:
            raise QuantlabError(f"order {order.number} of bot {order.bot} is open: the exchange was not asked for it")
        self.advance(engine_time_ms)
        for fill in fills:
            self._fill_counts[fill.bot] = max(self._fill_counts[fill.bot], fill.number)
            self._last_number[fill.bot] = max(self._last_number[fill.bot], fill.order_number)
            self._bought += fill.notional if fill.side is Side.BUY else -fill.notional
        for account in self.accounts.values():
            account.restore(fills)
        return []

    # -- limits -------------------------------------------------------------------------------------------------------

    def _refusal(self, working: Working) -> str:
        """Why this order is not sent; "" where it is."""
        if self.lapsed:
            return self.lapsed
        if working.order.side is not Side.BUY:
            return ""
        if working.worst is None:
            return "the bot has no cash for it, or the book has no price"
        open_usdt = sum((other.reserved_quote for other in self.working.values()), _ZERO)
        if self._bought + open_usdt + working.reserved_quote > self._capital:
            return f"the capital that was armed, {self._capital:f} USDT, would be exceeded"
        return ""

    def _reserve(self, bot: int) -> None:
        """What the bot's open orders may still take from it."""
        own = [working for key, working in self.working.items() if key[0] == bot]
        account = self.accounts[bot]
        account.reserved_quote = sum((working.reserved_quote for working in own), _ZERO)
        account.reserved_base = sum(
            (working.order.quantity - working.filled for working in own if working.order.side is Side.SELL), _ZERO
        )


def _touch(book: BookView, instrument: Instrument) -> tuple[Decimal | None, Decimal | None]:
    if not book.in_sync:
        return None, None
    bid, ask = book.best_bid(), book.best_ask()
    return (
        None if bid is None else instrument.price(bid[0]),
        None if ask is None else instrument.price(ask[0]),
    )


def _rank(status: OrderStatus) -> int:
    if status.is_final:
        return 3
    return (OrderStatus.PENDING, OrderStatus.NEW, OrderStatus.PARTIALLY_FILLED).index(status)
