"""What candles there are and what they lack, to be looked at."""

from __future__ import annotations

from datetime import UTC, datetime

import polars as pl

from quantlab.report.picture import BLUE, ORANGE, VERMILLION, Picture, blank_figure, date_axis, drawn, finish


@drawn
def coverage_figure(spans: pl.DataFrame, gaps: pl.DataFrame, source: str) -> Picture:
    """One line a series, `spans` with name, from_ms, to_ms; on it the stretches of `gaps` (name, kind, from_ms, to_ms,
    candles): missing candles, and candles in which nobody traded. A stretch is drawn a hair wide at least."""
    names = list(dict.fromkeys(spans["name"]))
    figure, axes = blank_figure(height=0.24 * len(names) + 1.1)
    axis = axes[0, 0]
    least_ms = int(spans["to_ms"].max() or 0) - int(spans["from_ms"].min() or 0)  # type: ignore[arg-type]
    for name, from_ms, to_ms in spans.select("name", "from_ms", "to_ms").iter_rows():
        axis.barh(names.index(name), _wide(from_ms, to_ms), left=_at(from_ms), height=0.45, color=BLUE, alpha=0.35)
    for name, kind, from_ms, to_ms in gaps.select("name", "kind", "from_ms", "to_ms").iter_rows():
        color = VERMILLION if kind == "missing" else ORANGE
        shown_ms = max(to_ms, from_ms + least_ms // 400)
        axis.barh(names.index(name), _wide(from_ms, shown_ms), left=_at(from_ms), height=0.7, color=color)
    axis.set_yticks(range(len(names)), names)
    axis.invert_yaxis()
    axis.grid(visible=False)
    axis.set_title("Candles there are")
    date_axis(axis)
    missing, quiet = (int(gaps.filter(pl.col("kind") == kind)["candles"].sum()) for kind in ("missing", "zero volume"))
    return finish(
        figure,
        alt="Spans of candles by symbol, with missing and quiet stretches",
        source=source,
        caption=f"{len(names)} series; red: {missing:,} candles missing; orange: {quiet:,} in which nobody traded",
    )


def _at(time_ms: int) -> datetime:
    return datetime.fromtimestamp(time_ms / 1000, UTC)


def _wide(from_ms: int, to_ms: int) -> object:
    return _at(to_ms) - _at(from_ms)
