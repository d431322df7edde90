"""The figures mean what the field means by them: against empyrical, against published examples, and at the edges.

Figures of others were computed on the same returns; `make peers` computes them anew.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantlab.backtest import metrics as m

RETURNS = np.random.default_rng(1).normal(0.001, 0.02, 500)
#: Of empyrical-reloaded 0.7.1 and quantstats 0.0.86, 365 periods a year (2026-11-24).
EMPYRICAL = {
    "annual_return": 0.04424157565959397,
    "volatility": 0.34918736755672775,
    "sharpe": 0.2981501655082507,
    "sortino": 0.42796333777679646,
    "drawdown": 0.4346432509411445,
    "calmar": 0.1017882494753951,
}


def test_as_empyrical_has_them() -> None:
    annual, deepest = m.annual_return(RETURNS, 365), m.drawdown(RETURNS)
    found = {
        "annual_return": annual,
        "volatility": m.volatility(RETURNS, 365),
        "sharpe": m.sharpe(RETURNS, 365),
        "sortino": m.sortino(RETURNS, 365),
        "drawdown": deepest,
        "calmar": m.calmar(annual, deepest),
    }
    assert found == pytest.approx(EMPYRICAL, rel=1e-12)


def test_the_published_example_of_the_deflated_sharpe_ratio() -> None:
    """Bailey and López de Prado (2014), "A numerical example": the best of 100 trials with an annual ratio of 2.5 over
    1,250 days, skewness -3 and kurtosis 10, where trials vary by 1/2."""
    chance = m.best_of_chance(0.5, 100) / math.sqrt(250)
    assert chance == pytest.approx(0.1132, abs=5e-5)
    found = m.probability_above(chance, ratio=2.5 / math.sqrt(250), count=1250, moments=(-3, 10))
    assert found == pytest.approx(0.9004, abs=5e-5)


def test_deflating_a_ratio_takes_from_it() -> None:
    alone = m.probabilistic_sharpe(RETURNS, 365)
    assert alone == pytest.approx(0.63635, abs=1e-4)
    assert m.deflated_sharpe(RETURNS, 365, trials=1, variance=0.5) == alone
    assert m.deflated_sharpe(RETURNS, 365, trials=100, variance=0.5) < 0.2 < alone


def test_the_best_of_many_without_skill_is_as_good_as_expected() -> None:
    draws = np.random.default_rng(5).normal(0, 1, (4_000, 200)).max(axis=1)
    assert m.best_of_chance(1.0, 200) == pytest.approx(float(draws.mean()), rel=0.02)


def test_intervals_of_the_bootstrap_hold_the_truth_about_as_often_as_they_say() -> None:
    """Of 200 histories of independent returns with a known Sharpe ratio; nine in ten, give or take."""
    held = 0
    for seed in range(200):
        sample = np.random.default_rng(seed).normal(0.001, 0.02, 400)
        low, high = m.bootstrap(sample, 365, draws=200, block=1.0, seed=seed)["sharpe"]
        held += low <= 0.05 * math.sqrt(365) <= high
    assert 165 <= held <= 195


def test_one_seed_gives_one_bootstrap() -> None:
    first = m.bootstrap(RETURNS, 365, draws=50, seed=3)
    assert first == m.bootstrap(RETURNS, 365, draws=50, seed=3) != m.bootstrap(RETURNS, 365, draws=50, seed=4)


def test_a_bootstrap_keeps_what_follows_upon_what() -> None:
    """Returns that come in runs: resampled one by one their drawdown would be far less."""
    runs = np.repeat(np.random.default_rng(2).normal(0, 0.01, 50), 20)
    blocks = m.bootstrap(runs, 365, draws=200, block=40.0)["drawdown"]
    alone = m.bootstrap(runs, 365, draws=200, block=1.0)["drawdown"]
    assert sum(blocks) > 1.5 * sum(alone)


@pytest.mark.parametrize("returns", [np.array([]), np.array([0.01]), np.zeros(50), np.full(50, 0.001)])
def test_what_cannot_be_told_is_nan(returns: np.ndarray) -> None:
    assert math.isnan(m.sharpe(returns, 365)) and math.isnan(m.probabilistic_sharpe(returns, 365))
    assert math.isnan(m.sortino(returns, 365)) and m.drawdown(returns) == 0
    assert math.isnan(m.calmar(0.1, 0.0))


def test_all_lost() -> None:
    returns = np.array([0.1, -1.0])
    assert m.annual_return(returns, 365) == -1 and m.drawdown(returns) == 1
    assert list(m.returns_of(np.array([1100.0, 0.0, 0.0]), 1000.0)) == pytest.approx([0.1, -1, 0])


@given(st.lists(st.floats(-0.5, 0.5), min_size=2, max_size=60), st.floats(0.1, 10))
def test_ratios_do_not_know_the_size_of_the_account(returns: list[float], scale: float) -> None:
    equity = 1000 * np.cumprod(1 + np.array(returns))
    one, other = m.returns_of(equity, 1000.0), m.returns_of(equity * scale, 1000.0 * scale)
    assert one == pytest.approx(np.array(returns), abs=1e-9) and other == pytest.approx(one, abs=1e-9)
    assert 0 <= m.drawdown(one) <= 1


@pytest.mark.filterwarnings("error")
def test_the_bootstrap_of_an_account_that_did_nothing() -> None:
    found = m.bootstrap(np.zeros(100), 365.0)
    assert found["annual_return"] == (0.0, 0.0) == found["drawdown"] and all(map(math.isnan, found["sharpe"]))
