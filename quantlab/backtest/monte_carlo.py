"""The same round trips in another order, or drawn anew: how much of a result was their luck."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from quantlab.backtest.records import Floats
from quantlab.backtest.result import Result
from quantlab.model import NotFound

#: The quantiles of the fan.
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
_FEWEST = 10
#: Numbers that are drawn at a time.
_BATCH = 4_000_000
#: Points of the fan.
_POINTS = 200


@dataclass(frozen=True)
class TradeDraws:
    """Histories of as many round trips as there were, drawn with replacement: `returns` (draws,) of the account and
    `drawdowns` (draws,) as fractions, from round trip to round trip. `shuffled_drawdowns` (draws,): of the very same
    trips in another order. `fan` (quantiles, points): wealth after `trips` (points,) round trips, beginning at 1."""

    returns: Floats
    drawdowns: Floats
    shuffled_drawdowns: Floats
    fan: Floats
    trips: Floats

    @property
    def loss_probability(self) -> float:
        return float(np.mean(self.returns < 0))


def draw_trades(result: Result, *, draws: int = 1_000, seed: int = 1) -> TradeDraws:
    """What each round trip made of the account, drawn with replacement `draws` times. Takes the trips as independent
    of each other. Raises NotFound below ten of them."""
    made = of_account(result)
    if len(made) < _FEWEST:
        raise NotFound(f"{len(made)} round trips are too few to draw from: at least {_FEWEST} are needed")
    random = np.random.default_rng(seed)
    count = len(made)
    points = np.unique(np.linspace(0, count, min(_POINTS, count) + 1).astype(np.int64))
    ends, deepest, shuffled = np.empty(draws), np.empty(draws), np.empty(draws)
    wealth = np.empty((draws, len(points)))
    each = max(1, _BATCH // count)
    for at in range(0, draws, each):
        rows = min(each, draws - at)
        drawn = _wealth(made[random.integers(0, count, (rows, count))])
        ends[at : at + rows], deepest[at : at + rows] = drawn[:, -1] - 1.0, _deepest(drawn)
        wealth[at : at + rows] = drawn[:, points]
        shuffled[at : at + rows] = _deepest(_wealth(random.permuted(np.tile(made, (rows, 1)), axis=1)))
    return TradeDraws(ends, deepest, shuffled, np.quantile(wealth, QUANTILES, axis=0), points.astype(np.float64))


def of_account(result: Result) -> Floats:
    """What each round trip made, as a fraction of what the account was worth as the trips before it had ended."""
    made = result.outcome.trips["pnl"][np.argsort(result.outcome.trips["exit_bar"], kind="stable")]
    worth = result.capital + np.concatenate([[0.0], np.cumsum(made)[:-1]])
    found: Floats = made / worth
    return found


def _wealth(returns: Floats) -> Floats:
    """From 1 on, (draws, trips + 1)."""
    return np.concatenate([np.ones((len(returns), 1)), np.cumprod(1.0 + returns, axis=1)], axis=1)


def _deepest(wealth: Floats) -> Floats:
    found: Floats = np.max(1.0 - wealth / np.maximum.accumulate(wealth, axis=1), axis=1)
    return found
