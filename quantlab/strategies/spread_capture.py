"""Market making on one symbol: buy below the middle, sell above it, as a maker."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from quantlab.model import BookView, DesiredQuote, Order, OrderType, Position, Side
from quantlab.strategies.base import Strategy, check_number


@dataclass(frozen=True)
class SpreadCapture(Strategy):
    """Rest a bid while there is room for more inventory, and an ask while there is something to sell.

    Idea: whoever waits is paid the distance from the middle, if it is more than the fees. Real spreads of large
    symbols are far below the fees (BTCUSDT 0.00 bps on 2024-01-05), so the quotes rest behind the best ones and are
    reached only when the price moves. What they earn is a bet on the price coming back.

    A quote is placed no nearer than `fee_bps + edge_bps` from mid, rounded away from it. Once it rests it keeps its
    place in the queue while its price is within `tolerance_bps` of where it would be placed now: a tolerance of more
    than fees and edge lets the market come to the quote, a smaller one withdraws it first. All in bps of mid.

    Parameters: `fee_bps`, the fee of one side; `edge_bps`, what is to be left after it; `tolerance_bps`;
    `size`, fraction of the equity in one bid; `max_inventory_usdt`, no more bids once the position is worth this;
    `min_order_usdt`, holdings worth less are dust and not offered; `max_spread_bps`, a wider market is left alone.
    Source: Avellaneda and Stoikov, High-frequency trading in a limit order book, Quantitative Finance 8 (2008), for
    quoting around a middle with bounded inventory; without their model of arrivals.
    """

    fee_bps: float = 10.0
    edge_bps: float = 2.0
    tolerance_bps: float = 15.0
    size: float = 0.3
    max_inventory_usdt: float = 800.0
    min_order_usdt: float = 10.0
    max_spread_bps: float = 50.0

    uses_book: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_number(self, "fee_bps", at_least=0, at_most=1000)
        check_number(self, "edge_bps", at_least=0, at_most=1000)
        check_number(self, "tolerance_bps", at_least=0, at_most=1000)
        check_number(self, "size", at_least=0.01, at_most=1)
        check_number(self, "max_inventory_usdt", at_least=0, at_most=1e9)
        check_number(self, "min_order_usdt", at_least=0, at_most=1e9)
        check_number(self, "max_spread_bps", at_least=0, at_most=10_000)

    def on_book(self, book: BookView, position: Position, open_orders: Sequence[Order]) -> list[DesiredQuote]:
        """At most one bid and one ask; none where `why_aside` gives a reason."""
        bid, ask = book.best_bid(), book.best_ask()
        if bid is None or ask is None or self.why_aside(book, position):
            return []
        mid = (bid[0] + ask[0]) / 2
        distance = mid * (self.fee_bps + self.edge_bps) / 10_000
        inventory = float(position.quantity * book.tick_size) * mid
        wanted = []
        if inventory < self.max_inventory_usdt:
            wanted.append(DesiredQuote(Side.BUY, math.floor(mid - distance), self.size))
        if inventory > 0 and inventory >= self.min_order_usdt:
            wanted.append(DesiredQuote(Side.SELL, math.ceil(mid + distance), 1.0))
        return [self._keep_or_move(quote, mid, book, open_orders) for quote in wanted]

    def why_aside(self, book: BookView, position: Position) -> str:
        if not book.in_sync:
            return "book out of sync: no quotes on a guess"
        bid, ask = book.best_bid(), book.best_ask()
        if bid is None or ask is None:
            return "a side of the book is empty: there is no middle to quote around"
        mid = (bid[0] + ask[0]) / 2
        spread_bps = (ask[0] - bid[0]) / mid * 10_000
        if spread_bps > self.max_spread_bps:
            return f"spread of {spread_bps:.1f} bps is above max_spread_bps {self.max_spread_bps:g}"
        if math.floor(mid * (1 - (self.fee_bps + self.edge_bps) / 10_000)) < 1:
            return "price is too few ticks for a bid below fees and edge"
        return ""

    def _keep_or_move(
        self, quote: DesiredQuote, mid: float, book: BookView, open_orders: Sequence[Order]
    ) -> DesiredQuote:
        """`quote` at the price of the order that rests on its side, where that is near enough to stay."""
        tolerance = mid * self.tolerance_bps / 10_000
        for order in open_orders:
            if order.side is not quote.side or order.price is None or order.type not in _QUOTES:
                continue
            resting = int(order.price / book.tick_size)
            if not order.status.is_final and abs(resting - quote.price_ticks) <= tolerance:
                return DesiredQuote(quote.side, resting, quote.fraction)
        return quote


_QUOTES = (OrderType.LIMIT, OrderType.LIMIT_MAKER)
