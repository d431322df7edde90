"""Promise: a folder of candles is played on its own grid, and whatever is wrong with it is said in one line that
names file or symbol and date."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from quantlab.model import ConfigurationError, NotFound
from quantlab.model.timeframe import DAY_MS, HOUR_MS, MINUTE_MS
from quantlab.venue.market import open_market
from quantlab.venue.market.filters import exchange_info_of, symbol_row

from .small import START_MS, by_kind, play, waves

Frame = pl.DataFrame


def frame(count: int = 180, *, base_ms: int = MINUTE_MS, start_ms: int = START_MS) -> Frame:
    columns = dict(zip(("open", "high", "low", "close", "volume"), zip(*waves(count), strict=True), strict=True))
    times = [start_ms + i * base_ms for i in range(count)]
    units = {"volume": 1000}
    return pl.DataFrame({"open_time": times, **{n: [x / units.get(n, 100) for x in v] for n, v in columns.items()}})


def folder(path: Path, **frames: Frame) -> Path:
    for name, rows in frames.items():
        rows.write_parquet(path / f"{name}.parquet")
    return path


def opened(path: Path, **options: Any) -> Any:
    return open_market(path, **{"derive_filters": True, "from_ms": START_MS, "hours": 1, **options})


def test_filters_are_derived_from_the_decimals(tmp_path: Path) -> None:
    market = opened(folder(tmp_path, AAAUSDT=frame()))
    row = market.exchange_info["symbols"][0]
    filters = {entry["filterType"]: entry for entry in row["filters"]}
    assert (row["symbol"], row["baseAsset"], row["quoteAsset"]) == ("AAAUSDT", "AAA", "USDT")
    assert (filters["PRICE_FILTER"]["tickSize"], filters["LOT_SIZE"]["stepSize"]) == ("0.01000000", "0.00100000")
    assert (market.kind, market.name, market.start_ms) == ("candles", tmp_path.name, START_MS)
    assert len({k["k"]["t"] for k in by_kind(play(market, "kline_1m"))["kline_1m"] if k["k"]["x"]}) >= 60


@pytest.mark.parametrize("compressed", [False, True])
def test_filters_are_read_from_an_exchange_info(tmp_path: Path, compressed: bool) -> None:
    info = exchange_info_of([symbol_row("AAA", "USDT", 3, 4), symbol_row("ZZZ", "USDT", 3, 4)], START_MS)
    raw, file = json.dumps(info).encode(), tmp_path / "info.json.gz"
    file.write_bytes(gzip.compress(raw) if compressed else raw)
    market = opened(folder(tmp_path, AAAUSDT=frame(), BBBUSDT=frame()), exchange_info=file, derive_filters=False)
    assert market.symbols == ("AAAUSDT",)
    assert list(market.left_out) == ["BBBUSDT"]
    assert [row["symbol"] for row in market.exchange_info["symbols"]] == ["AAAUSDT"]
    with pytest.raises(NotFound, match=r"BBBUSDT: no row"):
        opened(tmp_path, exchange_info=file, derive_filters=False, symbols=["AAAUSDT", "BBBUSDT"])


@pytest.mark.parametrize(
    ("decimals", "words"), [((1, 4), r"AAAUSDT: the \w+ price .* of 2025-06-02 .*tick"), ((3, 2), r"volume.*step")]
)
def test_a_candle_off_the_grid_stops_with_symbol_and_date(
    tmp_path: Path, decimals: tuple[int, int], words: str
) -> None:
    file = tmp_path / "info.json"
    file.write_text(json.dumps(exchange_info_of([symbol_row("AAA", "USDT", *decimals)], START_MS)))
    with pytest.raises(ConfigurationError, match=words):
        opened(folder(tmp_path, AAAUSDT=frame()), exchange_info=file, derive_filters=False)
    assert opened(tmp_path, exchange_info=file, derive_filters=True).symbols == ("AAAUSDT",)


def _swap(rows: Frame, at: int, **values: float | int | None) -> Frame:
    index = pl.int_range(pl.len())
    return rows.with_columns(
        pl.when(index == at).then(pl.lit(v)).otherwise(pl.col(n)).alias(n) for n, v in values.items()
    )


FAULTS: dict[str, tuple[Callable[[Frame], Frame], str]] = {
    "high below low": (
        lambda f: _swap(f, 70, high=10.0, low=20.0, open=15.0, close=15.0),
        "10:10 UTC has a high below",
    ),
    "close outside": (lambda f: _swap(f, 70, close=1e6), "10:10 UTC opens or closes outside"),
    "not a number": (lambda f: _swap(f, 70, close=float("nan")), "10:10 UTC has a price or volume that is no number"),
    "null": (lambda f: _swap(f, 70, volume=None), "10:10 UTC has a price or volume that is no number"),
    "infinite": (lambda f: _swap(f, 70, volume=float("inf")), "10:10 UTC has a price or volume that is no number"),
    "negative volume": (lambda f: _swap(f, 70, volume=-1.0), "10:10 UTC has a negative volume"),
    "price of zero": (lambda f: _swap(f, 70, low=0.0), "10:10 UTC has a price that is not positive"),
    "off the minute": (lambda f: f.with_columns(pl.col("open_time") + 1), "does not open on a multiple of 60 s"),
    "twice": (lambda f: pl.concat([f[:70], f[69:]]), "sorted, without duplicates"),
    "unsorted": (lambda f: f.reverse(), "sorted, without duplicates"),
    "microseconds": (lambda f: f.with_columns(pl.col("open_time") * 1000), "no timeframe of Binance.*in ms"),
    "odd spacing": (lambda f: f[::7], "no timeframe of Binance"),
    "missing column": (lambda f: f.drop("volume"), "column volume is missing"),
    "text": (lambda f: f.with_columns(pl.col("close").cast(pl.String)), "column close is String"),
    "dates": (lambda f: f.with_columns(pl.from_epoch("open_time", "ms")), "open_time is Datetime"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_bad_rows_name_file_and_time(tmp_path: Path, fault: str) -> None:
    damage, words = FAULTS[fault]
    folder(tmp_path, AAAUSDT=frame(), BBBUSDT=damage(frame()))
    with pytest.raises(ConfigurationError, match=words) as raised:
        opened(tmp_path, hours=2)
    assert "BBBUSDT.parquet" in str(raised.value)
    assert "\n" not in str(raised.value)
    assert opened(tmp_path, hours=2, symbols=["AAAUSDT"]).symbols == ("AAAUSDT",)


def test_missing_things_are_named(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no such folder"):
        opened(tmp_path / "nowhere")
    with pytest.raises(NotFound, match=r"no SYMBOL\.parquet"):
        opened(tmp_path)
    folder(tmp_path, AAAUSDT=frame())
    with pytest.raises(ConfigurationError, match=r"--exchange-info FILE, or --derive-filters"):
        opened(tmp_path, derive_filters=False)
    with pytest.raises(ConfigurationError, match="less than one candle"):
        opened(tmp_path, hours=0)
    with pytest.raises(NotFound, match=r"ZZZUSDT; there are AAAUSDT"):
        opened(tmp_path, symbols=["ZZZUSDT"])
    with pytest.raises(NotFound, match=r"no candle at 2026.*it holds 2025-06-02 09:00 UTC to 2025-06-02 12:00 UTC"):
        opened(tmp_path, from_ms=START_MS + 300 * DAY_MS)
    with pytest.raises(NotFound, match="no such exchangeInfo"):
        opened(tmp_path, exchange_info=tmp_path / "none.json", derive_filters=False)
    (tmp_path / "bad.json").write_text('{"code": 0, "msg": "restricted location"}')
    with pytest.raises(ConfigurationError, match="not an exchangeInfo answer"):
        opened(tmp_path, exchange_info=tmp_path / "bad.json", derive_filters=False)
    (tmp_path / "CCCUSDT.parquet").write_bytes(b"not parquet")
    with pytest.raises(ConfigurationError, match=r"CCCUSDT\.parquet: not a readable Parquet"):
        opened(tmp_path)


def test_one_folder_holds_one_timeframe(tmp_path: Path) -> None:
    folder(tmp_path, AAAUSDT=frame(), BBBUSDT=frame(40, base_ms=5 * MINUTE_MS))
    with pytest.raises(ConfigurationError, match=r"AAAUSDT\.parquet has 1m candles and BBBUSDT\.parquet 5m"):
        opened(tmp_path)


def test_a_symbol_without_candles_in_the_window_is_left_out(tmp_path: Path) -> None:
    folder(tmp_path, AAAUSDT=frame(), BBBUSDT=frame(start_ms=START_MS + 2 * HOUR_MS))
    market = opened(tmp_path)
    assert market.symbols == ("AAAUSDT",)
    assert "no candle between" in market.left_out["BBBUSDT"]
    assert opened(tmp_path, hours=3).symbols == ("AAAUSDT", "BBBUSDT")


def test_the_window_is_cut_to_the_data_and_history_is_served(tmp_path: Path) -> None:
    folder(tmp_path, AAAUSDT=frame())
    market = opened(tmp_path, from_ms=START_MS + 2 * HOUR_MS, hours=24)
    assert market.end_ms == START_MS + 3 * HOUR_MS + 1000
    assert len(market.klines("AAAUSDT", "1m", None, None, 1000)) == 120
    assert open_market(tmp_path, derive_filters=True).start_ms == START_MS
