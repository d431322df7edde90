"""A request may be obeyed and its answer lost, the address banned, the clock wrong: by REST and WebSocket API."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from typing import Any
from urllib.parse import urlencode

import aiohttp
import pytest

from quantlab.venue import Venue

from .plain import numbers, order
from .signing import ask, now_ms, openssl_hmac, signed_query

KEY, SECRET = "k" * 64, "a secret of the test"
SIGN = openssl_hmac(SECRET)
ORDER = "/api/v3/order"


@pytest.fixture
async def venue(serve: Callable[..., Any]) -> Venue:
    served: Venue = await serve(keys={KEY: SECRET})
    return served


@pytest.fixture
async def socket(http: aiohttp.ClientSession) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    async with http.ws_connect("/ws-api/v3") as opened:
        yield opened


async def place(http: aiohttp.ClientSession) -> tuple[int, Any]:
    return await ask(http, KEY, signed_query(SIGN, **order(), newClientOrderId="mine"), ORDER, "POST")


async def is_known(http: aiohttp.ClientSession) -> bool:
    """Whether the order arrived: what a client must ask when the outcome is unknown."""
    query = signed_query(SIGN, symbol="AAAUSDT", origClientOrderId="mine")
    status, answer = await ask(http, KEY, query, ORDER)
    assert status == 200 or answer["code"] == -2013
    return status == 200


@pytest.mark.parametrize("processed", [True, False])
async def test_an_order_whose_answer_is_an_error(http: aiohttp.ClientSession, venue: Venue, processed: bool) -> None:
    venue.faults.set([{"match": ORDER, "kind": "status", "code": -1007, "processed": processed, "times": 1}])
    status, answer = await place(http)
    assert (status, answer["code"]) == (504, -1007)
    assert await is_known(http) is processed


@pytest.mark.parametrize("processed", [True, False])
async def test_an_order_whose_answer_is_lost(http: aiohttp.ClientSession, venue: Venue, processed: bool) -> None:
    venue.faults.set([{"match": ORDER, "kind": "drop", "processed": processed, "times": 1}])
    with pytest.raises(aiohttp.ClientError):
        await place(http)
    assert await is_known(http) is processed


def placed(number: int) -> str:
    params: dict[str, Any] = {**order(), "apiKey": KEY, "newClientOrderId": "mine", "timestamp": now_ms()}
    params["signature"] = SIGN(urlencode(dict(sorted(params.items()))))
    return json.dumps({"id": number, "method": "order.place", "params": params})


@pytest.mark.parametrize("processed", [True, False])
async def test_the_same_by_the_websocket_api(
    http: aiohttp.ClientSession, socket: aiohttp.ClientWebSocketResponse, venue: Venue, processed: bool
) -> None:
    venue.faults.set([{"match": "order.place", "kind": "status", "code": -1006, "processed": processed, "times": 1}])
    await socket.send_str(placed(1))
    answer = await socket.receive_json(timeout=5)
    assert (answer["id"], answer["status"], answer["error"]["code"]) == (1, 502, -1006)
    assert await is_known(http) is processed
    await socket.send_str(json.dumps({"id": 2, "method": "ping"}))
    assert (await socket.receive_json(timeout=5))["status"] == 200


async def test_an_answer_of_the_websocket_api_is_lost(
    http: aiohttp.ClientSession, socket: aiohttp.ClientWebSocketResponse, venue: Venue
) -> None:
    venue.faults.set([{"match": "order.place", "kind": "drop"}])
    await socket.send_str(placed(1))
    assert (await socket.receive(timeout=5)).type in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR)
    assert await is_known(http)


async def test_a_banned_address(http: aiohttp.ClientSession, venue: Venue) -> None:
    venue.faults.set([{"match": "klines", "kind": "ban", "ban_s": 60}])
    assert (await http.get("/api/v3/ping")).status == 200
    for path in ("/api/v3/klines?symbol=AAAUSDT&interval=1m", "/api/v3/ping"):
        async with http.get(path) as answer:
            told = await answer.json()
            assert (answer.status, told["code"]) == (418, -1003)
            assert 58 <= int(answer.headers["Retry-After"]) <= 61
    until_ms = int(told["msg"].split("banned until ")[1].split(".")[0])
    assert 55_000 < until_ms - now_ms() <= 60_000


@pytest.mark.parametrize("skew_ms", [30_000, -30_000, 3_600_000, -3_600_000])
async def test_a_clock_that_is_wrong(
    http: aiohttp.ClientSession, socket: aiohttp.ClientWebSocketResponse, venue: Venue, skew_ms: int
) -> None:
    """It tells its own time and checks by it: who follows it is let in, who trusts his own clock is not."""
    assert (await ask(http, KEY, signed_query(SIGN)))[0] == 200
    venue.faults.set([{"match": "", "kind": "clock", "skew_ms": skew_ms}])
    async with http.get("/api/v3/time") as answer:
        told = (await answer.json())["serverTime"]
    assert abs(told - now_ms() - skew_ms) < 5_000
    await socket.send_str(json.dumps({"id": 1, "method": "time"}))
    assert abs((await socket.receive_json(timeout=5))["result"]["serverTime"] - told) < 5_000
    status, answer = await ask(http, KEY, signed_query(SIGN))
    assert (status, answer["code"]) == (400, -1021)
    assert (await ask(http, KEY, signed_query(SIGN, timestamp=told)))[0] == 200


async def test_bodies_that_are_no_answer(http: aiohttp.ClientSession, venue: Venue) -> None:
    for row, body in [
        ({"kind": "empty"}, b""),
        ({"kind": "string"}, b'"temporarily unavailable"'),
        ({"kind": "string", "body": "busy"}, b'"busy"'),
    ]:
        venue.faults.set([{"match": "ping", **row}])
        async with http.get("/api/v3/ping") as answer:
            assert (answer.status, await answer.read()) == (200, body)


@pytest.mark.parametrize("status", [403, 429, 451, 502, 503, 504])
async def test_statuses(http: aiohttp.ClientSession, venue: Venue, status: int) -> None:
    venue.faults.set([{"match": "ping", "kind": "status", "status": status, "retry_after": 2}])
    async with http.get("/api/v3/ping") as answer:
        assert (answer.status, answer.headers["Retry-After"]) == (status, "2")
        assert set(await answer.json()) == {"code", "msg"}


async def test_a_slow_handshake_is_a_handshake(http: aiohttp.ClientSession, venue: Venue) -> None:
    venue.faults.set([{"match": "/ws", "kind": "latency", "ms": 20, "jitter_ms": 20, "times": 1}])
    async with http.ws_connect("/ws/aaausdt@trade") as opened:
        assert await numbers(opened, 1) == [1]
    assert venue.faults.rows()[0]["struck"] == 1


async def test_faults_are_put_while_it_runs(http: aiohttp.ClientSession) -> None:
    async with http.put("/__venue__/faults", json=[{"match": "ping", "kind": "empty", "times": 1}]) as answer:
        assert answer.status == 200
    assert [await (await http.get("/api/v3/ping")).text() for _ in range(2)] == ["", "{}"]
    async with http.delete("/__venue__/faults") as answer:
        assert await answer.json() == []
