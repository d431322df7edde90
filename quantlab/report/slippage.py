"""The page about slippage: what orders would have cost on a run's recorded books, and which model tells it."""

from __future__ import annotations

import html
from collections.abc import Mapping
from datetime import UTC, datetime

import polars as pl

from quantlab.report.picture import BLUE, GREY, ORANGE, VERMILLION, Picture, blank_figure, drawn, finish
from quantlab.report.sections import Block
from quantlab.report.table import Table, number, text

_COLORS = {"impact": BLUE, "fixed": VERMILLION, "uniform": ORANGE}
_WORDS = {"impact": "square root of the size", "fixed": "fixed", "uniform": "uniform 2 to 10 bps"}
_MOST_PANELS = 6


def headline(walks: pl.DataFrame, source: str) -> Block:
    """What was looked at."""
    if walks.is_empty():
        return Block("<h1>Slippage</h1><p>The record has no whole book.</p>")
    first, last = (_utc(int(walks["time_ms"].min())), _utc(int(walks["time_ms"].max())))  # type: ignore[arg-type]
    known = 1 - walks["cost_bps"].null_count() / walks.height
    return Block(
        f"<h1>Slippage</h1><p>{html.escape(source)}, {first} to {last}: {walks.height:,} orders that were never sent, "
        f"walked through the books of {walks['symbol'].n_unique()} symbols. The levels that are known held "
        f"{known:.1%} of them whole; the others are left out.</p>"
    )


def verdict(scores: pl.DataFrame) -> Block:
    """Each model in one line: how far off it is, where it was fitted and afterwards. `scores` by nothing else."""
    lines = "".join(
        f"<li><b>{_WORDS[row['model']]}</b>: off by {row['error_afterwards']:.3f} bps on average after the part that "
        f"it was fitted on ({row['error_fitted']:.3f} there), {_side(row['bias_bps'])} by {abs(row['bias_bps']):.3f}; "
        f"nine orders in ten within {row['low_bps']:+.3f} and {row['high_bps']:+.3f}.</li>"
        for row in scores.sort("error_afterwards").iter_rows(named=True)
    )
    return Block(f"<p>Predicted less walked cost, beyond the best price:</p><ul>{lines}</ul>")


def table(scores: pl.DataFrame, *by: str, source: str) -> Table:
    """`scores` of `calibration.score`, by the same columns; what was not walked in both parts is left out. Drift is how
    much the error grew after the part that was fitted on."""
    rows = scores.drop_nulls(["error_afterwards", "error_fitted"]).with_columns(
        drift=pl.col("error_afterwards") - pl.col("error_fitted")
    )
    shown = [number(each, each, 0) if rows[each].dtype.is_numeric() else text(each, each) for each in by]
    return Table(
        rows,
        (
            text("model", "model"),
            *shown,
            number("orders", "orders", 0),
            number("walked_bps", "walked bps", 3),
            number("bias_bps", "bias bps", 3, signed=True),
            number("error_afterwards", "error bps", 3),
            number("drift", "drift bps", 3, signed=True),
            number("low_bps", "5 %", 3, signed=True),
            number("high_bps", "95 %", 3, signed=True),
        ),
        source=source,
        caption="Predicted less walked cost after the fitted part: its mean (bias), the mean of its size (error), "
        "quantiles. Drift: that error less the one within the fitted part",
    )


def hours(scores: pl.DataFrame, source: str) -> Table:
    """`scores` by hour: the walked cost and how far each model is off, in whichever part the hour lies."""
    off = pl.coalesce("error_afterwards", "error_fitted").alias("error")
    rows = scores.select("model", "hour", "orders", "walked_bps", off).pivot(
        "model", index=["hour", "orders", "walked_bps"], values="error"
    )
    return Table(
        rows.sort("hour"),
        (
            number("hour", "hour", 0),
            number("orders", "orders", 0),
            number("walked_bps", "walked bps", 3),
            *(number(model, f"{model} off by", 3) for model in _WORDS if model in rows.columns),
        ),
        source=source,
        caption="Mean cost beyond the best price, all symbols and sizes; how far each model is off on average, bps",
    )


@drawn
def figure(walks: pl.DataFrame, fixed_bps: float, impact_bps: Mapping[str, float], source: str) -> Picture:
    """Walked cost by size, with its middle nine tenths, and what each model says, for the costliest symbols."""
    costs = walks.drop_nulls("cost_bps")
    order = costs.group_by("symbol").agg(pl.col("cost_bps").mean()).sort("cost_bps", "symbol", descending=[True, False])
    symbols = order["symbol"].to_list()[:_MOST_PANELS]
    figure, axes = blank_figure(1, max(1, len(symbols)), height=3.2)
    for axis, symbol in zip(axes[0], symbols, strict=False):
        rows = (
            costs.filter(pl.col("symbol") == symbol)
            .group_by("notional")
            .agg(
                mean=pl.col("cost_bps").mean(),
                low=pl.col("cost_bps").quantile(0.05),
                high=pl.col("cost_bps").quantile(0.95),
            )
            .sort("notional")
        )
        sizes = rows["notional"].to_numpy()
        axis.fill_between(sizes, rows["low"], rows["high"], color=GREY, alpha=0.2, linewidth=0)
        axis.plot(sizes, rows["mean"], color=GREY, marker="o", markersize=4, label="walked")
        axis.plot(sizes, impact_bps.get(symbol, 0.0) * (sizes / 10_000) ** 0.5, color=_COLORS["impact"], label="root")
        axis.axhline(fixed_bps, color=_COLORS["fixed"], linewidth=1.1, linestyle=(0, (4, 3)), label="fixed")
        axis.set_xscale("log")
        axis.set_title(symbol)
        axis.set_xlabel("USDT")
    if symbols:
        axes[0, 0].set_ylabel("bps beyond the best price")
        axes[0, 0].legend(loc="upper left")
    return finish(
        figure,
        alt="Cost of market orders by size beside slippage models",
        source=source,
        caption="Mean cost of an order beyond the best price, its middle 90 %, and the two models that were fitted",
    )


def _side(bias: float) -> str:
    return "too dear" if bias > 0 else "too cheap"


def _utc(time_ms: int) -> str:
    return f"{datetime.fromtimestamp(time_ms / 1000, UTC):%Y-%m-%d %H:%M} UTC"
