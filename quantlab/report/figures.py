"""The pictures of a run. Each takes a `RunData`, names its source, and stays readable with any colour vision."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

import polars as pl

from quantlab.report.data import RunData
from quantlab.report.picture import (
    BLUE,
    GREY,
    INK,
    ORANGE,
    PURPLE,
    SKY,
    VERMILLION,
    Picture,
    blank_figure,
    date_axis,
    drawn,
    finish,
)
from quantlab.report.tables import FLEET, equity_frame, slippage_table, spread_table
from quantlab.report.traffic import weight_curve


@drawn
def equity_figure(run: RunData) -> Picture:
    """The fleet's equity beside buy-and-hold and cash, and its drawdown below."""
    fleet = equity_frame(run.equity)
    figure, axes = blank_figure(2, 1, height=4.8, sharex=True, gridspec_kw={"height_ratios": [3, 1]})
    top, low = axes[:, 0]
    times = moments(fleet["time_ms"])
    lines = [("fleet", times, fleet["equity"], BLUE, 1.9, "-")]
    base = run.baselines
    if not base.is_empty():
        lines.append(("buy and hold", moments(base["time_ms"]), base["buy_and_hold"], ORANGE, 1.4, "-"))
    top.axhline(run.capital, color=GREY, linewidth=1.1, linestyle=(0, (4, 3)))
    for _, x, y, color, width, style in lines:
        top.plot(x, y, color=color, linewidth=width, linestyle=style)
    ends = [(name, float(y[-1]), color) for name, _, y, color, _, _ in lines if len(y)]
    label_ends(top, [*ends, ("cash", run.capital, GREY)])
    top.set_title(f"Equity of {run.bots.height} bots, USDT")
    top.yaxis.set_major_formatter(_thousands())
    if not fleet.is_empty():
        low.fill_between(times, fleet["drawdown_pct"], 0, color=VERMILLION, alpha=0.35, linewidth=0)
        low.plot(times, fleet["drawdown_pct"], color=VERMILLION, linewidth=1)
    low.set_title("Drawdown of the fleet, %")
    date_axis(low)
    return finish(
        figure,
        alt="Equity of the fleet over time beside buy-and-hold and cash, with its drawdown",
        source=run.label,
        caption="Marked at the bid each minute. Buy and hold: equal amounts of the run's symbols at their first ask, "
        "0.1 % fee",
    )


@drawn
def strategy_figure(run: RunData) -> Picture:
    """Small multiples: every bot's result by strategy, percent of its capital, on one scale."""
    names = run.by_strategy["strategy"].sort().to_list()
    columns = min(3, max(1, len(names)))
    rows = math.ceil(len(names) / columns)
    figure, axes = blank_figure(rows, columns, height=1.75 * rows + 0.4, sharex=True, sharey=True)
    result = run.equity.filter(pl.col("bot") != FLEET).join(
        run.bots.select(pl.col("bot").cast(run.equity.schema["bot"]), "strategy", pl.col("capital").cast(pl.Float64)),
        on="bot",
    )
    result = result.with_columns(pct=(pl.col("equity") / pl.col("capital") - 1) * 100)
    for name, axis in zip(names, axes.flat, strict=False):
        mine = result.filter(pl.col("strategy") == name).sort("time_ms")
        for _, bot in mine.group_by("bot", maintain_order=True):
            axis.plot(moments(bot["time_ms"]), bot["pct"], color=SKY, linewidth=0.7, alpha=0.9)
        mean = mine.group_by("time_ms", maintain_order=True).agg(pl.col("pct").mean())
        axis.plot(moments(mean["time_ms"]), mean["pct"], color=BLUE, linewidth=1.8)
        axis.axhline(0, color=GREY, linewidth=0.8)
        axis.set_title(name.replace("_", " "), fontsize=9.5)
        if not mean.is_empty():
            last = mean["pct"][-1]
            axis.text(0.985, 0.94, _signed(last, "%"), transform=axis.transAxes, ha="right", va="top", fontsize=9,
                      color=BLUE if last >= 0 else VERMILLION, fontweight="bold")  # fmt: skip
        date_axis(axis)
    for axis in list(axes.flat)[len(names) :]:
        axis.set_visible(False)
    return finish(
        figure,
        alt="Result of each strategy's bots over time, in percent of capital",
        source=run.label,
        caption="Thin: each bot. Bold: their mean, with its last value. Percent of capital, one scale",
    )


