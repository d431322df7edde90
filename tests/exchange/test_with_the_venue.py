"""The door and the replay venue, written apart from the same documentation, agree: on answers, weights and frames, and
that no order was seen."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator

import aiohttp
import msgspec
import pytest

from quantlab.exchange import Door, DoorConfig
from quantlab.model import ConfigurationError, Refused, instruments_from_exchange_info
from quantlab.venue import Venue
from quantlab.venue.market import open_market

from .scripted import until
from .ways_out import keyed

HOURS = 0.25
SYMBOLS = ["BTCUSDT", "ETHUSDT"]
STREAMS = [
    f"{symbol.lower()}@{kind}" for symbol in SYMBOLS for kind in ("bookTicker", "trade", "depth@100ms", "kline_1m")
]


@pytest.fixture
async def venue() -> AsyncIterator[Venue]:
    async with Venue(open_market(None, seed=7, hours=HOURS, symbols=SYMBOLS)) as served:
        yield served


def config_of(venue: Venue, weight_per_minute: int = 1200) -> DoorConfig:
    return DoorConfig(
        market="replay",
        rest_url=venue.url,
        stream_url=venue.url.replace("http", "ws"),
        weight_per_minute=weight_per_minute,
    )


class HashingSink:
    """Consumes a whole run; asks for a book now and then, as the market room does for a snapshot."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._digest = hashlib.sha256()
        self.frames = 0
        self.marks: list[str] = []
        self.unsettled = False

    def frame(self, raw: bytes) -> None:
        self._digest.update(raw)
        self.frames += 1
        self.unsettled = self.frames in (100, 101, 500)

    def mark(self, kind: str, detail: str) -> None:
        self.marks.append(kind)

    async def settle(self) -> None:
        self._digest.update(await self._door.rest.depth("BTCUSDT", 20))
        self.unsettled = False

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()


async def run_through(venue: Venue) -> HashingSink:
    async with Door(config_of(venue)) as door:
        sink = HashingSink(door)
        running = asyncio.create_task(door.feed.run(STREAMS, sink))
        await until(lambda: venue.pacer.ended and sink.frames == venue.pacer.frames)
        assert (await door.venue_clock())["ended"]
        await door.feed.stop()
        await running
    return sink


async def test_a_day_starts_like_this(venue: Venue) -> None:
    async with Door(config_of(venue)) as door:
        instruments = instruments_from_exchange_info(await door.rest.exchange_info(SYMBOLS))
        assert set(instruments) == set(SYMBOLS)
        candles = msgspec.json.decode(await door.rest.klines("BTCUSDT", "1m", limit=10))
        assert len(candles) == 10
        assert msgspec.json.decode(await door.rest.depth("ETHUSDT", 5))["bids"]
        assert len(msgspec.json.decode(await door.rest.ticker_24h(SYMBOLS))) == 2
        assert len(msgspec.json.decode(await door.rest.book_tickers())) == 2
        assert await door.rest.server_time_ms() > 0
        counters = door.counters()
    assert counters["weight"] == venue.log.report()["weight"] == venue._limit.used
    assert counters["sent"] == venue.log.report()["count"]
    assert counters["order_requests"] == venue.log.report()["order_requests"] == 0


async def test_every_frame_arrives_and_the_same_ones_each_time() -> None:
    hashes = set()
    for _ in range(2):
        async with Venue(open_market(None, seed=7, hours=HOURS, symbols=SYMBOLS)) as venue:
            sink = await run_through(venue)
            assert sink.frames == venue.pacer.frames > 500
            assert sink.marks == ["connected"]
            hashes.add(sink.sha256)
    assert len(hashes) == 1, "frames, and the answers between them, must not depend on this machine's pace"


async def test_forty_five_bots_cost_what_their_questions_cost(venue: Venue) -> None:
    async with Door(config_of(venue)) as door:
        asks = [door.rest.klines(SYMBOLS[bot % 2], "1m", limit=300) for bot in range(45)]
        assert len(set(await asyncio.gather(*asks))) == 2
        counters = door.counters()
    assert (counters["asked"], counters["sent"], counters["shared"]) == (45, 2, 43)
    assert venue.log.report()["weight"] == 4


async def test_the_budget_is_kept_in_the_venues_own_log(venue: Venue) -> None:
    """More is asked at once than fits into a minute: what fits is sent, the rest waits."""
    async with Door(config_of(venue, weight_per_minute=50)) as door:
        asks = [asyncio.create_task(door.rest.depth("BTCUSDT", limit)) for limit in range(1, 21)]
        await until(lambda: sum(task.done() for task in asks) >= 10)
        await asyncio.sleep(0.2)
        waiting = [task for task in asks if not task.done()]
        assert len(waiting) == 10
        assert venue.log.report()["weight"] == door.counters()["peak_weight_60s"] == 50
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        with pytest.raises(ConfigurationError, match="whole budget"):
            await door.rest.depth("BTCUSDT", 5000)
    assert venue.log.report()["weight"] == 50


async def test_an_order_does_not_arrive_and_without_the_guard_it_does(venue: Venue) -> None:
    order = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "1"}
    async with Door(config_of(venue)) as door:
        with pytest.raises(Refused):
            await keyed(door._session, venue.url).privatePostOrder(order)
        assert venue.log.report()["count"] == 0
        assert door.counters()["refused"] == 1
    async with aiohttp.ClientSession() as plain:
        with pytest.raises(Exception, match="binance"):
            await keyed(plain, venue.url).privatePostOrder(order)
    assert venue.log.report()["order_requests"] == 1
