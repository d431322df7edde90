"""Promise: the book kept from a snapshot and the depth stream is the book that bookTicker and REST tell, at every
update id; its updates follow one another without a hole and each changes something."""

from __future__ import annotations

import json
from typing import Any

import pytest

from quantlab.model.timeframe import DAY_MS, MINUTE_MS
from quantlab.venue.market.synthetic import SyntheticMarket

from .small import START_MS, Candle, make_market, streams, waves


class Book:
    """A local book by Binance's rule."""

    def __init__(self, snapshot: dict[str, Any]) -> None:
        self.id = snapshot["lastUpdateId"]
        self.bids = {float(p): q for p, q in snapshot["bids"]}
        self.asks = {float(p): q for p, q in snapshot["asks"]}

    def apply(self, update: dict[str, Any]) -> bool:
        """False when the update is older than the book; fails on a hole and on an update that changes nothing."""
        if update["u"] <= self.id:
            return False
        assert update["U"] <= self.id + 1, "a hole between two updates"
        before = (dict(self.bids), dict(self.asks))
        for side, rows in ((self.bids, update["b"]), (self.asks, update["a"])):
            for price, size in rows:
                if float(size):
                    side[float(price)] = size
                else:
                    assert side.pop(float(price), None), "a level removed that was not there"
        assert before != (self.bids, self.asks)
        self.id = update["u"]
        return True

    def top(self) -> tuple[float, str, float, str]:
        bid, ask = max(self.bids), min(self.asks)
        return bid, self.bids[bid], ask, self.asks[ask]


def follow(market: SyntheticMarket, *, step_ms: int) -> tuple[int, int]:
    """Keep books over the whole market; returns how many tops and how many REST books were compared."""
    wanted = streams(market, "bookTicker", "depth@100ms")
    books = {symbol: Book(market.depth(symbol, 5000)) for symbol in market.symbols}
    quotes: dict[tuple[str, int], tuple[float, str, float, str]] = {}
    tops = rests = 0
    while market.now_ms < market.end_ms:
        for stream, payload in market.advance(market.now_ms + step_ms, wanted):
            data = json.loads(payload)
            book = books[data["s"]]
            if stream.endswith("@bookTicker"):
                quotes[data["s"], data["u"]] = float(data["b"]), data["B"], float(data["a"]), data["A"]
                continue
            assert data["U"] == book.id + 1
            assert book.apply(data)
            assert book.top() == quotes[data["s"], data["u"]]
            tops += 1
        for symbol, book in books.items():
            rest = Book(market.depth(symbol, 5000))
            assert (rest.id, rest.bids, rest.asks) == (book.id, book.bids, book.asks)
            rests += 1
    return tops, rests


def crash(count: int) -> list[Candle]:
    """A fall of two percent a minute, with all that it does to a ladder of levels."""
    candles, price = [], 20_000
    for _ in range(count):
        close = price * 98 // 100
        candles.append((price, price + 30, close - 40, close, 900_000))
        price = close
    return candles


def test_books_follow_the_stream_through_calm_crash_gap_and_midnight() -> None:
    midnight = (START_MS // DAY_MS + 1) * DAY_MS
    series = [[*waves(20), *crash(15), None, None, *waves(10)], [*waves(40, price=300, volume=30), None, *waves(4)]]
    market = make_market(*series, start_ms=midnight - 22 * MINUTE_MS)
    tops, rests = follow(market, step_ms=7_000)
    assert tops > 500
    assert rests > 700


@pytest.mark.parametrize("price", [1, 2, 30])
def test_there_is_a_book_where_a_price_is_a_few_ticks(price: int) -> None:
    market = make_market([(price, price + i % 2, max(1, price - i % 2), price, 40 + i) for i in range(10)])
    assert follow(market, step_ms=10_000)[0] == 60


def test_the_checks_of_this_module_see_a_lost_update() -> None:
    market = make_market(waves(5))
    book = Book(market.depth("AAAUSDT", 5000))
    updates = [json.loads(p) for _, p in market.advance(START_MS + 60_000, streams(market, "depth@100ms"))]
    assert book.apply(updates[0])
    with pytest.raises(AssertionError, match="hole"):
        book.apply(updates[2])


def test_depth_is_limited_and_best_first() -> None:
    market = make_market(waves(5))
    market.advance(START_MS + 90_000, frozenset())
    book = market.depth("AAAUSDT", 5)
    prices = [[float(p) for p, _ in book[side]] for side in ("bids", "asks")]
    assert [len(side) for side in prices] == [5, 5]
    assert prices[0] == sorted(prices[0], reverse=True)
    assert prices[1] == sorted(prices[1])
    assert 20 <= len(market.depth("AAAUSDT", 100)["bids"]) <= 50


def test_a_symbol_listed_later_has_an_empty_book_until_then() -> None:
    market = make_market(waves(10), [None] * 5 + waves(5))
    assert market.depth("BBBUSDT", 100) == {"lastUpdateId": START_MS // MINUTE_MS * 1000, "bids": [], "asks": []}
    assert market.depth("AAAUSDT", 100)["bids"]
    assert follow(market, step_ms=5_000)[0] == 60 + 30
