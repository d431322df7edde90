"""Runs side by side in a notebook, each with its baselines."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

if TYPE_CHECKING:
    from quantlab.report import RunData
    from quantlab.report.picture import Picture
    from quantlab.report.table import Table


class Comparison:
    """Several runs of one ledger. Shown as its table; `frame` has the same as data."""

    def __init__(self, home: Path, run_ids: Sequence[str]) -> None:
        from quantlab.report import open_run

        self.runs: list[RunData] = [open_run(run_id, home) for run_id in run_ids]

    @cached_property
    def table(self) -> Table:
        """One row a run, then its buy-and-hold and cash."""
        from quantlab.report import comparison

        return comparison.table(self.runs)

    @property
    def frame(self) -> pl.DataFrame:
        return self.table.frame

    def bots(self) -> Table:
        """The result of each bot in each run, for the bots that all have."""
        from quantlab.report import comparison

        return comparison.bot_table(self.runs)

    def baselines(self) -> dict[str, pl.DataFrame]:
        """By run: time_ms, buy_and_hold, cash."""
        return {run.run_id: run.baselines for run in self.runs}

    def plot(self) -> Picture:
        """Equity in percent of capital, over hours since each run began."""
        from quantlab.report import comparison

        return comparison.figure(self.runs)

    def to_csv(self, path: Path | str) -> Path:
        """Write the table, source included; returns the path."""
        return self.table.write_csv(path)

    def _repr_html_(self) -> str:
        return self.table._repr_html_()

    def __repr__(self) -> str:
        return repr(self.table)
