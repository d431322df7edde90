"""Promise: the luckiest of a thousand combinations on a random walk is not let through; a trend that is there is."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from quantlab.backtest import FREE
from quantlab.backtest.validation import Validation, validate
from tests.backtest.walks import coins, crosses, hours, swept

#: A thousand crosses: what a person tries who does not know where to look.
THOUSAND = {"fast": range(2, 42), "slow": range(48, 198, 6)}
FORTY = {"fast": range(2, 42, 8), "slow": range(48, 198, 20)}
#: Two years, and what the longest average has to see before.
HOURS = 2 * 8_760 + 20 * 197
TREND = 0.1


def judged(seed: int, trend: float, values: Any, make: Any = crosses, **options: Any) -> Validation:
    return validate(swept(hours(seed, HOURS, trend=trend), values, make=make, **options))


def test_a_random_walk_does_not_hold_up() -> None:
    found = judged(1, 0.0, FORTY)
    assert not found.passed and "does not hold up: no to deflated Sharpe" in repr(found)


def test_a_trend_that_is_there_holds_up() -> None:
    found = judged(1, TREND, FORTY)
    assert found.passed, found
    assert [each.passed for each in found.checks] == [True] * 4 and "holds up" in repr(found)


def test_what_cannot_be_asked_is_not_passed() -> None:
    short = validate(swept(hours(1, 5_000, trend=TREND), {"fast": [12], "slow": [48]}), train=9_000)
    assert not short.passed and short.overfitting is None and short.walk_forward is None
    why = {each.why for each in short.checks if math.isnan(each.found)}
    assert any("one combination alone" in each for each in why) and any("not enough candles" in each for each in why)


@pytest.mark.campaign
@pytest.mark.timeout(3_000)
def test_of_fifty_random_walks_the_best_of_a_thousand_passes_in_five_at_most() -> None:
    found = [judged(seed, 0.0, THOUSAND) for seed in range(50)]
    assert all(len(each.swept.trials) == 1_000 for each in found)
    print(f"random walks, 1,000 crosses: {_told(found)}")
    assert sum(each.passed for each in found) <= 5


@pytest.mark.campaign
@pytest.mark.timeout(3_000)
def test_of_fifty_thousand_tossed_coins_the_best_of_each_thousand_passes_in_five_at_most() -> None:
    """Harder: no fees, and strategies without anything in common, so that the best of them is far above zero."""
    found = [judged(seed, 0.0, {"number": range(1_000)}, coins, conventions=FREE) for seed in range(50)]
    print(f"tossed coins, 1,000 of them: {_told(found)}")
    assert sum(each.passed for each in found) <= 5
    assert np.median([each.swept.trials[each.swept.best].metrics.sharpe for each in found]) > 1


@pytest.mark.campaign
@pytest.mark.timeout(3_000)
def test_of_fifty_planted_trends_forty_are_found() -> None:
    found = [judged(seed, TREND, THOUSAND) for seed in range(50)]
    print(f"planted trends, 1,000 crosses: {_told(found)}")
    assert sum(each.passed for each in found) >= 40


def _told(found: list[Validation]) -> str:
    each = [sum(of_one.checks[number].passed for of_one in found) for number in range(4)]
    sharpe = np.median([of_one.swept.trials[of_one.swept.best].metrics.sharpe for of_one in found])
    return (
        f"{sum(of_one.passed for of_one in found)} of {len(found)} pass; deflated {each[0]}, held out {each[1]}, "
        f"paths {each[2]}, walk-forward {each[3]}; median Sharpe ratio of the best {sharpe:.2f}"
    )
