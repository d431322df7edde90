"""An order at the exchange: the paper engine's own copy and what matching needs to know of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import NamedTuple

from quantlab.model import BookView, Instrument, Order, OrderType, Side

CONDITIONAL = frozenset({OrderType.STOP_LOSS, OrderType.TAKE_PROFIT})


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
    `crossed_lots` see `matching`. `falling` tells at which side of its price a stop triggers; `triggered` marks one
    that waits for the book to be whole.
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
    triggered: bool = False
    reports: int = 0

    @property
    def key(self) -> tuple[int, int]:
        return self.order.bot, self.order.number

    @property
    def falling(self) -> bool:
        return (self.order.type is OrderType.STOP_LOSS) == (self.order.side is Side.SELL)

    def enter(self) -> None:
        """Put price and quantity on the instrument's grid; the filters have passed before."""
        order, instrument = self.order, self.instrument
        self.lots = instrument.lots(order.quantity)
        self.price_ticks = 0 if order.price is None else instrument.ticks(order.price)
        self.stop_ticks = 0 if order.stop_price is None else instrument.ticks(order.stop_price)


def reservations(resting: Iterable[Working]) -> tuple[Decimal, Decimal]:
    """What one bot's resting orders reserve: (quote, base).

    Buys reserve their remaining notional, sales their remaining quantity. A stop and a target on the same
    side stand for Binance's OCO list: of the two, only the larger reserves, because only one of them can
    trade.
    """
    quote = base = Decimal(0)
    either = {side: {kind: Decimal(0) for kind in CONDITIONAL} for side in Side}
    for working in resting:
        order = working.order
        price = order.price if order.price is not None else order.stop_price
        amount = order.remaining if order.side is Side.SELL or price is None else order.remaining * price
        if order.type in CONDITIONAL:
            either[order.side][order.type] += amount
        elif order.side is Side.BUY:
            quote += amount
        else:
            base += amount
    return quote + max(either[Side.BUY].values()), base + max(either[Side.SELL].values())
