"""Frames as people read them: times as dates in UTC, and the source in the last column."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import polars as pl

from quantlab.model import Source
from quantlab.report import RunData, short_source

_STATUS = {
    "bot": pl.Int64,
    "name": pl.String,
    "strategy": pl.String,
    "symbol": pl.String,
    "timeframe": pl.String,
    "state": pl.String,
    "position": pl.Float64,
    "equity": pl.Float64,
    "pnl": pl.Float64,
    "drawdown_pct": pl.Float64,
    "fills": pl.Int64,
    "last_fill_ms": pl.Int64,
    "note": pl.String,
}


def readable(frame: pl.DataFrame, source: Source) -> pl.DataFrame:
    """`frame` with its moments as dates, and its source in the last column."""
    return dated(frame).with_columns(source=pl.lit(short_source(source)))


def dated(frame: pl.DataFrame) -> pl.DataFrame:
    """Every `<name>_ms` that is a moment becomes `<name>` as a UTC date."""
    moments = [name for name in frame.columns if name.endswith("_ms")]
    dates = [pl.from_epoch(pl.col(name), "ms").dt.replace_time_zone("UTC").alias(name) for name in moments]
    return frame.with_columns(dates).rename({name: name.removesuffix("_ms") for name in moments})


def live_status(status: dict[str, Any]) -> pl.DataFrame:
    """The engine's answer to "status" as one row a bot."""
    rows = [{name: bot[name] for name in _STATUS} for bot in status["bots"]]
    return readable(pl.DataFrame(rows, schema=_STATUS, orient="row"), msgspec.convert(status["source"], Source))


def past_status(run: RunData) -> pl.DataFrame:
    """The same table for a run whose engine has ended, from the ledger."""
    held = {bot: float(sums.held) for bot, sums in run.books.items()}
    last = dict(run.fills.group_by("bot").agg(pl.col("time_ms").max()).iter_rows())
    rows = [
        (
            row["bot"],
            row["name"],
            row["strategy"],
            row["symbol"],
            row["timeframe"],
            str(run.row.state),
            held.get(row["bot"], 0.0),
            row["final_equity"],
            row["net_pnl"],
            row["max_drawdown_pct"],
            row["fills"],
            last.get(row["bot"]),
            row["note"],
        )
        for row in run.by_bot.iter_rows(named=True)
    ]
    return readable(pl.DataFrame(rows, schema=_STATUS, orient="row"), run.source)


def runs_frame(home: Path) -> pl.DataFrame:
    """All runs of the ledger, newest first."""
    from quantlab.ledger import Ledger

    with Ledger.open(home, create=False) as ledger:
        return dated(ledger.runs())
