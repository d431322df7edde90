"""A question comes back as the exchange's own bytes, is tried again when that may help, and every attempt is paid."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from aiohttp import web

from quantlab.exchange import Door
from quantlab.exchange.failure import retry as retry_module
from quantlab.exchange.rules import VENUE_CLOCK
from quantlab.exchange.weight.budget import Held, Priority
from quantlab.model import ConfigurationError, ExchangeError, ExchangeUnreachable, MalformedMessage

from .scripted import ScriptedExchange, config_for, raw, until

KLINES = "/api/v3/klines"
MINUTE_MS = 60_000


def klines(first_ms: int, count: int, step_ms: int = MINUTE_MS) -> bytes:
    rows = []
    for number in range(count):
        opened = first_ms + number * step_ms
        rows.append([opened, "1.0", "2.0", "0.5", "1.5", "10", opened + step_ms - 1, "15", 3, "5", "7.5", "0"])
    return json.dumps(rows).encode()


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry_module, "_FIRST_S", 0.02)


async def test_answers_come_as_they_were_sent(door: Door, exchange: ScriptedExchange) -> None:
    rows = b'[ [1,"0.10000000", "\\u00e4\xc3\xa4"]\n ]'
    for path, ask in (
        ("depth", door.rest.depth("BTCUSDT", 20)),
        ("klines", door.rest.klines("BTCUSDT", "1m", start_ms=1, end_ms=2, limit=3)),
        ("exchangeInfo", door.rest.exchange_info(["ETHUSDT", "BTCUSDT"])),
        ("ticker/24hr", door.rest.ticker_24h(["BTCUSDT"])),
        ("ticker/bookTicker", door.rest.book_tickers()),
    ):
        odd = rows if path.startswith(("klines", "ticker")) else b'{ "rows": ' + rows + b"}"
        exchange.answers[f"/api/v3/{path}"] = raw(odd)
        assert await ask == odd
    targets = [seen.target for seen in exchange.requests]
    assert targets == [
        "/api/v3/depth?symbol=BTCUSDT&limit=20",
        "/api/v3/klines?symbol=BTCUSDT&interval=1m&limit=3&startTime=1&endTime=2",
        "/api/v3/exchangeInfo?symbols=%5B%22BTCUSDT%22%2C%22ETHUSDT%22%5D",
        "/api/v3/ticker/24hr?symbols=%5B%22BTCUSDT%22%5D",
        "/api/v3/ticker/bookTicker",
    ]
    assert door.counters()["weight"] == 5 + 2 + 20 + 2 + 4


async def test_the_clock_is_a_number(door: Door, exchange: ScriptedExchange) -> None:
    exchange.answers["/api/v3/time"] = {"serverTime": 1_723_161_253_937}
    assert await door.rest.server_time_ms() == 1_723_161_253_937
    exchange.answers["/api/v3/time"] = {"time": 1}
    with pytest.raises(MalformedMessage, match="serverTime"):
        await door.rest.server_time_ms()


async def test_the_venues_clock(door: Door, exchange: ScriptedExchange) -> None:
    exchange.answers[VENUE_CLOCK] = {"kind": "generated", "ended": False}
    assert (await door.venue_clock())["kind"] == "generated"
    exchange.answers[VENUE_CLOCK] = raw("not found", status=404)
    with pytest.raises(ExchangeError) as caught:
        await door.venue_clock()
    assert caught.value.status == 404


async def test_a_timeframe_binance_lacks_is_not_asked(door: Door, exchange: ScriptedExchange) -> None:
    with pytest.raises(ConfigurationError, match="7m"):
        await door.rest.klines("BTCUSDT", "7m")
    assert exchange.requests == []


@pytest.mark.parametrize(
    "bad",
    [
        raw("<html>maintenance</html>"),
        raw('[[1,"2"'),
        raw(""),
        raw("oops", status=502),
        raw('{"code":-1001,"msg":"Disconnected"}', status=400),
    ],
)
async def test_what_may_pass_is_tried_again(
    door: Door, exchange: ScriptedExchange, egress: list[dict[str, Any]], bad: web.Response
) -> None:
    exchange.answers[KLINES] = [bad, bad, raw(klines(0, 1))]
    assert await door.rest.klines("BTCUSDT", "1m") == klines(0, 1)
    counts = door.counters()["by_endpoint"]["GET /api/v3/klines"]
    assert counts == {"asked": 1, "sent": 3, "shared": 0, "kept": 0, "weight": 6}
    assert [row["verdict"] for row in egress] == ["sent"] * 3
    assert egress[0]["detail"] != egress[2]["detail"]


async def test_three_times_is_enough(door: Door, exchange: ScriptedExchange) -> None:
    exchange.answers[KLINES] = raw("", status=500)
    with pytest.raises(ExchangeError, match="HTTP 500"):
        await door.rest.klines("BTCUSDT", "1m")
    assert exchange.asked(KLINES) == 3


async def test_what_stays_wrong_is_asked_once(door: Door, exchange: ScriptedExchange) -> None:
    exchange.answers[KLINES] = raw('{"code":-1121,"msg":"Invalid symbol."}', status=400)
    with pytest.raises(ExchangeError, match="Invalid symbol") as caught:
        await door.rest.klines("NOPE", "1m")
    assert caught.value.code == -1121
    assert exchange.asked(KLINES) == 1


async def test_a_dropped_connection_is_tried_again_and_paid(door: Door, exchange: ScriptedExchange) -> None:
    """Also on a kept connection, where aiohttp would ask again by itself."""

    async def drop(request: web.Request) -> web.Response:
        assert request.transport is not None
        request.transport.close()
        return web.Response()

    exchange.answers["/api/v3/time"] = {"serverTime": 1}
    await door.rest.server_time_ms()
    exchange.answers["/api/v3/time"] = [drop, {"serverTime": 2}]
    assert await door.rest.server_time_ms() == 2
    assert exchange.asked("/api/v3/time") == 3
    assert door.counters()["sent"] == 3


async def test_no_answer_in_time(exchange: ScriptedExchange, egress: list[dict[str, Any]]) -> None:
    async def never(request: web.Request) -> web.Response:
        await asyncio.sleep(60)
        return web.Response()

    exchange.answers["/api/v3/time"] = never
    async with Door(config_for(exchange.url, timeout_s=0.1), egress.append) as door:
        with pytest.raises(ExchangeUnreachable, match=r"did not answer within 0\.1 s"):
            await door.rest.server_time_ms()
        assert exchange.asked("/api/v3/time") == 3
        assert door.counters()["sent"] == 3
        assert door.counters()["peak_weight_60s"] == 3
    assert [row["status"] for row in egress] == [0, 0, 0]


async def test_a_callers_patience_ends_it(exchange: ScriptedExchange) -> None:
    exchange.answers["/api/v3/time"] = raw("", status=503)
    async with Door(config_for(exchange.url, total_s=0.005)) as door:
        with pytest.raises(ExchangeError, match="503"):
            await door.rest.server_time_ms()
    assert exchange.asked("/api/v3/time") == 1


async def test_nobody_there(free_port: Any, egress: list[dict[str, Any]]) -> None:
    address = f"127.0.0.1:{free_port()}"
    async with Door(config_for(f"http://{address}"), egress.append) as door:
        with pytest.raises(ExchangeUnreachable, match=f"nothing answers at {address}: is the venue running"):
            await door.rest.server_time_ms()
        counters = door.counters()
    assert (counters["asked"], counters["sent"], counters["weight"]) == (1, 0, 0)
    assert [row["verdict"] for row in egress] == ["unreachable"] * 3


async def test_a_pause_stops_everything_until_then(door: Door, exchange: ScriptedExchange) -> None:
    exchange.answers[KLINES] = [raw("", status=429, Retry_After="1"), raw(klines(0, 1))]
    refused = asyncio.create_task(door.rest.klines("BTCUSDT", "1m"))
    await until(lambda: door.counters()["sent"] == 1)
    await asyncio.gather(refused, door.rest.depth("BTCUSDT"))
    first, *later = (seen.at_s for seen in exchange.requests)
    assert len(later) == 2
    assert all(at_s - first >= 1.0 for at_s in later)


async def test_a_ban_is_told_to_all(door: Door, exchange: ScriptedExchange) -> None:
    exchange.answers[KLINES] = raw('{"code":-1003,"msg":"banned"}', status=418, Retry_After="3600")
    for _ in range(2):
        with pytest.raises(ExchangeError, match="banned this address") as caught:
            await door.rest.klines("BTCUSDT", "1m")
        assert caught.value.status == 418
    assert len(exchange.requests) == 1


async def test_the_exchanges_own_count_is_believed(exchange: ScriptedExchange) -> None:
    exchange.answers["/api/v3/time"] = raw(
        '{"serverTime":1}', X_MBX_USED_WEIGHT_1M="100", Date="Mon, 23 Nov 2026 07:30:30 GMT"
    )
    async with Door(config_for(exchange.url, weight_per_minute=100, total_s=0.2)) as door:
        await door.rest.server_time_ms()
        with pytest.raises(ExchangeUnreachable, match="no room"):
            await door.rest.server_time_ms()
    assert len(exchange.requests) == 1


async def test_forty_five_ask_the_same_and_it_is_sent_once(door: Door, exchange: ScriptedExchange) -> None:
    exchange.answers[KLINES] = raw(klines(0, 3))
    answers = await asyncio.gather(*(door.rest.klines("BTCUSDT", "1m") for _ in range(45)))
    assert set(answers) == {klines(0, 3)}
    counts = door.counters()["by_endpoint"]["GET /api/v3/klines"]
    assert counts == {"asked": 45, "sent": 1, "shared": 44, "kept": 0, "weight": 2}


async def test_a_replay_keeps_only_candles_that_are_proven_closed(door: Door, exchange: ScriptedExchange) -> None:
    exchange.answers[KLINES] = raw(klines(0, 3))
    await door.rest.klines("BTCUSDT", "1m", end_ms=150_000)
    await door.rest.klines("BTCUSDT", "1m", end_ms=150_000)
    assert door.counters()["kept"] == 0, "its last candle may still form"
    exchange.answers[KLINES] = raw(klines(0, 9))
    await door.rest.klines("ETHUSDT", "1m")
    exchange.answers[KLINES] = raw(klines(0, 3))
    await door.rest.klines("BTCUSDT", "1m", end_ms=150_000)
    assert await door.rest.klines("BTCUSDT", "1m", end_ms=150_000) == klines(0, 3)
    assert door.counters()["kept"] == 1, "a later candle was seen: these three are closed"
    await door.rest.exchange_info()
    await door.rest.exchange_info()
    assert door.counters()["by_endpoint"]["GET /api/v3/exchangeInfo"]["sent"] == 2


async def test_an_exchange_keeps_candles_until_the_next_close(door: Door, exchange: ScriptedExchange) -> None:
    """By the exchange's own clock, the `Date` of its answer: 12:00:30, in the middle of the last candle."""
    door.rest._is_real = True
    date = "Thu, 08 Aug 2024 12:00:30 GMT"
    noon_ms = 1_723_118_400_000
    exchange.answers[KLINES] = raw(klines(noon_ms - 2 * MINUTE_MS, 3), Date=date)
    await door.rest.klines("BTCUSDT", "1m")
    await door.rest.klines("BTCUSDT", "1m")
    assert door.counters()["kept"] == 1
    (until, _), *_ = door.rest._answers._kept.values()
    assert until - door.rest._answers._clock() == pytest.approx(27.5, abs=1)
    exchange.answers[KLINES] = raw(klines(noon_ms - 5 * MINUTE_MS, 3), Date=date)
    await door.rest.klines("BTCUSDT", "1m", end_ms=noon_ms)
    assert [until for until, _ in door.rest._answers._kept.values()][-1] == float("inf")
    await door.rest.exchange_info()
    await door.rest.exchange_info()
    await door.rest.depth("BTCUSDT")
    await door.rest.depth("BTCUSDT")
    by_endpoint = door.counters()["by_endpoint"]
    assert by_endpoint["GET /api/v3/exchangeInfo"]["sent"] == 1
    assert by_endpoint["GET /api/v3/depth"]["sent"] == 2


