"""An audit passes a key only when the exchange itself says that it may read and trade on spot and nothing else; every
other answer, and none, is a status that does not pass."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web

from quantlab.exchange import DoorConfig
from quantlab.exchange.audit import audit
from quantlab.exchange.config import HOSTS
from quantlab.exchange.failure import retry as retry_module
from quantlab.exchange.signed_rules import ACCOUNT, RESTRICTIONS, TIME
from quantlab.model import Refused
from quantlab.venue import Venue
from quantlab.venue.account import RESTRICTIONS as CAREFUL
from quantlab.venue.keyfile import key_of
from quantlab.venue.market import open_market

from .keys import API_KEY, SECRET, PlainSigner
from .scripted import ScriptedExchange, config_for, raw, serving

#: (true passes, false passes); every other value never does.
MAY_BE = {
    "ipRestrict": (True, False),
    "enableReading": (True, False),
    "enableSpotAndMarginTrading": (True, True),
    "enableFixReadOnly": (True, True),
}
KINDS = {"true": True, "false": False, "string": "false", "number": 0, "null": None}


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry_module, "_FIRST_S", 0.02)


@pytest.fixture
async def venue() -> AsyncIterator[Venue]:
    async with Venue(open_market(None, seed=7, hours=0.1, symbols=["BTCUSDT"]), keys={API_KEY: SECRET}) as served:
        yield served


@pytest.fixture
def healthy(exchange: ScriptedExchange) -> ScriptedExchange:
    exchange.answers[TIME] = {"serverTime": time.time_ns() // 1_000_000 - 7_000}
    exchange.answers[RESTRICTIONS] = dict(CAREFUL)
    return exchange


def a_testnet_at(url: str, monkeypatch: pytest.MonkeyPatch) -> DoorConfig:
    """A door to a testnet that is at `url`."""
    monkeypatch.setitem(HOSTS, "testnet", (url, url.replace("http", "ws", 1)))
    return DoorConfig(market="testnet", rest_url=url, stream_url=url.replace("http", "ws", 1), timeout_s=2.0)


async def test_a_careful_key_passes(venue: Venue) -> None:
    rows: list[dict[str, Any]] = []
    found = await audit(config_for(venue.url), PlainSigner(), environment="replay", egress=rows.append)
    assert (found.status, found.reasons) == ("passed", ())
    assert found.verdict is not None and found.verdict.can_trade and found.verdict.ip_restricted
    assert abs(found.checked_ms - time.time() * 1000) < 60_000
    assert found.clock_skew_ms is not None and abs(found.clock_skew_ms) < 1_000
    assert [(row["path"], row["weight"], row["verdict"]) for row in rows] == [
        (TIME, 1, "sent"),
        (RESTRICTIONS, 1, "sent"),
    ]
    assert venue.log.report()["order_requests"] == 0


@pytest.mark.parametrize("field", [name for name in CAREFUL if name != "createTime"])
async def test_every_field_as_the_venue_tells_it(venue: Venue, field: str) -> None:
    """The whole way: the venue's answer, signed and sent over a socket."""
    config = config_for(venue.url)
    for kind, value in KINDS.items():
        venue.account.restrictions[field] = value
        found = await audit(config, PlainSigner(), environment="replay")
        passes = isinstance(value, bool) and MAY_BE.get(field, (False, True))[0 if value else 1]
        assert found.status == ("passed" if passes else "refused"), (field, kind)
        assert passes or any(field in line for line in found.reasons)
    del venue.account.restrictions[field]
    found = await audit(config, PlainSigner(), environment="replay")
    assert found.status == "refused" and len(found.reasons) == 1 and field in found.reasons[0]
    venue.account.restrictions[field] = CAREFUL[field]
    assert (await audit(config, PlainSigner(), environment="replay")).status == "passed", "the control"


async def test_unknown_fields_as_the_venue_tells_them(venue: Venue) -> None:
    for kind, value in KINDS.items():
        venue.account.restrictions["enableMoonTravel"] = value
        found = await audit(config_for(venue.url), PlainSigner(), environment="replay")
        assert found.status == ("passed" if value is False else "refused"), kind
        assert found.verdict is not None
        assert found.verdict.recorded == (("enableMoonTravel",) if value is False else ())


@pytest.mark.parametrize("body", ["[]", "null", "true", '"passed"', "0", "{}"])
async def test_an_answer_of_another_kind_is_refused(healthy: ScriptedExchange, body: str) -> None:
    config = config_for(healthy.url)
    assert (await audit(config, PlainSigner(), environment="replay")).status == "passed", "the control"
    healthy.answers[RESTRICTIONS] = raw(body)
    found = await audit(config, PlainSigner(), environment="replay")
    assert found.status == "refused" and found.reasons


async def test_a_key_that_the_venue_does_not_let_in(venue: Venue) -> None:
    config = config_for(venue.url)

    async def rejected(signer: PlainSigner) -> str:
        found = await audit(config, signer, environment="replay")
        assert found.status == "rejected" and found.verdict is None
        words = found.reasons[0]
        assert "deleted" in words and "public address has changed" in words and "may not read" in words
        return words

    assert "-2015" in await rejected(PlainSigner(api_key="Nobody42" * 8))
    assert "-2014" in await rejected(PlainSigner(api_key="short"))
    assert "-1022" in await rejected(PlainSigner(secret="another"))
    venue.keys.add(key_of({"api_key": "Elsewhr1" * 8, "secret": SECRET, "addresses": ["203.0.113.7"]}))
    assert "-2015" in await rejected(PlainSigner(api_key="Elsewhr1" * 8))
    assert (await audit(config, PlainSigner(), environment="replay")).status == "passed", "the control"
    for key in venue.keys:
        venue.keys.remove(key.fingerprint)
    assert "-2015" in await rejected(PlainSigner())


