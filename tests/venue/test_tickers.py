"""Promise: ticker streams say, once a second, what `GET /api/v3/ticker/24hr` says of the symbols that changed."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import aiohttp
import pytest

from quantlab.venue.market import open_market
from quantlab.venue.tickers import Tickers

from .plain import PlainMarket

STREAMS = ("btcusdt@ticker", "ethusdt@miniTicker", "!miniTicker@arr")
SYMBOLS = ["BTCUSDT", "ETHUSDT", "XRPUSDT"]


async def test_what_the_streams_say_is_what_rest_says(serve: Callable[..., Any]) -> None:
    venue = await serve(open_market(None, seed=3, hours=0.1, symbols=SYMBOLS))
    heard: dict[str, list[Any]] = {stream: [] for stream in STREAMS}
    rows: dict[int, dict[str, Any]] = {}
    path = "/stream?streams=" + "/".join(STREAMS)
    async with aiohttp.ClientSession(venue.url) as http, http.ws_connect(path) as socket:
        async for message in socket:
            frame = json.loads(message.data)
            heard[frame["stream"]].append(frame["data"])
            async with http.get("/api/v3/ticker/24hr?symbol=BTCUSDT") as answer:
                row = await answer.json()
                rows[row["closeTime"]] = row
            if len(heard[STREAMS[1]]) == 60:  # the last of its step, so that the other two are whole
                break
    full, mini, every = (heard[stream] for stream in STREAMS)
    assert len(full) > 20 and len(mini) > 20 and len(every) > 20
    times = [event["E"] for event in full]
    assert all(after - before >= 1_000 for before, after in pairwise(times))
    compared = 0
    for event in full:
        row = rows.get(event["E"])
        if row is not None:
            compared += 1
            assert (event["e"], event["s"], event["C"]) == ("24hrTicker", "BTCUSDT", event["E"])
            assert (event["c"], event["p"], event["P"]) == (
                row["lastPrice"],
                row["priceChange"],
                row["priceChangePercent"],
            )
            assert (event["b"], event["A"], event["n"]) == (row["bidPrice"], row["askQty"], row["count"])
            assert len(event) == 23
    assert compared > 5
    assert all(event["e"] == "24hrMiniTicker" and event["s"] == "ETHUSDT" and len(event) == 9 for event in mini)
    assert {event["s"] for events in every for event in events} == set(SYMBOLS)
    by_time = {event["E"]: event for event in mini}
    assert all(event == by_time[event["E"]] for events in every for event in events if event["s"] == "ETHUSDT")


def test_what_did_not_change_is_not_said_and_nothing_is_asked_for_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    market, asked = PlainMarket(), []
    row = dict.fromkeys(("lastPrice", "openPrice", "highPrice", "lowPrice", "volume", "quoteVolume"), "1")

    def ticker(symbol: str) -> dict[str, Any]:
        asked.append(symbol)
        return {"symbol": symbol, **row, "closeTime": market.now_ms}

    monkeypatch.setattr(market, "ticker_24h", ticker, raising=False)
    tickers = Tickers(market)
    symbol = market.symbols[0]
    stream = f"{symbol.lower()}@miniTicker"
    assert [name for name, _ in tickers.due({stream})] == [stream]
    assert asked == [symbol]
    market.now_ms += 500
    assert tickers.due({stream}) == [] and asked == [symbol]  # the second has not passed
    market.now_ms += 600
    assert tickers.due({stream}) == []
    assert asked == [symbol, symbol]
    row["lastPrice"] = "2"
    market.now_ms += 1_000
    ((_, data),) = tickers.due({stream})
    assert json.loads(data)["c"] == "2"
    market.now_ms += 1_000
    assert tickers.due({"aaausdt@trade"}) == [] and len(asked) == 3
