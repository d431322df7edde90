"""Promise: candles by REST, by stream and in the source are one and the same, in every interval; a candle is told
closed within a second after its end and before the next one's trades; answers never know the future."""

from __future__ import annotations

import json
from typing import Any

import pytest

from quantlab.model import NotFound
from quantlab.model.timeframe import HOUR_MS, MINUTE_MS

from .small import START_MS, Candle, by_kind, lots, make_market, play, streams, ticks, waves


def folded(series: list[Candle]) -> Candle:
    opens, highs, lows, closes, volumes = zip(*series, strict=True)
    return opens[0], max(highs), min(lows), closes[-1], sum(volumes)


def of_row(row: list[Any]) -> Candle:
    return (*(ticks(value) for value in row[1:5]), lots(row[5]))  # type: ignore[return-value]


def of_frame(k: dict[str, Any]) -> Candle:
    return (*(ticks(k[name]) for name in "ohlc"), lots(k["v"]))  # type: ignore[return-value]


@pytest.mark.parametrize(("interval", "minutes"), [("1m", 1), ("3m", 3), ("15m", 15), ("1h", 60), ("2h", 120)])
def test_closed_candles_equal_the_source(interval: str, minutes: int) -> None:
    series, start_ms = waves(300), START_MS // (2 * HOUR_MS) * 2 * HOUR_MS
    market = make_market(series, start_ms=start_ms + HOUR_MS, history=60)
    frames = [k["k"] for k in by_kind(play(market, f"kline_{interval}"))[f"kline_{interval}"]]
    closed = {k["t"]: of_frame(k) for k in frames if k["x"]}
    rest = {row[0]: of_row(row) for row in market.klines("AAAUSDT", interval, start_ms, None, 1000)}
    source = {
        start_ms + i * MINUTE_MS: folded(series[i : i + minutes]) for i in range(0, 300, minutes) if i + minutes <= 300
    }
    assert {time: candle for time, candle in rest.items() if time in source} == source
    assert len(closed) >= 240 // minutes
    assert closed == {time: source[time] for time in closed}
    for k in frames:
        assert k["T"] - k["t"] == minutes * MINUTE_MS - 1


def test_a_candle_closes_before_the_next_one_trades() -> None:
    events = play(make_market(waves(5)), "trade", "kline_1m", "bookTicker", "depth@100ms")
    for number, (_, data) in enumerate(events):
        if data.get("e") == "kline" and data["k"]["x"]:
            assert 0 < data["E"] - data["k"]["T"] < 1000
            traded = [d["T"] for _, d in events[:number] if d.get("e") == "trade"]
            assert max(traded) <= data["k"]["T"]
            assert all(d["T"] > data["E"] for _, d in events[number:] if d.get("e") == "trade")


def test_forming_candles_are_the_trades_so_far() -> None:
    events, trades = play(make_market(waves(20)), "trade", "kline_1m", "kline_5m"), []
    updates = 0
    for _, data in events:
        if data["e"] == "trade":
            trades.append(data)
            continue
        k = data["k"]
        mine = [t for t in trades if k["t"] <= t["T"] <= k["T"]]
        updates += 1
        assert of_frame(k) == folded([(p := ticks(t["p"]), p, p, p, lots(t["q"])) for t in mine])
        assert (k["f"], k["L"], k["n"]) == (mine[0]["t"], mine[-1]["t"], len(mine))
        assert float(k["q"]) == pytest.approx(sum(float(t["p"]) * float(t["q"]) for t in mine))
        assert float(k["V"]) == pytest.approx(sum(float(t["q"]) for t in mine if not t["m"]))
    assert updates == 2 * 20 * 2


