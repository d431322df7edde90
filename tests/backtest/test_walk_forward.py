"""Promise: each choice knows only the candles before its test, and what is traded is one account's backtest."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from quantlab.backtest import Plan, backtest
from quantlab.backtest.metrics import sharpe
from quantlab.backtest.walk_forward import folded, walk_forward
from quantlab.model import ConfigurationError, NotFound
from tests.backtest.walks import HOUR_MS, INSTRUMENT, crosses, hours, swept

FRAME = hours(3, 4_000, trend=0.06)
GRID = {"fast": [3, 5, 8, 20], "slow": [25, 40]}


def test_windows() -> None:
    rolling = folded(100, 1_000, 300, 150, 10, anchored=False)
    bars = [(fold.train_from, fold.train_to, fold.test_from, fold.test_to) for fold in rolling]
    assert bars == [(100, 400, 410, 560), (250, 550, 560, 710), (400, 700, 710, 860), (550, 850, 860, 1_000)]
    anchored = folded(100, 1_000, 300, 150, 10, anchored=True)
    assert [fold.train_from for fold in anchored] == [100] * 4
    assert [fold.test_to for fold in anchored] == [fold.test_to for fold in rolling]


@pytest.mark.parametrize("anchored", [False, True])
@pytest.mark.parametrize("choice", ["sharpe", "return_pct"])
def test_each_fold_chooses_the_best_of_its_training_candles(choice: str, *, anchored: bool) -> None:
    found = swept(FRAME, GRID)
    walked = walk_forward(found, train=600, test=150, embargo=7, anchored=anchored, choice=choice)
    assert len(walked.folds) > 10
    curves = [
        backtest(plans, {"BTCUSDT": FRAME}, {"BTCUSDT": INSTRUMENT}, timeframe="1h", from_ms=found.from_ms)
        for plans in found.plans
    ]  # fmt: skip
    for fold in walked.folds:
        scores = []
        for result in curves:
            curve = np.concatenate([[1_000.0], result.outcome.curve[found.begin :]])
            returns = (curve[1:] / curve[:-1] - 1.0)[fold.train_from - found.begin : fold.train_to - found.begin]
            scores.append(sharpe(returns, 8_760) if choice == "sharpe" else (np.prod(1 + returns) - 1) * 100)
        best = int(np.nanargmax(scores))
        if scores[best] > 0:
            assert fold.chosen == best and fold.score == pytest.approx(scores[best], rel=1e-9)
        else:
            assert fold.chosen == -1
    assert len({fold.chosen for fold in walked.folds}) > 2


def test_the_future_changes_no_choice_and_no_fill_before_it() -> None:
    walked = walk_forward(swept(FRAME, GRID), train=600, test=150)
    at = walked.folds[5].test_from + 40
    prices = ("open", "high", "low", "close")
    other = FRAME.with_columns(
        pl.when(pl.int_range(pl.len()) >= at).then((pl.col(name) * 1.7).round(2)).otherwise(name).alias(name)
        for name in prices
    )
    changed = walk_forward(swept(other, GRID), train=600, test=150)
    assert changed.folds[:6] == walked.folds[:6]
    until = walked.result.market.times[at]
    before = [each.result.fills.filter(pl.col("time").dt.epoch("ms") < until) for each in (walked, changed)]
    assert before[0].equals(before[1]) and before[0].height > 10
    assert changed.folds[6:] != walked.folds[6:]  # the control


def test_one_combination_is_its_own_backtest() -> None:
    """Where every fold chooses the same, nothing is bought or sold at their borders."""
    rising = FRAME.with_columns((pl.col(name) * 1.002 ** pl.int_range(pl.len())).round(2) for name in
                                ("open", "high", "low", "close"))  # fmt: skip
    found = swept(rising, {"fast": [5], "slow": [25]})
    walked = walk_forward(found, train=600, test=150)
    assert {fold.chosen for fold in walked.folds} == {0}
    start = int(rising["open_time"][walked.folds[0].test_from - 1])
    alone = backtest(
        crosses({"fast": 5, "slow": 25}), {"BTCUSDT": rising}, {"BTCUSDT": INSTRUMENT}, timeframe="1h", from_ms=start
    )  # fmt: skip
    assert walked.result.fills.equals(alone.fills) and alone.fills.height > 20
    assert walked.result.metrics.net_pnl == alone.metrics.net_pnl


def test_nothing_is_traded_where_nothing_gained() -> None:
    falling = FRAME.with_columns((pl.col(name) * 0.99 ** pl.int_range(pl.len())).round(2) + 0.01 for name in
                                 ("open", "high", "low", "close"))  # fmt: skip
    walked = walk_forward(swept(falling, GRID), train=600, test=150)
    assert {fold.chosen for fold in walked.folds} == {-1}
    assert walked.result.metrics.fills == 0 and walked.frame["fast"].null_count() == len(walked.folds)


def test_its_table() -> None:
    walked = walk_forward(swept(FRAME, GRID), train=600, test=150)
    frame, result = walked.frame, walked.result
    assert frame["test_from"].dt.epoch("ms").to_list() == [
        int(FRAME["open_time"][fold.test_from]) for fold in walked.folds
    ]
    assert int(frame["test_to"].dt.epoch("ms")[-1]) == int(FRAME["open_time"][-1]) + HOUR_MS
    grown = np.prod(1 + frame["test_return_pct"].to_numpy() / 100)
    first = result.outcome.curve[walked.folds[0].test_from - 1]
    assert grown == pytest.approx(result.outcome.curve[-1] / first)
    assert -5 < walked.efficiency < 5


def test_missing_candles_shift_no_window() -> None:
    """An outage is candles that are not there: windows count candles, and what the account did is still known."""
    holes = FRAME.filter((pl.int_range(pl.len()) % 500) < 470)
    walked = walk_forward(swept(holes, GRID), train=600, test=150)
    for fold in walked.folds:
        assert fold.test_from - fold.train_from == 600 or fold.train_from == walked.folds[0].train_from
    assert walked.result.metrics.fills > 20


def test_rules_cannot_be_walked_and_too_few_candles_are_told() -> None:
    def make(parameters: dict[str, float]) -> list[Plan]:
        return [Plan(strategy=crosses({"fast": 5, "slow": 20})[0].strategy, symbol="BTCUSDT", **parameters)]

    with pytest.raises(ConfigurationError, match="stops and the like must stay"):
        walk_forward(swept(FRAME, {"stop_loss_pct": [0.5, 1.0]}, make=make))
    with pytest.raises(NotFound, match="the first test begins after 9000"):
        walk_forward(swept(FRAME, GRID), train=9_000)
    with pytest.raises(ConfigurationError, match="candles"):
        walk_forward(swept(FRAME, GRID), train=0)
    with pytest.raises(ConfigurationError, match="luck"):
        walk_forward(swept(FRAME, GRID), choice="luck")
