"""What a curve of equity is worth: the usual figures, and how much of them chance alone explains.

Returns are simple returns of equal periods, as an array; `per_year` is how many of these periods a year has. Figures
that cannot be told (no period, no loss, no variance) are NaN. Definitions follow empyrical, so that they compare; the
tests hold them against it.
"""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np

from quantlab.backtest.records import Floats

_NORMAL = NormalDist()
_EULER = 0.5772156649015329


def returns_of(equity: Floats, capital: float) -> Floats:
    """The return of each period from the equity at its end; the first is against `capital`."""
    before = np.concatenate([[capital], equity[:-1]])
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(before > 0, equity / before - 1.0, 0.0)


def annual_return(returns: Floats, per_year: float) -> float:
    """Compound annual growth rate, as a fraction."""
    if not len(returns):
        return math.nan
    return compounded(float(np.prod(1.0 + returns)), per_year / len(returns))


def compounded(growth: float, times: float) -> float:
    """What growing so many times by the factor `growth` returns, as a fraction; NaN where that is past all numbers."""
    if growth <= 0:
        return -1.0
    exponent = math.log(growth) * times
    return math.expm1(exponent) if exponent < 700 else math.nan


def volatility(returns: Floats, per_year: float) -> float:
    """Standard deviation of the returns, annualised, as a fraction."""
    return float(np.std(returns, ddof=1) * math.sqrt(per_year)) if len(returns) > 1 else math.nan


def sharpe(returns: Floats, per_year: float) -> float:
    """Mean over standard deviation, annualised; against a riskless rate of zero."""
    if len(returns) < 2:
        return math.nan
    deviation = float(np.std(returns, ddof=1))
    return float(np.mean(returns)) / deviation * math.sqrt(per_year) if deviation > 1e-15 else math.nan


def sharpe_of_sums(counts: Floats, first: Floats, second: Floats) -> Floats:
    """Mean over standard deviation, a period, from how many returns there were, their sum and the sum of their squares;
    0 where nothing moved. Sums of squares lose their digits far from zero; returns lie near it."""
    mean = first / counts
    variance = np.maximum(second / counts - mean**2, 0.0) * counts / np.maximum(counts - 1.0, 1.0)
    return np.divide(mean, np.sqrt(variance), out=np.zeros_like(mean), where=variance > 1e-24)


def sortino(returns: Floats, per_year: float) -> float:
    """Mean over the root of the mean square of the losses, annualised."""
    if not len(returns):
        return math.nan
    downside = math.sqrt(float(np.mean(np.minimum(returns, 0.0) ** 2)))
    return float(np.mean(returns)) / downside * math.sqrt(per_year) if downside > 1e-15 else math.nan


def drawdown(returns: Floats) -> float:
    """The deepest fall of the compounded returns below their highest before, as a fraction from 0 to 1."""
    if not len(returns):
        return 0.0
    wealth = np.concatenate([[1.0], np.cumprod(1.0 + returns)])
    return float(np.max(1.0 - wealth / np.maximum.accumulate(wealth)))


def calmar(annual: float, deepest: float) -> float:
    """Annual return over drawdown."""
    return annual / deepest if deepest > 1e-15 else math.nan


def moments(returns: Floats) -> tuple[float, float]:
    """Skewness, and kurtosis (3 for a normal distribution)."""
    if len(returns) < 2 or not float(np.std(returns)):
        return math.nan, math.nan
    z = (returns - np.mean(returns)) / np.std(returns)
    return float(np.mean(z**3)), float(np.mean(z**4))


# -- how much of it is chance -----------------------------------------------------------------------------------------


def probabilistic_sharpe(returns: Floats, per_year: float, benchmark: float = 0.0) -> float:
    """The probability that the true Sharpe ratio is above `benchmark` (annual), given the length, skewness and kurtosis
    of what was seen. D. H. Bailey and M. López de Prado, "The Sharpe Ratio Efficient Frontier", Journal of Risk 15
    (2012)."""
    return probability_above(
        benchmark / math.sqrt(per_year), ratio=sharpe(returns, 1.0), count=len(returns), moments=moments(returns)
    )


def probability_above(benchmark: float, *, ratio: float, count: int, moments: tuple[float, float]) -> float:
    """The probability that a Sharpe ratio is truly above `benchmark`, where one of `ratio` was seen in `count` returns
    with these `moments`; both ratios a period. NaN where any of it is."""
    skewness, kurtosis = moments
    spread = 1.0 - skewness * ratio + (kurtosis - 1.0) / 4.0 * ratio**2
    if not spread > 0:
        return math.nan
    return _NORMAL.cdf((ratio - benchmark) * math.sqrt(count - 1) / math.sqrt(spread))


def best_of_chance(variance: float, trials: int) -> float:
    """The Sharpe ratio that the best of so many trials without any skill is expected to have, where the ratios of the
    trials vary by `variance`; in the unit of that."""
    if trials < 2:
        return 0.0
    high = _NORMAL.inv_cdf(1.0 - 1.0 / trials)
    higher = _NORMAL.inv_cdf(1.0 - 1.0 / (trials * math.e))
    return math.sqrt(max(0.0, variance)) * ((1.0 - _EULER) * high + _EULER * higher)


def deflated_sharpe(returns: Floats, per_year: float, *, trials: int, variance: float) -> float:
    """The probability that the true Sharpe ratio is above zero, for the best of `trials` whose annual ratios vary by
    `variance`. D. H. Bailey and M. López de Prado, "The Deflated Sharpe Ratio", Journal of Portfolio Management 40
    (2014)."""
    return probabilistic_sharpe(returns, per_year, best_of_chance(variance, trials))


def bootstrap(
    returns: Floats, per_year: float, *, draws: int = 1_000, block: float = 10.0, seed: int = 1
) -> dict[str, tuple[float, float]]:
    """Intervals (5 %, 95 %) of annual return, Sharpe ratio and drawdown over resampled histories of the same length.

    The stationary bootstrap of D. N. Politis and J. P. Romano, Journal of the American Statistical Association 89
    (1994): blocks of geometric length, `block` periods on average, keep what follows upon what. NaN below ten periods.
    """
    names = ("annual_return", "sharpe", "drawdown")
    count = len(returns)
    if count < 10:
        return dict.fromkeys(names, (math.nan, math.nan))
    random = np.random.default_rng(seed)
    found = np.empty((len(names), draws))
    for draw in range(draws):
        begins = random.random(count) < 1.0 / block
        begins[0] = True
        starts = np.where(begins, random.integers(0, count, count), 0)
        since = np.arange(count) - np.maximum.accumulate(np.where(begins, np.arange(count), 0))
        block_start = starts[np.maximum.accumulate(np.where(begins, np.arange(count), 0))]
        sample = returns[(block_start + since) % count]
        found[:, draw] = annual_return(sample, per_year), sharpe(sample, per_year), drawdown(sample)
    bounds = {}
    for name, row in zip(names, found, strict=True):
        known = row[~np.isnan(row)]  # none of them where nothing was traded
        low, high = np.quantile(known, [0.05, 0.95]) if len(known) else (math.nan, math.nan)
        bounds[name] = (float(low), float(high))
    return bounds
