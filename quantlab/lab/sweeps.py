"""Searches from a notebook or the command line: a strategy by name, lists of values, and what is to be believed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from quantlab.backtest import Conventions, Plan, backtest
from quantlab.backtest.search import Progress, Swept, sweep
from quantlab.backtest.space import Space
from quantlab.backtest.validation import Check, Validation, validate
from quantlab.backtest.walk_forward import WalkForward, walk_forward
from quantlab.lab.progress import ProgressLine
from quantlab.lab.research import RULES, Backtest, When, load, named, plans_of
from quantlab.market.history import History
from quantlab.strategies import Strategy

if TYPE_CHECKING:
    from quantlab.backtest.sweep import Cluster
    from quantlab.report.picture import Picture
    from quantlab.report.table import Table


class Sweep:
    """A search as a notebook sees it. Shown as its headline, map and best combinations; `swept` is what it is made of.
    `client` of its methods is a `distributed.Client`; without one, every core of this machine."""

    def __init__(self, swept: Swept) -> None:
        self.swept = swept

    @property
    def frame(self) -> pl.DataFrame:
        """One row a combination, in the order tried: its parameters, then the fields of `quantlab.backtest.Metrics`."""
        return self.swept.frame

    @property
    def best(self) -> dict[str, Any]:
        """The parameters of the best combination."""
        return self.swept.parameters[self.swept.best]

    @property
    def stable(self) -> dict[str, Any]:
        """The parameters of the combination whose neighbours are best."""
        from quantlab.backtest.stability import most_stable

        return self.swept.parameters[most_stable(self.swept)]

    @property
    def deflated_sharpe(self) -> float:
        """The probability that the best one's true Sharpe ratio is above zero, given how many were tried."""
        return self.swept.deflated_sharpe

    def table(self, rows: int = 20) -> Table:
        """The best combinations."""
        from quantlab.report import sweep as page

        return page.combinations_table(self.swept, rows)

    def plot(self, across: str | None = None, up: str | None = None) -> Picture:
        """The score over two parameters, beside the mean of each place's neighbours."""
        from quantlab.report import sweep as page

        return page.map_figure(self.swept, across, up)

    def backtest(self, number: int | None = None) -> Backtest:
        """One combination with its curve and round trips: by its row of `frame`, or the best."""
        swept = self.swept
        plans = swept.plans[swept.best if number is None else number]
        frames = dict(zip(swept.symbols, swept.stage.frames, strict=True))
        return Backtest(
            backtest(
                plans, frames, swept.stage.instruments, timeframe=swept.stage.timeframe,
                conventions=swept.conventions, from_ms=swept.from_ms, source=swept.source,
            )
        )  # fmt: skip

    def walk_forward(
        self,
        train: int = 1_000,
        test: int = 200,
        *,
        embargo: int = 0,
        anchored: bool = False,
        choice: str = "sharpe",
        client: Cluster | None = None,
    ) -> Walk:
        """Choose on `train` candles (all before, if `anchored`), trade the choice on the next `test`, and go on;
        `embargo` candles between them belong to neither. Raises NotFound, ConfigurationError."""
        with _line("walk-forward") as progress:
            walked = walk_forward(
                self.swept, train=train, test=test, embargo=embargo, anchored=anchored, choice=choice, client=client,
                on_progress=progress,
            )  # fmt: skip
        return Walk(walked)

    def validate(
        self,
        train: int = 1_000,
        test: int = 200,
        *,
        embargo: int = 0,
        anchored: bool = False,
        client: Cluster | None = None,
        on_progress: Progress | None = None,
    ) -> Judgement:
        """Whether the best holds up: deflated Sharpe ratio, what is held out, paths, walk-forward (see
        `walk_forward`)."""
        with _line("validation", on_progress) as progress:
            validation = validate(
                self.swept, train=train, test=test, embargo=embargo, anchored=anchored, client=client,
                on_progress=progress,
            )  # fmt: skip
        return Judgement(validation)

    def _repr_html_(self) -> str:
        from quantlab.report import sweep as page

        shown = (page.headline(self.swept), page.map_figure(self.swept), page.combinations_table(self.swept, 10))
        return "".join(block._repr_html_() for block in shown)

    def __repr__(self) -> str:
        return repr(self.swept)


