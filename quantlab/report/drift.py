"""A paper run beside the backtest of its bots: how far apart they are, and by which cause."""

from __future__ import annotations

import html
from pathlib import Path

import polars as pl

from quantlab.report.picture import BLUE, GREY, Picture, blank_figure, drawn, finish
from quantlab.report.sections import Block
from quantlab.report.table import Table, figure_text, number, text

#: Fields of a drift and what they are called.
CAUSES = {
    "signal": "signal",
    "missed": "missed fills",
    "price": "price",
    "fee": "fee",
    "size": "size",
    "rest": "marks, rest",
}
#: What `section` reads, beside the report.
FILE = "drift.parquet"
_MONEY = ("paper_pnl", "backtest_pnl", "total")


def headline(frame: pl.DataFrame) -> Block:
    """How far apart, in a sentence."""
    known = frame.filter(pl.col("note") == "")
    if not known.height:
        return Block("<p>No bot of this run could be backtested.</p>")
    sums = {name: figure_text(float(known[name].to_numpy().sum()), 2, signed=True) for name in (*_MONEY, *CAUSES)}
    parts = ", ".join(f"{words} {sums[name]}" for name, words in CAUSES.items())
    both, alone = int(known["both"].sum()), int((known["paper_only"] + known["backtest_only"]).sum())
    return Block(
        f"<p>On paper {known.height} bots made <b>{sums['paper_pnl']} USDT</b>, their backtest over the same candles "
        f"{sums['backtest_pnl']}. The "
        f"difference of {sums['total']} by cause: {parts}. {both:,} fills are in both, {alone:,} in one only.</p>"
    )


def table(frame: pl.DataFrame, source: str) -> Table:
    """One row a bot, the largest drift first."""
    if "total" not in frame.columns:
        return Table(frame, (text("name", "bot"), text("note", "why not", wrap=True)), source=source)
    rows = frame.sort(pl.col("total").abs(), descending=True, nulls_last=True)
    return Table(
        rows,
        (
            text("name", "bot"),
            number("paper_pnl", "paper", 2, signed=True),
            number("backtest_pnl", "backtest", 2, signed=True),
            number("total", "drift", 2, signed=True),
            *(number(name, words, 2, signed=True) for name, words in CAUSES.items()),
            number("both", "fills in both", 0),
            number("paper_only", "paper only", 0),
            number("backtest_only", "backtest only", 0),
            text("note", "", wrap=True),
        ),
        source=source,
        caption="paper less backtest, USDT; the causes add up to the drift",
    )


def section(source: str, folder: Path | None = None) -> Block:
    """The comparison that was left in `folder` (default: the working directory, which is the report's)."""
    path = (folder or Path()) / FILE
    if not path.exists():
        return Block("<p>This run was not compared with its backtest.</p>")
    frame = pl.read_parquet(path)
    if "total" not in frame.columns:
        reasons = "; ".join(sorted({str(note) for note in frame["note"]}))
        return Block(f"<p>This run was not compared with its backtest: {html.escape(reasons)}.</p>")
    blocks = (headline(frame), figure(frame, source), table(frame, source))
    return Block("".join(block._repr_html_() for block in blocks))


@drawn
def figure(frame: pl.DataFrame, source: str) -> Picture:
    """Each bot's result on paper against its backtest's, and the drift by cause."""
    drawing, axes = blank_figure(1, 2, height=3.8)
    left, right = axes[0]
    left.set_title("Result, USDT: paper over backtest")
    right.set_title("Drift of the fleet by cause, USDT")
    known = frame.filter(pl.col("note") == "") if "total" in frame.columns else frame.clear()
    if known.height:
        paper, tested = known["paper_pnl"].to_numpy(), known["backtest_pnl"].to_numpy()
        low, high = min(paper.min(), tested.min(), 0.0), max(paper.max(), tested.max(), 0.0)
        left.plot([low, high], [low, high], color=GREY, linewidth=1, linestyle=(0, (4, 3)))
        left.scatter(tested, paper, s=16, color=BLUE, alpha=0.75)
        left.set_xlabel("backtest")
        names = list(CAUSES)[::-1]
        right.barh([CAUSES[name] for name in names], [float(known[name].sum()) for name in names], color=BLUE)
        right.axvline(0, color=GREY, linewidth=1)
    return finish(
        drawing,
        alt="Each bot's result on paper against that of its backtest, and the drift by cause",
        source=source,
        caption="on the dashed line paper and backtest agree",
    )
