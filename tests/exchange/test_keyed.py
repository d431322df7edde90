"""A signed read is what Binance documents: stamped by its clock, encoded before it is signed, fresh for each attempt,
paid from one budget; and the venue, which checks signatures by itself, lets all three types of key in."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import unquote

import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from quantlab.exchange import Door
from quantlab.exchange.failure import retry as retry_module
from quantlab.exchange.keyed import KeyedReader
from quantlab.exchange.signed_rules import ACCOUNT, COMMISSION, RESTRICTIONS, TIME
from quantlab.model import ExchangeError, ExchangeUnreachable, MalformedMessage, Refused
from quantlab.vault.signers import Ed25519Signer, RsaSigner
from quantlab.venue import Venue
from quantlab.venue.keyfile import key_of
from quantlab.venue.market import open_market

from .keys import API_KEY, SECRET, OddSigner, PlainSigner
from .scripted import ScriptedExchange, config_for, raw

#: The scripted exchange's clock: nowhere near ours.
SERVER_MS = 1_600_000_000_000


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry_module, "_FIRST_S", 0.02)


@pytest.fixture
async def venue() -> AsyncIterator[Venue]:
    async with Venue(open_market(None, seed=7, hours=0.1, symbols=["BTCUSDT"]), keys={API_KEY: SECRET}) as served:
        yield served


@pytest.fixture
async def reader(exchange: ScriptedExchange, egress: list[dict[str, Any]]) -> AsyncIterator[KeyedReader]:
    exchange.answers[TIME] = {"serverTime": SERVER_MS}
    async with KeyedReader(config_for(exchange.url, timeout_s=2.0), PlainSigner(), egress.append) as opened:
        yield opened


def query_of(target: str) -> dict[str, str]:
    return dict(pair.split("=") for pair in target.partition("?")[2].split("&"))


async def test_the_venue_answers_all_three(venue: Venue) -> None:
    async with KeyedReader(config_for(venue.url), PlainSigner()) as reader:
        assert await reader.restrictions() == venue.account.restrictions
        account = await reader.account()
        assert isinstance(account, dict) and account["balances"][0]["asset"] == "USDT"
        commission = await reader.commission("BTCUSDT")
        assert isinstance(commission, dict) and commission["standardCommission"]["taker"] == "0.00100000"
        assert reader.clock_skew_ms is not None and abs(reader.clock_skew_ms) < 1_000
        counters = reader.counters()
    assert counters["sent"] == counters["asked"] == venue.log.report()["count"] == 4
    assert counters["weight"] == venue.log.report()["weight"] == 1 + 1 + 20 + 20
    assert counters["order_requests"] == venue.log.report()["order_requests"] == 0


@pytest.mark.parametrize("kind", ["ed25519", "rsa"])
async def test_base64_signatures_arrive_whole(venue: Venue, kind: str) -> None:
    """They hold "+", "/" and "=": several stamps, so that each of them comes up."""
    pair = Ed25519PrivateKey.generate() if kind == "ed25519" else generate_private_key(65537, 2048)
    public = pair.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    venue.keys.add(key_of({"api_key": "E" * 64, "public_key": public}))
    signer = Ed25519Signer("E" * 64, pair) if isinstance(pair, Ed25519PrivateKey) else RsaSigner("E" * 64, pair)
    async with KeyedReader(config_for(venue.url), signer) as reader:
        for _ in range(8):
            assert await reader.restrictions() == venue.account.restrictions


async def test_what_is_sent_is_what_was_signed(exchange: ScriptedExchange) -> None:
    exchange.answers[TIME] = {"serverTime": SERVER_MS}
    signer = OddSigner()
    async with KeyedReader(config_for(exchange.url), signer) as reader:
        await reader.commission("币/A&side=BUY")
        assert reader.clock_skew_ms == pytest.approx(time.time() * 1000 - SERVER_MS, abs=5_000)
    clock, signed = exchange.requests
    assert (clock.target, "X-MBX-APIKEY" in clock.headers) == (TIME, False)
    assert signed.headers["X-MBX-APIKEY"] == API_KEY
    payload, _, signature = signed.target.partition("?")[2].partition("&signature=")
    assert signer.payloads == [payload.encode()]
    assert unquote(signature) == signer.sign(b"")
    query = query_of(signed.target)
    assert list(query) == ["symbol", "recvWindow", "timestamp", "signature"]
    assert unquote(query["symbol"]) == "币/A&side=BUY", "one parameter, whatever it holds"
    assert 0 <= int(query["timestamp"]) - SERVER_MS < 1_000, "the exchange's clock, not ours"


async def test_each_attempt_is_stamped_and_signed_anew(reader: KeyedReader, exchange: ScriptedExchange) -> None:
    exchange.answers[RESTRICTIONS] = [raw("", status=503), raw("<html>"), {"ipRestrict": True}]
    assert await reader.restrictions() == {"ipRestrict": True}
    stamps = [query_of(seen.target) for seen in exchange.requests[1:]]
    assert len({stamp["timestamp"] for stamp in stamps}) == len({stamp["signature"] for stamp in stamps}) == 3
    assert exchange.asked(TIME) == 1


async def test_a_stale_stamp_is_tried_once_more_with_a_new_clock(
    reader: KeyedReader, exchange: ScriptedExchange
) -> None:
    stale = raw('{"code":-1021,"msg":"Timestamp for this request is outside of the recvWindow."}', status=400)
    exchange.answers[TIME] = [{"serverTime": 5}, {"serverTime": SERVER_MS}]
    exchange.answers[ACCOUNT] = [stale, {"balances": []}]
    assert await reader.account() == {"balances": []}
    assert [seen.target.partition("?")[0] for seen in exchange.requests] == [TIME, ACCOUNT, TIME, ACCOUNT]
    assert int(query_of(exchange.requests[3].target)["timestamp"]) >= SERVER_MS
    exchange.answers[ACCOUNT] = stale
    with pytest.raises(ExchangeError, match="-1021"):
        await reader.account()
    assert exchange.asked(ACCOUNT) == 4, "once more, not for ever"


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (raw("", status=500), ExchangeError),
        (raw('{"code":-1008,"msg":"Busy"}', status=400), ExchangeError),
        (raw("<html>"), MalformedMessage),
        (raw(""), MalformedMessage),
    ],
)
async def test_three_times_is_enough(
    reader: KeyedReader, exchange: ScriptedExchange, answer: web.Response, error: type[Exception]
) -> None:
    exchange.answers[RESTRICTIONS] = answer
    with pytest.raises(error):
        await reader.restrictions()
    assert exchange.asked(RESTRICTIONS) == 3
    assert reader.counters()["weight"] == 1 + 3


@pytest.mark.parametrize("code", [-2014, -2015, -1022, -1100])
async def test_what_stays_wrong_is_asked_once(reader: KeyedReader, exchange: ScriptedExchange, code: int) -> None:
    exchange.answers[RESTRICTIONS] = raw(f'{{"code":{code},"msg":"No."}}', status=401)
    with pytest.raises(ExchangeError) as caught:
        await reader.restrictions()
    assert (caught.value.code, caught.value.status) == (code, 401)
    assert exchange.asked(RESTRICTIONS) == 1


@pytest.mark.parametrize("body", ["{}", "[]", '{"serverTime":null}', '{"serverTime":-1}', '{"serverTime":1e20}'])
async def test_without_its_clock_nothing_is_signed(reader: KeyedReader, exchange: ScriptedExchange, body: str) -> None:
    exchange.answers[TIME] = raw(body)
    with pytest.raises(MalformedMessage, match="serverTime"):
        await reader.restrictions()
    assert exchange.asked(RESTRICTIONS) == 0
    assert reader.clock_skew_ms is None


async def test_answers_of_any_depth_and_length(reader: KeyedReader, exchange: ScriptedExchange) -> None:
    exchange.answers[ACCOUNT] = raw('{"msg":' + "[" * 100_000 + "]" * 100_000 + "}")
    with pytest.raises(MalformedMessage):
        await reader.account()
    exchange.answers[ACCOUNT] = raw('{"a":"' + "x" * 5_000_000 + '"}')
    with pytest.raises(MalformedMessage):
        await reader.account()
    exchange.answers[ACCOUNT] = raw('{"a":"' + "x" * 3_000_000 + '"}')
    assert isinstance(await reader.account(), dict)


async def test_a_door_beside_it_shares_its_budget(exchange: ScriptedExchange) -> None:
    exchange.answers[TIME] = {"serverTime": SERVER_MS}
    config = config_for(exchange.url, weight_per_minute=25, timeout_s=2.0, total_s=0.2)
    async with Door(config) as door, KeyedReader(config, PlainSigner(), budget=door.budget) as reader:
        await reader.account()
        assert door.counters()["peak_weight_60s"] == 21
        await door.rest.server_time_ms()
        with pytest.raises(ExchangeUnreachable, match="no room"):
            await door.rest.depth("BTCUSDT")
        with pytest.raises(ExchangeUnreachable, match="no room"):
            await reader.commission("BTCUSDT")
    assert exchange.asked(COMMISSION) == 0


async def test_a_pause_that_is_asked_for_stops_both(exchange: ScriptedExchange) -> None:
    exchange.answers[TIME] = {"serverTime": SERVER_MS}
    exchange.answers[RESTRICTIONS] = raw('{"code":-1003,"msg":"Slow."}', status=429, Retry_After="30")
    config = config_for(exchange.url, timeout_s=2.0, total_s=0.2)
    async with Door(config) as door, KeyedReader(config, PlainSigner(), budget=door.budget) as reader:
        with pytest.raises(ExchangeError, match="429"):
            await reader.restrictions()
        with pytest.raises(ExchangeError, match="429"):
            await door.rest.server_time_ms()
    assert exchange.asked(RESTRICTIONS) == 1


async def test_a_call_that_is_given_up_ends(reader: KeyedReader, exchange: ScriptedExchange) -> None:
    async def never(request: web.Request) -> web.Response:
        await asyncio.sleep(60)
        return web.Response()

    exchange.answers[RESTRICTIONS] = never
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await reader.restrictions()
    exchange.answers[RESTRICTIONS] = {}
    assert await reader.restrictions() == {}


async def test_a_redirect_is_not_followed(reader: KeyedReader, exchange: ScriptedExchange) -> None:
    exchange.answers[RESTRICTIONS] = web.Response(status=307, headers={"Location": ACCOUNT})
    with pytest.raises(Refused, match="redirect"):
        await reader.restrictions()
    assert exchange.asked(ACCOUNT) == 0
