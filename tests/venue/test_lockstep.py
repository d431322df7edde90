"""Market time is moved by the run that reads it: it waits for it, never outruns its answers, is held without it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest
from aiohttp import WSMsgType

from quantlab.venue import Venue
from quantlab.venue.pacer import STEP_MS

from .plain import START_MS, BrokenMarket, PlainMarket, command, numbers

A = "aaausdt@trade"


async def clock(http: aiohttp.ClientSession) -> dict[str, Any]:
    async with http.get("/__venue__/clock") as answer:
        found: dict[str, Any] = await answer.json()
        return found


async def until_ended(venue: Venue) -> None:
    async with asyncio.timeout(10):
        while not venue.pacer.ended:  # noqa: ASYNC110 - nothing tells us
            await asyncio.sleep(0.01)


async def test_it_stands_until_the_first_subscription_is_whole(venue: Venue, http: aiohttp.ClientSession) -> None:
    async with http.ws_connect("/ws") as socket:
        await socket.send_str(command("LIST_SUBSCRIPTIONS"))
        await socket.receive(timeout=5)
        await http.get("/api/v3/ping")
        assert (await clock(http))["market_ms"] == START_MS
        await socket.send_str(command("SUBSCRIBE", A))
        assert (await socket.receive_json(timeout=5))["result"] is None, "answered before anything is played"
        assert await numbers(socket, 60) == list(range(1, 61))
        with pytest.raises(TimeoutError):
            await socket.receive(timeout=0.05)  # answers the last ping
    await until_ended(venue)
    told = await clock(http)
    assert (told["market_ms"], told["ended"], told["frames"]) == (venue.market.end_ms, True, 60)
    assert (told["kind"], told["name"], told["speed"]) == ("generated", "plain", None)


async def test_a_step_waits_for_the_pong(venue: Venue, http: aiohttp.ClientSession) -> None:
    """A run that does not answer the ping of a step stops the market there; answers are as of then."""
    async with http.ws_connect(f"/stream?streams={A}", autoping=False) as socket:
        await _begin_reading(socket)
        for step in range(1, 4):
            assert await numbers(socket, 1) == [step]
            ping = await socket.receive(timeout=5)
            assert ping.type is WSMsgType.PING
            await asyncio.sleep(0.03)
            async with http.get("/api/v3/depth?symbol=AAAUSDT") as answer:
                assert (await answer.json())["lastUpdateId"] == 5_000 + step
            assert (await clock(http))["market_ms"] == START_MS + step * STEP_MS
            await socket.pong(b"another payload")
            await asyncio.sleep(0.03)
            assert (await clock(http))["market_ms"] == START_MS + step * STEP_MS
            await socket.pong(ping.data)


async def test_only_the_run_paces(venue: Venue, http: aiohttp.ClientSession) -> None:
    """A second reader gets its streams and no step pings, and does not hold the first one up."""
    run = await http.ws_connect(f"/stream?streams={A}", autoping=False)
    await _begin_reading(run)
    ping = await _after(run, 1)
    lazy = await http.ws_connect("/ws/bbbusdt@trade", autoping=False)
    for step in range(2, 61):
        await run.pong(ping)
        ping = await _after(run, step)
    await run.pong(ping)
    await until_ended(venue)
    assert await numbers(lazy, 59) == list(range(2, 61))
    with pytest.raises(TimeoutError):
        await lazy.receive(timeout=0.05)


async def test_a_run_that_does_not_read_yet_is_told_what_the_last_one_has_read(
    venue: Venue, http: aiohttp.ClientSession
) -> None:
    """What a run asks for before it reads on is as of where it goes on."""
    await _leave_after(http, 5)
    async with http.ws_connect(f"/stream?streams={A}", autoping=False) as socket:
        await asyncio.sleep(0.05)
        async with http.get("/api/v3/depth?symbol=AAAUSDT") as answer:
            assert (await answer.json())["lastUpdateId"] == 5_000 + 5
        await _begin_reading(socket)
        assert await numbers(socket, 1) == [6]
        async with http.get("/api/v3/depth?symbol=AAAUSDT") as answer:
            assert (await answer.json())["lastUpdateId"] == 5_000 + 6


async def test_a_run_that_leaves_before_it_reads_holds_nobody_up(venue: Venue, http: aiohttp.ClientSession) -> None:
    socket = await http.ws_connect(f"/stream?streams={A}", autoping=False)
    assert (await socket.receive(timeout=5)).type is WSMsgType.PING
    await socket.close()
    assert await _leave_after(http, 3) == 1


async def _begin_reading(run: aiohttp.ClientWebSocketResponse) -> None:
    """Answer the ping that comes before the first step."""
    ping = await run.receive(timeout=5)
    assert ping.type is WSMsgType.PING
    await run.pong(ping.data)


async def _after(run: aiohttp.ClientWebSocketResponse, number: int) -> bytes:
    """The step ping after event `number`."""
    assert await numbers(run, 1) == [number]
    ping = await run.receive(timeout=5)
    assert ping.type is WSMsgType.PING
    payload: bytes = ping.data
    return payload


async def _leave_after(http: aiohttp.ClientSession, count: int) -> int:
    """Read `count` events as a run, and break off with one unanswered; returns the number of the first."""
    socket = await http.ws_connect(f"/stream?streams={A}", autoping=False)
    await _begin_reading(socket)
    first = 0
    for _ in range(count):
        (number,) = await numbers(socket, 1)
        first = first or number
        await socket.pong((await socket.receive(timeout=5)).data)
    await socket.receive(timeout=5)
    await socket.close()
    return first


async def test_without_a_run_it_is_held(venue: Venue, http: aiohttp.ClientSession) -> None:
    assert await _leave_after(http, 5) == 1
    await asyncio.sleep(0.1)
    stood_at = (await clock(http))["market_ms"]
    assert stood_at == START_MS + 5 * STEP_MS
    assert await _leave_after(http, 3) == 6, "what was not answered comes again"


async def test_it_runs_on_when_told_to(serve: Callable[..., Any]) -> None:
    """The control of being held, switched on while it stands."""
    venue = await serve(speed=1000.0)
    async with aiohttp.ClientSession(venue.url) as http:
        await _leave_after(http, 5)
        async with http.post("/__venue__/clock", json={"hold": "no"}) as wrong:
            assert wrong.status == 400
        async with http.post("/__venue__/clock", json={"hold": False}) as answer:
            assert (await answer.json())["hold"] is False
        await until_ended(venue)
        assert (await clock(http))["market_ms"] == venue.market.end_ms


async def test_told_to_run_on_it_still_waits_for_the_first_run(serve: Callable[..., Any]) -> None:
    venue = await serve(speed=1000.0, hold=False)
    await asyncio.sleep(0.05)
    assert venue.market.now_ms == START_MS


@pytest.mark.parametrize("speed", [1.0, 60.0, 1000.0, None])
async def test_the_same_events_at_every_speed(serve: Callable[..., Any], speed: float | None) -> None:
    venue = await serve(PlainMarket(seconds=2), speed=speed)
    async with aiohttp.ClientSession(venue.url) as http, http.ws_connect(f"/stream?streams={A}") as socket:
        assert await numbers(socket, 2) == [1, 2]
        with pytest.raises(TimeoutError):
            await socket.receive(timeout=0.05)
        await until_ended(venue)
        assert not socket.closed, "at the end the connections stay"


async def test_at_speed_one_nobody_is_waited_for(serve: Callable[..., Any]) -> None:
    venue = await serve(PlainMarket(seconds=1), speed=1.0)
    async with aiohttp.ClientSession(venue.url) as http, http.ws_connect(f"/ws/{A}", autoping=False) as socket:
        await until_ended(venue)
        assert await numbers(socket, 1) == [1]


async def test_who_falls_behind_is_dropped_and_the_run_is_not_held_up(serve: Callable[..., Any]) -> None:
    class LoudMarket(PlainMarket):
        def advance(self, to_ms: int, wanted: frozenset[str]) -> list[tuple[str, bytes]]:
            return [
                (stream, b'{"n":%s}' % data[5:-1] + b" " * (1 << 20)) for stream, data in super().advance(to_ms, wanted)
            ]

    venue = await serve(LoudMarket(seconds=60))
    async with aiohttp.ClientSession(venue.url) as http:
        run = await http.ws_connect(f"/stream?streams={A}", autoping=False, max_msg_size=0)
        await _begin_reading(run)
        ping = await _after(run, 1)
        lazy = await http.ws_connect("/ws/bbbusdt@trade", max_msg_size=0)
        for step in range(2, 61):
            await run.pong(ping)
            ping = await _after(run, step)
        await run.pong(ping)
        await until_ended(venue)
        assert len(venue.connections) == 1
        assert not lazy.closed, "it has not read that far yet"


async def test_a_market_that_breaks_says_so(serve: Callable[..., Any]) -> None:
    venue = await serve(BrokenMarket())
    async with aiohttp.ClientSession(venue.url) as http, http.ws_connect(f"/ws/{A}") as socket:
        assert await numbers(socket, 3) == [1, 2, 3]
        assert (await socket.receive(timeout=5)).type in (WSMsgType.CLOSED, WSMsgType.ERROR)
        with pytest.raises(ValueError, match="the tape tore"):
            async with asyncio.timeout(5):
                await venue.failed()
        assert (await clock(http))["ended"] is False
