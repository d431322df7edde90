"""Promise: candles are kept as they came or not at all, what is missing is found, and no file can spoil another."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantlab.market.history import SCHEMA, History, gaps, read_file, resample
from quantlab.model import ConfigurationError, NotFound

#: 2024-01-31 22:00 UTC: two hours before a month ends.
START_MS = 1_706_738_400_000
MINUTE_MS = 60_000
LATER_MS = START_MS + 365 * 86_400_000


def frame(count: int = 300, *, first: int = 0, price: float = 100.0) -> pl.DataFrame:
    rows = [
        (START_MS + n * MINUTE_MS, price + n, price + n + 2, price + n - 1, price + n + 1, 5.0)
        for n in range(first, first + count)
    ]
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


@pytest.fixture
def history(tmp_path: Path) -> History:
    return History(tmp_path / "history")


def add(history: History, rows: pl.DataFrame, **options: Any) -> int:
    return history.add("BTCUSDT", "1m", rows, **{"source": "test", "now_ms": LATER_MS, **options})


def test_what_goes_in_comes_out_by_month(history: History) -> None:
    assert add(history, frame()) == 300
    assert [path.name for path in sorted(history.folder.glob("*/*/*"))] == ["2024-01.parquet", "2024-02.parquet"]
    assert history.candles("BTCUSDT", "1m").equals(frame())
    middle = history.candles("BTCUSDT", "1m", START_MS + 119 * MINUTE_MS, START_MS + 122 * MINUTE_MS)
    assert middle.equals(frame(3, first=119)), "over the end of the month"
    assert history.scan("1m").collect()["symbol"].unique().to_list() == ["BTCUSDT"]
    assert history.check() == []


def test_the_same_again_changes_nothing(history: History) -> None:
    add(history, frame())
    before = {path: path.stat().st_mtime_ns for path in history.folder.glob("*/*/*")}
    assert add(history, frame(100, first=50), source="another") == 0
    assert {path: path.stat().st_mtime_ns for path in history.folder.glob("*/*/*")} == before
    assert add(history, frame(20, first=290), source="another") == 10
    assert history.catalogue()["sources"][0] == "another, test"


def test_what_differs_is_refused_and_nothing_is_written(history: History) -> None:
    """It overlaps in the second month: the first, where all is well, is not touched either."""
    add(history, frame(200, first=100))
    wrong = pl.concat([frame(190), frame(1, first=190, price=50.0)])
    with pytest.raises(ConfigurationError, match=r"its candle of 2024-02-01 01:10 UTC differs .*\(1 do\): --replace"):
        add(history, wrong)
    assert history.candles("BTCUSDT", "1m").equals(frame(200, first=100))
    assert add(history, wrong, replace=True) == 100
    assert history.candles("BTCUSDT", "1m")["open"][190] == 240.0


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("open", 0.0, "has a price of zero or below"),
        ("close", float("nan"), "not a number"),
        ("high", float("inf"), "is no finite number"),
        ("low", 1e9, "has a high below, or a low above"),
        ("high", 1.0, "has a high below, or a low above"),
        ("volume", -1.0, "has a volume below zero"),
        ("open_time", START_MS + 30_000, "is not on the grid of 1m"),
        ("open_time", LATER_MS - 30_000 - LATER_MS % MINUTE_MS + MINUTE_MS * 2, "is not"),
        ("open_time", LATER_MS, "is not closed yet"),
        ("open_time", START_MS + 6 * MINUTE_MS, "is there twice, with different values"),
    ],
)
def test_a_candle_that_cannot_be_is_refused_by_its_time(
    history: History, column: str, value: float, words: str
) -> None:
    rows = frame(10).with_columns(
        pl.when(pl.int_range(pl.len()) == 5)
        .then(pl.lit(value))
        .otherwise(pl.col(column))
        .cast(SCHEMA[column])
        .alias(column)
    )
    with pytest.raises(ConfigurationError, match=rf"test: the candle of 202\d-.* {words}"):
        add(history, rows)
    assert not list(history.folder.glob("*/*/*"))
    assert add(history, frame(10)) == 10, "the control"


def test_a_column_that_lacks_is_named(history: History) -> None:
    with pytest.raises(ConfigurationError, match="has no column low, volume"):
        add(history, frame().drop("low", "volume"))


def test_weeks_begin_on_mondays(history: History) -> None:
    monday = 1_706_486_400_000  # 2024-01-29
    row = frame(1).with_columns(open_time=pl.lit(monday))
    assert history.add("BTCUSDT", "1w", row, source="test", now_ms=LATER_MS) == 1
    thursday = row.with_columns(pl.col("open_time") + 3 * 86_400_000)
    with pytest.raises(ConfigurationError, match="not on the grid of 1w"):
        history.add("BTCUSDT", "1w", thursday, source="test", now_ms=LATER_MS)


def test_missing_and_quiet_candles_are_told_apart() -> None:
    rows = frame(100).with_columns(
        volume=pl.when(pl.int_range(pl.len()).is_between(40, 49)).then(0.0).otherwise(pl.col("volume"))
    )
    rows = rows.filter(~pl.int_range(pl.len()).is_between(50, 79) & (pl.int_range(pl.len()) != 90))
    found = gaps(rows, "1m")
    assert found["kind"].to_list() == ["zero volume", "missing", "missing"]
    assert found["candles"].to_list() == [10, 30, 1]
    assert found["from_ms"].to_list() == [START_MS + n * MINUTE_MS for n in (40, 50, 90)]
    assert found["to_ms"].to_list() == [START_MS + n * MINUTE_MS for n in (49, 79, 90)]
    assert gaps(frame(100), "1m").is_empty()


@given(kept=st.lists(st.booleans(), min_size=2, max_size=60))
@settings(deadline=None)
def test_kept_and_missing_make_the_whole(kept: list[bool]) -> None:
    rows = frame(len(kept)).filter(pl.Series(kept))
    if rows.height:
        span = (rows["open_time"][-1] - rows["open_time"][0]) // MINUTE_MS + 1
        assert rows.height + gaps(rows, "1m").filter(kind="missing")["candles"].sum() == span


def test_damage_is_found_and_named(history: History) -> None:
    add(history, frame())
    january, february = sorted(history.folder.glob("*/*/*.parquet"))
    february.write_bytes(february.read_bytes()[:-20])
    assert [line.split(":")[0] for line in history.check()] == ["BTCUSDT 1m 2024-02"]
    january.replace(january.with_name("2023-05.parquet"))
    assert any("holds candles of another month" in line for line in history.check())


def test_longer_candles_are_made_of_whole_ones_only() -> None:
    rows = frame(60).filter(pl.int_range(pl.len()) != 17)
    made = resample(rows, "1m", "5m")
    assert made.height == 11, "the one of which a minute is missing is left out"
    first = made.row(0, named=True)
    assert first == {
        "open_time": START_MS, "open": 100.0, "high": 106.0, "low": 99.0, "close": 105.0, "volume": 25.0,
    }  # fmt: skip
    for wrong in ("1m", "3m"):
        with pytest.raises(ConfigurationError, match="cannot be made of"):
            resample(made, "5m", wrong)


def test_two_timeframes_that_disagree_are_found(history: History) -> None:
    add(history, frame(240))
    five = resample(frame(240), "1m", "5m")
    history.add("BTCUSDT", "5m", five, source="made", now_ms=LATER_MS)
    history.add("ETHUSDT", "5m", five, source="another symbol", now_ms=LATER_MS)
    assert history.check() == []
    planted = five.with_columns(
        high=pl.when(pl.int_range(pl.len()) == 20).then(pl.col("high") + 0.01).otherwise("high")
    )
    history.add("BTCUSDT", "5m", planted, source="planted", now_ms=LATER_MS, replace=True)
    assert history.check() == ["BTCUSDT: 1 5m candles are not what its 1m ones make, first 2024-01-31 23:40 UTC"]


def test_what_is_not_there_is_said(history: History) -> None:
    with pytest.raises(NotFound, match="no 1m candles of BTCUSDT there: the history has nothing of it"):
        history.candles("BTCUSDT", "1m")
    add(history, frame())
    with pytest.raises(NotFound, match="the history has 1m of it"):
        history.candles("BTCUSDT", "5m")


# -- files of others --------------------------------------------------------------------------------------------------


def bulk(folder: Path, name: str, rows: pl.DataFrame, *, unit: int = 1, header: bool = False) -> Path:
    """A zip as Binance makes it, with its checksum."""
    lines = [
        f"{t * unit},{o},{h},{low},{c},{v},{t * unit + 59_999 * unit},1,1,1,1,0"
        for t, o, h, low, c, v in rows.iter_rows()
    ]
    if header:
        lines.insert(
            0, "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_base,taker_quote,ignore"
        )
    path = folder / f"{name}.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{name}.csv", "\n".join(lines) + "\n")
    path.with_name(f"{path.name}.CHECKSUM").write_text(
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n"
    )
    return path


@pytest.mark.parametrize(("unit", "header"), [(1, False), (1000, False), (1000, True)])
def test_monthly_zips_in_milliseconds_and_microseconds(tmp_path: Path, unit: int, header: bool) -> None:
    found = read_file(bulk(tmp_path, "BTCUSDT-1m-2024-01", frame(5), unit=unit, header=header))
    assert (found.symbol, found.timeframe) == ("BTCUSDT", "1m")
    assert found.frame.select(pl.col(list(SCHEMA)).cast(pl.Float64)).equals(frame(5).cast(pl.Float64))


def test_a_zip_must_be_what_its_checksum_says(tmp_path: Path) -> None:
    path = bulk(tmp_path, "BTCUSDT-1m-2024-01", frame(500))
    raw = path.read_bytes()
    path.write_bytes(raw[:-100])
    with pytest.raises(ConfigurationError, match="does not have the SHA-256 of"):
        read_file(path)
    path.with_name(f"{path.name}.CHECKSUM").unlink()
    with pytest.raises(ConfigurationError, match=r"no BTCUSDT-1m-2024-01.zip.CHECKSUM beside it"):
        read_file(path)
    with pytest.raises(ConfigurationError, match="cannot be read as candles"):
        read_file(path, unchecked=True)
    path.write_bytes(raw)
    assert read_file(path, unchecked=True).frame.height == 500


@pytest.mark.parametrize("suffix", [".parquet", ".feather", ".csv"])
def test_other_people_s_files(tmp_path: Path, suffix: str) -> None:
    """As freqtrade keeps them: a column `date`, and the pair with a line under it."""
    rows = (
        frame(5)
        .with_columns(date=pl.from_epoch("open_time", time_unit="ms").dt.replace_time_zone("UTC"))
        .drop("open_time")
    )
    path = tmp_path / f"ETH_USDT-1m{suffix}"
    if suffix == ".csv":
        rows.with_columns(date=frame(5)["open_time"]).write_csv(path)
    else:
        (rows.write_parquet if suffix == ".parquet" else rows.write_ipc)(path)
    found = read_file(path)
    assert (found.symbol, found.timeframe) == ("ETHUSDT", "1m")
    assert found.frame["open_time"].to_list() == frame(5)["open_time"].to_list()


def test_a_name_that_tells_nothing_wants_to_be_told(tmp_path: Path) -> None:
    path = tmp_path / "candles.parquet"
    frame(5).write_parquet(path)
    with pytest.raises(ConfigurationError, match="does not tell the symbol: give --symbol"):
        read_file(path)
    with pytest.raises(ConfigurationError, match="does not tell the timeframe: give --timeframe"):
        read_file(path, symbol="BTCUSDT")
    assert read_file(path, symbol="BTCUSDT", timeframe="1m").frame.height == 5


def test_binance_s_outages_of_april_2021(shared_market: Path, tmp_path: Path) -> None:
    """Fifteen symbols, six weeks of minutes: both outages are found, in each of them."""
    history = History(tmp_path / "history")
    for path in sorted((shared_market / "klines" / "1m_2021-04").glob("*.parquet")):
        found = read_file(path, timeframe="1m")
        history.add(found.symbol, "1m", found.frame, source=path.name, sha256=found.sha256, now_ms=LATER_MS)
    listed = history.catalogue()
    assert listed.height == 15
    whole = listed.filter(pl.col("symbol") != "BAKEUSDT")
    assert whole["candles"].min() == 61_267
    missing = history.gaps("BTCUSDT", "1m").filter(kind="missing")
    assert missing["candles"].sum() == 434
    assert 284 in missing["candles"].to_list()
    assert history.check() == []
