"""Rule 1: no order leaves in paper mode, whoever tries, and no key and no signature either.

Each way out is tried twice: on a guarded session, where nothing but the bare opening of a market stream may arrive, and
on a plain one, where the same call does leave (the control).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import ccxt.async_support
import pytest
from aiohttp import web
from yarl import URL

from quantlab.exchange import Door
from quantlab.exchange.egress import EgressLog
from quantlab.exchange.guard import ATTEMPT, Attempt, guarded_session
from quantlab.exchange.rules import Origins
from quantlab.model import Refused

from .scripted import ScriptedExchange
from .ways_out import WAYS, keyed

REDIRECT = "/api/v3/ping"


class Tap(aiohttp.TCPConnector):
    """A connector without a guard that notes where requests would go, and stays on this machine."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, URL]] = []

    async def connect(self, req: aiohttp.ClientRequest, *arguments: Any, **options: Any) -> Any:
        self.seen.append((req.method, req.url))
        if not str(req.url.host).startswith("127."):
            raise aiohttp.ClientConnectionError("the tests stay on this machine")
        return await super().connect(req, *arguments, **options)


@pytest.fixture
async def log() -> EgressLog:
    return EgressLog(lambda row: None)


@pytest.fixture
async def guarded(exchange: ScriptedExchange, log: EgressLog) -> AsyncIterator[aiohttp.ClientSession]:
    origins = Origins(URL(exchange.url), URL(exchange.url.replace("http", "ws", 1)), is_venue=True)
    # With leave to ask, so that it is the rules that refuse, and not only that nobody paid.
    token = ATTEMPT.set(Attempt())
    async with guarded_session(origins, log, 2.0) as session:
        yield session
    ATTEMPT.reset(token)


@pytest.fixture
async def plain() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(connector=Tap(), timeout=aiohttp.ClientTimeout(total=2.0)) as session:
        yield session


@pytest.fixture(autouse=True)
def redirecting(exchange: ScriptedExchange) -> None:
    exchange.answers[REDIRECT] = web.Response(status=307, headers={"Location": "/api/v3/order"})


async def attempt(name: str, session: aiohttp.ClientSession, url: str) -> BaseException | None:
    """Try a way out in a task of its own, as callers do; gives what it raised."""

    async def limited() -> None:
        ATTEMPT.set(None if ATTEMPT.get() is None else Attempt())
        async with asyncio.timeout(0.3):
            await WAYS[name](session, url)

    try:
        await asyncio.create_task(limited())
    except Exception as error:
        return error
    return None


def leaked(exchange: ScriptedExchange) -> list[object]:
    """All that arrived beyond the opening of a stream, and the request that is answered with a redirect."""
    keyless = [seen for seen in exchange.requests if "X-MBX-APIKEY" not in seen.headers and not seen.body]
    harmless = [seen for seen in keyless if seen.method == "GET" and seen.target in ("/stream", REDIRECT)]
    return [seen for seen in exchange.requests if seen not in harmless] + list(exchange.frames)


def test_there_are_enough_ways() -> None:
    assert len(WAYS) >= 35


@pytest.mark.parametrize("name", sorted(WAYS))
async def test_no_way_out(
    name: str, guarded: aiohttp.ClientSession, exchange: ScriptedExchange, log: EgressLog
) -> None:
    error = await attempt(name, guarded, exchange.url)
    await asyncio.sleep(0)
    assert leaked(exchange) == []
    assert error is not None, "the caller must hear of it"
    assert log.refusals >= 1
    assert log.counters()["order_requests"] == 0


@pytest.mark.parametrize("name", sorted(WAYS))
async def test_without_the_guard_it_leaves(name: str, plain: aiohttp.ClientSession, exchange: ScriptedExchange) -> None:
    """The control: the same call on a plain session reaches the exchange, or a host that the door does not know."""
    await attempt(name, plain, exchange.url)
    tap = plain.connector
    assert isinstance(tap, Tap)
    elsewhere = [url for _, url in tap.seen if url.authority != URL(exchange.url).authority]
    for _ in range(50):
        if elsewhere or leaked(exchange):
            break
        await asyncio.sleep(0.01)
    assert leaked(exchange) or elsewhere, f"{name} does not try anything: the test above proves nothing"