def test_rest_knows_what_happened_by_now_and_nothing_more() -> None:
    market, seen = make_market(waves(130), history=10), []
    wanted = streams(market, "trade")
    for to_ms in range(START_MS, START_MS + 2 * HOUR_MS, 47_111):
        seen += [json.loads(payload) for _, payload in market.advance(to_ms, wanted)]
        for interval, length in (("1m", MINUTE_MS), ("5m", 5 * MINUTE_MS), ("4h", 4 * HOUR_MS)):
            rows = market.klines("AAAUSDT", interval, None, None, 1000)
            assert [row[0] for row in rows] == sorted({row[0] for row in rows})
            mine = [t for t in seen if t["T"] // length == to_ms // length]
            if interval != "4h" and mine:
                assert rows[-1][0] == to_ms // length * length
                assert of_row(rows[-1]) == folded([(p := ticks(t["p"]), p, p, p, lots(t["q"])) for t in mine])
            elif interval != "4h":
                assert rows[-1][0] + length <= to_ms
        newest = min(len(seen), 900)
        told = market.trades("AAAUSDT", 1000)
        assert [t["id"] for t in told[len(told) - newest :]] == [t["t"] for t in seen[len(seen) - newest :]]
        four = market.klines("AAAUSDT", "4h", None, None, 1)
        if seen and four:
            assert ticks(four[-1][4]) == ticks(seen[-1]["p"])


def test_limits_follow_binance() -> None:
    market = make_market(waves(120), history=100)
    market.advance(START_MS + 10 * MINUTE_MS, frozenset())
    first = START_MS - 100 * MINUTE_MS

    def opens(*args: int | None) -> list[int]:
        return [(row[0] - first) // MINUTE_MS for row in market.klines("AAAUSDT", "1m", *args)]  # type: ignore[arg-type]

    assert opens(None, None, 3) == [107, 108, 109]
    assert opens(first + 5 * MINUTE_MS, None, 3) == [5, 6, 7]
    assert opens(None, first + 50 * MINUTE_MS, 3) == [48, 49, 50]
    assert opens(None, first + 50 * MINUTE_MS - 1, 3) == [47, 48, 49]
    assert opens(first + 1, first + 4 * MINUTE_MS, 100) == [1, 2, 3, 4]
    assert opens(first + 300 * MINUTE_MS, None, 5) == []
    market.advance(START_MS + 10 * MINUTE_MS + 30_000, frozenset())
    assert opens(None, None, 2) == [109, 110]
    assert opens(first + 109 * MINUTE_MS, None, 5) == [109, 110]


def test_finer_intervals_than_the_candles_do_not_exist() -> None:
    market = make_market(waves(12), base_ms=5 * MINUTE_MS)
    assert market.intervals[:2] == ("5m", "15m")
    with pytest.raises(NotFound, match="5m 15m"):
        market.klines("AAAUSDT", "1m", None, None, 5)
    with pytest.raises(NotFound, match="ZZZ"):
        market.klines("ZZZ", "5m", None, None, 5)


def test_the_last_candle_of_the_window_is_told_closed() -> None:
    frames = by_kind(play(make_market(waves(60)), "kline_1m"))["kline_1m"]
    assert (frames[-1]["k"]["t"], frames[-1]["k"]["x"]) == (START_MS + 59 * MINUTE_MS, True)


def test_ticker_and_touch_agree_with_the_streams() -> None:
    market = make_market(waves(130), history=10)
    wanted, seen, quote = streams(market, "trade", "bookTicker"), [], {}
    for stream, payload in market.advance(START_MS + HOUR_MS + 12_345, wanted):
        data = json.loads(payload)
        if stream.endswith("@trade"):
            seen.append(data)
        else:
            quote = data
    row, touch = market.ticker_24h("AAAUSDT"), market.book_ticker("AAAUSDT")
    assert (touch["bidPrice"], touch["bidQty"], touch["askPrice"], touch["askQty"]) == tuple(quote[n] for n in "bBaA")
    assert (row["bidPrice"], row["askPrice"], row["lastPrice"]) == (quote["b"], quote["a"], seen[-1]["p"])
    assert row["lastId"] == seen[-1]["t"]
    history = sum(candle[4] for candle in waves(130)[:10])
    assert lots(row["volume"]) == history + sum(lots(t["q"]) for t in seen)
    agg = market.agg_trades("AAAUSDT", 2)
    assert [(a["p"], a["q"], a["T"], a["m"]) for a in agg] == [(t["p"], t["q"], t["T"], t["m"]) for t in seen[-2:]]
