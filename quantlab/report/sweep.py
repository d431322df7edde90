"""The pages of a search and of its validation: all that was tried, and whether the best of it means anything."""

from __future__ import annotations

import html

import numpy as np
import polars as pl

from quantlab.backtest.monte_carlo import QUANTILES, TradeDraws
from quantlab.backtest.search import Swept
from quantlab.backtest.stability import most_stable, neighbourhood, places_of
from quantlab.backtest.validation import Validation
from quantlab.backtest.walk_forward import WalkForward
from quantlab.model import ConfigurationError
from quantlab.report.figures import label_ends
from quantlab.report.picture import BLUE, GREY, INK, ORANGE, VERMILLION, Picture, blank_figure, date_axis, drawn, finish
from quantlab.report.sections import Block
from quantlab.report.table import Column, Table, figure_text, number, text

_SCORES = {
    "sharpe": "Sharpe ratio, annual",
    "sortino": "Sortino ratio, annual",
    "calmar": "Calmar ratio",
    "return_pct": "net return, %",
    "profit_factor": "profit factor",
}
#: Ticks that an axis of a map has room for.
_TICKS = 12


def headline(swept: Swept) -> Block:
    """What was tried, the best of it, and how much of that is explained by having tried so much."""
    best, m = swept.parameters[swept.best], swept.trials[swept.best].metrics
    stable = most_stable(swept)
    plateau = (
        "The best stands on the best plateau."
        if stable == swept.best
        else f"The best plateau is around {_given(swept.parameters[stable])}."
    )
    skipped = f" {len(swept.skipped):,} more cannot be: {swept.skipped[0][1]}." if swept.skipped else ""
    return Block(
        f"<h1>{html.escape(swept.strategy)} on {', '.join(swept.symbols)}: {len(swept.trials):,} combinations</h1>"
        f"<p>{html.escape(swept.source)}: {swept.stage.timeframe} candles, {m.days:.0f} days; {_searched(swept)}."
        f"{html.escape(skipped)}</p>"
        f"<p>Best by {_SCORES[swept.score]}: <b>{html.escape(_given(best))}</b>, "
        f"{figure_text(m.return_pct, 2, signed=True)} % after fees and slippage, Sharpe ratio "
        f"{figure_text(m.sharpe, 2)}, deepest drawdown {m.max_drawdown_pct:.2f} %, {m.trades:,} round trips. "
        f"{html.escape(plateau)} The best of so many has a good figure by luck alone: that its true Sharpe ratio is "
        f"above zero has a probability of <b>{figure_text(swept.deflated_sharpe, 3)}</b> (deflated Sharpe ratio), "
        f"{figure_text(m.probabilistic_sharpe, 3)} had it been the only one.</p>"
        f"<p>Simulated. What its fills assume: {html.escape('; '.join(swept.conventions.words()))}.</p>"
    )


def combinations_table(swept: Swept, rows: int = 20) -> Table:
    """The best `rows` combinations; `neighbours` is the mean score one step around."""
    names = list(swept.space.values)
    frame = swept.frame.with_columns(score=pl.Series(swept.scores), neighbours=pl.Series(neighbourhood(swept)))
    shown = frame.sort("score", descending=True).head(rows)
    return Table(
        shown,
        (
            *(Column(name, name, lambda value: f"{value:g}" if isinstance(value, float) else str(value))
              for name in names),
            number("return_pct", "net %", 2, signed=True),
            number("sharpe", "Sharpe", 2, signed=True),
            Column("neighbours", "neighbours", lambda value: _or_dash(value, 2)),
            number("max_drawdown_pct", "drawdown %", 2),
            number("trades", "trades", 0),
            number("exposure_pct", "exposure %", 1),
            number("turnover", "turnover", 1),
            number("fees", "fees", 2),
        ),
        source=swept.source,
        caption=f"the best {shown.height} of {frame.height:,} combinations by {_SCORES[swept.score]}; neighbours: its "
        "mean one step around",
    )  # fmt: skip


