"""Candle frames for tests: made by hand, drawn, or recorded."""

from __future__ import annotations

import gzip
from functools import lru_cache
from pathlib import Path

import numpy as np
import polars as pl

from quantlab.model import Instrument, instruments_from_exchange_info

PRICES = ("open", "high", "low", "close")


def from_closes(closes: list[float], *, tick: float = 0.01, volume: float = 1.0) -> pl.DataFrame:
    """Candles that open where the last one closed and go no further than their open and close."""
    close = np.array(closes, dtype=float)
    opened = np.concatenate([close[:1], close[:-1]])
    return pl.DataFrame(
        {
            "open_time": np.arange(len(close)) * 60_000,
            "open": opened,
            "high": np.maximum(opened, close),
            "low": np.minimum(opened, close),
            "close": close,
            "volume": np.full(len(close), volume),
            "tick": np.full(len(close), tick),
        }
    )


def walk(rows: int, *, seed: int = 7, tick: float = 0.01) -> pl.DataFrame:
    """A random walk in whole ticks, with wicks, volumes and a flat hour without volume."""
    draw = np.random.default_rng(seed)
    close = 10_000 + np.cumsum(draw.integers(-20, 21, rows))
    flat = slice(rows // 2, rows // 2 + 60)
    close[flat] = close[flat.start]
    opened = np.concatenate([close[:1], close[:-1]])
    high = np.maximum(opened, close) + draw.integers(0, 10, rows)
    low = np.minimum(opened, close) - draw.integers(0, 10, rows)
    volume = draw.integers(1, 100_000, rows) / 1000
    opened[flat] = high[flat] = low[flat] = close[flat]
    volume[flat] = 0.0
    columns = dict(zip(PRICES, (opened, high, low, close), strict=True))
    return pl.DataFrame(
        {
            "open_time": np.arange(rows) * 60_000,
            **{name: values * tick for name, values in columns.items()},
            "volume": volume,
            "tick": np.full(rows, tick),
        }
    )


def recorded(folder: Path) -> list[Path]:
    return sorted((folder / "klines").glob("*/*.parquet"))


def read(path: Path, folder: Path) -> pl.DataFrame:
    """A recorded file with the symbol's tick size beside it."""
    tick = float(_instruments(folder)[path.stem].tick_size)
    return pl.read_parquet(path).with_columns(pl.lit(tick).alias("tick")).cast(dict.fromkeys(PRICES, pl.Float64))


@lru_cache
def _instruments(folder: Path) -> dict[str, Instrument]:
    with gzip.open(folder / "rest" / "exchangeInfo_spot_20230908.json.gz") as file:
        return instruments_from_exchange_info(file.read())
