"""Market data is asked for as Binance documents it, and a wrong question gets Binance's code and words."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest
from yarl import URL

from quantlab.venue import Venue
from quantlab.venue.answers import PUBLIC

from .plain import START_MS

#: A good question for each endpoint.
GOOD = {
    "/api/v3/ping": "",
    "/api/v3/time": "",
    "/sapi/v1/system/status": "",
    "/api/v3/exchangeInfo": 'symbols=["AAAUSDT"]',
    "/api/v3/depth": "symbol=AAAUSDT&limit=5",
    "/api/v3/klines": "symbol=AAAUSDT&interval=1m",
    "/api/v3/uiKlines": "symbol=AAAUSDT&interval=5m",
    "/api/v3/trades": "symbol=AAAUSDT",
    "/api/v3/historicalTrades": "symbol=AAAUSDT&limit=3",
    "/api/v3/aggTrades": "symbol=AAAUSDT",
    "/api/v3/avgPrice": "symbol=AAAUSDT",
    "/api/v3/ticker/24hr": "symbol=AAAUSDT&type=MINI",
    "/api/v3/ticker/price": "",
    "/api/v3/ticker/bookTicker": 'symbols=["AAAUSDT","BBBUSDT"]',
}


async def get(http: aiohttp.ClientSession, path: str, query: str = "") -> tuple[int, Any]:
    async with http.get(f"/api/v3/{path}?{query}") as answer:
        return answer.status, await answer.json()


async def test_every_endpoint_answers_a_good_question(http: aiohttp.ClientSession) -> None:
    assert set(GOOD) == set(PUBLIC)
    for path, query in GOOD.items():
        async with http.get(f"{path}?{query}") as answer:
            assert answer.status == 200, await answer.text()
            assert answer.content_type == "application/json"
            await answer.json()


@pytest.mark.parametrize(
    ("asked", "code", "words"),
    [
        ("depth", -1102, "Mandatory parameter 'symbol' was not sent, was empty/null, or malformed."),
        ("depth?symbol=", -1105, "Parameter 'symbol' was empty."),
        ("depth?symbol=ZZZUSDT", -1121, "Invalid symbol."),
        ("depth?symbol=aaausdt", -1100, "Illegal characters found in parameter 'symbol'; legal range is"),
        ("depth?symbol=AAAUSDT&limit=five", -1100, "Illegal characters found in parameter 'limit'; legal range is"),
        ("depth?symbol=AAAUSDT&limit=-5", -1100, "Illegal characters found in parameter 'limit'; legal range is"),
        ("depth?symbol=AAAUSDT&limit=0", -1130, "Data sent for parameter 'limit' is not valid."),
        ("depth?symbol=AAAUSDT&depth=5", -1104, "Not all sent parameters were read; read '1' parameter(s) but was"),
        ("depth?symbol=AAAUSDT&symbol=BBBUSDT", -1101, "Duplicate values for a parameter detected."),
        ("ping?x=1", -1101, "Too many parameters; expected '0' and received '1'."),
        ("klines?symbol=AAAUSDT", -1102, "Mandatory parameter 'interval' was not sent"),
        ("klines?symbol=AAAUSDT&interval=7m", -1120, "Invalid interval."),
        ("klines?symbol=AAAUSDT&interval=1s", -1120, "Invalid interval. This market has 1m 5m only."),
        ("klines?symbol=AAAUSDT&interval=1m&startTime=now", -1100, "Illegal characters found in parameter 'startTime'"),
        ("klines?symbol=AAAUSDT&interval=1m&timeZone=8", -1130, "Data sent for parameter 'timeZone' is not valid."),
        ('ticker/24hr?symbols=["ZZZUSDT"]', -1121, "Invalid symbol."),
        ("ticker/24hr?symbols=AAAUSDT", -1100, "Illegal characters found in parameter 'symbols'; legal range is"),
        ("ticker/24hr?symbols=[]", -1100, "Illegal characters found in parameter 'symbols'; legal range is"),
        ('ticker/price?symbols=["AAAUSDT","AAAUSDT"]', -1151, "Symbol is present multiple times in the list."),
        ('ticker/price?symbol=AAAUSDT&symbols=["AAAUSDT"]', -1128, "Combination of optional parameters invalid."),
        ("ticker/24hr?type=HUGE", -1130, "Data sent for parameter 'type' is not valid."),
        ("exchangeInfo?symbol=ZZZUSDT", -1121, "Invalid symbol."),
        ("aggTrades?symbol=AAAUSDT&fromId=1&startTime=1", -1128, "Combination of optional parameters invalid."),
    ],
)
async def test_a_wrong_question_is_told_what_is_wrong(
    http: aiohttp.ClientSession, asked: str, code: int, words: str
) -> None:
    status, answer = await get(http, *asked.split("?"))
    assert (status, answer["code"]) == (400, code)
    assert answer["msg"].startswith(words)
    assert set(answer) == {"code", "msg"}


async def test_limits_and_times_reach_the_market(http: aiohttp.ClientSession) -> None:
    async def asked(query: str) -> list[int | None]:
        _, rows = await get(http, "klines", f"symbol=AAAUSDT&interval=1m{query}")
        row: list[int | None] = rows[0]
        return row

    assert await asked("") == [None, None, 500]
    assert await asked("&startTime=5&endTime=9&limit=7") == [5, 9, 7]
    assert await asked("&limit=9999") == [None, None, 1000]
    _, book = await get(http, "depth", "symbol=AAAUSDT&limit=3")
    assert len(book["bids"]) == len(book["asks"]) == 3


async def test_one_or_several_or_all(http: aiohttp.ClientSession) -> None:
    for path in ("ticker/24hr", "ticker/price", "ticker/bookTicker"):
        assert (await get(http, path, "symbol=AAAUSDT"))[1]["symbol"] == "AAAUSDT"
        assert [row["symbol"] for row in (await get(http, path, 'symbols=["BBBUSDT"]'))[1]] == ["BBBUSDT"]
        assert len((await get(http, path))[1]) == 2
    assert "bidPrice" not in (await get(http, "ticker/24hr", "symbol=AAAUSDT&type=MINI"))[1]
    assert [row["symbol"] for row in (await get(http, "exchangeInfo", "symbol=BBBUSDT"))[1]["symbols"]] == ["BBBUSDT"]
    assert (await get(http, "exchangeInfo", "symbolStatus=HALT"))[1]["symbols"] == []


async def test_trades_are_paged(http: aiohttp.ClientSession) -> None:
    assert [row["id"] for row in (await get(http, "historicalTrades", "symbol=AAAUSDT&limit=2"))[1]] == [999, 1000]
    _, rows = await get(http, "historicalTrades", "symbol=AAAUSDT&limit=2&fromId=500")
    assert [row["id"] for row in rows] == [500, 501]
    since = START_MS - 3000
    assert [row["a"] for row in (await get(http, "aggTrades", f"symbol=AAAUSDT&startTime={since}"))[1]] == [
        998,
        999,
        1000,
    ]
    _, rows = await get(http, "aggTrades", f"symbol=AAAUSDT&endTime={since}&limit=2")
    assert [row["a"] for row in rows] == [997, 998]


async def test_the_average_price_is_weighted_by_volume(http: aiohttp.ClientSession) -> None:
    """Trade n of the plain market: quantity n at 100 + n, for the 300 seconds before now."""
    count = 300
    expected = 100 + sum(n * n for n in range(count + 1)) / sum(range(count + 1))
    _, answer = await get(http, "avgPrice", "symbol=AAAUSDT")
    assert answer["mins"] == 5
    assert float(answer["price"]) == pytest.approx(expected)


async def test_two_clocks(http: aiohttp.ClientSession, venue: Venue) -> None:
    """The time is the wall's; what is told of the market is the market's. Each line of the log has both."""
    _, answer = await get(http, "time")
    assert abs(answer["serverTime"] - time.time() * 1000) < 5_000
    line = venue.log.lines()[-1]
    assert abs(line["wall_ms"] - time.time() * 1000) < 5_000
    assert line["market_ms"] == START_MS


async def test_what_is_not_played_is_recorded(http: aiohttp.ClientSession, venue: Venue) -> None:
    for method, path in (("GET", "/api/v3/nothing"), ("POST", "/api/v3/klines"), ("PUT", "/sapi/v1/asset/transfer")):
        async with http.request(method, path) as answer:
            assert answer.status == 404
            assert "recorded" in (await answer.json())["msg"]
        assert (venue.log.lines()[-1]["method"], venue.log.lines()[-1]["path"]) == (method, path)


async def test_percent_encoded_questions(http: aiohttp.ClientSession) -> None:
    names = json.dumps(["AAAUSDT", "BBBUSDT"], separators=(",", ":"))
    url = URL("/api/v3/ticker/price").with_query({"symbols": names})
    async with http.get(url) as answer:
        assert len(await answer.json()) == 2


async def test_long_answers_are_compressed_when_asked_for(venue: Venue) -> None:
    async with aiohttp.ClientSession(venue.url, auto_decompress=False) as plain:
        url = "/api/v3/trades?symbol=AAAUSDT"
        async with plain.get(url, headers={"Accept-Encoding": "gzip"}) as packed:
            assert packed.headers["Content-Encoding"] == "gzip"
            short = len(await packed.read())
        async with plain.get(url, headers={"Accept-Encoding": "identity"}) as open_:
            assert "Content-Encoding" not in open_.headers
            assert len(await open_.read()) > 3 * short


async def test_the_weight_told_is_the_weight_enforced(serve: Callable[..., Any]) -> None:
    venue = await serve(weight_limit=777)
    async with aiohttp.ClientSession(venue.url) as http:
        _, info = await get(http, "exchangeInfo")
    limits = {row["rateLimitType"]: row["limit"] for row in info["rateLimits"]}
    assert limits["REQUEST_WEIGHT"] == 777
    assert "ORDERS" in limits
