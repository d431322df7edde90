"""What a history lacks: candles that are missing, and candles in which nothing was traded. They are told apart, for an
outage shows as either, or as one after the other. (On 2021-04-25 Binance spot lacks 284 minutes; on 2023-03-24 it has
72 candles without volume, then lacks 80.)
"""

from __future__ import annotations

import polars as pl

from quantlab.model import timeframe_ms

MISSING, QUIET = "missing", "zero volume"
#: Fewer candles without volume than this in a row are ordinary on thin symbols.
LEAST_QUIET = 5


def gaps(frame: pl.DataFrame, timeframe: str, *, least_quiet: int = LEAST_QUIET) -> pl.DataFrame:
    """One row a gap, in order of time: kind ("missing" or "zero volume"), from_ms and to_ms (open times of its first
    and last candle), candles. `frame` is in order of time."""
    length_ms = timeframe_ms(timeframe)
    time = pl.col("open_time")
    holes = (
        frame.select(time, after=time.shift(-1))
        .filter(pl.col("after") - time > length_ms)
        .select(
            kind=pl.lit(MISSING),
            from_ms=time + length_ms,
            to_ms=pl.col("after") - length_ms,
            candles=(pl.col("after") - time) // length_ms - 1,
        )
    )
    quiet = (
        frame.select(time, quiet=pl.col("volume") == 0)
        .with_columns(stretch=pl.col("quiet").rle_id())
        .filter("quiet")
        .group_by("stretch", maintain_order=True)
        .agg(from_ms=time.first(), to_ms=time.last(), candles=pl.len().cast(pl.Int64))
        .filter(pl.col("candles") >= least_quiet)
        .select(pl.lit(QUIET).alias("kind"), "from_ms", "to_ms", "candles")
    )
    return pl.concat([holes, quiet]).sort("from_ms")
