"""What the market says: candles, quotes, trades, depth; and the book as a strategy may see it.

Prices are whole ticks, quantities whole lots of the symbol's `Instrument`; times are engine time: UTC, integer ms.
The structs of the hot path hold no references that could form a cycle and are kept out of the collector (`gc=False`).
"""

from __future__ import annotations

from decimal import Decimal
from typing import Protocol

import msgspec


class Candle(msgspec.Struct, frozen=True, gc=False):
    """One candle, prices in quote units, volume in base units. `closed` is false while it still forms."""

    symbol: str
    timeframe: str
    open_time_ms: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    closed: bool = True


class Quote(msgspec.Struct, gc=False):
    """Top of book (`@bookTicker`). It carries no time of its own, only the book's update id."""

    symbol: str
    update_id: int
    bid_ticks: int
    bid_lots: int
    ask_ticks: int
    ask_lots: int


class Trade(msgspec.Struct, gc=False):
    """One trade (`@trade`). `buyer_is_maker`: the aggressor sold."""

    symbol: str
    trade_id: int
    price_ticks: int
    quantity_lots: int
    time_ms: int
    buyer_is_maker: bool


class AggregateTrade(msgspec.Struct, gc=False):
    """Trades of one order at one price and time (`GET /api/v3/aggTrades`), from `first_trade_id` to that of `trade`,
    which has all their quantity."""

    aggregate_id: int
    first_trade_id: int
    trade: Trade

    def ids(self) -> range:
        """Of all its trades."""
        return range(self.first_trade_id, self.trade.trade_id + 1)


class DepthUpdate(msgspec.Struct):
    """Changes of the book (`@depth@100ms`): new quantities of the levels named; zero lots removes a level."""

    symbol: str
    first_update_id: int
    last_update_id: int
    time_ms: int
    bids: list[tuple[int, int]]
    asks: list[tuple[int, int]]


class DepthSnapshot(msgspec.Struct):
    """`GET /api/v3/depth`: levels as (ticks, lots), best first. Levels beyond the limit asked for are unknown."""

    symbol: str
    last_update_id: int
    bids: list[tuple[int, int]]
    asks: list[tuple[int, int]]


class BookView(Protocol):
    """What a strategy and the matching engine may read of a book. Levels are (ticks, lots), best first."""

    symbol: str
    tick_size: Decimal
    step_size: Decimal

    @property
    def book_id(self) -> int:
        """Update id of the newest change that this view contains."""
        ...

    @property
    def depth_id(self) -> int:
        """Update id of the newest depth event in it: quotes move the top between two of them."""
        ...

    @property
    def in_sync(self) -> bool:
        """False while the book has a gap or waits for its snapshot: do not trade on it."""
        ...

    def best_bid(self) -> tuple[int, int] | None: ...

    def best_ask(self) -> tuple[int, int] | None: ...

    def bids(self, levels: int = 20) -> list[tuple[int, int]]: ...

    def asks(self, levels: int = 20) -> list[tuple[int, int]]: ...

    def bid_lots(self, ticks: int) -> int | None:
        """Lots displayed at a bid of `ticks`; None beyond the levels that are known."""
        ...

    def ask_lots(self, ticks: int) -> int | None:
        """Lots displayed at an ask of `ticks`; None beyond the levels that are known."""
        ...
