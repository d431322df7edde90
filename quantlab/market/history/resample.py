"""Longer candles out of shorter ones. Never done behind anybody's back: who wants it calls it."""

from __future__ import annotations

import polars as pl

from quantlab.market.history.frame import SCHEMA, grid_offset_ms
from quantlab.model import ConfigurationError, timeframe_ms


def resample(frame: pl.DataFrame, timeframe: str, longer: str) -> pl.DataFrame:
    """The candles of `longer` that those of `timeframe` make. One of which a part is missing is left out: its high, low
    or volume might have been another. Raises ConfigurationError where one does not divide the other."""
    short_ms, long_ms = timeframe_ms(timeframe), timeframe_ms(longer)
    if long_ms <= short_ms or long_ms % short_ms:
        raise ConfigurationError(f"{longer} candles cannot be made of {timeframe} ones")
    offset = grid_offset_ms(longer)
    opens = (pl.col("open_time") - offset) // long_ms * long_ms + offset
    return (
        frame.group_by(opens.alias("open_time"), maintain_order=True)
        .agg(
            pl.col("open").first(),
            pl.col("high").max(),
            pl.col("low").min(),
            pl.col("close").last(),
            pl.col("volume").sum(),
            parts=pl.len(),
        )
        .filter(pl.col("parts") == long_ms // short_ms)
        .select(list(SCHEMA))
    )


def disagreements(shorter: pl.DataFrame, longer: pl.DataFrame, *, tolerance: float = 1e-9) -> pl.DataFrame:
    """The candles of `longer` (as kept) that differ from those made of shorter ones (`shorter`, as `resample` gives
    them): open_time, then each price and the volume twice, the second time as `_made`."""
    both = longer.join(shorter, on="open_time", suffix="_made")
    names = [name for name in SCHEMA if name != "open_time"]
    differs = pl.any_horizontal(
        (pl.col(name) - pl.col(f"{name}_made")).abs() > tolerance * pl.col(name).abs() for name in names
    )
    return both.filter(differs).sort("open_time")
