"""Walk-forward: choose on the candles before, trade the choice on the candles after, and go on.

Each combination is run once over all candles, and a window's score is that of its returns in it: what it holds as the
window begins, it came by. Then the choices are traded, one after the other, on one account in one pass, so that a
change of parameters costs what it costs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import polars as pl

from quantlab.backtest.engine import answers, run, sample_length
from quantlab.backtest.metrics import sharpe_of_sums
from quantlab.backtest.plan import Plan
from quantlab.backtest.records import Floats, Ints
from quantlab.backtest.result import YEAR_MS, Result
from quantlab.backtest.search import Progress, Swept
from quantlab.backtest.sweep import Cluster, Job, evaluate_all
from quantlab.model import ConfigurationError, NotFound

#: What a choice can be made by: both add up over windows.
CHOICES = ("sharpe", "return_pct")
#: Strategies whose answers are held at a time.
_AT_ONCE = 16


@dataclass(frozen=True)
class Fold:
    """Bars: [train_from, train_to) chose, [test_from, test_to) was traded. `chosen` is a number of the sweep, -1 where
    nothing had gained; `score` what it had on its training bars, annual for a Sharpe ratio, percent for a return."""

    train_from: int
    train_to: int
    test_from: int
    test_to: int
    chosen: int = -1
    score: float = math.nan


@dataclass(frozen=True)
class WalkForward:
    """`result` is the backtest of the choices, over the tested bars only."""

    swept: Swept
    folds: tuple[Fold, ...]
    result: Result
    anchored: bool
    choice: str

    @property
    def frame(self) -> pl.DataFrame:
        """One row a fold: train_from, train_to, test_from, test_to (UTC), its parameters (null where nothing was
        chosen), train_score, test_return_pct, test_sharpe (annual, of candles)."""
        times = np.append(self.swept.stage.market.times, self.swept.to_ms)
        rows = []
        for fold in self.folds:
            of_bars = self._returns(fold)
            deviation = float(np.std(of_bars, ddof=1)) if len(of_bars) > 1 else 0.0
            ratio = float(np.mean(of_bars)) / deviation if deviation > 1e-15 else math.nan
            given = self.swept.parameters[fold.chosen] if fold.chosen >= 0 else {}
            rows.append(
                {name: int(times[getattr(fold, name)]) for name in _BARS}
                | {name: given.get(name) for name in self.swept.space.values}
                | {
                    "train_score": fold.score,
                    "test_return_pct": (float(np.prod(1.0 + of_bars)) - 1.0) * 100,
                    "test_sharpe": ratio * math.sqrt(YEAR_MS / self.swept.stage.market.length_ms),
                }
            )
        frame = pl.DataFrame(rows, infer_schema_length=None)
        return frame.with_columns(pl.col(_BARS).cast(pl.Datetime("ms", "UTC")))

    @property
    def efficiency(self) -> float:
        """The mean Sharpe ratio of the tests over that of the training: 1 where a choice goes on as it was."""
        frame = self.frame.filter(pl.col("train_score").is_not_nan() & pl.col("test_sharpe").is_not_nan())
        if self.choice != "sharpe" or not frame.height:
            return math.nan
        return float(frame["test_sharpe"].to_numpy().mean() / frame["train_score"].to_numpy().mean())

    def _returns(self, fold: Fold) -> Floats:
        curve = self.result.outcome.curve
        before = curve[fold.test_from - 1 : fold.test_to - 1]
        found: Floats = curve[fold.test_from : fold.test_to] / before - 1.0
        return found


_BARS = ["train_from", "train_to", "test_from", "test_to"]


def walk_forward(
    swept: Swept,
    *,
    train: int = 1_000,
    test: int = 200,
    embargo: int = 0,
    anchored: bool = False,
    choice: str = "sharpe",
    client: Cluster | None = None,
    on_progress: Progress | None = None,
) -> WalkForward:
    """The combinations of `swept`, chosen on `train` candles (all there are before, if `anchored`) and traded on the
    `test` candles that follow after `embargo` more. A combination that did not gain in training is not traded. Raises
    ConfigurationError, NotFound."""
    if choice not in CHOICES:
        raise ConfigurationError(f"choice: {choice} is not one of {', '.join(CHOICES)}")
    if train < 2 or test < 1 or embargo < 0:
        raise ConfigurationError(f"train, test and embargo are candles: {train}, {test} and {embargo} cannot be")
    if len({_rules(plan) for plans in swept.plans for plan in plans}) > len(swept.symbols):
        raise ConfigurationError("walk-forward chooses among parameters of a strategy; stops and the like must stay")
    folds = folded(swept.begin, len(swept.stage.market.times), train, test, embargo, anchored=anchored)
    edges = np.unique([getattr(fold, name) for fold in folds for name in ("train_from", "train_to")])
    job: Job[Floats] = Job(
        swept.stage, swept.conventions, swept.begin, swept.stage.market.length_ms, partial(sums_between, edges=edges)
    )
    found: list[Floats] = evaluate_all(job, swept.plans, client=client, on_progress=on_progress)
    sums = np.stack(found)
    until = np.concatenate([np.zeros((len(sums), 1, 4)), np.cumsum(sums, axis=1)], axis=1)
    chosen = []
    for fold in folds:
        first, last = np.searchsorted(edges, [fold.train_from, fold.train_to])
        scores = _scores(until[:, last] - until[:, first], choice, swept.stage.market.length_ms)
        number = int(np.argmax(scores))
        picked = (number, float(scores[number])) if scores[number] > 0 else (-1, math.nan)
        chosen.append(Fold(fold.train_from, fold.train_to, fold.test_from, fold.test_to, *picked))
    return WalkForward(swept, tuple(chosen), _traded(swept, chosen), anchored, choice)


def folded(begin: int, bars: int, train: int, test: int, embargo: int, *, anchored: bool) -> list[Fold]:
    """The windows, over bars `begin` to `bars`; the last test may be shorter. Raises NotFound where there is no room
    for one."""
    firsts = range(begin + train + embargo, bars, test)
    if not firsts or bars - firsts[0] < 2:
        raise NotFound(
            f"not enough candles: {bars - begin} can be traded, and the first test begins after {train + embargo}"
        )
    return [
        Fold(begin if anchored else first - embargo - train, first - embargo, first, min(first + test, bars))
        for first in firsts
    ]


def sums_between(result: Result, *, edges: Ints) -> Floats:
    """(edges - 1, 4): between every two bars of `edges`, how many candles there are, the sum and the sum of squares of
    what they returned, and the sum of its logarithms. A candle that is missing returned nothing."""
    times, sample_ms = result.market.times, result.sample_ms
    ends = np.append(times, times[-1] + sample_ms)[edges]
    places = (ends // sample_ms - times[result.begin] // sample_ms).astype(np.int64)
    returns = result.returns[: places[-1]]
    starts = places[:-1]
    columns = (np.ones(len(returns)), returns, returns**2, np.log1p(np.maximum(returns, -1.0 + 1e-12)))
    return np.stack([np.add.reduceat(column, starts) for column in columns], axis=1)


def _scores(sums: Floats, choice: str, length_ms: int) -> Floats:
    """Of each combination, from what `sums_between` gave, (combinations, 4)."""
    counts, first, second, logs = sums.T
    if choice == "return_pct":
        found: Floats = np.expm1(logs) * 100
        return found
    return sharpe_of_sums(counts, first, second) * math.sqrt(YEAR_MS / length_ms)


def _traded(swept: Swept, folds: Sequence[Fold]) -> Result:
    """One backtest in which each fold's choice answers from the close before its test on, to the close before the
    next."""
    stage = swept.stage
    begin, bars = folds[0].test_from - 1, len(stage.market.times)
    wanted = np.full((len(swept.symbols), bars), np.nan)
    wanted[:, begin:] = 0.0
    numbers = sorted({fold.chosen for fold in folds if fold.chosen >= 0})
    for at in range(0, len(numbers), _AT_ONCE):
        some = numbers[at : at + _AT_ONCE]
        for number, market in zip(some, answers(stage, [swept.plans[number] for number in some]), strict=True):
            for fold in folds:
                if fold.chosen == number:
                    part = slice(fold.test_from - 1, bars if fold is folds[-1] else fold.test_to - 1)
                    wanted[:, part] = market.wanted[:, part]
    market = stage.market._replace(wanted=wanted)
    chosen = next((fold.chosen for fold in reversed(folds) if fold.chosen >= 0), 0)
    return run(
        stage, swept.plans[chosen], swept.conventions, market, begin, sample_length(market, begin),
        source=swept.source, keep=True,
    )  # fmt: skip


def _rules(plan: Plan) -> tuple[Any, ...]:
    """What the plan asks beside its strategy."""
    return tuple(getattr(plan, name) for name in Plan.__dataclass_fields__ if name != "strategy")
