"""Rule 1 where a key is at hand: no order, no transfer and no other read leaves by the keyed session, whoever tries.

The ways are those of `test_no_order_leaves`, which shows that each of them does leave by a plain session; here, every
one is also given the key's own signature.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from yarl import URL

from quantlab.exchange.egress import EgressLog
from quantlab.exchange.guard import ATTEMPT, Attempt, guarded_session
from quantlab.exchange.keyed import KeyedReader
from quantlab.exchange.signed_rules import ACCOUNT, COMMISSION, RESTRICTIONS, TIME, SignedReads
from quantlab.model import Refused
from quantlab.venue import Venue
from quantlab.venue.market import open_market

from .keys import API_KEY, SECRET, PlainSigner
from .scripted import ScriptedExchange, config_for
from .test_no_order_leaves import non_get_endpoints
from .ways_out import WAYS, keyed

#: Reading the account is what this session is for.
READS = {"ccxt fetch_balance"}
STAMP = "timestamp=1&signature=ab"
#: All that is signed and can move money, change orders or open another session, as Binance's documentation names it.
TARGETS = [
    ("POST", "/api/v3/order"),
    ("POST", "/api/v3/order/test"),
    ("DELETE", "/api/v3/order"),
    ("POST", "/api/v3/order/cancelReplace"),
    ("PUT", "/api/v3/order/amend/keepPriority"),
    ("POST", "/api/v3/orderList/oco"),
    ("POST", "/api/v3/sor/order"),
    ("DELETE", "/api/v3/openOrders"),
    ("GET", "/api/v3/openOrders"),
    ("GET", "/api/v3/myTrades"),
    ("POST", "/api/v3/userDataStream"),
    ("POST", "/sapi/v1/capital/withdraw/apply"),
    ("POST", "/sapi/v1/asset/transfer"),
    ("GET", "/sapi/v1/capital/config/getall"),
    ("POST", "/sapi/v1/account/apiRestrictions"),
    ("POST", "/sapi/v1/account/apiRestrictions/ipRestriction"),
    ("POST", RESTRICTIONS),
    ("POST", ACCOUNT),
    ("DELETE", COMMISSION),
    ("HEAD", ACCOUNT),
]


@pytest.fixture
def log() -> EgressLog:
    return EgressLog(lambda row: None)


@pytest.fixture
async def guarded(exchange: ScriptedExchange, log: EgressLog) -> AsyncIterator[aiohttp.ClientSession]:
    logging.getLogger("ccxt").setLevel(logging.ERROR)
    token = ATTEMPT.set(Attempt())
    async with guarded_session(SignedReads(URL(exchange.url)), log, 2.0) as session:
        yield session
    ATTEMPT.reset(token)


async def outcome(call: Any) -> BaseException | None:
    """Await `call` in a task of its own, with leave to ask; gives what it raised."""

    async def limited() -> None:
        ATTEMPT.set(Attempt())
        async with asyncio.timeout(0.3):
            await call

    try:
        await asyncio.create_task(limited())
    except Exception as error:
        return error
    return None


@pytest.mark.parametrize("name", sorted(WAYS.keys() - READS))
async def test_no_way_out(
    name: str, guarded: aiohttp.ClientSession, exchange: ScriptedExchange, log: EgressLog
) -> None:
    error = await outcome(WAYS[name](guarded, exchange.url))
    assert exchange.requests == []
    assert exchange.frames == []
    assert error is not None, "the caller must hear of it"
    assert log.refusals >= 1


@pytest.mark.parametrize(("method", "path"), TARGETS)
async def test_no_signed_way_out(
    method: str, path: str, guarded: aiohttp.ClientSession, exchange: ScriptedExchange
) -> None:
    """With the key and a signature, as the reader itself would send them; and on a plain session, the control."""
    url = URL(f"{exchange.url}{path}?{STAMP}", encoded=True)
    headers = {"X-MBX-APIKEY": API_KEY}
    assert isinstance(await outcome(guarded.request(method, url, headers=headers)), Refused)
    assert exchange.requests == []
    async with aiohttp.ClientSession() as plain, plain.request(method, url, headers=headers):
        pass
    assert [(seen.method, seen.target.partition("?")[0]) for seen in exchange.requests] == [(method, path)]


async def test_no_generated_endpoint_gets_out(guarded: aiohttp.ClientSession, exchange: ScriptedExchange) -> None:
    client = keyed(guarded, exchange.url)
    endpoints = non_get_endpoints()
    assert len(endpoints) >= 250
    for group, method, path in endpoints:
        with pytest.raises(Refused):
            await client.request(path, [group], method.upper(), {"symbol": "BTCUSDT"})
    assert exchange.requests == []


async def test_signed_reads_do_get_out(guarded: aiohttp.ClientSession, exchange: ScriptedExchange) -> None:
    """The control of all the above: the guard is not simply shut."""
    for path in (RESTRICTIONS, ACCOUNT, COMMISSION):
        url = URL(f"{exchange.url}{path}?{STAMP}", encoded=True)
        assert await outcome(guarded.get(url, headers={"X-MBX-APIKEY": API_KEY})) is None
        assert exchange.asked(path) == 1
    assert await outcome(guarded.get(f"{exchange.url}{TIME}")) is None


async def test_a_redirect_to_an_order_is_not_followed(
    guarded: aiohttp.ClientSession, exchange: ScriptedExchange
) -> None:
    exchange.answers[ACCOUNT] = web.Response(status=307, headers={"Location": "/api/v3/order"})
    exchange.answers[RESTRICTIONS] = web.Response(status=307, headers={"Location": f"{ACCOUNT}?{STAMP}"})
    for path in (ACCOUNT, RESTRICTIONS):
        for options in ({}, {"middlewares": ()}):
            url = URL(f"{exchange.url}{path}?{STAMP}", encoded=True)
            await outcome(guarded.get(url, headers={"X-MBX-APIKEY": API_KEY}, **options))
    assert exchange.asked("/api/v3/order") == 0
    assert exchange.asked(ACCOUNT) == 2, "only as it was asked, never as it was told"


async def test_no_name_but_its_own_is_resolved(guarded: aiohttp.ClientSession) -> None:
    connector = guarded.connector
    assert isinstance(connector, aiohttp.TCPConnector)
    for name in ("api.binance.com", "data-api.binance.vision", "localhost"):
        with pytest.raises(Refused, match="not resolved"):
            await connector._resolver.resolve(name, 443)
    assert await connector._resolver.resolve("127.0.0.1", 80)


async def test_the_readers_own_session_lets_no_order_out() -> None:
    """On the venue, which would accept it: the same key, the same signature."""
    market = open_market(None, seed=7, hours=0.1, symbols=["BTCUSDT"])
    order = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.01"}
    async with Venue(market, keys={API_KEY: SECRET}) as venue:
        async with KeyedReader(config_for(venue.url), PlainSigner()) as reader:
            client = keyed(reader._session, venue.url)
            client.apiKey, client.secret = API_KEY, SECRET
            assert isinstance(await outcome(client.privatePostOrder(dict(order))), Refused)
            assert venue.log.report()["count"] == 0
            assert reader.counters()["refused"] == 1
            assert reader.counters()["order_requests"] == 0
            assert isinstance(await reader.account(), dict)
        async with aiohttp.ClientSession() as plain:
            client = keyed(plain, venue.url)
            client.apiKey, client.secret = API_KEY, SECRET
            assert (await client.privatePostOrder(dict(order)))["status"] == "FILLED"
        assert venue.log.report()["order_requests"] == 1
