"""Candles as the venue plays them: one table a symbol, and a folder of Parquet files as their source."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl

from quantlab.model import TIMEFRAMES, ConfigurationError, NotFound
from quantlab.venue.market.draws import Floats, Ints

#: Columns of a kline file; times in ms, prices in quote units, volume in base units.
COLUMNS = ("open_time", "open", "high", "low", "close", "volume")
#: Candles before the window that are kept as history: 69 days of 1m, and memory stays bounded for years of files.
HISTORY_CANDLES = 100_000


@dataclass(frozen=True)
class CandleTable:
    """Candles of one symbol in time order; rows may be missing (gaps). Columns are NumPy arrays of equal length."""

    symbol: str
    base_ms: int
    open_ms: Ints
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats

    def rows(self, from_ms: int, to_ms: int) -> slice:
        """The rows whose candles open in [from_ms, to_ms)."""
        first, last = np.searchsorted(self.open_ms, (from_ms, to_ms))
        return slice(int(first), int(last))

    def cut(self, from_ms: int, to_ms: int) -> CandleTable:
        rows = self.rows(from_ms, to_ms)
        columns = (getattr(self, name)[rows] for name in ("open_ms", "open", "high", "low", "close", "volume"))
        return CandleTable(self.symbol, self.base_ms, *columns)


def utc(time_ms: int) -> str:
    """`time_ms` for people: 2021-04-18 00:00 UTC."""
    return datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")


def find_files(folder: Path, symbols: Sequence[str] | None) -> dict[str, Path]:
    """SYMBOL.parquet files of `folder`, by symbol. Raises NotFound when there is none, or one asked for lacks."""
    if not folder.is_dir():
        raise NotFound(f"{folder}: no such folder of candles; give a folder of SYMBOL.parquet files")
    files = {path.stem.upper(): path for path in sorted(folder.glob("*.parquet"))}
    if not files:
        raise NotFound(f"{folder}: no SYMBOL.parquet file in this folder")
    missing = [symbol for symbol in symbols or () if symbol not in files]
    if missing:
        raise NotFound(f"{folder}: no candles of {', '.join(missing)}; there are {', '.join(files)}")
    return {symbol: files[symbol] for symbol in symbols or files}


def time_span(path: Path) -> tuple[int, int]:
    """First and last open time in the file, ms; (0, -1) when it has no rows."""
    times = _scan(path).select(first=pl.col("open_time").min(), last=pl.col("open_time").max()).collect()
    first, last = times.row(0)
    return (0, -1) if first is None else (int(first), int(last))


def timeframe_of(path: Path) -> int:
    """Length of the file's candles in ms, inferred from the smallest spacing; ConfigurationError when there is none."""
    spacing = _scan(path).select(pl.col("open_time").diff().drop_nulls().min()).collect().item()
    if spacing not in TIMEFRAMES.values():
        raise ConfigurationError(
            f"{path}: candles {spacing} ms apart are no timeframe of Binance ({' '.join(TIMEFRAMES)}); "
            "open_time must be sorted, without duplicates, in ms"
        )
    return int(spacing)


def read_table(path: Path, base_ms: int, from_ms: int, to_ms: int) -> CandleTable:
    """Candles of one file that open in [from_ms, to_ms), preceded by up to HISTORY_CANDLES of history; checked.

    Raises ConfigurationError that names the file and the time of the first bad row.
    """
    wanted = pl.col("open_time").is_between(from_ms - HISTORY_CANDLES * base_ms, to_ms, closed="left")
    frame = _scan(path).filter(wanted).select(COLUMNS).collect()
    times = frame["open_time"].to_numpy().astype(np.int64)
    columns = [frame[name].cast(pl.Float64).fill_null(float("nan")).to_numpy() for name in COLUMNS[1:]]
    table = CandleTable(path.stem.upper(), base_ms, times, *columns)
    _check(table, path)
    return table


def _scan(path: Path) -> pl.LazyFrame:
    try:
        frame = pl.scan_parquet(path)
        schema = frame.collect_schema()
    except (OSError, pl.exceptions.PolarsError) as error:
        raise ConfigurationError(f"{path}: not a readable Parquet file ({str(error).splitlines()[0]})") from error
    missing = [name for name in COLUMNS if name not in schema]
    if missing:
        raise ConfigurationError(f"{path}: column {', '.join(missing)} is missing; it needs {', '.join(COLUMNS)}")
    if not schema["open_time"].is_integer():
        raise ConfigurationError(f"{path}: open_time is {schema['open_time']}; it must be an integer of ms")
    for name in COLUMNS[1:]:
        if not schema[name].is_numeric():
            raise ConfigurationError(f"{path}: column {name} is {schema[name]}; it must be a number")
    return frame


def _check(table: CandleTable, path: Path) -> None:
    """Raise ConfigurationError on the first row that no exchange could have sent."""
    times = table.open_ms
    o, h, l, c, v = table.open, table.high, table.low, table.close, table.volume  # noqa: E741
    apart = np.diff(times, prepend=times[:1] - table.base_ms)
    faults = (
        ("is not in time order", apart < 0),
        ("appears twice", apart == 0),
        (f"does not open on a multiple of {table.base_ms // 1000} s", times % table.base_ms != 0),
        ("has a price or volume that is no number", ~np.isfinite(o + h + l + c + v)),
        ("has a price that is not positive", ~(np.minimum(np.minimum(o, c), l) > 0)),
        ("has a high below its low", h < l),
        ("opens or closes outside its high and low", (np.maximum(o, c) > h) | (np.minimum(o, c) < l)),
        ("has a negative volume", v < 0),
    )
    for words, bad in faults:
        if bad.any():
            raise ConfigurationError(f"{path}: the candle of {utc(int(times[int(np.argmax(bad))]))} {words}")
