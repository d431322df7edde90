"""Faults of events, subscriptions and whole connections happen where they say, and lock-step outlives them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest
from aiohttp import WSMsgType

from quantlab.venue import Venue

from .plain import START_MS, PlainMarket, command, numbers

A = "/ws/aaausdt@trade"
BOTH = "/stream?streams=aaausdt@trade/bbbusdt@trade"
ENDED = (WSMsgType.CLOSE, WSMsgType.CLOSED, WSMsgType.CLOSING, WSMsgType.ERROR)


async def read(http: aiohttp.ClientSession, path: str = A) -> list[Any]:
    """All that a client is sent until the connection ends or the market does."""
    found: list[Any] = []
    async with http.ws_connect(path) as socket:
        while True:
            try:
                message = await socket.receive(timeout=0.3)
            except TimeoutError:
                return found
            if message.type in ENDED:
                return [*found, "ended"]
            found.append(message.data)


def counted(frames: list[Any]) -> list[int]:
    return [json.loads(frame)["n"] for frame in frames if frame != "ended"]


async def test_an_event_comes_twice(http: aiohttp.ClientSession, venue: Venue) -> None:
    venue.faults.set([{"match": "aaausdt", "kind": "duplicate", "after_events": 2, "times": 1}])
    assert counted(await read(http))[:6] == [1, 2, 3, 3, 4, 5]


async def test_an_event_is_overtaken(http: aiohttp.ClientSession, venue: Venue) -> None:
    """Across steps: each holds one event of a stream."""
    venue.faults.set([{"match": "aaausdt", "kind": "reorder", "by": 2, "after_events": 2, "times": 1}])
    found = counted(await read(http))
    assert found[:6] == [1, 2, 4, 5, 3, 6]
    assert sorted(found) == list(range(1, 61)), "none is lost, none comes twice"


async def test_a_frame_that_is_no_json(http: aiohttp.ClientSession, venue: Venue) -> None:
    venue.faults.set([{"match": "aaausdt", "kind": "malformed", "times": 1}])
    first, second, *_ = await read(http)
    with pytest.raises(ValueError):
        json.loads(first)
    assert json.loads(second) == {"n": 2}


class PricedMarket(PlainMarket):
    """One event a second, in turns a trade, a bookTicker, a depth update and a candle."""

    EVENTS = (
        b'{"e":"trade","p":"100.01000000","q":"1.00000000"}',
        b'{"u":1,"b":"99.99000000","B":"1.00000000","a":"100.01000000"}',
        b'{"e":"depthUpdate","b":[["99.99000000","1.00000000"]],"a":[]}',
        b'{"e":"kline","k":{"o":"1.00000000","c":"100.01000000"}}',
    )

    def advance(self, to_ms: int, wanted: frozenset[str]) -> list[tuple[str, bytes]]:
        return [(name, self.EVENTS[self.told % 4]) for name, _ in super().advance(to_ms, wanted)]


async def test_a_price_between_two_ticks(serve: Callable[..., Any]) -> None:
    venue = await serve(PricedMarket(8))
    venue.faults.set([{"match": "", "kind": "off_grid", "times": 4}])
    async with aiohttp.ClientSession(venue.url) as http:
        frames = [json.loads(frame) for frame in await read(http)]
    prices = [_price(frame) for frame in frames]
    assert [price.endswith("77777") for price in prices] == [True] * 4 + [False] * 4
    assert sorted({price[:-5] for price in prices}) == ["100.010", "99.990"]


def _price(event: dict[str, Any]) -> str:
    if "k" in event:
        return str(event["k"]["c"])
    price = event.get("p") or event["b"]
    return price if isinstance(price, str) else str(price[0][0])


async def test_the_same_market_time_is_struck_in_each_run(serve: Callable[..., Any]) -> None:
    runs = []
    for _ in range(2):
        venue = await serve(PlainMarket(60))
        venue.faults.set(
            [
                {"match": "aaausdt", "kind": "gap", "after_ms": 10_000, "until_ms": 13_000},
                {"match": "aaausdt", "kind": "gap", "probability": 0.2, "seed": 3, "after_ms": 30_000},
            ]
        )
        async with aiohttp.ClientSession(venue.url) as http:
            runs.append(counted(await read(http)))
    lost = sorted(set(range(1, 61)) - set(runs[0]))
    assert runs[0] == runs[1]
    assert [number for number in lost if number <= 30] == [11, 12, 13]
    assert any(number > 30 for number in lost)


async def test_a_half_open_run_holds_the_market(venue: Venue, http: aiohttp.ClientSession) -> None:
    """Nothing comes and nothing is answered; the market waits for the next run and goes on with it."""
    venue.faults.set([{"match": "aaausdt", "kind": "half_open", "after_ms": 3_000}])
    async with http.ws_connect(A, timeout=aiohttp.ClientWSTimeout(ws_close=0.1)) as dead:
        assert await numbers(dead, 3) == [1, 2, 3]
        for _ in range(2):
            with pytest.raises(TimeoutError):
                await dead.receive(timeout=0.1)
            await dead.ping(b"are you there")
            await dead.send_str(command("LIST_SUBSCRIPTIONS"))
        assert venue.market.now_ms == START_MS + 4_000, "the step that struck is lost, and the market stands"
        assert len(venue.connections) == 1
        assert venue.log.lines()[-1]["method"] == "LIST_SUBSCRIPTIONS", "what is said to it is seen all the same"
        async with http.ws_connect(A) as socket:
            assert await numbers(socket, 56) == list(range(5, 61))
    async with asyncio.timeout(5):
        while venue.connections:  # noqa: ASYNC110 - nothing tells us
            await asyncio.sleep(0.01)


async def test_a_half_open_run_may_be_left_behind(serve: Callable[..., Any]) -> None:
    venue = await serve(speed=2_000.0, hold=False)
    venue.faults.set([{"match": "aaausdt", "kind": "half_open", "after_ms": 3_000}])
    closing = aiohttp.ClientWSTimeout(ws_close=0.1)
    async with aiohttp.ClientSession(venue.url) as http, http.ws_connect(A, timeout=closing) as dead:
        assert await numbers(dead, 3) == [1, 2, 3]
        async with asyncio.timeout(5):
            while not venue.pacer.ended:
                with pytest.raises(TimeoutError):
                    await dead.receive(timeout=0.05)


async def test_a_line_without_pings(serve: Callable[..., Any]) -> None:
    venue = await serve(PlainMarket(60), speed=1.0, ping_s=0.05)
    async with aiohttp.ClientSession(venue.url) as http, http.ws_connect(A, autoping=False) as socket:
        assert (await socket.receive(timeout=5)).type is WSMsgType.PING, "the control: it is pinged"
        venue.faults.set([{"match": "", "kind": "no_pings"}])
        while (await socket.receive(timeout=5)).type is not WSMsgType.TEXT:
            pass
        await socket.ping(b"mine")
        assert (await socket.receive(timeout=5)).type is WSMsgType.TEXT, "data, no ping and no pong"


@pytest.mark.parametrize(
    ("path", "event"),
    [
        (A, {"e": "serverShutdown", "E": START_MS + 6_000}),
        (BOTH, {"stream": "!serverShutdown", "data": {"e": "serverShutdown", "E": START_MS + 6_000}}),
    ],
    ids=["raw", "combined"],
)
async def test_a_shutdown_is_announced_and_comes(
    http: aiohttp.ClientSession, venue: Venue, path: str, event: dict[str, Any]
) -> None:
    venue.faults.set([{"match": "aaausdt", "kind": "server_shutdown", "after_ms": 5_000, "close_after_ms": 7_000}])
    found = await read(http, path)
    frames = [json.loads(frame) for frame in found if frame != "ended"]
    assert found[-1] == "ended"
    assert frames.count(event) == 1
    rest = [frame.get("data", frame) for frame in frames[frames.index(event) + 1 :]]
    assert {frame["n"] for frame in rest} == set(range(6, 14)), "it delivers until it ends"
    async with http.ws_connect(path) as socket:
        assert (await numbers(socket, 1))[0] == 14, "the next one is whole"


async def test_a_connection_lives_so_long(http: aiohttp.ClientSession, venue: Venue) -> None:
    venue.faults.set([{"match": "", "kind": "lifetime", "life_ms": 20_000}])
    lives = []
    for _ in range(3):
        async with http.ws_connect(A) as socket:
            found = []
            async for message in socket:
                found.append(json.loads(message.data)["n"])
            lives.append((found[0], found[-1], socket.close_code))
    assert lives == [(1, 20, 1001), (21, 40, 1001), (41, 60, 1001)]


async def test_a_subscription_is_refused_or_not_answered(http: aiohttp.ClientSession, venue: Venue) -> None:
    venue.faults.set(
        [
            {"match": "aaausdt", "kind": "subscribe_refused", "msg": "Invalid request: too busy"},
            {"match": "bbbusdt", "kind": "subscribe_unanswered"},
        ]
    )
    async with http.ws_connect("/ws") as socket:
        await socket.send_str(command("SUBSCRIBE", "aaausdt@trade", number=7))
        refused = await socket.receive_json(timeout=5)
        assert refused == {"error": {"code": 2, "msg": "Invalid request: too busy"}, "id": 7}
        await socket.send_str(command("SUBSCRIBE", "bbbusdt@trade", number=8))
        await socket.send_str(command("LIST_SUBSCRIPTIONS", number=9))
        assert await socket.receive_json(timeout=5) == {"result": [], "id": 9}, "neither was added"
        await socket.send_str(command("SUBSCRIBE", "aaausdt@trade", "bbbusdt@trade", number=10))
        assert await socket.receive_json(timeout=5) == {"result": None, "id": 10}


async def test_one_reads_how_often_each_has_struck(http: aiohttp.ClientSession, venue: Venue) -> None:
    venue.faults.set([{"match": "aaausdt", "kind": "gap", "times": 2}, {"match": "zzz", "kind": "gap"}])
    assert counted(await read(http)) == list(range(3, 61))
    async with http.get("/__venue__/faults") as answer:
        assert [row["struck"] for row in await answer.json()] == [2, 0]