@drawn
def trades_figure(run: RunData, *, bots: int = 4) -> Picture:
    """Purchases and sales on the price, for the bots that traded most (no symbol and no strategy twice)."""
    chosen = _busiest(run, bots)
    rows = max(1, math.ceil(len(chosen) / 2))
    figure, axes = blank_figure(rows, 2 if len(chosen) > 1 else 1, height=2.5 * rows + 0.2)
    for row, axis in zip(chosen, axes.flat, strict=False):
        marks = run.marks.filter(pl.col("symbol") == row["symbol"]).sort("time_ms")
        axis.plot(moments(marks["time_ms"]), (marks["bid"] + marks["ask"]) / 2, color=GREY, linewidth=1)
        fills = run.fills.filter(pl.col("bot") == row["bot"])
        for side, sign, color, words in (("BUY", "^", BLUE, "bought"), ("SELL", "v", VERMILLION, "sold")):
            mine = fills.filter(pl.col("side") == side)
            axis.scatter(moments(mine["time_ms"]), mine["price"], marker=sign, s=26, color=color, linewidths=0.5,
                         edgecolors="white", zorder=3, label=f"{words} ({mine.height})")  # fmt: skip
        axis.set_title(f"{row['name']} · {row['symbol']} {row['timeframe']} · {_signed(row['net_pct'], '%')}")
        axis.yaxis.set_major_formatter(_thousands())
        axis.legend(loc="best", handletextpad=0.1, borderpad=0.1)
        date_axis(axis)
    for axis in list(axes.flat)[len(chosen) :]:
        axis.set_visible(False)
    if not chosen:
        axes[0, 0].text(0.5, 0.5, "no bot traded in this window", ha="center", color=GREY)
        axes[0, 0].set_axis_off()
    return finish(
        figure,
        alt="Purchases and sales on the price for the busiest bots",
        source=run.label,
        caption="Line: middle of the touch at each minute. Triangles: fills at their own price",
    )


@drawn
def costs_figure(run: RunData) -> Picture:
    """What the market quoted, and what the bots paid against the middle: half-spread, latency and depth."""
    spreads, paid = spread_table(run.marks), slippage_table(run.slippage)
    height = 0.26 * max(spreads.height, paid.height, 4) + 1.2
    figure, axes = blank_figure(1, 2, height=height, gridspec_kw={"width_ratios": [1, 1.35]})
    left, right = axes[0]
    for axis in (left, right):
        axis.grid(visible=True, axis="x")
        axis.grid(visible=False, axis="y")
    y = list(range(spreads.height))
    left.hlines(y, spreads["p10_bps"], spreads["p90_bps"], color=SKY, linewidth=4)
    left.scatter(spreads["median_bps"], y, color=BLUE, s=22, zorder=3)
    left.set_yticks(y, spreads["symbol"].to_list())
    left.invert_yaxis()
    left.set_xlim(left=0)
    left.set_title("Quoted spread by symbol, bps")
    parts = (
        ("half_spread_bps", "half-spread", BLUE),
        ("latency_bps", "latency", ORANGE),
        ("depth_bps", "depth", PURPLE),
    )
    rows = list(range(paid.height))
    above, below = [0.0] * paid.height, [0.0] * paid.height
    for name, words, color in parts:
        values = paid[name].fill_null(0.0).to_list()
        starts = [a if v >= 0 else b for v, a, b in zip(values, above, below, strict=True)]
        right.barh(rows, values, left=starts, height=0.62, color=color, label=words)
        above = [a + max(v, 0.0) for v, a in zip(values, above, strict=True)]
        below = [b + min(v, 0.0) for v, b in zip(values, below, strict=True)]
    right.scatter(paid["cost_bps"], rows, color=INK, s=18, zorder=4, label="sum, with resting orders")
    right.axvline(0, color=GREY, linewidth=0.8)
    right.set_yticks(rows, [name.replace("_", " ") for name in paid["strategy"].to_list()])
    right.invert_yaxis()
    right.set_title("Paid against the middle by strategy, bps of notional")
    figure.legend(*right.get_legend_handles_labels(), loc="outside lower right", ncols=4, handlelength=1.2)
    return finish(
        figure,
        alt="Quoted spread by symbol, and slippage paid by strategy split into half-spread, latency and depth",
        source=run.label,
        caption="Left: median and 10th to 90th percentile of the minute marks. Right: middle at the decision to the "
        "price filled; below zero was earned",
    )


