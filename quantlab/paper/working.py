"""An order at the exchange: the paper engine's own copy and what matching needs to know of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import NamedTuple

from quantlab.model import CONDITIONAL, BookView, Instrument, Order, OrderType, Side, TimeInForce

_TIMED = frozenset({OrderType.LIMIT, OrderType.STOP_LOSS_LIMIT, OrderType.TAKE_PROFIT_LIMIT})


class Touch(NamedTuple):
    """Best bid and ask in quote units; None where a side is empty or the book is out of sync."""

    bid: Decimal | None = None
    ask: Decimal | None = None

    def far(self, side: Side) -> Decimal | None:
        """The price at which an order of `side` would trade now."""
        return self.ask if side is Side.BUY else self.bid


def touch(book: BookView, instrument: Instrument) -> Touch:
    if not book.in_sync:
        return Touch()
    bid, ask = book.best_bid(), book.best_ask()
    return Touch(
        None if bid is None else instrument.price(bid[0]),
        None if ask is None else instrument.price(ask[0]),
    )


@dataclass(slots=True, eq=False)
class Working:
    """`order` is the exchange's state of the order; what the bot knows of it changes with its reports only.

    `queue_lots` stand before it (None: unknown, beyond the book's range). `shown_lots` were displayed at its price at
    the last look (None: before a gap), which was at depth event `looked_id`, and `traded_lots` traded there since.
    `crossed_lots` see `matching`. `dormant` is a conditional order that waits for its price, `triggered` one that waits
    for the book to be whole since; `best_ticks` is what a trailing one has seen best (0: it does not track yet).
    """

    order: Order
    instrument: Instrument
    decision: Touch
    arrival: Touch = field(default_factory=Touch)
    latency_ms: int = 0
    arrived_ms: int = 0
    price_ticks: int = 0
    stop_ticks: int = 0
    lots: int = 0
    queue_lots: int | None = 0
    shown_lots: int | None = 0
    traded_lots: int = 0
    looked_id: int = 0
    crossed_lots: int = 0
    dormant: bool = False
    triggered: bool = False
    best_ticks: int = 0
    reports: int = 0
    amendments: int = 0

    @property
    def key(self) -> tuple[int, int]:
        return self.order.bot, self.order.number

    @property
    def limit_ticks(self) -> int | None:
        """The worst price at which it may trade; None at market."""
        return self.price_ticks or None

    @property
    def in_force(self) -> TimeInForce:
        """How long it works; types that have no time in force rest, or take at once."""
        return self.order.time_in_force if self.order.type in _TIMED else TimeInForce.GTC

    def enter(self) -> None:
        """Put price and quantity on the instrument's grid; the filters have passed before."""
        order, instrument = self.order, self.instrument
        self.dormant = order.type in CONDITIONAL
        self.lots = instrument.lots(order.quantity)
        self.price_ticks = 0 if order.price is None else instrument.ticks(order.price)
        self.stop_ticks = 0 if order.stop_price is None else instrument.ticks(order.stop_price)

    def needs(self) -> Decimal:
        """What it may still need: quote for a buy (at its limit, else its trigger, else the touch it met), base for a
        sale."""
        order = self.order
        if order.side is Side.SELL:
            return order.remaining
        return order.remaining * (order.price or order.stop_price or self.arrival.ask or Decimal(0))


def reservations(resting: Iterable[Working]) -> tuple[Decimal, Decimal]:
    """What one bot's resting orders reserve: (quote, base). Of a list only the largest reserves, because only one of
    its orders can trade."""
    alone = {side: Decimal(0) for side in Side}
    lists: dict[tuple[Side, int], Decimal] = defaultdict(Decimal)
    for working in resting:
        side, number = working.order.side, working.order.list_number
        if number:
            lists[side, number] = max(lists[side, number], working.needs())
        else:
            alone[side] += working.needs()
    for (side, _), needed in lists.items():
        alone[side] += needed
    return alone[Side.BUY], alone[Side.SELL]
