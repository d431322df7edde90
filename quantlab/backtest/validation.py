"""Does the best of a search mean anything? Four questions, each with a bound, and all of them must be answered yes.

The probability of overfitting is shown and decides nothing: it tells whether choosing among the combinations was worth
anything, and where all of them have the same edge it was not (one half by chance), however real the edge is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from quantlab.backtest.overfitting import Overfitting, Paths, combinatorial_paths, probability_of_overfitting
from quantlab.backtest.search import Progress, Swept
from quantlab.backtest.sweep import Cluster
from quantlab.backtest.walk_forward import WalkForward, walk_forward
from quantlab.model import ConfigurationError, NotFound

#: The bounds. 95 % is what Bailey and López de Prado ask of a deflated Sharpe ratio (2014).
LEAST_DEFLATED_SHARPE = 0.95
MOST_LOSS_PROBABILITY = 0.05


@dataclass(frozen=True)
class Check:
    """One question: what was found, against its bound. NaN where it could not be asked, which does not pass; `why`
    says so then."""

    question: str
    found: float
    bound: str
    passed: bool
    why: str = ""


@dataclass(frozen=True)
class Validation:
    """`overfitting`, `paths` and `walk_forward` are None where there were too few candles or combinations for them."""

    swept: Swept
    checks: tuple[Check, ...]
    overfitting: Overfitting | None
    paths: Paths | None
    walk_forward: WalkForward | None

    @property
    def passed(self) -> bool:
        return all(each.passed for each in self.checks)

    def __repr__(self) -> str:
        failed = [each.question for each in self.checks if not each.passed]
        verdict = "holds up" if not failed else f"does not hold up: no to {'; '.join(failed)}"
        return f"Validation({self.swept.strategy} on {', '.join(self.swept.symbols)}: the best {verdict})"


def validate(
    swept: Swept,
    *,
    train: int = 1_000,
    test: int = 200,
    embargo: int = 0,
    anchored: bool = False,
    blocks: int = 16,
    groups: int = 10,
    held_out: int = 2,
    client: Cluster | None = None,
    on_progress: Progress | None = None,
) -> Validation:
    """Judge the best of `swept`. `train`, `test` and `embargo` are candles of the walk-forward; `blocks` are those of
    `probability_of_overfitting`, `groups` and `held_out` those of `combinatorial_paths`."""
    deflated = swept.deflated_sharpe
    checks = [_at_least("deflated Sharpe ratio: is it above what the best of as many would have by luck?",
                        deflated, LEAST_DEFLATED_SHARPE)]  # fmt: skip
    overfitting: Overfitting | None = None
    paths: Paths | None = None
    walked: WalkForward | None = None
    question = "held out: does what one half chooses gain in the other?"
    try:
        overfitting = probability_of_overfitting(swept.returns, swept.per_year, blocks=blocks)
        lost = overfitting.loss_probability
        checks.append(
            Check(question, lost, f"loses in at most {MOST_LOSS_PROBABILITY:.0%}", lost <= MOST_LOSS_PROBABILITY)
        )
    except ConfigurationError as error:
        checks.append(_unasked(question, error))
    question = "paths: do histories of held-out groups alone gain?"
    try:
        paths = combinatorial_paths(swept.returns, swept.per_year, groups=groups, held_out=held_out)
        checks.append(_above(question, float(np.median(paths.sharpe))))
    except ConfigurationError as error:
        checks.append(_unasked(question, error))
    question = "walk-forward: would choosing as time went on have gained, after costs?"
    try:
        walked = walk_forward(
            swept, train=train, test=test, embargo=embargo, anchored=anchored, client=client, on_progress=on_progress
        )
        checks.append(_above(question, walked.result.metrics.return_pct, " %"))
    except (ConfigurationError, NotFound) as error:
        checks.append(_unasked(question, error))
    return Validation(swept, tuple(checks), overfitting, paths, walked)


def _at_least(question: str, found: float, bound: float) -> Check:
    return Check(question, found, f"at least {bound}", found >= bound, "" if found == found else "there is none")


def _above(question: str, found: float, unit: str = "") -> Check:
    return Check(question, found, f"above 0{unit}", found > 0)


def _unasked(question: str, error: Exception) -> Check:
    return Check(question, math.nan, "", passed=False, why=str(error))
