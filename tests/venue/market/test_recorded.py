"""Promise: a recording is played as it was recorded: every frame, in its order, at its engine time, byte for byte;
books, candles and trades are what the recorder knew by then."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from quantlab.model import ConfigurationError, MalformedMessage, NotFound
from quantlab.model.timeframe import HOUR_MS, MINUTE_MS
from quantlab.recording import Kind, RecordingWriter
from quantlab.venue.market import RecordedMarket, open_market
from quantlab.venue.market.filters import exchange_info_of, symbol_row
from quantlab.venue.market.synthetic import SyntheticMarket

from .small import START_MS, make_market, waves
from .test_books import Book

STREAMS = ("bookTicker", "trade", "depth@100ms", "kline_1m", "kline_15m")


def record(market: SyntheticMarket, path: Path, *, hole: tuple[int, int] | None = None) -> list[tuple[str, bytes]]:
    """What an engine would have recorded of `market`; frames between the times of `hole` are lost, then the books are
    asked for again."""
    writer, frames, lost = RecordingWriter(path, {"run": "test"}), [], False
    wanted = frozenset(f"{symbol.lower()}@{kind}" for symbol in market.symbols for kind in STREAMS)

    def answer(name: str, value: Any) -> None:
        writer.append(Kind.ANSWER, name, json.dumps(value).encode(), 0)

    answer("exchangeInfo", market.exchange_info)
    first = True
    while market.now_ms < market.end_ms:
        events = market.advance(market.now_ms + 1000, wanted)
        gone = hole is not None and hole[0] <= market.now_ms < hole[1]
        if not gone:
            for stream, payload in events:
                raw = b'{"stream":"%s","data":%s}' % (stream.encode(), payload)
                writer.append(Kind.FRAME, "", raw, 0)
                frames.append((stream, payload))
            if first or lost:
                for symbol in market.symbols:
                    answer(f"depth:{symbol}", market.depth(symbol, 100))
            if first:
                for symbol in market.symbols:
                    for interval in ("1m", "15m"):
                        rows = market.klines(symbol, interval, None, None, 1000)
                        answer(f"klines:{symbol}:{interval}", rows)
            first = False
        lost = gone
    writer.close()
    return frames


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    return tmp_path / "run.rec"


def test_the_same_frames_in_the_same_order_at_any_step(recording: Path) -> None:
    frames = record(make_market(waves(70), waves(70, price=500), history=40), recording)
    for step_ms in (1000, 170, 10 * HOUR_MS):
        market = open_market(recording)
        assert (market.kind, market.symbols) == ("recording", ("AAAUSDT", "BBBUSDT"))
        wanted, played = frozenset(stream for stream, _ in frames), []
        while market.now_ms < market.end_ms:
            played += market.advance(market.now_ms + step_ms, wanted)
        assert played == frames
        for _, payload in played[-50:]:
            assert json.loads(payload).get("E", 0) <= market.now_ms


def test_answers_are_as_of_now(recording: Path) -> None:
    record(make_market(waves(100), history=40), recording)
    source, market = make_market(waves(100), history=40), RecordedMarket(recording)
    assert market.intervals == ("1m", "15m")
    for minutes in (1, 7.3, 30, 44.9):
        at = START_MS + int(minutes * MINUTE_MS)
        source.advance(at, frozenset())
        told = market.advance(at, frozenset(["aaausdt@bookTicker"]))
        mine, theirs = market.depth("AAAUSDT", 20), source.depth("AAAUSDT", 20)
        assert mine == theirs
        for interval, length in (("1m", MINUTE_MS), ("15m", 15 * MINUTE_MS)):
            mine, theirs = (m.klines("AAAUSDT", interval, None, at - length, 1000) for m in (market, source))
            assert [row[:6] for row in mine] == [row[:6] for row in theirs]
            assert len(mine) >= 2
        newest = source.trades("AAAUSDT", 1)
        assert market.trades("AAAUSDT", 1) == newest
        assert market.agg_trades("AAAUSDT", 1) == source.agg_trades("AAAUSDT", 1)
        quote, touch = json.loads(told[-1][1]), market.book_ticker("AAAUSDT")
        assert [touch["bidPrice"], touch["bidQty"], touch["askPrice"]] == [quote["b"], quote["B"], quote["a"]]
        row = market.ticker_24h("AAAUSDT")
        assert (row["lastPrice"], row["lastId"]) == (newest[0]["price"], newest[0]["id"])
        assert float(row["volume"]) > 0


def test_a_hole_in_the_recording_is_a_new_book(recording: Path) -> None:
    hole = (START_MS + 10 * MINUTE_MS, START_MS + 12 * MINUTE_MS)
    record(make_market(waves(30)), recording, hole=hole)
    source, market = make_market(waves(30)), RecordedMarket(recording)
    for minutes in (5, 14, 20):
        source.advance(START_MS + minutes * MINUTE_MS, frozenset())
        market.advance(START_MS + minutes * MINUTE_MS, frozenset())
        ids = [m.depth("AAAUSDT", 100)["lastUpdateId"] for m in (market, source)]
        assert ids[0] == ids[1]
        tops = [[m.depth("AAAUSDT", 5)[side] for side in ("bids", "asks")] for m in (market, source)]
        assert tops[0] == tops[1]


def test_a_window_and_symbols_can_be_chosen(recording: Path) -> None:
    record(make_market(waves(40), waves(40)), recording)
    market = open_market(recording, from_ms=START_MS + 10 * MINUTE_MS, hours=0.25, symbols=["BBBUSDT"])
    assert market.symbols == ("BBBUSDT",)
    assert market.end_ms - market.start_ms == 15 * MINUTE_MS
    assert market.depth("BBBUSDT", 5)["bids"]
    stamps = [json.loads(p)["T"] for _, p in market.advance(market.end_ms, frozenset(["bbbusdt@trade"]))]
    assert START_MS + 10 * MINUTE_MS <= stamps[0] < stamps[-1] < market.end_ms


def test_what_is_wrong_with_a_recording_is_said(recording: Path) -> None:
    with pytest.raises(NotFound):
        RecordedMarket(recording)
    frames = [(b'{"stream":"aaausdt@trade","data":{"e":"trade","E":5,"T":4}}', ConfigurationError, "exchangeInfo")]
    frames += [(b'{"stream":"aaausdt@bookTicker","data":{"u":5}}', NotFound, "no frame with a time")]
    frames += [(b'{"result":null,"id":1}', MalformedMessage, "combined stream")]
    for raw, error, words in frames:
        writer = RecordingWriter(recording, {})
        writer.append(Kind.FRAME, "", raw, 0)
        writer.close()
        with pytest.raises(error, match=words):
            RecordedMarket(recording)
    record(make_market(waves(3)), recording)
    assert RecordedMarket(recording).symbols == ("AAAUSDT",)
    with pytest.raises(NotFound, match="ZZZUSDT"):
        RecordedMarket(recording, symbols=["ZZZUSDT"])
    with pytest.raises(NotFound, match="nothing was recorded"):
        RecordedMarket(recording, from_ms=START_MS + 9 * HOUR_MS)


def test_real_frames_play_and_their_books_hold(shared_market: Path, recording: Path) -> None:
    """Frames of 2024-08-08 with the depth answer that was got meanwhile."""
    writer, sent = RecordingWriter(recording, {}), []
    rows = [symbol_row("ETH", "USDT", 2, 4)]
    writer.append(Kind.ANSWER, "exchangeInfo", json.dumps(exchange_info_of(rows, 0)).encode(), 0)
    with gzip.open(shared_market / "ws" / "hftbacktest_spot_ethusdt_20240808.gz") as lines:
        for line in lines:
            wall, raw = line.rstrip().split(b" ", 1)
            if b'"stream"' in raw[:12]:
                writer.append(Kind.FRAME, "", raw, int(wall))
                sent.append(raw)
            else:
                writer.append(Kind.ANSWER, "depth:ETHUSDT", raw, int(wall))
            if len(sent) == 8_000:
                break
    writer.close()
    market = RecordedMarket(recording)
    wanted = frozenset(f"ethusdt@{kind}" for kind in ("bookTicker", "trade", "depth@100ms"))
    book, played, quotes, compared = Book(market.depth("ETHUSDT", 5000)), [], {}, 0
    while market.now_ms < market.end_ms:
        for stream, payload in market.advance(market.now_ms + 1000, wanted):
            played.append(b'{"stream":"%s","data":%s}' % (stream.encode(), payload))
            data = json.loads(payload)
            if stream.endswith("bookTicker"):
                quotes[data["u"]] = (float(data["b"]), data["B"], float(data["a"]), data["A"])
            elif stream.endswith("ms") and data["u"] > book.id:
                for side, levels in ((book.bids, data["b"]), (book.asks, data["a"])):
                    for price, size in levels:
                        side.pop(float(price), None)
                        if float(size):
                            side[float(price)] = size
                book.id = data["u"]
                if book.id in quotes:
                    assert book.top() == quotes[book.id]
                    compared += 1
    assert played == sent
    assert compared > 100
    assert market.depth("ETHUSDT", 1)["lastUpdateId"] == book.id
    assert market.intervals[:2] == ("1m", "3m")
    assert market.klines("ETHUSDT", "1m", None, None, 5)