@drawn
def budget_figure(run: RunData) -> Picture:
    """Request weight in the last 60 s, over the wall time of the run, against the run's own budget."""
    curve, limit = weight_curve(run.egress), run.weight_limit
    peak = max(curve["weight_60s"].to_list(), default=0)
    budget = "the budget, which is not known" if limit is None else f"the budget of {limit:,}"
    figure, axes = blank_figure(height=2.1)
    axis = axes[0, 0]
    if limit is not None:
        axis.axhline(limit, color=VERMILLION, linewidth=1.1, linestyle=(0, (4, 3)))
    if not curve.is_empty():
        first = curve["wall_ms"][0]
        seconds = [(ms - first) / 1000 for ms in curve["wall_ms"].to_list()]
        axis.step([*seconds, seconds[-1] + 1], [*curve["weight_60s"].to_list(), curve["weight_60s"][-1]], where="post",
                  color=BLUE)  # fmt: skip
        words = f"peak {peak:,}" + ("" if limit is None else f" of {limit:,}")
        axis.text(0.995, 0.5, words, transform=axis.transAxes, ha="right", color=BLUE)
    axis.set_ylim(0, max(limit or 1, peak) * 1.12)
    axis.yaxis.set_major_formatter(_thousands())
    axis.set_title("Request weight in any 60 s")
    axis.set_xlabel("seconds of wall time since the first request")
    return finish(
        figure,
        alt=f"Request weight over the last 60 seconds against {budget}",
        source=run.label,
        caption=f"Dashed: {budget}. From the egress log",
    )


@drawn
def events_figure(run: RunData) -> Picture:
    """What happened when: commands, halts, stale marks and reconnects on one time axis."""
    events = run.notable_events
    kinds = events["kind"].unique(maintain_order=True).to_list()[:12]
    figure, axes = blank_figure(height=0.28 * max(len(kinds), 1) + 0.75)
    axis = axes[0, 0]
    for level, kind in enumerate(kinds):
        mine = events.filter(pl.col("kind") == kind)
        axis.scatter(moments(mine["time_ms"]), [level] * mine.height, marker="|", s=90, color=_event_color(kind))
    axis.set_yticks(range(len(kinds)), kinds)
    axis.set_ylim(len(kinds) - 0.4, -0.6)
    if run.from_ms and run.to_ms and run.to_ms > run.from_ms:
        axis.set_xlim(_time(run.from_ms), _time(run.to_ms))
    date_axis(axis)
    return finish(figure, alt="Events of the run over time", source=run.label, caption="Engine time, UTC")


def _busiest(run: RunData, count: int) -> list[dict[str, Any]]:
    """The bots with most fills; no symbol and no strategy twice while others remain."""
    rows = run.by_bot.filter(pl.col("fills") > 0).sort("fills", "bot", descending=[True, False]).to_dicts()
    seen: set[str] = set()
    first: list[dict[str, Any]] = []
    rest: list[dict[str, Any]] = []
    for row in rows:
        (rest if seen & {row["symbol"], row["strategy"]} else first).append(row)
        if row is first[-1]:
            seen |= {row["symbol"], row["strategy"]}
    return (first + rest)[:count]


def label_ends(axis: Any, ends: list[tuple[str, float, str]]) -> None:
    """Name each line at its right end, pushed apart so that no two names overlap."""
    low, high = axis.get_ylim()
    gap = (high - low) * 0.075
    placed: list[float] = []
    for name, value, color in sorted(ends, key=lambda end: end[1]):
        at = max(value, placed[-1] + gap) if placed else value
        placed.append(at)
        axis.annotate(
            name,
            xy=(1.0, at),
            xycoords=("axes fraction", "data"),
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
            color=color,
            fontsize=9,
            annotation_clip=False,
        )
    axis.set_ylim(low, high)


def _event_color(kind: str) -> str:
    return VERMILLION if kind in RunData.ALARMS or "HALTED" in kind or "kill" in kind else BLUE


def _time(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)


def moments(ms: pl.Series) -> Any:
    return ms.cast(pl.Int64).cast(pl.Datetime("ms")).to_numpy()


def _thousands() -> Any:
    from matplotlib.ticker import FuncFormatter

    return FuncFormatter(lambda value, _: f"{value:,.10g}")


def _signed(value: float, unit: str = "") -> str:
    return f"{value:+.2f} {unit}".strip().replace("-", "\N{MINUS SIGN}") if value == value else ""


__all__ = [
    "budget_figure",
    "costs_figure",
    "equity_figure",
    "events_figure",
    "strategy_figure",
    "trades_figure",
]
