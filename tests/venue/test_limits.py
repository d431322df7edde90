"""Every request costs its documented weight; over the limit there is 429 with Retry-After, and then a ban."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import aiohttp
import pytest

from quantlab.venue import Venue
from quantlab.venue.errors import VenueError
from quantlab.venue.limits import RateLimit, WeightLimit, weight_of


@pytest.mark.parametrize(
    ("asked", "weight"),
    [
        ("GET /api/v3/ping", 1),
        ("GET /api/v3/time", 1),
        ("GET /api/v3/exchangeInfo", 20),
        ("GET /api/v3/depth", 5),
        ("GET /api/v3/depth limit=100", 5),
        ("GET /api/v3/depth limit=101", 25),
        ("GET /api/v3/depth limit=500", 25),
        ("GET /api/v3/depth limit=1000", 50),
        ("GET /api/v3/depth limit=1001", 250),
        ("GET /api/v3/depth limit=5000", 250),
        ("GET /api/v3/depth limit=many", 5),
        ("GET /api/v3/klines", 2),
        ("GET /api/v3/trades", 25),
        ("GET /api/v3/historicalTrades", 25),
        ("GET /api/v3/aggTrades", 4),
        ("GET /api/v3/avgPrice", 2),
        ("GET /api/v3/ticker/24hr symbol=A", 2),
        ("GET /api/v3/ticker/24hr symbols=20", 2),
        ("GET /api/v3/ticker/24hr symbols=21", 40),
        ("GET /api/v3/ticker/24hr symbols=100", 40),
        ("GET /api/v3/ticker/24hr symbols=101", 80),
        ("GET /api/v3/ticker/24hr", 80),
        ("GET /api/v3/ticker/price symbol=A", 2),
        ("GET /api/v3/ticker/price symbols=1", 4),
        ("GET /api/v3/ticker/bookTicker", 4),
        ("GET /api/v3/account", 20),
        ("GET /api/v3/account/commission", 20),
        ("GET /api/v3/order", 4),
        ("POST /api/v3/order", 1),
        ("DELETE /api/v3/order", 1),
        ("POST /api/v3/order/test", 1),
        ("POST /api/v3/order/test computeCommissionRates=true", 20),
        ("GET /api/v3/openOrders symbol=A", 6),
        ("GET /api/v3/openOrders", 80),
        ("DELETE /api/v3/openOrders symbol=A", 1),
        ("GET /api/v3/allOrders", 20),
        ("GET /api/v3/myTrades", 20),
        ("GET /api/v3/myTrades orderId=1", 5),
        ("GET /sapi/v1/account/apiRestrictions", 1),
    ],
)
def test_documented_weights(asked: str, weight: int) -> None:
    """`symbols=20` stands for twenty symbols."""
    method, path, *query = asked.split()
    params = dict(part.split("=") for part in query)
    if "symbols" in params:
        names = ",".join(f'"S{n}"' for n in range(int(params["symbols"])))
        params["symbols"] = f"[{names}]"
    assert weight_of(method, path, params) == weight


class Wall:
    now_s = 1_000_000_020.0  # the beginning of a minute

    def __call__(self) -> float:
        return self.now_s


def refused(limit: WeightLimit) -> VenueError:
    with pytest.raises(VenueError) as caught:
        limit.take(1)
    return caught.value


def test_429_until_the_minute_is_over() -> None:
    wall = Wall()
    limit = WeightLimit(10, wall)
    assert [limit.take(5), limit.take(5)] == [5, 10]
    error = refused(limit)
    assert (error.status, error.code) == (429, -1003)
    wait_s = int(error.headers["Retry-After"])
    wall.now_s += wait_s - 1
    assert refused(limit).status == 429
    wall.now_s += 1
    assert limit.take(5) == 5


def test_who_goes_on_is_banned_and_longer_each_time() -> None:
    wall = Wall()
    limit = WeightLimit(10, wall)
    waits = []
    for _ in range(2):
        limit.take(10)
        statuses = [refused(limit).status for _ in range(6)]
        assert statuses == [429] * 5 + [418]
        error = refused(limit)
        assert error.status == 418
        assert str(int((wall.now_s + int(error.headers["Retry-After"]) - 1) * 1000)) in error.message
        waits.append(int(error.headers["Retry-After"]))
        wall.now_s += waits[-1] - 2
        assert refused(limit).status == 418
        wall.now_s += 2
    assert waits == [121, 241]


def test_a_window_that_slides() -> None:
    wall = Wall()
    limit = RateLimit(2, 1.0, wall)
    assert [limit.take(), limit.take(), limit.take()] == [True, True, False]
    wall.now_s += 1.0
    assert limit.take()


async def test_every_answer_tells_the_weight_used(http: aiohttp.ClientSession, venue: Venue) -> None:
    used = 0
    asks = (("ping", 1), ("depth?symbol=AAAUSDT&limit=1000", 50), ("depth?symbol=ZZZUSDT", 5), ("nothing", 1))
    for asked, weight in asks:
        async with http.get(f"/api/v3/{asked}") as answer:
            before, used = used, int(answer.headers["X-MBX-USED-WEIGHT-1M"])
            assert used in (before + weight, weight)  # the minute may turn between two requests
            assert answer.headers["X-MBX-USED-WEIGHT"] == str(used)
    assert [line["weight"] for line in venue.log.lines()] == [weight for _, weight in asks]


async def test_the_wallet_is_counted_apart(http: aiohttp.ClientSession) -> None:
    async with http.get("/sapi/v1/account/apiRestrictions") as answer:
        assert answer.status == 401
        assert answer.headers["X-SAPI-USED-IP-WEIGHT-1M"] == "1"
        assert "X-MBX-USED-WEIGHT-1M" not in answer.headers


async def test_over_the_limit_on_the_wire(serve: Callable[..., Any]) -> None:
    venue = await serve(weight_limit=3)
    async with aiohttp.ClientSession(venue.url) as http:
        async with http.get("/api/v3/ping") as fine:
            assert fine.status == 200
        statuses = []
        for _ in range(12):
            async with http.get("/api/v3/klines?symbol=AAAUSDT&interval=1m") as answer:
                statuses.append(answer.status)
                if answer.status != 200:
                    assert (await answer.json())["code"] == -1003
                    assert int(answer.headers["Retry-After"]) > 0
                    assert int(answer.headers["X-MBX-USED-WEIGHT-1M"]) > 3
        assert 429 in statuses
        assert statuses[-1] == 418
    assert [line["status"] for line in venue.log.lines()][1:] == statuses


async def test_three_hundred_sockets_in_five_minutes(serve: Callable[..., Any]) -> None:
    venue = await serve()
    async with aiohttp.ClientSession(venue.url) as http:
        for _ in range(300):
            socket = await http.ws_connect("/ws")
            await socket.close()
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            await http.ws_connect("/ws")
    assert caught.value.status == 429