class Walk:
    """A walk-forward. Shown as its curve and windows; `walked` is what it is made of."""

    def __init__(self, walked: WalkForward) -> None:
        self.walked = walked

    @property
    def frame(self) -> pl.DataFrame:
        """See `quantlab.backtest.walk_forward.WalkForward.frame`."""
        return self.walked.frame

    @property
    def result(self) -> Backtest:
        """The backtest of the choices, over the tested candles only."""
        return Backtest(self.walked.result)

    def plot(self) -> Picture:
        """Equity out of sample, and what was chosen."""
        from quantlab.report import sweep as page

        return page.walk_figure(self.walked)

    def table(self, rows: int = 20) -> Table:
        """The last windows."""
        from quantlab.report import sweep as page

        return page.walk_table(self.walked, rows)

    def _repr_html_(self) -> str:
        return "".join(block._repr_html_() for block in (self.plot(), self.table(10)))

    def __repr__(self) -> str:
        return f"Walk({len(self.walked.folds)} windows: {self.walked.result!r})"


class Judgement:
    """Whether a search's best holds up. Shown as the verdict, its questions and their pictures."""

    def __init__(self, validation: Validation) -> None:
        self.validation = validation

    @property
    def passed(self) -> bool:
        return self.validation.passed

    @property
    def checks(self) -> tuple[Check, ...]:
        """The four questions: question, found, bound, passed, why."""
        return self.validation.checks

    @property
    def walk(self) -> Walk | None:
        """The walk-forward; None where there were too few candles."""
        return Walk(self.validation.walk_forward) if self.validation.walk_forward else None

    def table(self) -> Table:
        """The four questions, to be looked at."""
        from quantlab.report import sweep as page

        return page.checks_table(self.validation)

    def plot(self) -> Picture:
        """What is held out against what was chosen."""
        from quantlab.report import sweep as page

        return page.overfitting_figure(self.validation)

    def _repr_html_(self) -> str:
        from quantlab.report import sweep as page

        shown = [each._repr_html_() for each in (page.verdict(self.validation), self.table(), self.plot())]
        if self.validation.walk_forward is not None:
            shown.append(page.walk_figure(self.validation.walk_forward)._repr_html_())
        return "".join(shown)

    def __repr__(self) -> str:
        return repr(self.validation)


def run_sweep(
    history: History,
    strategy: str | Strategy | type[Strategy],
    symbols: Sequence[str],
    timeframe: str,
    space: Mapping[str, Any],
    *,
    search: str = "grid",
    trials: int = 100,
    score: str = "sharpe",
    seed: int = 1,
    from_: When = None,
    to: When = None,
    conventions: Conventions | None = None,
    base: Path = Path(),
    client: Cluster | None = None,
    on_progress: Progress | None = None,
    **rules: Any,
) -> Sweep:
    """`space` has lists of values for parameters of the strategy and for rules of a plan. Raises ConfigurationError,
    NotFound."""

    def make(given: Mapping[str, Any]) -> list[Plan]:
        of_strategy = {name: value for name, value in given.items() if name not in RULES}
        of_plan = {name: value for name, value in given.items() if name in RULES}
        return plans_of(named(strategy, of_strategy, base), symbols, {**rules, **of_plan})

    values = Space.of(space)
    loaded = load(history, symbols, timeframe, from_=from_, to=to)
    with _line("backtests", on_progress) as progress:
        swept = sweep(
            make, values, loaded.candles, loaded.instruments, timeframe=timeframe, search=search, trials=trials,
            score=score, seed=seed, conventions=conventions, from_ms=loaded.from_ms, source=loaded.source,
            client=client, on_progress=progress,
        )  # fmt: skip
    return Sweep(swept)


@contextmanager
def _line(what: str, told: Progress | None = None) -> Iterator[Progress]:
    """A progress bar for the length of a `with`, unless somebody else is told."""
    if told is not None:
        yield told
        return
    line = ProgressLine(shown=True)
    try:
        yield lambda done, of: line.count(what, done, of)
    finally:
        line.close()