def non_get_endpoints() -> list[tuple[str, str, str]]:
    """(group, method, path) of every generated Binance endpoint that is not a GET."""
    api = ccxt.async_support.binance().describe()["api"]
    return [
        (group, method, path)
        for group, methods in api.items()
        for method, paths in methods.items()
        if method != "get"
        for path in paths
    ]


async def call_all(session: aiohttp.ClientSession, url: str) -> tuple[int, int]:
    """Call every endpoint that is not a GET; gives (calls, those that raised Refused)."""
    client = keyed(session, url)
    refused = 0
    endpoints = non_get_endpoints()
    for group, method, path in endpoints:
        try:
            await client.request(path, [group], method.upper(), {"symbol": "BTCUSDT"})
        except Refused:
            refused += 1
        except Exception:
            continue
    return len(endpoints), refused


async def test_no_generated_endpoint_gets_out(guarded: aiohttp.ClientSession, exchange: ScriptedExchange) -> None:
    calls, refused = await call_all(guarded, exchange.url)
    assert calls >= 250
    assert refused == calls
    assert exchange.requests == []


async def test_without_the_guard_they_all_get_out(plain: aiohttp.ClientSession, exchange: ScriptedExchange) -> None:
    calls, refused = await call_all(plain, exchange.url)
    assert refused == 0
    assert len(exchange.requests) == calls


async def test_what_may_be_read_is_read(guarded: aiohttp.ClientSession, exchange: ScriptedExchange) -> None:
    exchange.answers["/api/v3/time"] = {"serverTime": 1}
    async with guarded.get(f"{exchange.url}/api/v3/time") as response:
        assert await response.json() == {"serverTime": 1}


async def test_nothing_is_read_unpaid(guarded: aiohttp.ClientSession, exchange: ScriptedExchange) -> None:
    token = ATTEMPT.set(None)
    with pytest.raises(Refused, match="weight was not paid"):
        await guarded.get(f"{exchange.url}/api/v3/time")
    ATTEMPT.reset(token)
    assert exchange.requests == []


async def test_one_leave_is_for_one_request(guarded: aiohttp.ClientSession, exchange: ScriptedExchange) -> None:
    """aiohttp asks again by itself when a kept connection was dropped: that would be weight nobody paid."""
    async with guarded.get(f"{exchange.url}/api/v3/time"):
        pass
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await guarded.get(f"{exchange.url}/api/v3/time")
    assert exchange.asked("/api/v3/time") == 1


async def test_a_name_outside_the_list_is_not_resolved(guarded: aiohttp.ClientSession) -> None:
    connector = guarded.connector
    assert isinstance(connector, aiohttp.TCPConnector)
    with pytest.raises(Refused, match="not resolved"):
        await connector._resolver.resolve("api.binance.com", 443)
    assert await connector._resolver.resolve("127.0.0.1", 80)


async def test_the_doors_own_client_has_no_key_and_no_other_address(
    door: Door, exchange: ScriptedExchange, egress: list[dict[str, Any]]
) -> None:
    exchange.answers["/api/v3/time"] = {"serverTime": 7}
    assert await door.rest.server_time_ms() == 7
    client = door._transport.client
    assert not client.apiKey
    assert not client.secret
    assert set(client.urls["api"]) == {"public"}
    client.apiKey, client.secret = "key", "secret"
    client.set_sandbox_mode(True)
    with pytest.raises(Refused):
        await client.privatePostOrder({"symbol": "BTCUSDT"})
    with pytest.raises(Refused, match="SOCKS"):
        client.get_socks_proxy_session("socks5://127.0.0.1:1")
    assert exchange.asked("/api/v3/order") == 0
    assert [row["verdict"] for row in egress] == ["sent", "refused"]
    assert egress[1]["method"] == "POST"


async def test_a_redirect_is_refused_through_the_door(
    door: Door, exchange: ScriptedExchange, egress: list[dict[str, Any]]
) -> None:
    exchange.answers["/api/v3/time"] = web.Response(status=302, headers={"Location": "/api/v3/order"})
    with pytest.raises(Refused, match="redirect"):
        await door.rest.server_time_ms()
    assert exchange.asked("/api/v3/time") == 1
    assert exchange.asked("/api/v3/order") == 0
    assert [row["verdict"] for row in egress] == ["refused", "sent"]
    assert door.counters()["refused"] == 1
