"""Promise: the market is a function of candles, seed, symbol and time. Steps, wanted streams, other symbols and the
moment where playing begins do not change a byte of it."""

from __future__ import annotations

import json
from collections.abc import Sequence

from quantlab.model.timeframe import HOUR_MS, MINUTE_MS
from quantlab.venue.market.synthetic import SyntheticMarket

from .small import START_MS, make_market, streams, waves

KINDS = ("bookTicker", "trade", "aggTrade", "depth@100ms", "kline_1m", "kline_15m", "kline_2h")


def played(market: SyntheticMarket, wanted: frozenset[str], steps: Sequence[int]) -> list[tuple[str, bytes]]:
    events, turn = [], 0
    while market.now_ms < market.end_ms:
        events += market.advance(market.now_ms + steps[turn % len(steps)], wanted)
        turn += 1
    return events


def test_steps_of_any_length_give_the_same_bytes() -> None:
    def market() -> SyntheticMarket:
        return make_market(waves(70), waves(70, price=777))

    wanted = streams(market(), *KINDS)
    whole = played(market(), wanted, [3 * HOUR_MS])
    assert len(whole) > 5000
    assert played(market(), wanted, [1000]) == whole
    assert played(market(), wanted, [100]) == whole
    assert played(market(), wanted, [1, 9999, 37, 60_000, 3]) == whole


def test_what_is_wanted_changes_only_what_is_told() -> None:
    first, second = make_market(waves(70), waves(70, price=777)), make_market(waves(70), waves(70, price=777))
    wanted = streams(first, *KINDS)
    everything = played(first, wanted, [1000])
    few = frozenset(["bbbusdt@trade", "bbbusdt@kline_1m"])
    assert played(second, few, [1000]) == [event for event in everything if event[0] in few]


def test_wanting_more_midway_neither_loses_nor_repeats() -> None:
    reference = played(make_market(waves(70)), frozenset(["aaausdt@trade", "aaausdt@bookTicker"]), [1000])
    market, events = make_market(waves(70)), []
    half = START_MS + 33 * MINUTE_MS + 123
    events += market.advance(half, frozenset(["aaausdt@trade"]))
    events += played(market, frozenset(["aaausdt@trade", "aaausdt@bookTicker"]), [777])
    assert [e for e in events if e[0].endswith("trade")] == [e for e in reference if e[0].endswith("trade")]
    quotes = [e for e in reference if e[0].endswith("bookTicker")]
    later = [e for e in events if e[0].endswith("bookTicker")]
    assert 0 < len(later) < len(quotes)
    assert later == quotes[-len(later) :]


def test_a_later_start_plays_the_same_hours() -> None:
    series = waves(180)
    early = make_market(series, start_ms=START_MS)
    late = make_market(series, start_ms=START_MS + HOUR_MS, history=60)
    wanted = streams(early, "bookTicker", "depth@100ms", "kline_1m")
    whole = played(early, wanted, [10_000])
    tail = played(late, wanted, [10_000])

    def plain(events: list[tuple[str, bytes]], kind: str) -> list[object]:
        found = [json.loads(payload) for stream, payload in events if stream.endswith(kind)]
        for data in found:  # trade ids count from where playing began
            data.get("k", {}).pop("f", None), data.get("k", {}).pop("L", None)
        return found

    for kind in ("bookTicker", "depth@100ms", "kline_1m"):
        mine = plain(tail, kind)
        assert len(mine) > 100
        assert mine == plain(whole, kind)[-len(mine) :]


def test_another_seed_is_another_market_on_the_same_candles() -> None:
    wanted = frozenset(["aaausdt@trade"])
    one, two = (played(make_market(waves(5), seed=seed), wanted, [1000]) for seed in (1, 2))
    assert one != two
    assert one == played(make_market(waves(5), seed=1), wanted, [1000])


def test_events_come_in_time_order_and_not_from_the_future() -> None:
    market = make_market(waves(70), waves(70, price=777))
    wanted, latest = streams(market, "trade", "depth@100ms", "kline_1m"), 0
    while market.now_ms < market.end_ms:
        for _, payload in market.advance(market.now_ms + 1000, wanted):
            data = json.loads(payload)
            stamp = data.get("T", data["E"])
            assert latest <= stamp < market.now_ms
            latest = stamp


def test_a_step_can_be_played_again_and_all_of_it_comes_again() -> None:
    """Also the very first, and those at the end of an hour, whose last frames are told in the next."""
    market, wanted = make_market(waves(130)), streams(make_market(waves(130)), *KINDS)
    whole = played(make_market(waves(130)), wanted, [1000])
    events: list[tuple[str, bytes]] = []
    while market.now_ms < market.end_ms:
        before_ms = market.now_ms
        lost = market.advance(before_ms + 1000, wanted)
        assert market.go_back(before_ms) and market.now_ms == before_ms
        assert market.peek(before_ms + 1000, wanted) is None
        again = market.advance(before_ms + 1000, wanted)
        assert again == lost
        events += again
    assert events == whole


def test_an_older_step_is_not_played_again() -> None:
    market, wanted = make_market(waves(70)), streams(make_market(waves(70)), *KINDS)
    first_ms = market.now_ms
    assert not market.go_back(first_ms)
    market.advance(first_ms + 1000, wanted)
    market.advance(first_ms + 2000, wanted)
    assert not market.go_back(first_ms)
    assert market.now_ms == first_ms + 2000


def test_a_step_played_again_for_others_is_theirs() -> None:
    """Who comes with other streams, or in other steps, gets what there is from there on."""
    market = make_market(waves(70))
    start_ms, wanted, others = market.now_ms, streams(market, *KINDS), streams(market, "trade")
    market.advance(start_ms + 60_000, wanted)
    expected = market.advance(start_ms + 120_000, wanted)
    assert market.go_back(start_ms + 60_000)
    told = market.advance(start_ms + 120_000, others)
    assert told == [event for event in expected if event[0] in others] != []