@drawn
def map_figure(swept: Swept, across: str | None = None, up: str | None = None) -> Picture:
    """The score over two parameters, and the mean over each place's neighbours; of what else was searched, the median.
    With one parameter, a line."""
    names = swept.space.searched or tuple(swept.space.values)
    across, up = across or names[0], up or (names[1] if len(names) > 1 else None)
    for name in (across, up):
        if name is not None and name not in swept.space.values:
            raise ConfigurationError(f"{name} was not searched; there are {', '.join(swept.space.values)}")
    scores = np.where(np.isfinite(swept.scores), swept.scores, np.nan)
    places, title = places_of(swept), _SCORES[swept.score]
    columns = places[:, list(swept.space.values).index(across)]
    stable = most_stable(swept)
    marks = ((swept.best, "o", "best"), (stable, "s", "best plateau"))
    if up is None:
        figure, axes = blank_figure(height=3.2)
        axis, values = axes[0, 0], np.array(swept.space.values[across])
        order = np.argsort(columns)
        axis.plot(values[columns[order]], scores[order], color=BLUE, marker="o", markersize=3)
        axis.axhline(0, color=GREY, linewidth=1)
        axis.set_xlabel(across)
        axis.set_title(title)
    else:
        rows = places[:, list(swept.space.values).index(up)]
        shape = (len(swept.space.values[up]), len(swept.space.values[across]))
        figure, axes = blank_figure(1, 2, height=3.9)
        maps = [_medians(each, rows, columns, shape) for each in (scores, neighbourhood(swept))]
        widest = max((float(np.nanmax(np.abs(each))) for each in maps if np.isfinite(each).any()), default=1.0) or 1.0
        for axis, cells, words in zip(axes[0], maps, (title, "Mean of the neighbours"), strict=True):
            axis.grid(visible=False)
            image = axis.imshow(cells, cmap="PuOr_r", vmin=-widest, vmax=widest, aspect="auto", origin="lower")
            for number_, marker, _ in marks:
                axis.scatter(columns[number_], rows[number_], marker=marker, s=60, facecolors="none", edgecolors=INK,
                             linewidths=1.4)  # fmt: skip
            _ticks(axis.set_xticks, swept.space.values[across])
            _ticks(axis.set_yticks, swept.space.values[up])
            axis.set_xlabel(across)
            axis.set_title(words)
        axes[0, 0].set_ylabel(up)
        figure.colorbar(image, ax=list(axes[0]), shrink=0.85, aspect=30)
    return finish(
        figure,
        alt=f"{title} over the parameters searched",
        source=swept.source,
        caption="○ the best, □ the best plateau; white: no score. Orange gains, purple loses"
        if up
        else "each combination",
    )


def verdict(validation: Validation) -> Block:
    """Whether the best holds up, in a sentence."""
    swept = validation.swept
    word = "holds up" if validation.passed else "does not hold up"
    why = "; ".join(each.question.partition(":")[0] for each in validation.checks if not each.passed)
    reason = (
        "All four questions were answered yes: luck alone is no likely explanation. It may still lose tomorrow."
        if validation.passed
        else f"It fails at: {why}."
    )
    return Block(
        f"<p><b>The best of {len(swept.trials):,} combinations of {html.escape(swept.strategy)} on "
        f"{', '.join(swept.symbols)} {word}.</b> {html.escape(reason)}</p>"
    )


def checks_table(validation: Validation) -> Table:
    """The four questions. Columns of its `.frame`: question, found, bound, passed, why."""
    rows = [(each.question, each.found, each.bound, each.passed, each.why) for each in validation.checks]
    frame = pl.DataFrame(rows, schema=["question", "found", "bound", "passed", "why"], orient="row")
    pbo = validation.overfitting
    told = f"; probability of overfitting {pbo.probability:.2f} (one half: choosing was worth nothing)" if pbo else ""
    return Table(
        frame,
        (
            text("question", "question", wrap=True),
            Column("found", "found", lambda value: _or_dash(value, 3)),
            text("bound", "bound"),
            Column("passed", "", lambda value: "yes" if value else "no", number=False),
            text("why", "", wrap=True),
        ),
        source=validation.swept.source,
        caption=f"the best of {len(validation.swept.trials):,} combinations{told}",
    )