async def test_newest_candles_are_never_kept_for_ever(door: Door, exchange: ScriptedExchange) -> None:
    """Between a close and the next candle's first trade the newest page holds closed candles only: more will come."""
    door.rest._is_real = True
    noon_ms = 1_723_118_400_000
    closed = raw(klines(noon_ms - 3 * MINUTE_MS, 3), Date="Thu, 08 Aug 2024 12:00:01 GMT")
    exchange.answers[KLINES] = closed
    for bounds in ({}, {"start_ms": noon_ms - 3 * MINUTE_MS}, {"end_ms": noon_ms + 9 * MINUTE_MS}):
        await door.rest.klines("BTCUSDT", "1m", **bounds)
        await door.rest.klines("BTCUSDT", "1m", **bounds)
    assert door.counters()["kept"] == 0
    full = {"start_ms": noon_ms - 3 * MINUTE_MS, "limit": 3}
    await door.rest.klines("BTCUSDT", "1m", **full)
    await door.rest.klines("BTCUSDT", "1m", **full)
    assert door.counters()["kept"] == 1, "the control: a full page from its start on is whole"


async def test_an_answer_is_not_judged_by_what_was_learnt_meanwhile(door: Door, exchange: ScriptedExchange) -> None:
    """It left while its last candle formed; that this candle is closed now does not make the answer true."""
    late = asyncio.Event()

    async def slow(request: web.Request) -> web.Response:
        if request.query["symbol"] == "BTCUSDT":
            await late.wait()
            return raw(klines(0, 3))
        return raw(klines(0, 9))

    exchange.answers[KLINES] = slow
    forming = asyncio.create_task(door.rest.klines("BTCUSDT", "1m", end_ms=150_000))
    await until(lambda: exchange.asked(KLINES) == 1)
    await door.rest.klines("ETHUSDT", "1m")
    late.set()
    await forming
    await door.rest.klines("BTCUSDT", "1m", end_ms=150_000)
    assert door.counters()["kept"] == 0
    await door.rest.klines("BTCUSDT", "1m", end_ms=150_000)
    assert door.counters()["kept"] == 1, "the control: asked after the later candle was seen"