@pytest.mark.parametrize(
    "answer",
    [
        raw("", status=500),
        raw('{"code":-1000,"msg":"Unknown."}', status=503),
        raw("<html>maintenance</html>"),
        raw('{"ipRestrict":true,"enableRea'),
        raw(""),
        raw('{"code":-1003,"msg":"Way too many."}', status=429, Retry_After="30"),
        raw('{"code":-1003,"msg":"Banned."}', status=418, Retry_After="120"),
        raw('{"code":0,"msg":"Restricted location."}', status=451),
        raw("<html>WAF</html>", status=403),
        raw("not found", status=404),
        raw('{"code":-1021,"msg":"Timestamp."}', status=400),
        raw('{"code":-1003,"msg":"Too much."}'),
        raw("", status=401),
        web.Response(status=302, headers={"Location": "/elsewhere"}),
    ],
)
@pytest.mark.parametrize("path", [TIME, RESTRICTIONS])
async def test_no_good_answer_is_never_a_pass(healthy: ScriptedExchange, path: str, answer: web.Response) -> None:
    healthy.answers[path] = answer
    config = config_for(healthy.url, timeout_s=2.0, total_s=1.0)
    found = await audit(config, PlainSigner(), environment="replay")
    assert found.status == "unreachable"
    assert found.verdict is None
    assert len(found.reasons) == 1 and found.reasons[0] and "\n" not in found.reasons[0]
    assert (found.clock_skew_ms is None) == (path == TIME)


async def test_no_answer_is_never_a_pass(healthy: ScriptedExchange) -> None:
    async def never(request: web.Request) -> web.Response:
        await asyncio.sleep(60)
        return web.Response()

    async def drop(request: web.Request) -> web.Response:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    for silence in (never, drop):
        healthy.answers[RESTRICTIONS] = silence
        found = await audit(config_for(healthy.url, timeout_s=0.1), PlainSigner(), environment="replay")
        assert found.status == "unreachable"
        assert found.clock_skew_ms == pytest.approx(7_000, abs=2_000)
    async with serving(healthy.handle) as address:
        gone = f"http://{address}"
    found = await audit(config_for(gone, timeout_s=0.5, total_s=0.5), PlainSigner(), environment="replay")
    assert found.status == "unreachable" and "nothing answers" in found.reasons[0]


async def test_the_testnet_is_not_auditable(monkeypatch: pytest.MonkeyPatch) -> None:
    market = open_market(None, seed=7, hours=0.1, symbols=["BTCUSDT"])
    async with Venue(market, keys={API_KEY: SECRET}, sapi=False) as venue:
        config = a_testnet_at(venue.url, monkeypatch)
        found = await audit(config, PlainSigner(), environment="testnet")
        assert (found.status, found.verdict) == ("not auditable", None)
        assert "testnet" in found.reasons[0]
        assert {line["path"] for line in venue.log.lines()} == {TIME, ACCOUNT}
        assert (await audit(config, PlainSigner(secret="no"), environment="testnet")).status == "rejected"
        found = await audit(config_for(venue.url), PlainSigner(), environment="replay")
        assert found.status == "unreachable", "without permissions a key of another environment never passes"


@pytest.mark.parametrize("body", ["{}", "[]", "null", '{"balances":null}'])
async def test_a_testnet_that_answers_something_else(
    exchange: ScriptedExchange, monkeypatch: pytest.MonkeyPatch, body: str
) -> None:
    exchange.answers |= {TIME: {"serverTime": 1}, ACCOUNT: {"balances": []}}
    config = a_testnet_at(exchange.url, monkeypatch)
    assert (await audit(config, PlainSigner(), environment="testnet")).status == "not auditable", "the control"
    exchange.answers[ACCOUNT] = raw(body)
    assert (await audit(config, PlainSigner(), environment="testnet")).status == "unreachable"


@pytest.mark.parametrize("environment", ["mainnet", "testnet", "REPLAY", ""])
async def test_a_key_is_shown_to_its_own_exchange_only(healthy: ScriptedExchange, environment: str) -> None:
    with pytest.raises(Refused, match="its own exchange"):
        await audit(config_for(healthy.url), PlainSigner(), environment=environment)
    assert healthy.requests == []


async def test_an_egress_log_that_fails_is_heard(healthy: ScriptedExchange) -> None:
    def full(row: dict[str, Any]) -> None:
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        await audit(config_for(healthy.url), PlainSigner(), environment="replay", egress=full)


@pytest.mark.parametrize(("status", "code"), [(400, -2008), (401, -2008), (401, -9999)])
async def test_what_binance_says_of_a_deleted_key_is_no_silence(
    healthy: ScriptedExchange, status: int, code: int
) -> None:
    """-2008 is what /sapi answers to an unknown or deleted key; a 401 is never an outage."""
    body = f'{{"code":{code},"msg":"Invalid Api-Key ID."}}'
    healthy.answers[RESTRICTIONS] = raw(body, status=status)
    found = await audit(config_for(healthy.url), PlainSigner(), environment="replay")
    assert found.status == "rejected" and str(code) in found.reasons[0]