@drawn
def overfitting_figure(validation: Validation) -> Picture:
    """The Sharpe ratio of each choice where it was made against where it was held out; and those of the paths."""
    found, paths = validation.overfitting, validation.paths
    figure, axes = blank_figure(1, 2, height=3.4)
    left, right = axes[0]
    left.set_title("Sharpe ratio: chosen on, and held out")
    right.set_title("Sharpe ratio of paths of held-out groups")
    if found is not None:
        few = np.linspace(0, len(found.logits) - 1, min(2_000, len(found.logits))).astype(int)
        inside, outside = found.chosen_sharpe[few], found.held_out_sharpe[few]
        won = outside > 0
        for mask, color in ((won, BLUE), (~won, VERMILLION)):
            left.scatter(inside[mask], outside[mask], s=8, color=color, alpha=0.45, linewidths=0)
        left.axline((0, 0), slope=1, color=GREY, linewidth=1, linestyle=(0, (4, 3)))
        left.axhline(0, color=GREY, linewidth=1)
        left.set_xlabel("in the half that chose")
        left.set_ylabel("in the other half")
    if paths is not None:
        order = np.sort(paths.sharpe)
        right.barh(np.arange(len(order)), order, color=[BLUE if each > 0 else VERMILLION for each in order])
        right.axvline(0, color=GREY, linewidth=1)
        right.set_yticks([])
        right.grid(visible=False)
    told = f"{len(found.logits):,} halves, probability of overfitting {found.probability:.2f}" if found else "too few"
    return finish(
        figure,
        alt="Sharpe ratios where a combination was chosen and where it was held out, and of held-out paths",
        source=validation.swept.source,
        caption=f"{told}; on the dashed line a choice does as well as where it was made",
    )


