"""The pages of a backtest: figures and tables that people know, each with what its fills assumed."""

from __future__ import annotations

import html
from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
import polars as pl

from quantlab.backtest import Result
from quantlab.report.figures import label_ends
from quantlab.report.picture import (
    BLUE,
    GREY,
    ORANGE,
    VERMILLION,
    Picture,
    blank_figure,
    date_axis,
    drawn,
    finish,
)
from quantlab.report.sections import Block
from quantlab.report.table import Column, Table, figure_text, number, text

#: Points of a curve that a picture of this width can show.
_POINTS = 2_000
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
#: Rows of the table of metrics: field, words, unit, decimals.
_ROWS = (
    ("return_pct", "net return", "%", 2),
    ("cagr_pct", "compound annual growth", "%", 2),
    ("buy_and_hold_pct", "buy and hold, before fees", "%", 2),
    ("volatility_pct", "volatility, annual", "%", 2),
    ("sharpe", "Sharpe ratio, annual", "", 2),
    ("sortino", "Sortino ratio, annual", "", 2),
    ("calmar", "Calmar ratio", "", 2),
    ("probabilistic_sharpe", "probability that the true Sharpe ratio is above 0", "", 3),
    ("max_drawdown_pct", "deepest drawdown", "%", 2),
    ("drawdown_days", "longest drawdown", "days", 1),
    ("trades", "round trips", "", 0),
    ("win_rate_pct", "of them won", "%", 1),
    ("profit_factor", "profit factor", "", 2),
    ("average_trade_pct", "average round trip", "%", 3),
    ("exposure_pct", "exposure, mean share of equity in the market", "%", 1),
    ("turnover", "turnover, in capitals", "", 1),
    ("fees", "fees paid", "USDT", 2),
    ("slippage", "spread and slippage paid", "USDT", 2),
    ("refused", "orders that were not filled", "", 0),
    ("halts", "times a loss limit halted it", "", 0),
)


def headline(result: Result) -> Block:
    """What was tested on what, and what came of it."""
    m = result.metrics
    names = ", ".join(f"{type(plan.strategy).__name__} on {plan.symbol}" for plan in result.plans[:4])
    more = f" and {len(result.plans) - 4} more" if len(result.plans) > 4 else ""
    words = "".join(f"<li>{html.escape(line)}</li>" for line in result.words())
    return Block(
        f"<h1>{html.escape(names)}{more}</h1><p>{html.escape(result.source)}: {result.timeframe} candles, "
        f"{_day(result.from_ms)} to {_day(result.to_ms)}. From {figure_text(result.capital, 0)} USDT "
        f"<b>{figure_text(m.return_pct, 2, signed=True)} %</b> after fees and slippage, buy and hold "
        f"{figure_text(m.buy_and_hold_pct, 2, signed=True)} %; deepest drawdown {m.max_drawdown_pct:.2f} %, "
        f"{m.trades:,} round trips.</p><p>Simulated. What its fills assume:</p><ul>{words}</ul>"
    )


def metrics_table(result: Result) -> Table:
    """The figures, one a line. Columns of its `.frame`: name, figure, unit, words; low and high, between which 90 % of
    resampled histories have it, where it was asked."""
    figures = result.metrics.as_dict()
    rows = [(name, float(figures[name]), unit, words) for name, words, unit, _ in _ROWS]
    frame = pl.DataFrame(rows, schema=["name", "figure", "unit", "words"], orient="row")
    shown = [_shown(figures[name], unit, places) for name, _, unit, places in _ROWS]
    unknown = (float("nan"), float("nan"))
    bounds = [result.intervals.get(name, unknown) for name, *_ in _ROWS]
    frame = frame.with_columns(
        low=pl.Series([low for low, _ in bounds]),
        high=pl.Series([high for _, high in bounds]),
        interval=pl.Series([_interval(*of, places) for of, (*_, places) in zip(bounds, _ROWS, strict=True)]),
    )
    period = {86_400_000: "days", 3_600_000: "hours"}.get(result.sample_ms, "candles")
    return Table(
        frame.with_columns(shown=pl.Series(shown)),
        (text("words", ""), Column("shown", ""), Column("interval", "90 % of resampled histories")),
        source=result.source,
        caption=f"ratios of the returns of {period}; the drawdown is over every close; histories resampled in blocks "
        f"of ten {period} on average, their drawdown over {period}",
    )


def trade_table(result: Result, rows: int = 20) -> Table:
    """The last `rows` round trips."""
    return Table(
        result.trades.tail(rows),
        (
            text("symbol", "symbol"),
            _time("entry", "entry"),
            _time("exit", "exit"),
            number("candles", "candles", 0),
            number("entry_price", "bought at", 4),
            number("exit_price", "sold at", 4),
            number("pnl", "result", 2, signed=True),
            number("pnl_pct", "%", 2, signed=True),
            number("mae_pct", "worst %", 2),
            number("mfe_pct", "best %", 2),
            text("reason", "sold for"),
        ),
        source=result.source,
        caption=f"the last {min(rows, result.trades.height)} of {result.trades.height:,} round trips, UTC",
    )


