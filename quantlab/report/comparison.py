"""Runs side by side, each beside its own baselines. Shared by the comparison report and `lab.compare`."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from functools import reduce

import polars as pl

from quantlab.report.data import RunData, short_source
from quantlab.report.figures import label_ends
from quantlab.report.picture import (
    BLUE,
    GREEN,
    GREY,
    INK,
    ORANGE,
    PURPLE,
    SKY,
    VERMILLION,
    Picture,
    blank_figure,
    drawn,
    finish,
)
from quantlab.report.sections import Block, banner, window
from quantlab.report.table import Table, number, text


def headline(runs: Sequence[RunData]) -> Block:
    """Which runs, on which markets, over which windows."""
    words = "".join(
        f"{banner(run)}<p><b>{html.escape(run.run_id)}</b>: {html.escape(run.row.fleet_name)}, "
        f"{html.escape(window(run))}</p>"
        for run in runs
    )
    return Block(f"<h1>{len(runs)} runs compared</h1>{words}{_warning(runs)}")


def frame(runs: Sequence[RunData]) -> pl.DataFrame:
    """One row a run, then its buy-and-hold and cash: run_id, source, from, to, capital, equity, net, pct, drawdown,
    fills, fees. Amounts in USDT."""
    rows = [row for run in runs for row in _rows(run)]
    schema = {
        "run_id": pl.String,
        "what": pl.String,
        "source": pl.String,
        "fleet": pl.String,
        "from_ms": pl.Int64,
        "to_ms": pl.Int64,
        "capital": pl.Float64,
        "final_equity": pl.Float64,
        "net_pnl": pl.Float64,
        "net_pct": pl.Float64,
        "max_drawdown_pct": pl.Float64,
        "bots_traded": pl.Int64,
        "fills": pl.Int64,
        "fees_usdt": pl.Float64,
        "fills_sha256": pl.String,
    }
    return pl.DataFrame(rows, schema=schema, orient="row")


def table(runs: Sequence[RunData]) -> Table:
    """`frame` as a table."""
    columns = (
        text("run_id", "run"),
        text("what", ""),
        text("source", "source"),
        number("capital", "capital", 0),
        number("final_equity", "equity"),
        number("net_pnl", "net", signed=True),
        number("net_pct", "%", signed=True),
        number("max_drawdown_pct", "max dd %"),
        number("bots_traded", "bots traded", 0),
        number("fills", "fills", 0),
        number("fees_usdt", "fees"),
    )
    caption = "USDT. Buy and hold: equal amounts of the run's symbols at their first ask, 0.1 % fee, marked at the bid"
    return Table(frame(runs), columns, source=_sources(runs), caption=caption)


def figure(runs: Sequence[RunData]) -> Picture:
    """Equity in percent of capital, over hours since each run began."""
    curves = {run.run_id: run.curve for run in runs}
    return overlay_figure(curves, runs[0].baselines if runs else None, source=_sources(runs))


def bot_table(runs: Sequence[RunData]) -> Table:
    """The result of each bot in each run, percent of capital, for the bots (by name) that all runs have."""
    parts = [run.by_bot.select("name", pl.col("net_pct").alias(run.run_id)) for run in runs]
    joined = reduce(lambda left, right: left.join(right, on="name", how="inner"), parts)
    columns = [number(run.run_id, f"{run.run_id} %", signed=True) for run in runs]
    if len(runs) == 2:
        first, second = runs[0].run_id, runs[1].run_id
        joined = joined.with_columns(difference=pl.col(second) - pl.col(first))
        columns.append(number("difference", "difference", signed=True))
    return Table(joined, [text("name", "bot"), *columns], source=_sources(runs), caption="Net result, % of capital")


@drawn
def overlay_figure(curves: Mapping[str, pl.DataFrame], baseline: pl.DataFrame | None, *, source: str) -> Picture:
    """Several runs' equity in percent of their capital, over hours since each began. `baseline` (time_ms,
    buy_and_hold, cash) belongs to the first."""
    figure, axes = blank_figure(height=3.8)
    axis = axes[0, 0]
    ends = []
    palette = (BLUE, VERMILLION, GREEN, PURPLE, SKY, INK)
    for place, (name, curve) in enumerate(curves.items()):
        if curve.is_empty():
            continue
        hours, pct = _since_start(curve["time_ms"]), (curve["equity"] / curve["equity"][0] - 1) * 100
        color = palette[place % len(palette)]
        axis.plot(hours, pct, color=color)
        ends.append((name, float(pct[-1]), color))
    if baseline is not None and not baseline.is_empty():
        pct = (baseline["buy_and_hold"] / baseline["cash"] - 1) * 100
        axis.plot(_since_start(baseline["time_ms"]), pct, color=ORANGE, linewidth=1.3)
        ends.append(("buy and hold", float(pct[-1]), ORANGE))
    axis.axhline(0, color=GREY, linewidth=1.1, linestyle=(0, (4, 3)))
    label_ends(axis, [*ends, ("cash", 0.0, GREY)])
    axis.set_title("Result, % of capital")
    axis.set_xlabel("hours of market time since the start")
    return finish(
        figure,
        alt="Equity of the runs compared, in percent of capital, beside buy-and-hold and cash",
        source=source,
        caption="Buy and hold: equal amounts of the first run's symbols",
    )


def _since_start(times_ms: pl.Series) -> list[float]:
    return [(ms - times_ms[0]) / 3_600_000 for ms in times_ms.to_list()]


def _rows(run: RunData) -> list[tuple[object, ...]]:
    capital = run.capital
    place = (short_source(run.source), run.row.fleet_name, run.from_ms, run.to_ms, capital)
    traded = run.by_bot.filter(pl.col("fills") > 0).height
    fees = float(run.by_bot["fees_usdt"].sum())
    sha = str(run.summary.get("fills_sha256", ""))
    rows: list[tuple[object, ...]] = [
        (run.run_id, "fleet", *place, *_result(run.curve["equity"], capital), traded, run.fills.height, fees, sha)
    ]
    for what, column in (("buy and hold", "buy_and_hold"), ("cash", "cash")):
        rows.append((run.run_id, what, *place, *_result(run.baselines[column], capital), None, None, None, ""))
    return rows


def _result(equity: pl.Series, capital: float) -> tuple[float, float, float, float]:
    """Final equity, net, percent, largest drawdown in percent."""
    if equity.is_empty():
        return capital, 0.0, 0.0, 0.0
    last = float(equity[-1])
    fall = float((1 - equity / equity.cum_max()).max() or 0.0) * 100  # type: ignore[arg-type]
    return last, last - capital, (last / capital - 1) * 100 if capital else 0.0, fall


def _sources(runs: Sequence[RunData]) -> str:
    return " | ".join(dict.fromkeys(run.label for run in runs))


def _warning(runs: Sequence[RunData]) -> str:
    """Results over other windows or markets are no contest: say so."""
    reasons = []
    if len({run.label for run in runs}) > 1:
        reasons.append("markets")
    if len({(run.from_ms, run.to_ms) for run in runs}) > 1:
        reasons.append("windows")
    if not reasons:
        return ""
    return (
        f'<p class="ql-statement ql-open">These runs saw different {" and ".join(reasons)}: compare each with its own '
        "baselines, not with the other.</p>"
    )
