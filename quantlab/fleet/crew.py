"""A crew: the bots of a fleet with accounts, a desk and a broker of their own, on books that it shares with others.

A run has one whose results are the run's. On paper two more may sail beside it on the same signals, the optimist and
the pessimist: what they make bounds what can be believed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from quantlab.fleet.bot import Bot
from quantlab.fleet.desk import Desk
from quantlab.fleet.quoter import Quoter
from quantlab.market import Book
from quantlab.model import Broker, Fill, Instrument, Journal, Order, OrderReport, Receipt, Trade
from quantlab.risk import FleetLimits

#: Makes the broker of a crew, of its books, its journal, its bots and who hears reports.
MakeBroker = Callable[[Mapping[str, Book], Journal, Sequence[Bot], Callable[[OrderReport], None]], Broker]


class Crew:
    """`quoters` has the symbols with bots that rest quotes on the book."""

    def __init__(
        self,
        bots: Sequence[Bot],
        instruments: Mapping[str, Instrument],
        books: Mapping[str, Book],
        journal: Journal,
        make_broker: MakeBroker,
        limits: FleetLimits,
    ) -> None:
        self.bots = bots
        self.desk = Desk(bots, instruments, books, journal, limits)
        self.broker = make_broker(books, journal, bots, self.desk.hear)
        self.desk.trade_through(self.broker)
        self.quoters: dict[str, list[Bot]] = defaultdict(list)
        for bot in bots:
            if bot.strategy.uses_book:
                self.quoters[bot.spec.symbol].append(bot)
        self._quoter = Quoter(self.desk, self.broker, instruments, books)

    # -- what happens on the market, on the hot path ----------------------------------------------------------------

    def book_moved(self, symbol: str, now_ms: int) -> None:
        """The book of `symbol` moved, and something of the crew is on it."""
        if symbol in self.broker.resting:
            self.broker.on_book(symbol)
        for bot in self.quoters.get(symbol, ()):
            if now_ms >= bot.quote_after_ms:
                self._quoter.book_moved(bot, now_ms)

    def advance(self, to_ms: int) -> None:
        """What was due before engine time `to_ms` happens, against the books as they stood."""
        broker = self.broker
        if broker.next_due_ms <= to_ms:
            broker.advance(to_ms)
        broker.now_ms = to_ms

    # -- and what is rare -------------------------------------------------------------------------------------------

    def book_whole(self, symbol: str, now_ms: int) -> None:
        """The book of `symbol` is whole: what waited for it goes on."""
        self.broker.on_book(symbol)
        self.desk.book_whole(symbol, now_ms)

    def play_missed(self, trade: Trade, now_ms: int) -> None:
        """A trade that comes late, at its own time or now: a fill never lies before what its bot did already."""
        self.broker.now_ms = now_ms
        self.broker.on_trade(trade)
        self.broker.now_ms = now_ms

    def lose_track(self, symbol: str, why: str, now_ms: int) -> None:
        """It is not known what became of the orders in the queues of `symbol`."""
        self.broker.now_ms = now_ms
        self.broker.lose_track(symbol, why)

    def close_minute(self, minute_ms: int) -> None:
        """A minute of engine time ended: mark the bots and apply loss limits."""
        for bot in self.bots:
            self.desk.check_limits(bot, minute_ms)
        self.desk.check_fleet(minute_ms)

    def held(self) -> set[str]:
        """The symbols in which it holds something, or in which its orders rest."""
        return {bot.spec.symbol for bot in self.bots if not self.desk.is_flat(bot)}.union(self.broker.resting)

    def command(self, name: str, numbers: Sequence[int], now_ms: int) -> None:
        """Obey a command to the bots of these numbers."""
        chosen = [self.bots[number] for number in numbers]
        if name == "pause":
            self.desk.pause()
        elif name == "resume":
            self.desk.resume(now_ms)
        elif name == "reduce":
            self.desk.guard.reduce(chosen, "reduce command", now_ms)
        elif name == "kill":
            self.desk.kill(chosen, now_ms, "kill switch")


class Unwritten:
    """The `Journal` of a crew beside the run's own: what it does is known by its equity alone."""

    def order(self, order: Order) -> int:
        return 0

    def fill(self, fill: Fill, receipt: Receipt) -> int:
        return 0

    def equity(self, rows: Sequence[tuple[int, int, float, float, float]]) -> int:
        return 0

    def bounds(self, rows: Sequence[tuple[int, int, float, float]]) -> int:
        return 0

    def marks(self, rows: Sequence[tuple[int, str, float, float]]) -> int:
        return 0

    def event(self, time_ms: int, kind: str, bot: int | None, detail: dict[str, Any]) -> int:
        return 0

    def egress(self, entry: dict[str, Any]) -> int:
        return 0

    def wait(self, ticket: int) -> None:
        return None