@drawn
def walk_figure(walked: WalkForward) -> Picture:
    """Equity of the choices beside buy-and-hold, and the parameters that were chosen."""
    result, frame = walked.result, walked.frame
    names = walked.swept.space.searched[:3]
    figure, axes = blank_figure(
        1 + len(names), 1, height=3.0 + 1.0 * len(names), sharex=True,
        gridspec_kw={"height_ratios": [3, *(1 for _ in names)]},
    )  # fmt: skip
    top = axes[0, 0]
    every = max(1, result.equity.height // 2_000)
    shown = result.equity.with_columns(hold=pl.Series(result.buy_and_hold)).gather_every(every)
    times = shown["time"].to_numpy()
    top.plot(times, shown["hold"], color=ORANGE, linewidth=1.3)
    top.plot(times, shown["equity"], color=BLUE, linewidth=1.7)
    label_ends(
        top,
        [
            ("choices", float(shown["equity"][-1]), BLUE),
            ("buy and hold", float(shown["hold"][-1]), ORANGE),
        ],
    )
    for since in frame["test_from"]:
        top.axvline(since, color=GREY, linewidth=0.4, alpha=0.5)
    top.set_title("Equity out of sample, USDT")
    edges = [*frame["test_from"].to_list(), frame["test_to"][-1]]
    for axis, name in zip(axes[1:, 0], names, strict=True):
        chosen = [np.nan if value is None else float(value) for value in frame[name]]
        axis.step(edges, [*chosen, chosen[-1]], where="post", color=BLUE)
        axis.set_title(f"{name} chosen")
    date_axis(axes[-1, 0])
    how = "all candles before" if walked.anchored else f"{walked.folds[0].train_to - walked.folds[0].train_from:,}"
    return finish(
        figure,
        alt="Equity of walk-forward choices out of sample, and the parameters chosen for each window",
        source=walked.swept.source,
        caption=f"{len(walked.folds)} windows, each chosen on {how} candles; efficiency "
        f"{_or_dash(walked.efficiency, 2)}: Sharpe ratio in tests over that in training",
    )


def walk_table(walked: WalkForward, rows: int = 20) -> Table:
    """The last `rows` windows: what was chosen for each, and what came of it."""
    frame = walked.frame
    return Table(
        frame.tail(rows),
        (
            Column("test_from", "from", lambda value: f"{value:%Y-%m-%d %H:%M}", number=False),
            Column("test_to", "to", lambda value: f"{value:%Y-%m-%d %H:%M}", number=False),
            *(Column(name, name, lambda value: "\N{EN DASH}" if value is None else str(value))
              for name in walked.swept.space.values),
            Column("train_score", "in training", lambda value: _or_dash(value, 2)),
            Column("test_sharpe", "Sharpe after", lambda value: _or_dash(value, 2)),
            number("test_return_pct", "net % after", 2, signed=True),
        ),
        source=walked.swept.source,
        caption=f"the last {min(rows, frame.height)} of {frame.height:,} windows, UTC; "
        f"in training: {_SCORES[walked.choice]}; a dash: nothing had gained, nothing was traded",
    )  # fmt: skip


@drawn
def draws_figure(draws: TradeDraws, source: str) -> Picture:
    """Wealth over the round trips of drawn histories, and their deepest drawdowns."""
    figure, axes = blank_figure(1, 2, height=3.4)
    left, right = axes[0]
    for low, high, alpha in ((0, 4, 0.15), (1, 3, 0.3)):
        left.fill_between(draws.trips, draws.fan[low], draws.fan[high], color=BLUE, alpha=alpha, linewidth=0)
    left.plot(draws.trips, draws.fan[2], color=BLUE)
    left.axhline(1, color=GREY, linewidth=1, linestyle=(0, (4, 3)))
    left.set_title("Wealth over round trips drawn anew")
    left.set_xlabel("round trips")
    right.hist(draws.drawdowns * 100, bins=40, color=VERMILLION, alpha=0.5)
    right.hist(draws.shuffled_drawdowns * 100, bins=40, color=GREY, alpha=0.6)
    right.set_title("Deepest drawdown, %")
    low, high = np.quantile(draws.returns, (QUANTILES[0], QUANTILES[-1])) * 100
    return finish(
        figure,
        alt="Fan of wealth over drawn round trips, and histogram of drawdowns",
        source=source,
        caption=f"{len(draws.returns):,} draws: 5 to 95 % end between {figure_text(low, 1, signed=True)} and "
        f"{figure_text(high, 1, signed=True)} %, {draws.loss_probability:.0%} lose. Drawdowns: red drawn anew, grey "
        "the same round trips in another order",
    )


def _medians(values: np.ndarray, rows: np.ndarray, columns: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    cells = np.full(shape, np.nan)
    frame = pl.DataFrame({"row": rows, "column": columns, "value": values}).drop_nans()
    for row, column, value in frame.group_by("row", "column").agg(pl.col("value").median()).iter_rows():
        cells[row, column] = value
    return cells


def _ticks(set_ticks: object, values: tuple[object, ...]) -> None:
    every = max(1, -(-len(values) // _TICKS))
    places = list(range(0, len(values), every))
    words = [f"{values[at]:g}" if isinstance(values[at], float) else str(values[at]) for at in places]
    set_ticks(places, words)  # type: ignore[operator]


def _searched(swept: Swept) -> str:
    of = f"of {len(swept.space):,}"
    return {
        "grid": "all that the grid has",
        "random": f"drawn at random, {of}, seed {swept.seed}",
        "optuna": f"picked by Optuna, {of}, seed {swept.seed}",
    }[swept.search]


def _given(parameters: dict[str, object]) -> str:
    return ", ".join(f"{name} {value}" for name, value in parameters.items())


def _or_dash(value: float, places: int) -> str:
    return "\N{EN DASH}" if value != value else figure_text(value, places)