async def test_each_question_is_as_urgent_as_it_is(
    door: Door, exchange: ScriptedExchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[tuple[str, Priority]] = []
    take = door.budget.take

    async def seen(weight: int, what: str, deadline: float, *, priority: Priority, caller: str) -> Held:
        taken.append((what.rpartition("/")[2], priority))
        return await take(weight, what, deadline, priority=priority, caller=caller)

    monkeypatch.setattr(door.budget, "take", seen)
    exchange.answers |= {"/api/v3/time": {"serverTime": 1}, KLINES: raw("[]"), "/api/v3/ticker/24hr": raw("[]")}
    await door.rest.depth("BTCUSDT")
    await door.rest.klines("BTCUSDT", "1m")
    await door.rest.klines("BTCUSDT", "1m", start_ms=1)
    await door.rest.ticker_24h()
    await door.rest.server_time_ms()
    door.rest._priority = Priority.BACKFILL
    await door.rest.depth("BTCUSDT")
    assert taken == [
        ("depth", Priority.LIVE_FEED),
        ("klines", Priority.WARM_UP),
        ("klines", Priority.BACKFILL),
        ("24hr", Priority.BACKFILL),
        ("time", Priority.SAFETY),
        ("depth", Priority.BACKFILL),
    ]


async def test_a_full_egress_log_is_heard(exchange: ScriptedExchange) -> None:
    def full(row: dict[str, Any]) -> None:
        raise ConfigurationError("the disk is full")

    async with Door(config_for(exchange.url), full) as door:
        with pytest.raises(ConfigurationError, match="disk is full"):
            await door.rest.depth("BTCUSDT")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("X-MBX-USED-WEIGHT-1M", "1" + "0" * 30),
        ("X-MBX-USED-WEIGHT-1M", "9" * 5_000),
        ("X-MBX-USED-WEIGHT-1M", "\N{SUPERSCRIPT TWO}"),
        ("Date", "Fri, 31 Dec 99999999999 23:59:59 GMT"),
    ],
    ids=["huge count", "endless count", "no digit", "no date"],
)
async def test_an_odd_header_spoils_no_good_answer(
    door: Door, exchange: ScriptedExchange, egress: list[dict[str, Any]], name: str, value: str
) -> None:
    """And others are not kept out of the budget by it: the next question is asked."""
    headers = {"Date": "Mon, 23 Nov 2026 09:00:30 GMT", name: value}
    body = b'{"serverTime": 7}'
    exchange.answers["/api/v3/time"] = web.Response(body=body, headers=headers)
    for _ in range(2):
        assert await door.rest.server_time_ms() == 7
    assert [row["verdict"] for row in egress] == ["sent", "sent"]