def fleet_table(frame: pl.DataFrame) -> Table:
    """Bots side by side, best first. `frame` has one row a bot: name, strategy, symbol, timeframe, note, and the fields
    of `Metrics` where it could be tested."""
    if "return_pct" not in frame.columns:
        columns: tuple[Column, ...] = (text("name", "bot"), text("note", "why not", wrap=True))
        return Table(frame, columns, source="no bot could be tested")
    rows = frame.sort("return_pct", descending=True, nulls_last=True)
    return Table(
        rows,
        (
            text("name", "bot"),
            text("symbol", "symbol"),
            text("timeframe", "candles"),
            number("return_pct", "net %", 2, signed=True),
            number("buy_and_hold_pct", "held %", 2, signed=True),
            number("max_drawdown_pct", "drawdown %", 2),
            number("sharpe", "Sharpe", 2, signed=True),
            number("trades", "trades", 0),
            number("win_rate_pct", "won %", 1),
            number("exposure_pct", "exposure %", 1),
            number("fees", "fees", 2),
            text("note", "", wrap=True),
        ),
        source=str(frame["source"].drop_nulls().first()),
        caption="each bot by itself, on its own capital",
    )


@drawn
def equity_figure(result: Result) -> Picture:
    """Equity beside buy-and-hold, and the drawdown below."""
    frame = result.equity.with_columns(hold=pl.Series(result.buy_and_hold)).gather_every(_every(result.equity.height))
    figure, axes = blank_figure(2, 1, height=4.8, sharex=True, gridspec_kw={"height_ratios": [3, 1]})
    top, low = axes[:, 0]
    times = frame["time"].to_numpy()
    top.axhline(result.capital, color=GREY, linewidth=1.1, linestyle=(0, (4, 3)))
    top.plot(times, frame["hold"], color=ORANGE, linewidth=1.3)
    top.plot(times, frame["equity"], color=BLUE, linewidth=1.7)
    ends = [("strategy", float(frame["equity"][-1]), BLUE), ("buy and hold", float(frame["hold"][-1]), ORANGE)]
    label_ends(top, [*ends, ("cash", result.capital, GREY)])
    top.set_title("Equity, USDT")
    low.fill_between(times, frame["drawdown_pct"], 0, color=VERMILLION, alpha=0.35, linewidth=0)
    low.plot(times, frame["drawdown_pct"], color=VERMILLION, linewidth=1)
    low.set_title("Drawdown, %")
    date_axis(low)
    return finish(
        figure,
        alt="Equity of the backtest over time beside buy-and-hold, with its drawdown",
        source=result.source,
        caption="marked at the bid at each close; buy and hold before fees",
    )


@drawn
def monthly_figure(result: Result) -> Picture:
    """A heat map of the months' returns, one row a year."""
    monthly = result.monthly
    years = sorted(monthly["month"].dt.year().unique())
    cells = np.full((len(years), 12), np.nan)
    for month, pct in zip(monthly["month"], monthly["return_pct"], strict=True):
        cells[years.index(month.year), month.month - 1] = pct
    widest = max(1e-9, float(np.nanmax(np.abs(cells))))
    figure, axes = blank_figure(height=0.55 * len(years) + 1.0)
    axis = axes[0, 0]
    axis.grid(visible=False)
    axis.imshow(cells, cmap="PuOr_r", vmin=-widest, vmax=widest, aspect="auto")
    for row, column in zip(*np.nonzero(~np.isnan(cells)), strict=True):
        pct = cells[row, column]
        axis.text(column, row, figure_text(pct, 1, signed=True), ha="center", va="center", fontsize=9,
                  color="white" if abs(pct) > 0.7 * widest else "#1f2328")  # fmt: skip
    axis.set_xticks(range(12), _MONTHS)
    axis.set_yticks(range(len(years)), [str(year) for year in years])
    axis.set_title("Return by month, %")
    return finish(figure, alt="Heat map of monthly returns", source=result.source, caption="months as far as tested")


@drawn
def trade_figure(result: Result) -> Picture:
    """How the round trips ended: their distribution, and what each had been through."""
    trades = result.trades
    figure, axes = blank_figure(1, 2, height=3.4)
    left, right = axes[0]
    left.set_title("Round trips by result, %")
    right.set_title("Worst price while held against result, %")
    if trades.height:
        results = trades["pnl_pct"].to_numpy()
        left.hist(results, bins=min(60, max(5, trades.height // 5)), color=BLUE)
        left.axvline(0, color=GREY, linewidth=1)
        few = trades.gather_every(_every(trades.height))
        won = few["pnl"].to_numpy() > 0
        for mask, color in ((won, BLUE), (~won, VERMILLION)):
            right.scatter(few["mae_pct"].to_numpy()[mask], few["pnl_pct"].to_numpy()[mask], s=9, color=color, alpha=0.6)
        right.axhline(0, color=GREY, linewidth=1)
        right.set_xlabel("worst price while held, % of the entry")
    return finish(
        figure,
        alt="Histogram of the results of round trips, and their worst excursion against their result",
        source=result.source,
        caption=f"{trades.height:,} round trips",
    )


def blocks(result: Result) -> Sequence[Block | Table | Picture]:
    """The whole page, top to bottom: the tear sheet."""
    return (
        headline(result), equity_figure(result), metrics_table(result), monthly_figure(result), trade_figure(result),
        trade_table(result),
    )  # fmt: skip


def _shown(value: float, unit: str, places: int) -> str:
    return "\N{EN DASH}" if value != value else f"{figure_text(value, places)} {unit}".strip()


def _interval(low: float, high: float, places: int) -> str:
    return "" if low != low else f"{figure_text(low, places)} to {figure_text(high, places)}"


def _time(name: str, title: str) -> Column:
    return Column(name, title, lambda value: f"{value:%Y-%m-%d %H:%M}", number=False)


def _every(rows: int) -> int:
    return max(1, -(-rows // _POINTS))


def _day(time_ms: int) -> str:
    return f"{datetime.fromtimestamp(time_ms / 1000, UTC):%Y-%m-%d %H:%M} UTC"
