"""What the exchange tells is heard: others' weight in its own count, its limits, its 429."""

from __future__ import annotations

import asyncio
import time

import aiohttp
import pytest

from quantlab.exchange import Door
from quantlab.model import ExchangeError, ExchangeUnreachable
from quantlab.venue import Venue
from quantlab.venue.market import open_market

from .scripted import config_for


@pytest.fixture
async def within_a_minute() -> None:
    """The exchange counts by the minute of its clock: let none of its turns fall into the test."""
    second = time.time() % 60
    if not 1.5 < second < 55:
        await asyncio.sleep((61.5 - second) % 60)


@pytest.mark.usefixtures("within_a_minute")
async def test_anothers_weight_is_held() -> None:
    async with (
        Venue(open_market(None, seed=7, hours=0.25, symbols=["BTCUSDT"])) as venue,
        Door(config_for(venue.url, weight_per_minute=100, total_s=0.3)) as door,
        aiohttp.ClientSession() as other,
    ):
        await door.rest.klines("BTCUSDT", "1m", limit=5)
        assert door.budget.snapshot()["foreign"] == 0
        for _ in range(3):
            async with other.get(f"{venue.url}/api/v3/exchangeInfo") as answer:
                await answer.read()
        await door.rest.klines("BTCUSDT", "1m", limit=6)
        shown = door.budget.snapshot()
        assert (shown["foreign"], shown["used"]) == (60, 64)
        with pytest.raises(ExchangeUnreachable, match="no room"):
            await door.rest.depth("BTCUSDT", 1000)


@pytest.mark.usefixtures("within_a_minute")
async def test_two_doors_of_a_user_do_not_take_each_other_for_others() -> None:
    async with (
        Venue(open_market(None, seed=7, hours=0.25, symbols=["BTCUSDT"])) as venue,
        Door(config_for(venue.url, weight_per_minute=100)) as door,
        Door(config_for(venue.url, weight_per_minute=100)) as other,
    ):
        for limit in range(1, 9):
            await asyncio.gather(door.rest.depth("BTCUSDT", limit), other.rest.depth("BTCUSDT", limit + 50))
        shown = door.budget.snapshot()
        assert (shown["foreign"], shown["used"], shown["processes"]) == (0, 80, 2)
        assert other.budget.snapshot()["used"] == venue.log.report()["weight"] == 80


async def test_an_exchange_that_allows_less_is_believed() -> None:
    async with (
        Venue(open_market(None, seed=7, hours=0.25, symbols=["BTCUSDT"]), weight_limit=300) as venue,
        Door(config_for(venue.url, weight_per_minute=1200)) as door,
    ):
        assert door.budget.snapshot()["limit"] == 1200
        await door.rest.exchange_info(["BTCUSDT"])
        assert door.budget.snapshot()["limit"] == 300


@pytest.mark.usefixtures("within_a_minute")
async def test_a_429_silences_all_doors_of_a_user_and_lowers_their_limit() -> None:
    async with (
        Venue(open_market(None, seed=7, hours=0.25, symbols=["BTCUSDT"]), weight_limit=20) as venue,
        Door(config_for(venue.url, total_s=0.5)) as door,
        Door(config_for(venue.url, total_s=0.5)) as other,
    ):
        await door.rest.depth("BTCUSDT", 5)
        with pytest.raises(ExchangeError) as caught:
            await door.rest.depth("BTCUSDT", 500)
        assert caught.value.status == 429
        asked = venue.log.report()["count"]
        with pytest.raises(ExchangeError, match=r"nothing is asked from this address until \d{4}-"):
            await other.rest.depth("BTCUSDT", 6)
        assert venue.log.report()["count"] == asked == 2
        assert other.budget.snapshot()["limit"] == 900
        assert other.budget.snapshot()["stopped_until_ms"] > time.time() * 1000
