"""A venue that a test moves by hand, a live broker on it over real sockets, and a journal that remembers the order of
things."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any, cast

from quantlab.exchange import Door
from quantlab.exchange.trading.armed import Armed
from quantlab.exchange.trading.orders import OrderClient
from quantlab.live.broker import LiveBroker
from quantlab.live.line import OrderLine
from quantlab.model import (
    Fill,
    Instrument,
    Order,
    OrderReport,
    OrderType,
    Receipt,
    Side,
    instruments_from_exchange_info,
)
from quantlab.paper import Account
from quantlab.venue import Market, Venue

from ..exchange.keys import API_KEY, SECRET, PlainSigner
from ..exchange.scripted import config_for
from ..venue.trading import HandMarket

RUN = "0123456789ab"
SYMBOLS = ("AAAUSDT", "BBBUSDT")
FAR_MS = 4_000_000_000_000


class Journal:
    """A `Journal` in memory. `told` is everything in the order in which it was written."""

    def __init__(self) -> None:
        self.told: list[tuple[str, Any]] = []
        self.orders: dict[tuple[int, int], Order] = {}
        self.fills: list[Fill] = []
        self.receipts: list[Receipt] = []
        self.waited = 0

    def order(self, order: Order) -> int:
        self.orders[order.bot, order.number] = order
        return self._put("order", (order.number, order.status))

    def fill(self, fill: Fill, receipt: Receipt) -> int:
        self.fills.append(fill)
        self.receipts.append(receipt)
        return self._put("fill", fill)

    def equity(self, rows: Any) -> int:
        return self._put("equity", rows)

    def bounds(self, rows: Any) -> int:
        return self._put("bounds", rows)

    def marks(self, rows: Any) -> int:
        return self._put("marks", rows)

    def event(self, time_ms: int, kind: str, bot: int | None, detail: dict[str, Any]) -> int:
        return self._put("event", (kind, detail))

    def egress(self, entry: dict[str, Any]) -> int:
        return self._put("egress", entry)

    def wait(self, ticket: int) -> None:
        self.waited = max(self.waited, ticket)

    def _put(self, what: str, value: Any) -> int:
        self.told.append((what, value))
        return len(self.told)

    def kinds(self) -> list[str]:
        """Kinds of the events."""
        return [value[0] for what, value in self.told if what == "event"]


class FlatBook:
    """A book whose touch is what a test says, in ticks."""

    def __init__(self, instrument: Instrument, bid: str = "99.9", ask: str = "100.1") -> None:
        self.symbol, self.tick_size, self.step_size = instrument.symbol, instrument.tick_size, instrument.step_size
        self.book_id, self.in_sync = 1, True
        self._bid, self._ask = instrument.ticks(Decimal(bid)), instrument.ticks(Decimal(ask))

    depth_id = 1

    def bid_lots(self, ticks: int) -> int | None:
        return None

    def ask_lots(self, ticks: int) -> int | None:
        return None

    def best_bid(self) -> tuple[int, int] | None:
        return self._bid, 1000

    def best_ask(self) -> tuple[int, int] | None:
        return self._ask, 1000

    def bids(self, levels: int = 20) -> list[tuple[int, int]]:
        return [(self._bid, 1000)]

    def asks(self, levels: int = 20) -> list[tuple[int, int]]:
        return [(self._ask, 1000)]


class InputLog:
    def __init__(self) -> None:
        self.entries: list[tuple[str, str, bytes]] = []

    def entry(self, kind: str, name: str, payload: bytes) -> None:
        self.entries.append((kind, name, payload))


class Stage:
    """All of it, put together. `venue` and `market` are the other side."""

    def __init__(self, venue: Venue, market: HandMarket, door: Door, client: OrderClient) -> None:
        self.venue, self.market, self.door, self.client = venue, market, door, client
        self.journal, self.log = Journal(), InputLog()
        self.reports: list[OrderReport] = []
        self.standing = ""
        self.line = OrderLine(client, self.journal, RUN, lambda: self.standing)
        self.instruments: dict[str, Instrument] = {}

    def make_broker(self, info: bytes, capital: str) -> None:
        found = instruments_from_exchange_info(info)
        self.instruments = {symbol: found[symbol] for symbol in SYMBOLS}
        self.accounts = [
            Account.open(bot, self.instruments[symbol], Decimal(1000)) for bot, symbol in enumerate(SYMBOLS)
        ]
        self.broker = LiveBroker(
            self.instruments,
            {symbol: FlatBook(instrument) for symbol, instrument in self.instruments.items()},
            self.journal,
            accounts=self.accounts,
            key=RUN,
            capital_usdt=Decimal(capital),
            line=self.line,
            log=self.log,
            on_report=self.reports.append,
        )
        self.line.attach(self.broker)

    def submit(self, number: int, *, bot: int = 0, **changes: Any) -> Order:
        given: dict[str, Any] = {
            "bot": bot,
            "number": number,
            "symbol": SYMBOLS[bot],
            "side": Side.BUY,
            "type": OrderType.MARKET,
            "quantity": Decimal("0.5"),
            "created_ms": 1,
        }
        order = Order(**{**given, **changes})
        self.broker.submit(order)
        return order

    async def until(self, is_so: Callable[[], bool], within_s: float = 15.0) -> None:
        async with asyncio.timeout(within_s):
            while not is_so():  # noqa: ASYNC110 - what is waited for is the other side's
                await asyncio.sleep(0.01)

    def there(self) -> list[dict[str, Any]]:
        """All orders at the venue."""
        found: list[dict[str, Any]] = self.venue.account.told()["orders"]
        return found


@asynccontextmanager
async def staged(*, capital: str = "2000", signer: Any = None, until_ms: int = FAR_MS) -> AsyncIterator[Stage]:
    market = HandMarket()
    async with Venue(cast(Market, market), keys={API_KEY: SECRET}) as venue:
        config = config_for(venue.url, timeout_s=1.0, total_s=5.0)
        async with Door(config) as door:
            armed = Armed(config, "1a2b3c4d", Decimal(capital), until_ms)
            own = signer or PlainSigner()
            async with OrderClient(armed, lambda: own, door.log, budget=door.budget, clock=door.clock) as client:
                stage = Stage(venue, market, door, client)
                stage.make_broker(await door.rest.exchange_info(), capital)
                running = asyncio.create_task(stage.line.run())
                try:
                    await stage.until(lambda: stage.line.hears)
                    yield stage
                finally:
                    running.cancel()
                    ended = (await asyncio.gather(running, return_exceptions=True))[0]
                if isinstance(ended, Exception):
                    raise ended
