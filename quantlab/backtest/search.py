"""A search for the best parameters, and all that it tried: without that, no figure of the best means anything."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl

from quantlab.backtest.engine import Stage, check, sample_length, staged
from quantlab.backtest.metrics import deflated_sharpe
from quantlab.backtest.plan import Conventions, Plan
from quantlab.backtest.records import Floats
from quantlab.backtest.result import YEAR_MS, Metrics
from quantlab.backtest.space import Space
from quantlab.backtest.sweep import Cluster, Job, Trial, evaluate_all, trial_of
from quantlab.model import ConfigurationError, Instrument, NotFound

#: What a combination can be better by; more is better.
SCORES = ("sharpe", "sortino", "calmar", "return_pct", "profit_factor")
SEARCHES = ("grid", "random", "optuna")
#: A grid with more is a slip, or a case for another search.
_MOST = 100_000
#: Combinations that Optuna names before it learns what became of them.
_ASKED_AT_ONCE = 16

#: Parameters in, one plan a symbol out; raises ConfigurationError for a combination that cannot be.
Make = Callable[[Mapping[str, Any]], Sequence[Plan]]
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Swept:
    """What was tried, in order, and what came of each. `skipped` are the combinations that could not be, with the
    reason. All began on the same candle, `from_ms`."""

    space: Space
    parameters: tuple[dict[str, Any], ...]
    plans: tuple[tuple[Plan, ...], ...]
    trials: tuple[Trial, ...]
    skipped: tuple[tuple[dict[str, Any], str], ...]
    stage: Stage
    begin: int
    conventions: Conventions
    search: str
    score: str
    seed: int
    source: str

    @property
    def symbols(self) -> tuple[str, ...]:
        return tuple(plan.symbol for plan in self.plans[0])

    @property
    def strategy(self) -> str:
        return type(self.plans[0][0].strategy).__name__

    @property
    def from_ms(self) -> int:
        return int(self.stage.market.times[self.begin])

    @property
    def to_ms(self) -> int:
        return int(self.stage.market.times[-1]) + self.stage.market.length_ms

    @cached_property
    def scores(self) -> Floats:
        """Of each combination; -inf where it has none (no trade, no loss)."""
        return np.array([_scored(trial.metrics, self.score) for trial in self.trials])

    @property
    def best(self) -> int:
        """The number of the best combination; the first of equals."""
        return int(np.argmax(self.scores))

    @cached_property
    def frame(self) -> pl.DataFrame:
        """One row a combination, in the order tried: its parameters, then its figures (see `Metrics`)."""
        rows = [{**given, **trial.metrics.as_dict()} for given, trial in zip(self.parameters, self.trials, strict=True)]
        return pl.DataFrame(rows, infer_schema_length=None)

    @cached_property
    def returns(self) -> Floats:
        """(combinations, samples), of the periods that the Sharpe ratio is made of."""
        return np.stack([trial.returns for trial in self.trials])

    @property
    def per_year(self) -> float:
        """Samples a year."""
        return YEAR_MS / self.trials[0].metrics.period

    @property
    def deflated_sharpe(self) -> float:
        """The probability that the best combination's true Sharpe ratio is above zero, given how many were tried and
        how much their ratios vary; NaN where there is none."""
        ratios = np.array([trial.metrics.sharpe for trial in self.trials])
        known = ratios[~np.isnan(ratios)]
        variance = float(np.var(known, ddof=1)) if len(known) > 1 else 0.0
        return deflated_sharpe(self.returns[self.best], self.per_year, trials=len(self.trials), variance=variance)

    def __repr__(self) -> str:
        best = self.trials[self.best].metrics
        given = ", ".join(f"{name}={value}" for name, value in self.parameters[self.best].items())
        return (
            f"Swept({self.strategy} on {', '.join(self.symbols)}, {self.stage.timeframe}: {len(self.trials):,} "
            f"combinations, best {given}: {best.return_pct:+.2f} %, Sharpe {best.sharpe:.2f}, deflated "
            f"{self.deflated_sharpe:.3f})"
        )


def sweep(
    make: Make,
    space: Space,
    candles: Mapping[str, pl.DataFrame],
    instruments: Mapping[str, Instrument],
    *,
    timeframe: str,
    search: str = "grid",
    trials: int = 100,
    score: str = "sharpe",
    seed: int = 1,
    conventions: Conventions | None = None,
    from_ms: int | None = None,
    source: str = "",
    client: Cluster | None = None,
    on_progress: Progress | None = None,
) -> Swept:
    """Backtest the combinations of `space`: all of them (`search="grid"`), `trials` at random, or `trials` that Optuna
    picks by what came before. One `seed` gives one result, whatever the machine. `client` is a `distributed.Client`;
    without one, every core of this machine. Raises ConfigurationError, NotFound."""
    conventions = conventions or Conventions()
    if search not in SEARCHES:
        raise ConfigurationError(f"search: {search} is not one of {', '.join(SEARCHES)}")
    if score not in SCORES:
        raise ConfigurationError(f"score: {score} is not one of {', '.join(SCORES)}")
    if trials < 1 or seed < 0:
        raise ConfigurationError(f"trials must be 1 or more and seed 0 or more, not {trials} and {seed}")
    if search == "grid" and len(space) > _MOST:
        raise ConfigurationError(f"{len(space):,} combinations are more than {_MOST:,}: search at random, or by optuna")
    wanted = {"grid": space.all, "random": lambda: space.drawn(trials, seed), "optuna": space.corners}[search]
    made, skipped = combined(make, wanted())
    stage = staged([plan.symbol for plan in made[0][1]], candles, instruments, timeframe)
    begin = common_begin(stage, [plans for _, plans in made], from_ms)
    job = Job(stage, conventions, begin, sample_length(stage.market, begin), trial_of)
    if search == "optuna":
        asked = _Optuna(make, space, job, min(trials, len(space)), score, seed, client, on_progress)
        made, found, skipped = asked.run()
    else:
        found = evaluate_all(job, [plans for _, plans in made], client=client, on_progress=on_progress)
    return Swept(
        space, tuple(given for given, _ in made), tuple(plans for _, plans in made), tuple(found), tuple(skipped),
        stage, begin, conventions, search, score, seed, source,
    )  # fmt: skip


Made = list[tuple[dict[str, Any], tuple[Plan, ...]]]


def combined(make: Make, given: Iterable[dict[str, Any]]) -> tuple[Made, list[Any]]:
    """(combinations with their plans, those that cannot be with the reason). Raises ConfigurationError where none of
    them can: then it is not one value that does not fit another."""
    made: Made = []
    skipped: list[tuple[dict[str, Any], str]] = []
    for parameters in given:
        try:
            plans = tuple(make(parameters))
            check(plans)
            made.append((parameters, plans))
        except ConfigurationError as error:
            skipped.append((parameters, str(error)))
    if not made:
        raise ConfigurationError(skipped[0][1])
    return made, skipped


def common_begin(stage: Stage, combinations: Sequence[Sequence[Plan]], from_ms: int | None) -> int:
    """The first bar on which every combination has an answer for a symbol at least, so that all are judged over the
    same candles. Raises NotFound."""
    longest = max(plan.strategy.lookback for plans in combinations for plan in plans)
    bars = len(stage.market.times)
    if stage.places is None:
        begin = longest - 1
    else:
        begin = min((int(place[longest - 1]) for place in stage.places if len(place) >= longest), default=bars)
    if from_ms is not None:
        begin = max(begin, int(np.searchsorted(stage.market.times, from_ms)))
    if begin >= bars - 1:
        raise NotFound(f"not enough candles: {bars} are there, and a combination needs {longest} before it trades")
    return begin


def _scored(metrics: Metrics, score: str) -> float:
    value = float(getattr(metrics, score))
    return -math.inf if math.isnan(value) else value


class _Optuna:
    """The tree of Parzen estimators, asked for some combinations at a time, so that they are evaluated together."""

    def __init__(
        self, make: Make, space: Space, job: Job[Trial], trials: int, score: str, seed: int,
        client: Cluster | None, on_progress: Progress | None,
    ) -> None:  # fmt: skip
        self._make, self._space, self._job, self._trials, self._score = make, space, job, trials, score
        self._seed, self._client, self._on_progress = seed, client, on_progress

    def run(self) -> tuple[Made, list[Trial], list[tuple[dict[str, Any], str]]]:
        import optuna

        optuna.logging.set_verbosity(logging.WARNING)
        sampler = optuna.samplers.TPESampler(seed=self._seed, constant_liar=True, n_startup_trials=_ASKED_AT_ONCE)
        study = optuna.create_study(direction="maximize", sampler=sampler)
        made: Made = []
        found: list[Trial] = []
        skipped: list[tuple[dict[str, Any], str]] = []
        known: dict[tuple[int, ...], float | None] = {}
        # A small space is soon exhausted, and asked for again and again what is known already.
        for _ in range(4 * -(-self._trials // _ASKED_AT_ONCE)):
            asked = [study.ask() for _ in range(min(_ASKED_AT_ONCE, self._trials))]
            places = [self._places(trial) for trial in asked]
            fresh = [each for each in dict.fromkeys(places) if each not in known][: self._trials - len(found)]
            new: Made = []
            for place in fresh:
                given = {name: of[at] for (name, of), at in zip(self._space.values.items(), place, strict=True)}
                try:
                    plans = tuple(self._make(given))
                    check(plans)
                    common_begin_allows(self._job, plans)
                    new.append((given, plans))
                except ConfigurationError as error:
                    known[place] = None
                    skipped.append((given, str(error)))
            trials = evaluate_all(self._job, [plans for _, plans in new], client=self._client) if new else []
            valid = [place for place in fresh if place not in known]
            known |= {place: _scored(trial.metrics, self._score) for place, trial in zip(valid, trials, strict=True)}
            made, found = made + new, found + trials
            for trial, place in zip(asked, places, strict=True):
                value = known.get(place)
                if value is None or not math.isfinite(value):
                    study.tell(trial, state=optuna.trial.TrialState.PRUNED)
                else:
                    study.tell(trial, value)
            if self._on_progress is not None:
                self._on_progress(len(found), self._trials)
            if len(found) >= self._trials:
                break
        if not made:
            raise ConfigurationError(f"none of what Optuna asked for can be: {skipped[0][1]}")
        return made, found, skipped

    def _places(self, trial: Any) -> tuple[int, ...]:
        """By place in each list; numbers have an order that the search makes use of, words have none."""
        picked = []
        for name, of_name in self._space.values.items():
            ordered = all(isinstance(each, int | float) and not isinstance(each, bool) for each in of_name)
            last = len(of_name) - 1
            picked.append(
                trial.suggest_int(name, 0, last) if ordered else trial.suggest_categorical(name, range(last + 1))
            )
        return tuple(picked)


def common_begin_allows(job: Job[Any], plans: Sequence[Plan]) -> None:
    """Raises ConfigurationError for a combination that needs more candles than the ends of the space do."""
    longest = max(plan.strategy.lookback for plan in plans)
    if job.stage.places is None and longest - 1 > job.begin:
        raise ConfigurationError(f"needs {longest} candles before it trades, and {job.begin + 1} are there")
