"""Candles as a frame, and what must hold of them before they are kept."""

from __future__ import annotations

from datetime import UTC, datetime

import polars as pl

from quantlab.model import ConfigurationError, timeframe_ms
from quantlab.model.timeframe import DAY_MS

#: Columns of a history: open time in ms, prices in quote units, volume in base units.
SCHEMA = {
    "open_time": pl.Int64,
    "open": pl.Float64,
    "high": pl.Float64,
    "low": pl.Float64,
    "close": pl.Float64,
    "volume": pl.Float64,
}
_PRICES = ("open", "high", "low", "close")
#: Weeks begin on a Monday, and 1970-01-01 was a Thursday.
_MONDAY_MS = 4 * DAY_MS


def checked(frame: pl.DataFrame, timeframe: str, *, what: str, now_ms: int) -> pl.DataFrame:
    """`frame` with the columns of `SCHEMA`, in order of time, each candle once. Doubled rows that agree become one.

    Raises ConfigurationError naming the first candle that cannot be: a column missing, a price of zero or none at all,
    a high below its close, a negative volume, a time off the timeframe's grid or in the future, two candles of one time
    that differ. `what` names the source in that line.
    """
    length_ms = timeframe_ms(timeframe)
    missing = [name for name in SCHEMA if name not in frame.columns]
    if missing:
        raise ConfigurationError(f"{what}: has no column {', '.join(missing)}")
    columns = (pl.col(name).cast(kind, strict=False) for name, kind in SCHEMA.items())
    rows = frame.select(columns).unique().sort("open_time")
    time, lowest = pl.col("open_time"), pl.min_horizontal("open", "close")
    rules = (
        ("has a time or a value that is not a number", pl.any_horizontal(pl.all().is_null(), pl.col(_PRICES).is_nan())),
        ("has a price of zero or below", pl.any_horizontal(pl.col(_PRICES) <= 0)),
        ("is no finite number", ~pl.all_horizontal(pl.col(*_PRICES, "volume").is_finite())),
        ("has a high below, or a low above, one of its own prices",
         (pl.col("high") < pl.max_horizontal("open", "close", "low")) | (pl.col("low") > lowest)),
        ("has a volume below zero", pl.col("volume") < 0),
        (f"is not on the grid of {timeframe}", (time - grid_offset_ms(timeframe)) % length_ms != 0),
        ("is not closed yet", time + length_ms > now_ms),
        ("is there twice, with different values", time.is_duplicated()),
    )  # fmt: skip
    for why, is_wrong in rules:
        wrong = rows.filter(is_wrong)
        if wrong.height:
            raise ConfigurationError(f"{what}: the candle of {utc(wrong['open_time'][0])} {why}")
    return rows


def grid_offset_ms(timeframe: str) -> int:
    """Candles of `timeframe` open at whole multiples of its length after this."""
    return _MONDAY_MS if timeframe == "1w" else 0


def utc(time_ms: int | None) -> str:
    if time_ms is None:
        return "no time"
    try:
        return f"{datetime.fromtimestamp(time_ms / 1000, UTC):%Y-%m-%d %H:%M} UTC"
    except (OverflowError, ValueError, OSError):
        return f"{time_ms} ms"
