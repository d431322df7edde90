"""What orders would have cost on a run's recorded books, beside slippage models."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from quantlab.calibration import SIZES, Fit, fit, score, walked_costs
from quantlab.ledger import Ledger
from quantlab.model import NotFound

if TYPE_CHECKING:
    from quantlab.report.picture import Picture
    from quantlab.report.table import Table


class Calibration:
    """`walks` are the orders (see `calibration.walked_costs`), `fit` the models' numbers found on the first half of the
    time. Shown as the verdict."""

    def __init__(self, walks: pl.DataFrame, source: str) -> None:
        self.walks, self.source = walks, source

    @cached_property
    def fit(self) -> Fit:
        return fit(self.walks)

    def scores(self, *by: str) -> pl.DataFrame:
        """How far each model is off, by "symbol", "notional", "hour" or several of them (see `calibration.score`)."""
        return score(self.walks, self.fit, *by)

    def table(self, *by: str) -> Table:
        """`scores`, to be looked at."""
        from quantlab.report import slippage

        return slippage.table(self.scores(*by), *by, source=self.source)

    def plot(self) -> Picture:
        """Cost by size for the costliest symbols, beside the models."""
        from quantlab.report import slippage

        return slippage.figure(self.walks, self.fit.fixed_bps, self.fit.impact_bps, self.source)

    def toml(self) -> str:
        """Lines for a fleet file."""
        return self.fit.toml()

    def _repr_html_(self) -> str:
        from quantlab.report import slippage

        blocks = (slippage.headline(self.walks, self.source), slippage.verdict(self.scores()))
        return "".join(block._repr_html_() for block in blocks)

    def __repr__(self) -> str:
        return f"Calibration({self.source}: {self.walks.height:,} orders walked)"


def calibrate(
    home: Path,
    run_id: str,
    *,
    sizes: Sequence[float] = SIZES,
    every_s: float = 10.0,
    on_progress: Callable[[int], None] | None = None,
) -> Calibration:
    """Walk orders through the books that `run_id` recorded. Raises NotFound where it kept no input log,
    ConfigurationError where no order could be walked."""
    from quantlab.fleet.recorder import recording_path

    path = recording_path(home, run_id)
    if not path.exists():
        raise NotFound(f'run "{run_id}" kept no input log at {path}: record one with `quantlab run`')
    walks = walked_costs(path, sizes=sizes, every_ms=round(every_s * 1000), on_progress=on_progress)
    with Ledger.open(home, create=False) as ledger:
        source = ledger.run(run_id).source
    found = Calibration(walks, f"{source.label()} · run {run_id}")
    _ = found.fit  # where no order could be walked this raises, with a word on why
    return found
