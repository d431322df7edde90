"""A small world for the paper engine: a book that tests set by hand, a journal that remembers, one or more bots."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

import pytest
from msgspec.structs import replace

from quantlab.model import (
    Fill,
    Instrument,
    Order,
    OrderReport,
    OrderType,
    Receipt,
    Side,
    TimeInForce,
    Trade,
)
from quantlab.paper import Account, FixedLatency, PaperBroker, QueueModel, Slippage, StandardFees, Terms

SYMBOL = "BTCUSDT"


class FakeBook:
    """A `BookView` of levels given as (ticks, lots), best first."""

    def __init__(self, instrument: Instrument) -> None:
        self.symbol = instrument.symbol
        self.tick_size = instrument.tick_size
        self.step_size = instrument.step_size
        self.book_id = 0
        self.in_sync = True
        self._bids: list[tuple[int, int]] = []
        self._asks: list[tuple[int, int]] = []

    def set(self, bids: Sequence[tuple[int, int]], asks: Sequence[tuple[int, int]]) -> None:
        self.book_id += 1
        self._bids, self._asks = list(bids), list(asks)

    def best_bid(self) -> tuple[int, int] | None:
        return self._bids[0] if self._bids else None

    def best_ask(self) -> tuple[int, int] | None:
        return self._asks[0] if self._asks else None

    @property
    def depth_id(self) -> int:
        return self.book_id

    def bid_lots(self, ticks: int) -> int | None:
        return self._at(self._bids, ticks, 1)

    def ask_lots(self, ticks: int) -> int | None:
        return self._at(self._asks, ticks, -1)

    def _at(self, levels: Sequence[tuple[int, int]], ticks: int, sign: int) -> int | None:
        known = dict(levels)
        return known.get(ticks, None if known and sign * ticks < sign * levels[-1][0] else 0)

    def bids(self, levels: int = 20) -> list[tuple[int, int]]:
        return self._bids[:levels]

    def asks(self, levels: int = 20) -> list[tuple[int, int]]:
        return self._asks[:levels]


class MemoryJournal:
    """A `Journal` that keeps everything in order, and what was waited for."""

    def __init__(self) -> None:
        self.log: list[tuple[str, Any]] = []
        self.waits: list[int] = []

    def _add(self, kind: str, entry: Any) -> int:
        self.log.append((kind, entry))
        return len(self.log)

    def order(self, order: Order) -> int:
        return self._add("order", replace(order))

    def fill(self, fill: Fill, receipt: Receipt) -> int:
        return self._add("fill", (fill, receipt))

    def equity(self, rows: Sequence[tuple[int, int, float, float, float]]) -> int:
        return self._add("equity", rows)

    def bounds(self, rows: Sequence[tuple[int, int, float, float]]) -> int:
        return self._add("bounds", rows)

    def marks(self, rows: Sequence[tuple[int, str, float, float]]) -> int:
        return self._add("marks", rows)

    def event(self, time_ms: int, kind: str, bot: int | None, detail: dict[str, Any]) -> int:
        return self._add("event", (time_ms, kind, bot, detail))

    def egress(self, entry: dict[str, Any]) -> int:
        return self._add("egress", entry)

    def wait(self, ticket: int) -> None:
        self.waits.append(ticket)

    def of(self, kind: str) -> list[Any]:
        return [entry for name, entry in self.log if name == kind]

    @property
    def fills(self) -> list[Fill]:
        return [fill for fill, _ in self.of("fill")]

    @property
    def receipts(self) -> list[Receipt]:
        return [receipt for _, receipt in self.of("fill")]


class World:
    """Bots with `capital` each on one symbol, a broker, and short words for what tests do."""

    def __init__(self, instrument: Instrument, *, bots: int = 1, capital: str = "1000", **options: Any) -> None:
        self.instrument = instrument
        self.book = FakeBook(instrument)
        self.journal = MemoryJournal()
        self.reports: list[OrderReport] = []
        self.on_report: Callable[[OrderReport], None] = lambda report: None
        self.instruments = {instrument.symbol: instrument}
        self.broker = PaperBroker(
            self.instruments,
            {instrument.symbol: self.book},
            self.journal,
            accounts=[Account.open(bot, instrument, Decimal(capital)) for bot in range(bots)],
            terms=Terms(
                fees=options.get("fees", StandardFees()),
                latency=options.get("latency", FixedLatency(order=40, response=20)),
                queue=options.get("queue", QueueModel.PESSIMISTIC),
                reaches_beyond=options.get("reaches_beyond", False),
                shared_liquidity=options.get("shared_liquidity", True),
                prevention=options.get("prevention"),
                slippage=options.get("slippage", Slippage()),
            ),
            seed=options.get("seed", 1),
            on_report=self._hear,
        )
        self.now_ms = 1_000
        self._numbers: dict[int, int] = {}
        self._trades = 0
        self.broker.advance(self.now_ms)

    def _hear(self, report: OrderReport) -> None:
        self.reports.append(report)
        self.on_report(report)

    @property
    def account(self) -> Account:
        return self.broker.accounts[0]

    def send(self, side: Side, type_: OrderType, lots: int, **fields: Any) -> Order:
        """Submit an order of `lots`; `ticks` and `stop_ticks` give its prices."""
        bot = fields.get("bot", 0)
        self._numbers[bot] = self._numbers.get(bot, 0) + 1
        ticks, stop_ticks = fields.get("ticks"), fields.get("stop_ticks")
        order = Order(
            bot=bot,
            number=self._numbers[bot],
            symbol=self.instrument.symbol,
            side=side,
            type=type_,
            quantity=self.instrument.quantity(lots),
            price=None if ticks is None else self.instrument.price(ticks),
            stop_price=None if stop_ticks is None else self.instrument.price(stop_ticks),
            time_in_force=fields.get("time_in_force", TimeInForce.GTC),
            quote_quantity=fields.get("quote_quantity"),
            trailing_delta=fields.get("trailing_delta", 0),
            list_number=fields.get("list_number", 0),
            created_ms=self.broker.now_ms,
        )
        if "replaces" in fields:
            self.broker.replace(bot, fields["replaces"].number, order)
        else:
            self.broker.submit(order)
        return order

    def pass_ms(self, ms: int) -> None:
        self.now_ms += ms
        self.broker.advance(self.now_ms)

    def settle(self) -> None:
        """Let everything that is due happen."""
        self.pass_ms(10_000)

    def trade(self, ticks: int, lots: int, *, seller_aggressive: bool) -> None:
        self._trades += 1
        self.broker.on_trade(Trade(self.instrument.symbol, self._trades, ticks, lots, self.now_ms, seller_aggressive))

    def move(self, bids: Sequence[tuple[int, int]], asks: Sequence[tuple[int, int]]) -> None:
        self.book.set(bids, asks)
        self.broker.on_book(self.instrument.symbol)

    def holding(self, lots: int, ticks: int = 10_000) -> World:
        """Give bot 0 a position through a market buy at `ticks`, deep enough for anything."""
        self.book.set([(ticks - 1, 10**9)], [(ticks, 10**9)])
        self.send(Side.BUY, OrderType.MARKET, lots)
        self.settle()
        self.reports.clear()
        return self

    @property
    def orders(self) -> Mapping[tuple[int, int], Order]:
        """The last state of each order in the journal."""
        return {(order.bot, order.number): order for order in self.journal.of("order")}


def plain_instrument() -> Instrument:
    """Like a Binance symbol: tick 0.01, step 0.001, at least 5 USDT an order; a market lot limit without a step."""
    return Instrument(
        symbol=SYMBOL,
        base="BTC",
        quote="USDT",
        tick_size=Decimal("0.01"),
        step_size=Decimal("0.001"),
        min_price=Decimal("0.01"),
        max_price=Decimal("1000000"),
        min_quantity=Decimal("0.001"),
        max_quantity=Decimal("9000"),
        market_max_quantity=Decimal("100"),
        min_notional=Decimal("5"),
    )


@pytest.fixture
def instrument() -> Instrument:
    return plain_instrument()


@pytest.fixture
def make_world(instrument: Instrument) -> Callable[..., World]:
    """Makes a `World` on the instrument; options as of `World`."""

    def make(**options: Any) -> World:
        return World(options.pop("instrument", instrument), **options)

    return make


@pytest.fixture
def world(make_world: Callable[..., World]) -> World:
    """One bot with 1,000 USDT; the book is 99.99 to 100.00 with 5 BTC at three levels a side."""
    world = make_world()
    world.book.set(
        [(9_999, 5_000), (9_998, 5_000), (9_997, 5_000)], [(10_000, 5_000), (10_001, 5_000), (10_002, 5_000)]
    )
    return world
