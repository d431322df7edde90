"""Promise: what orders would have cost is what a walk through the recorded books costs, the models' numbers are those
that made the costs, and their errors are counted on the part that was not fitted on."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from quantlab.calibration import Fit, fit, score, walked_costs
from quantlab.market import Book, FrameDecoder, decode_depth
from quantlab.model import ConfigurationError, DepthUpdate, MalformedMessage, Quote, instruments_from_exchange_info
from quantlab.recording import Kind, RecordingWriter
from tests.market.recorded import hftbacktest

START_MS = 1_700_000_000_000


def rules(symbol: str, step: str) -> dict[str, Any]:
    filters = [
        {"filterType": "PRICE_FILTER", "minPrice": "0.01", "maxPrice": "1000000", "tickSize": "0.01"},
        {"filterType": "LOT_SIZE", "minQty": step, "maxQty": "9000", "stepSize": step},
    ]
    return {"symbol": symbol, "baseAsset": symbol[:-4], "quoteAsset": "USDT", "filters": filters}


def record(path: Path, infos: list[dict[str, Any]], entries: Iterable[tuple[Kind, str, bytes]]) -> Path:
    writer = RecordingWriter(path, {})
    writer.append(Kind.ANSWER, "exchangeInfo", json.dumps({"symbols": infos}).encode(), 0)
    for kind, name, payload in entries:
        writer.append(kind, name, payload, 0)
    writer.close()
    return path


def update(number: int, at_ms: int, asks: list[list[str]]) -> bytes:
    data = {"e": "depthUpdate", "E": at_ms, "s": "BTCUSDT", "U": number, "u": number, "b": [], "a": asks}
    return json.dumps({"stream": "btcusdt@depth@100ms", "data": data}).encode()


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """Asks of 1 at 100, 2 at 101; from the second look on 4 at 102 beside them. A damaged frame in between."""
    book = {"lastUpdateId": 1, "bids": [["99.00", "5"]], "asks": [["100.00", "1"], ["101.00", "2"]]}
    entries = [
        (Kind.ANSWER, "depth:BTCUSDT", json.dumps(book).encode()),
        (Kind.FRAME, "", update(2, START_MS, [])),
        (Kind.FRAME, "", b'{"stream":"btcusdt@depth@100ms","data":{"broken'),
        (Kind.FRAME, "", update(3, START_MS + 4_000, [["102.00", "4"]])),
        (Kind.FRAME, "", update(4, START_MS + 10_000, [])),
        (Kind.FRAME, "", update(5, START_MS + 12_000, [])),
    ]
    return record(tmp_path / "small.qlog", [rules("BTCUSDT", "0.001")], entries)


def test_the_walk_by_hand(small: Path) -> None:
    found = walked_costs(small, sizes=(100, 200, 700), every_ms=10_000)
    buys = found.filter(side="BUY").sort("time_ms", "notional")
    assert buys["time_ms"].unique().to_list() == [START_MS, START_MS + 10_000]
    assert buys["cost_bps"].to_list() == [
        0.0, pytest.approx(50), None,  # 7 BTC are not there
        0.0, pytest.approx(50), pytest.approx(((100 + 2 * 101 + 4 * 102) / 7 / 100 - 1) * 10_000),
    ]  # fmt: skip
    sells = found.filter(side="SELL", notional=200.0)
    assert sells["cost_bps"].to_list() == [0.0, 0.0]
    assert sells["spread_bps"].to_list() == [pytest.approx(1 / 99.5 * 10_000)] * 2


def test_what_is_no_input_log_is_refused(tmp_path: Path) -> None:
    writer = RecordingWriter(tmp_path / "x.qlog", {})
    writer.append(Kind.FRAME, "", b"{}", 0)
    writer.close()
    with pytest.raises(MalformedMessage, match="does not begin with exchangeInfo"):
        walked_costs(tmp_path / "x.qlog")


def made_up(law: Any, *, hours: int = 4, symbols: tuple[str, ...] = ("AUSDT", "BUSDT")) -> pl.DataFrame:
    rows = [
        (START_MS + n * 60_000, symbol, side, float(size), 1.0, law(symbol, size, n))
        for n in range(hours * 60)
        for symbol in symbols
        for side in ("BUY", "SELL")
        for size in (100, 1_000, 10_000, 100_000)
    ]
    names = ("time_ms", "symbol", "side", "notional", "spread_bps", "cost_bps")
    return pl.DataFrame(rows, schema=names, orient="row")


def test_the_law_that_made_the_costs_is_found_again() -> None:
    walks = made_up(lambda symbol, size, n: {"AUSDT": 0.4, "BUSDT": 7.0}[symbol] * math.sqrt(size / 10_000))
    found = fit(walks)
    assert found.impact_bps == {"AUSDT": 0.4, "BUSDT": 7.0}
    scores = score(walks, found)
    assert scores.filter(model="impact")["error_afterwards"].item() < 1e-9
    assert scores.filter(model="fixed")["error_afterwards"].item() > 1
    assert found.fixed_bps == pytest.approx(walks["cost_bps"].mean(), abs=1e-4)
    assert "impact_bps = { AUSDT = 0.4000, BUSDT = 7.0000 }" in found.toml()


def test_what_drifts_shows_afterwards_and_not_where_it_was_fitted() -> None:
    """Twice as dear from the middle on: half the cost is missing, with that sign."""
    walks = made_up(lambda symbol, size, n: (1 if n < 120 else 2) * math.sqrt(size / 10_000))
    (impact,) = score(walks, fit(walks)).filter(model="impact").to_dicts()
    mean = walks.filter(pl.col("time_ms") > fit(walks).split_ms)["cost_bps"].mean()
    assert impact["error_fitted"] == pytest.approx(0, abs=0.02)
    assert impact["bias_bps"] == pytest.approx(-mean / 2, rel=0.02)  # type: ignore[operator]
    assert impact["low_bps"] < impact["bias_bps"] < impact["high_bps"] <= 0


def test_scores_are_those_of_numpy() -> None:
    rng = np.random.default_rng(3)
    walks = made_up(lambda symbol, size, n: float(rng.exponential(size / 1_000)))
    found = Fit(fixed_bps=3.0, impact_bps={"AUSDT": 2.0, "BUSDT": 5.0}, split_ms=START_MS + 2 * 3_600_000)
    row = (
        score(walks, found, "symbol", "notional").filter(model="impact", symbol="BUSDT", notional=1_000.0).to_dicts()[0]
    )
    mine = walks.filter(symbol="BUSDT", notional=1_000.0)
    cost, later = mine["cost_bps"].to_numpy(), mine["time_ms"].to_numpy() > found.split_ms
    error = 5.0 * math.sqrt(0.1) - cost
    assert row["orders"] == len(cost)
    assert row["error_fitted"] == pytest.approx(np.abs(error[~later]).mean())
    assert row["error_afterwards"] == pytest.approx(np.abs(error[later]).mean())
    assert (row["low_bps"], row["high_bps"]) == (
        pytest.approx(np.quantile(error[later], 0.05, method="nearest"), abs=0.2),
        pytest.approx(np.quantile(error[later], 0.95, method="nearest"), abs=0.2),
    )


def test_nothing_to_walk_is_said() -> None:
    walks = made_up(lambda *_: None).with_columns(pl.col("cost_bps").cast(pl.Float64))
    with pytest.raises(ConfigurationError, match="no order could be walked"):
        fit(walks)


def test_recorded_books_of_binance(shared_market: Path, tmp_path: Path) -> None:
    """BTCUSDT and ETHUSDT of 2024-08-08, each order walked again here, level by level in floats."""
    infos = [rules("BTCUSDT", "0.00001"), rules("ETHUSDT", "0.0001")]
    timed: list[tuple[int, int, Kind, str, bytes]] = []
    for symbol in ("BTCUSDT", "ETHUSDT"):
        at_ms = 0
        for number, raw in enumerate(hftbacktest(shared_market, symbol)):
            if found := re.search(rb'"E":(\d+)', raw):
                at_ms = int(found[1])
            is_frame = raw.startswith(b'{"stream"')
            timed.append(
                (at_ms, number, Kind.FRAME if is_frame else Kind.ANSWER, "" if is_frame else f"depth:{symbol}", raw)
            )
    timed.sort(key=lambda each: each[:2])
    path = record(tmp_path / "real.qlog", infos, [each[2:] for each in timed])
    walks = walked_costs(path, sizes=(1_000, 100_000), every_ms=30_000)
    assert set(walks["symbol"]) == {"BTCUSDT", "ETHUSDT"}
    expected = list(again(infos, [each[2:] for each in timed], (1_000, 100_000), 30_000))
    assert len(expected) == walks.height > 50
    for row, (time_ms, symbol, side, size, cost) in zip(walks.iter_rows(named=True), expected, strict=True):
        assert (row["time_ms"], row["symbol"], row["side"], row["notional"]) == (time_ms, symbol, side, size)
        assert row["cost_bps"] == pytest.approx(cost, abs=0.02), row
    mean = walks.group_by("symbol", "notional").agg(pl.col("cost_bps").mean()).sort("symbol", "notional")["cost_bps"]
    assert mean[1] < mean[3] < 2, "far below the 2 to 10 bps that simpler platforms assume"
    assert fit(walks).impact_bps["BTCUSDT"] < fit(walks).impact_bps["ETHUSDT"]


def again(infos: list[dict[str, Any]], entries: list[tuple[Kind, str, bytes]], sizes: tuple[int, ...], every_ms: int):
    known = instruments_from_exchange_info(json.dumps({"symbols": infos}).encode())
    books, decode, due = {name: Book(rule) for name, rule in known.items()}, FrameDecoder(known).decode, 0
    for kind, name, raw in entries:
        if kind is Kind.ANSWER:
            symbol = name.removeprefix("depth:")
            books[symbol].snapshot(decode_depth(raw, known[symbol]))
            continue
        event = decode(raw)
        if isinstance(event, Quote):
            books[event.symbol].overlay(event)
        if not isinstance(event, DepthUpdate):
            continue
        if event.time_ms >= due:
            due = (event.time_ms // every_ms + 1) * every_ms
            for symbol, book in books.items():
                if not book.in_sync or book.best_bid() is None or book.best_ask() is None:
                    continue
                for side, levels in (("BUY", book.asks(100)), ("SELL", book.bids(100))):
                    prices = np.array([ticks * float(known[symbol].tick_size) for ticks, _ in levels])
                    amounts = np.array([lots * float(known[symbol].step_size) for _, lots in levels])
                    for size in sizes:
                        want = size / prices[0]
                        had = np.clip(want - np.concatenate([[0.0], np.cumsum(amounts)[:-1]]), 0, amounts)
                        cost = abs((had * prices).sum() / had.sum() / prices[0] - 1) * 10_000
                        yield event.time_ms, symbol, side, size, cost
        books[event.symbol].apply(event)
