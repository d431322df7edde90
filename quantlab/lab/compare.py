"""Runs side by side in a notebook, each with its baselines."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from quantlab.model import NotFound

if TYPE_CHECKING:
    from quantlab.lab.drift import PaperAgainstBacktest
    from quantlab.report import RunData
    from quantlab.report.picture import Picture
    from quantlab.report.table import Table


class Comparison:
    """Several runs of one ledger. Shown as its table; `frame` has the same as data."""

    def __init__(self, home: Path, run_ids: Sequence[str]) -> None:
        from quantlab.report import open_run

        self._home = home
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

    def backtest(self, run_id: str | None = None) -> PaperAgainstBacktest:
        """The bots of a run (default: the first) backtested over the candles that it saw, and why paper and backtest
        differ: signal, missed fills, price, fee. Raises NotFound where the run kept no input log."""
        from quantlab.lab.drift import against_backtest
        from quantlab.lab.progress import ProgressLine

        chosen = {run.run_id: run for run in self.runs}
        if run_id is not None and run_id not in chosen:
            raise NotFound(f'"{run_id}" is not among {", ".join(chosen)}')
        line = ProgressLine(shown=True)
        try:
            return against_backtest(self._home, chosen[run_id or self.runs[0].run_id], on_progress=line.count)
        finally:
            line.close()

    def to_csv(self, path: Path | str) -> Path:
        """Write the table, source included; returns the path."""
        return self.table.write_csv(path)

    def _repr_html_(self) -> str:
        return self.table._repr_html_()

    def __repr__(self) -> str:
        return repr(self.table)
