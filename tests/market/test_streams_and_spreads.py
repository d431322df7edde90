"""Streams are asked for once each by Binance's names; the spread table shows live symbols only, most traded first."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from quantlab.market import Book, depth_within, spread_table, stream_names
from quantlab.model import ConfigurationError, DepthSnapshot, MalformedMessage

from .recorded import instrument


def test_stream_names() -> None:
    assert stream_names(["BTCUSDT", "BTCUSDT"], [("BTCUSDT", "1m"), ("ETHUSDT", "5m"), ("BTCUSDT", "1m")]) == [
        "btcusdt@bookTicker",
        "btcusdt@trade",
        "btcusdt@depth@100ms",
        "btcusdt@kline_1m",
        "ethusdt@kline_5m",
    ]
    with pytest.raises(ConfigurationError, match="7m"):
        stream_names([], [("BTCUSDT", "7m")])
    assert len(stream_names([f"A{n}USDT" for n in range(341)], [])) == 1023
    with pytest.raises(ConfigurationError, match="1026 streams"):
        stream_names([f"A{n}USDT" for n in range(342)], [])


def ticker(symbol: str, bid: str, ask: str, volume: str, count: int = 5) -> dict:
    return {
        "symbol": symbol, "bidPrice": bid, "bidQty": "2", "askPrice": ask, "askQty": "3",
        "quoteVolume": volume, "count": count,
    }  # fmt: skip


def test_a_table_by_hand() -> None:
    rows = [
        ticker("AUSDT", "99.9", "100.1", "500"),
        ticker("BUSDT", "1", "1", "900"),
        ticker("DEADUSDT", "0.0", "0.0", "0"),
        ticker("NOASKUSDT", "1", "0", "10"),
        ticker("QUIETUSDT", "1", "2", "0.00"),
        ticker("ABTC", "1", "2", "9999"),
    ]
    table = spread_table(json.dumps(rows).encode())
    assert table["symbol"].to_list() == ["BUSDT", "AUSDT"]
    assert table["spread_bps"].to_list() == pytest.approx([0, 20])
    assert table["depth_usdt"].to_list() == pytest.approx([2 + 3, 99.9 * 2 + 100.1 * 3])
    assert table.columns == [
        "symbol", "bid", "ask", "spread_bps", "depth_usdt", "depth_basis", "volume_24h_usdt", "trades_24h",
    ]  # fmt: skip
    assert spread_table(json.dumps(rows).encode(), quote="BTC")["symbol"].to_list() == ["ABTC"]
    assert spread_table(json.dumps(rows[0]).encode())["symbol"].to_list() == ["AUSDT"], "the answer for one symbol"
    assert spread_table(b"[]").columns == table.columns


def test_with_a_book_the_depth_is_what_rests_within_10_bps() -> None:
    known = instrument("AUSDT", tick="0.01", step="0.1")
    book = Book(known)
    book.snapshot(DepthSnapshot("AUSDT", 1, [(9999, 10), (9990, 20), (9980, 1000)], [(10001, 30), (10011, 1000)]))
    expected = 99.99 * 1 + 99.90 * 2 + 100.01 * 3
    assert depth_within(book) == pytest.approx(expected)
    payload = json.dumps([ticker("AUSDT", "99.99", "100.01", "5"), ticker("BUSDT", "1", "1", "1")]).encode()
    table = spread_table(payload, {"AUSDT": book})
    assert table["depth_usdt"].to_list() == pytest.approx([expected, 5])
    assert table["depth_basis"].to_list() == ["10 bps", "touch"]
    assert depth_within(Book(known)) == 0


def test_an_answer_that_is_no_ticker_is_refused() -> None:
    for broken in (b'{"code":-1003,"msg":"Too many requests."}', b"[1]", b"", b"[{}]"):
        with pytest.raises(MalformedMessage, match="ticker/24hr"):
            spread_table(broken)


def test_real_spreads(shared_market: Path) -> None:
    with gzip.open(shared_market / "rest" / "ticker_24hr_all_20240105.json.gz") as file:
        table = spread_table(file.read())
    assert len(table) == 371
    assert table["volume_24h_usdt"].is_sorted(descending=True)
    spread = dict(zip(table["symbol"], table["spread_bps"].round(2), strict=True))
    assert (spread["BTCUSDT"], spread["ETHUSDT"]) == (0.0, 0.04)
    assert table["spread_bps"].median() == pytest.approx(8.1, abs=0.05)
    assert table["spread_bps"].min() >= 0
