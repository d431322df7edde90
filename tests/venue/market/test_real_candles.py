"""Promise: real candles, with their gaps and their grids, are played exactly and densely enough. Runs on recorded
Binance candles where they are at hand."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from quantlab.model import ConfigurationError
from quantlab.model.timeframe import HOUR_MS, MINUTE_MS
from quantlab.venue.market import open_market

from .small import by_kind, play

#: 2021-04-18 03:00 UTC, in the middle of a fall of 15 %.
CRASH_MS = 1_618_714_800_000
OUTAGE_MS = 1_619_323_200_000  # 2021-04-25 04:00 UTC


def test_an_hour_of_a_crash_is_rebuilt_exactly(shared_market: Path) -> None:
    folder = shared_market / "klines" / "1m_2021-04"
    info = shared_market / "rest" / "exchangeInfo_spot_20210417.json.gz"
    assert "BAKEUSDT" in open_market(folder, exchange_info=info, from_ms=CRASH_MS, hours=1).left_out
    symbols = ["BTCUSDT", "DOGEUSDT", "LUNAUSDT", "TRXUSDT"]
    market = open_market(folder, exchange_info=info, from_ms=CRASH_MS, hours=1, symbols=symbols)
    events = by_kind(play(market, "trade", "kline_1m", "depth@100ms"))
    for symbol in market.symbols:
        rows = pl.read_parquet(folder / f"{symbol}.parquet").filter(
            pl.col("open_time").is_between(CRASH_MS, CRASH_MS + HOUR_MS, closed="left")
        )
        traded: dict[int, list[tuple[float, float]]] = {}
        for trade in events["trade"]:
            if trade["s"] == symbol:
                traded.setdefault(trade["T"] // MINUTE_MS * MINUTE_MS, []).append(
                    (float(trade["p"]), float(trade["q"]))
                )
        told = {d["k"]["t"]: d["k"] for d in events["kline_1m"] if d["s"] == symbol and d["k"]["x"]}
        for time, o, h, l, c, v in rows.iter_rows():  # noqa: E741
            prices = [price for price, _ in traded[time]]
            assert (prices[0], max(prices), min(prices), prices[-1]) == (o, h, l, c)
            assert sum(size for _, size in traded[time]) == pytest.approx(v, rel=1e-12)
            assert tuple(float(told[time][name]) for name in "ohlcv") == (o, h, l, c, v)
        slots = {d["E"] // 10_000 for d in events["depth@100ms"] if d["s"] == symbol}
        assert len(slots) == 360


def test_a_recorded_outage_is_silent(shared_market: Path) -> None:
    market = open_market(
        shared_market / "klines" / "1m_2021-04", derive_filters=True, from_ms=OUTAGE_MS, hours=1, symbols=["BTCUSDT"]
    )
    stamps = [data["T"] for data in by_kind(play(market, "trade"))["trade"]]
    assert stamps
    assert max(stamps) < OUTAGE_MS + 5 * MINUTE_MS
    assert market.depth("BTCUSDT", 5)["bids"]


def test_a_step_that_changed_later_is_noticed(shared_market: Path) -> None:
    folder = shared_market / "klines" / "1m_2021-04"
    info = shared_market / "rest" / "exchangeInfo_spot_20210417.json.gz"
    with pytest.raises(
        ConfigurationError, match=r"ADAUSDT: the volume .* of 2021-05-01 .* is not a multiple of the step"
    ):
        open_market(folder, exchange_info=info, from_ms=1_619_827_200_000, hours=24, symbols=["ADAUSDT"])


def test_five_minute_candles_have_the_same_density(shared_market: Path) -> None:
    folder = shared_market / "klines" / "5m_2025H1"
    market = open_market(folder, derive_filters=True, from_ms=1_740_787_200_000, hours=1)
    events = by_kind(play(market, "trade", "bookTicker", "depth@100ms"))
    per_slot = {kind: len(found) / (360 * len(market.symbols)) for kind, found in events.items()}
    assert per_slot["depth@100ms"] == 1
    assert per_slot["trade"] == pytest.approx(2.0, abs=0.15)
    assert per_slot["bookTicker"] == pytest.approx(5.3, abs=0.3)
