"""Promise: a report says what better and what worse fills would have made, and flags a ranking that flips."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from quantlab.ledger import LedgerWriter, database_path
from quantlab.report import bounds, open_run
from quantlab.report.data import RunData
from tests.report.sample import write_run


def run_with(home: Path, pairs: list[tuple[float, float]]) -> RunData:
    """A run of as many bots as there are `pairs` of (optimist's, pessimist's) net result in percent."""
    write_run(home, "run", minutes=5, bots=len(pairs))
    with LedgerWriter(database_path(home), "run") as writer:
        for at, part in ((1, 0.5), (2, 1.0)):
            rows = [(at, n, 1000 + 10 * high * part, 1000 + 10 * low * part) for n, (high, low) in enumerate(pairs)]
            rows.append((at, -1, sum(row[2] for row in rows), sum(row[3] for row in rows)))
            writer.wait(writer.bounds(rows))
    return open_run("run", home)


def test_the_last_bounds_of_each_bot_and_their_ranks(tmp_path: Path) -> None:
    rows = bounds.frame(run_with(tmp_path, [(3.0, 1.0), (2.0, -2.0), (-1.0, -3.0)])).sort("optimistic", descending=True)
    assert rows["optimistic"].to_list() == pytest.approx([3, 2, -1])
    assert rows["pessimistic"].to_list() == pytest.approx([1, -2, -3])
    assert rows["rank_optimistic"].to_list() == rows["rank_pessimistic"].to_list() == [1, 2, 3]
    assert rows["flips"].to_list() == [0, 0, 0]
    assert rows["note"].to_list() == ["", "a gain or a loss: it depends on the fills", ""]


def test_a_ranking_that_flips_is_flagged(tmp_path: Path) -> None:
    run = run_with(tmp_path, [(3.0, -4.0), (2.0, -2.0), (1.0, -3.0)])
    rows = bounds.frame(run).sort("optimistic", descending=True)
    assert rows["flips"].to_list() == [2, 1, 1], "the first changes places with both others"
    words = bounds.verdict(run)
    assert "<b>The ranking flips:</b> of 3 pairs of bots 2 (67%) change places" in words
    assert "The best bot is" in words
    alike = bounds.verdict(run_with(tmp_path / "alike", [(3.0, 1.0), (2.0, 0.0)]))
    assert "Both rank the bots alike." in alike and "flips" not in alike


def test_an_optimist_that_ends_below_is_said(tmp_path: Path) -> None:
    run = run_with(tmp_path, [(-3.0, -1.0), (0.0, 0.5)])
    assert "The optimist ends below the pessimist" in bounds.verdict(run)
    assert bounds.frame(run)["note"].to_list() == ["the optimist ends below"] * 2


def test_without_bounds_the_report_says_so(tmp_path: Path) -> None:
    write_run(tmp_path, "run", minutes=3, bots=2)
    run = open_run("run", tmp_path)
    assert bounds.frame(run).is_empty()
    assert bounds.OFF in str(bounds.section(run))
    assert bounds.verdict(run) == ""
    assert bounds.figure(run).svg


def test_the_table_and_the_picture(tmp_path: Path) -> None:
    run = run_with(tmp_path, [(3.0, 1.0), (2.0, 0.0)])
    table = bounds.section(run)
    assert isinstance(table, bounds.Table) and isinstance(table.frame, pl.DataFrame)
    assert "optimist %" in table._repr_html_()
    assert "optimist" in bounds.figure(run).svg
