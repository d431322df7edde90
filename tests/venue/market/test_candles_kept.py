"""Promise: what is synthesised inside a candle adds up to that candle, to the tick and to the lot; every trade
happens at the touch; the bid is below the ask always."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from quantlab.model.timeframe import MINUTE_MS

from .small import START_MS, Candle, by_kind, lots, make_market, play, ticks, waves


def rebuilt(trades: list[dict[str, Any]], base_ms: int = MINUTE_MS) -> dict[int, Candle]:
    """Candles in ticks and lots from trade frames, by open time."""
    found: dict[int, list[tuple[int, int]]] = {}
    for trade in trades:
        found.setdefault(trade["T"] // base_ms * base_ms, []).append((ticks(trade["p"]), lots(trade["q"])))
    return {
        time: (t[0][0], max(p for p, _ in t), min(p for p, _ in t), t[-1][0], sum(q for _, q in t))
        for time, t in found.items()
    }


def possible(candle: Candle) -> bool:
    """Whether trades of whole lots can make this candle: one lot for each price that must be reached."""
    o, h, l, c, volume = candle  # noqa: E741
    if volume == 0:
        return False
    if volume == 1:
        return o == h == l == c
    return volume >= 2 + (h not in (o, c)) + (l not in (o, c))


@st.composite
def candles(draw: st.DrawFn) -> Candle:
    low = draw(st.one_of(st.integers(1, 4), st.integers(1, 10_000_000)))
    high = low + draw(st.one_of(st.just(0), st.integers(0, 3), st.integers(0, low * 3)))
    o, c = draw(st.integers(low, high)), draw(st.integers(low, high))
    volume = draw(st.one_of(st.integers(0, 12), st.integers(0, 10**11)))
    return o, high, low, c, volume


def check_touch(events: list[tuple[str, dict[str, Any]]]) -> None:
    bid = ask = 0
    for stream, data in events:
        if stream.endswith("@bookTicker"):
            bid, ask = ticks(data["b"]), ticks(data["a"])
            assert 0 < bid < ask
            assert lots(data["B"]) >= 1
            assert lots(data["A"]) >= 1
        elif stream.endswith("@trade"):
            assert lots(data["q"]) >= 1
            assert ticks(data["p"]) == (bid if data["m"] else ask)


@settings(max_examples=60, deadline=None)
@example(series=[(21994, 21994, 21994, 21994, 24_508_045_661), (1, 1, 1, 1, 0)], seed=0)
@example(series=[(10998, 10998, 10998, 10998, 44_394_647_881), (1, 1, 1, 1, 0)], seed=1)
@given(series=st.lists(candles(), min_size=1, max_size=5), seed=st.integers(0, 5))
def test_any_minute_candles_are_rebuilt_exactly(series: list[Candle], seed: int) -> None:
    events = play(make_market(series, seed=seed), "trade", "bookTicker")
    found = rebuilt(by_kind(events)["trade"])
    for i, candle in enumerate(series):
        time = START_MS + i * MINUTE_MS
        if possible(candle):
            assert found[time] == candle
        elif candle[4]:
            assert found[time][4] == candle[4]
        else:
            assert time not in found
    check_touch(events)


@settings(max_examples=40, deadline=None)
@given(
    series=st.lists(candles(), min_size=1, max_size=3), minutes=st.sampled_from([3, 5, 15, 240]), seed=st.integers(0, 3)
)
def test_any_coarser_candles_are_rebuilt_exactly(series: list[Candle], minutes: int, seed: int) -> None:
    base_ms = minutes * MINUTE_MS
    start_ms = START_MS // (240 * MINUTE_MS) * 240 * MINUTE_MS
    market = make_market(series, base_ms=base_ms, start_ms=start_ms, seed=seed)
    events = play(market, "trade", "bookTicker", step_ms=60_000)
    found = rebuilt(by_kind(events)["trade"], base_ms)
    for i, candle in enumerate(series):
        time = start_ms + i * base_ms
        if possible(candle):
            assert found[time] == candle
        elif candle[4]:
            assert found[time][4] == candle[4]
        else:
            assert time not in found
    check_touch(events)


def test_every_ten_seconds_have_a_trade_and_a_book_change() -> None:
    market = make_market(waves(90), waves(90, price=60))
    events = by_kind(play(market, "trade", "depth@100ms", "bookTicker"))
    for symbol in market.symbols:
        for kind, stamp in (("trade", "T"), ("depth@100ms", "E")):
            slots = {data[stamp] // 10_000 for data in events[kind] if data["s"] == symbol}
            assert len(slots) == 90 * 6
    per_slot = {kind: len(found) / (2 * 90 * 6) for kind, found in events.items()}
    assert per_slot["trade"] == pytest.approx(2.0, abs=0.2)
    assert per_slot["depth@100ms"] == 1
    assert per_slot["bookTicker"] == pytest.approx(5.3, abs=0.4)


def test_a_missing_candle_is_silence_and_a_candle_without_volume_has_quotes_only() -> None:
    series = [*waves(3), None, (10_000, 10_000, 10_000, 10_000, 0), *waves(2)]
    events = by_kind(play(make_market(series), "trade", "depth@100ms", "bookTicker", "kline_1m"))
    minute = {
        kind: {data["E"] // MINUTE_MS - START_MS // MINUTE_MS for data in events[kind]}
        for kind in ("trade", "depth@100ms")
    }
    assert minute["trade"] == {0, 1, 2, 5, 6}
    assert minute["depth@100ms"] == {0, 1, 2, 4, 5, 6}
    assert {(data["k"]["t"] - START_MS) // MINUTE_MS for data in events["kline_1m"]} == {0, 1, 2, 4, 5, 6}
    quiet = next(data["k"] for data in events["kline_1m"] if data["k"]["t"] == START_MS + 4 * MINUTE_MS)
    assert (quiet["n"], quiet["f"], quiet["L"], quiet["x"], quiet["o"]) == (0, -1, -1, True, "100.00000000")
