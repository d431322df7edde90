"""What a run's result may be, if its fills were better or worse than was assumed: the two fleets beside it.

They traded the same signals: the optimist with nobody before it in a queue, the least latency and a discount on fees,
the pessimist the other way round. Neither must end above or below the run: a worse fill can be the luckier one.
"""

from __future__ import annotations

import html

import numpy as np
import polars as pl

from quantlab.report.data import RunData
from quantlab.report.figures import label_ends, moments
from quantlab.report.picture import BLUE, GREY, SKY, VERMILLION, Picture, blank_figure, date_axis, drawn, finish
from quantlab.report.sections import Block
from quantlab.report.table import Table, figure_text, number, text
from quantlab.report.tables import FLEET

OFF = "Bounds were off for this run ([paper] bounds = false), or its orders were not filled on paper."


def frame(run: RunData) -> pl.DataFrame:
    """One row a bot that traded in any of the three fleets, best first: name, symbol, pessimistic, net_pct, optimistic
    (net result, % of capital), rank, rank_pessimistic, rank_optimistic (1 is best), flips (with how many others the
    two fleets disagree who is better), note. Empty where bounds were off."""
    last = run.bounds.filter(pl.col("bot") != FLEET).group_by("bot").agg(pl.all().sort_by("time_ms").last())
    if last.is_empty():
        return last
    capital = pl.col("capital").cast(pl.Float64)
    rows = (
        run.by_bot.join(run.bots.select("name", "bot"), on="name")
        .join(last.select("bot", pl.col("optimistic").alias("high"), pl.col("pessimistic").alias("low")), on="bot")
        .with_columns(optimistic=(pl.col("high") / capital - 1) * 100, pessimistic=(pl.col("low") / capital - 1) * 100)
        .filter((pl.col("fills") > 0) | (pl.col("optimistic") != 0) | (pl.col("pessimistic") != 0))
    )
    ranks = [
        pl.col(column).rank("min", descending=True).cast(pl.Int64).alias(name)
        for column, name in (
            ("net_pct", "rank"), ("pessimistic", "rank_pessimistic"), ("optimistic", "rank_optimistic"),
        )
    ]  # fmt: skip
    flips = _flips(rows["pessimistic"].to_numpy(), rows["optimistic"].to_numpy())
    rows = rows.with_columns(*ranks, flips=pl.Series(flips, dtype=pl.Int64)).with_columns(
        note=pl.when(pl.col("optimistic") < pl.col("pessimistic"))
        .then(pl.lit("the optimist ends below"))
        .when((pl.col("optimistic") > 0) & (pl.col("pessimistic") <= 0))
        .then(pl.lit("a gain or a loss: it depends on the fills"))
        .otherwise(pl.lit(""))
    )
    columns = ("name", "symbol", "pessimistic", "net_pct", "optimistic", "rank", "rank_pessimistic", "rank_optimistic")
    return rows.select(*columns, "flips", "note").sort("rank", "name")


def section(run: RunData) -> Table | Block:
    """`frame` as a table."""
    rows = frame(run)
    if rows.is_empty():
        return Block(f"<p>{html.escape(OFF)}</p>")
    columns = (
        text("name", "bot"),
        text("symbol", "symbol"),
        number("pessimistic", "pessimist %", signed=True),
        number("net_pct", "net %", signed=True),
        number("optimistic", "optimist %", signed=True),
        number("rank", "rank", 0),
        number("rank_pessimistic", "pessimist's", 0),
        number("rank_optimistic", "optimist's", 0),
        number("flips", "flips", 0),
        text("note", "", wrap=True),
    )
    caption = "Net result, % of capital. Flips: with how many other bots the two fleets disagree who is better"
    return Table(rows, columns, source=run.label, caption=caption)


def verdict(run: RunData) -> Block:
    """What the fleet made in each, and how far the ranking of its bots can be believed."""
    rows = frame(run)
    if rows.is_empty():
        return Block("")
    fleet = run.bounds.filter(pl.col("bot") == FLEET)
    net = run.final_equity - run.capital
    high, low = (fleet[name][-1] - run.capital for name in ("optimistic", "pessimistic"))
    words = [
        f"The fleet made {_usdt(net)} USDT; on the same signals the optimist made {_usdt(high)}, the pessimist "
        f"{_usdt(low)}."
    ]
    if high < low:
        words.append("<b>The optimist ends below the pessimist: better fills were not what decided.</b>")
    pairs = rows.height * (rows.height - 1) // 2
    flipped = int(rows["flips"].sum()) // 2
    if flipped:
        words.append(
            f"<b>The ranking flips:</b> of {pairs:,} pairs of bots {flipped:,} ({flipped / pairs:.0%}) change places "
            "between the two."
        )
    else:
        words.append("Both rank the bots alike.")
    best = {name: rows.filter(pl.col(name) == 1)["name"][0] for name in ("rank_pessimistic", "rank_optimistic")}
    if len(set(best.values())) > 1:
        first, second = (html.escape(best[name]) for name in ("rank_pessimistic", "rank_optimistic"))
        words.append(f"The best bot is {first} to the pessimist and {second} to the optimist.")
    return Block(f"<p>{' '.join(words)}</p>")


@drawn
def figure(run: RunData) -> Picture:
    """The fleet's equity between the two."""
    figure, axes = blank_figure(height=3.4)
    axis = axes[0, 0]
    fleet = run.bounds.filter(pl.col("bot") == FLEET)
    if fleet.height:
        when = moments(fleet["time_ms"])
        axis.fill_between(when, fleet["pessimistic"], fleet["optimistic"], color=SKY, alpha=0.25, linewidth=0)
        for name, color in (("optimistic", SKY), ("pessimistic", VERMILLION)):
            axis.plot(when, fleet[name], color=color, linewidth=1)
        axis.plot(moments(run.curve["time_ms"]), run.curve["equity"], color=BLUE, linewidth=1.9)
        ends = (("optimist", "optimistic", SKY), ("pessimist", "pessimistic", VERMILLION))
        label_ends(
            axis,
            [*((name, float(fleet[key][-1]), color) for name, key, color in ends), ("fleet", run.final_equity, BLUE)],
        )
    axis.axhline(run.capital, color=GREY, linewidth=1.1, linestyle=(0, (4, 3)))
    axis.set_title("Equity of the fleet between its bounds, USDT")
    date_axis(axis)
    return finish(
        figure,
        alt="Equity of the fleet over time between those of an optimistic and a pessimistic fleet",
        source=run.label,
        caption="The same signals in all three. Optimist: front of every queue, least latency, fees at a discount. "
        "Pessimist: behind every cancel, long latency, full fees",
    )


def _flips(first: np.ndarray, second: np.ndarray) -> list[int]:
    """For each place, with how many others `first` and `second` disagree which is greater."""
    signs = [np.sign(values[:, None] - values[None, :]) for values in (first, second)]
    return [int(each) for each in (signs[0] * signs[1] < 0).sum(axis=1)]


def _usdt(amount: float) -> str:
    return figure_text(amount, 2, signed=True)
