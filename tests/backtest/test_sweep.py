"""Promise: a sweep is nothing but its backtests, whoever computes them, and one seed gives one result."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl
import pytest

from quantlab.backtest import Plan, backtest
from quantlab.backtest.engine import exposures, staged
from quantlab.backtest.search import sweep
from quantlab.backtest.space import Space
from quantlab.model import ConfigurationError, NotFound
from quantlab.strategies import Strategy
from quantlab.strategies.indicators import ema
from quantlab.strategies.registry import STRATEGIES
from quantlab.strategies.rsi_reversion import RsiReversion
from quantlab.strategies.sharing import sharing
from tests.backtest.stage import instrument
from tests.backtest.walks import INSTRUMENT, crosses, hours, swept

FRAME = hours(3, 3_000, trend=0.05)
GRID = {"fast": [3, 5, 8, 20], "slow": [8, 20, 40]}


def test_each_combination_is_the_backtest_of_it() -> None:
    found = swept(FRAME, GRID)
    assert len(found.trials) == 9 and len(found.skipped) == 3  # fast must be below slow
    for given, plans, trial in zip(found.parameters, found.plans, found.trials, strict=True):
        alone = backtest(
            plans, {"BTCUSDT": FRAME}, {"BTCUSDT": INSTRUMENT}, timeframe="1h", from_ms=found.from_ms
        )  # fmt: skip
        assert alone.from_ms == found.from_ms
        ours, theirs = alone.metrics.as_dict(), trial.metrics.as_dict()
        assert ours.pop("average_trade_pct") != theirs.pop("average_trade_pct")  # needs tables, which no sweep keeps
        np.testing.assert_array_equal(list(ours.values()), list(theirs.values()), err_msg=str(given))
        np.testing.assert_array_equal(alone.returns, trial.returns)
    assert found.frame["sharpe"].max() == found.frame["sharpe"][found.best]
    assert found.frame["sharpe"].n_unique() > 5


def test_every_strategy_answers_the_same_with_what_it_shares() -> None:
    made = [kind() for kind in STRATEGIES.values() if not kind.uses_book]
    together = exposures([*made, *made], FRAME, 0.01)
    assert len(made) == 8
    for number, strategy in enumerate(made):
        alone = FRAME.with_columns(tick=0.01).select(strategy.exposure().cast(pl.Float64)).to_series().to_numpy()
        np.testing.assert_array_equal(together[number][strategy.lookback :], alone[strategy.lookback :])
        np.testing.assert_array_equal(together[number], together[number + len(made)])


def test_what_is_shared_is_computed_once() -> None:
    with sharing() as shared:
        columns = [ema("close", span) for span in (5, 9, 5)]
        of_a_column = ema(columns[0], 3)
    made = shared.over(FRAME.lazy()).collect()
    assert len(made.columns) == len(FRAME.columns) + 3
    found = made.select(of_a_column).to_series()
    assert found.equals(FRAME.select(ema(ema("close", 5), 3)).to_series(), check_names=False)
    assert "__shared" not in str(ema("close", 5))  # outside of it, an expression is one


def test_several_symbols_on_one_account() -> None:
    frames = {"BTCUSDT": FRAME, "ETHUSDT": hours(4, 2_900, trend=0.05)}
    filters = {symbol: instrument(symbol) for symbol in frames}

    def make(parameters: Mapping[str, Any]) -> list[Plan]:
        return [Plan(strategy=crosses(parameters)[0].strategy, symbol=symbol, weight=0.5) for symbol in frames]

    found = sweep(make, Space.of(GRID), frames, filters, timeframe="1h")
    number = 4
    alone = backtest(found.plans[number], frames, filters, timeframe="1h", from_ms=found.from_ms)
    assert alone.metrics.net_pnl == found.trials[number].metrics.net_pnl != 0


def test_rules_are_searched_as_parameters_are() -> None:
    def make(parameters: Mapping[str, Any]) -> list[Plan]:
        return [Plan(strategy=crosses({"fast": 5, "slow": 20})[0].strategy, symbol="BTCUSDT", **parameters)]

    found = swept(FRAME, {"stop_loss_pct": [0.5, 1.0, 2.0]}, make=make)
    assert found.frame["net_pnl"].n_unique() == 3


@pytest.mark.parametrize("search", ["random", "optuna"])
def test_one_seed_gives_one_result(search: str) -> None:
    values = {"fast": range(2, 30), "slow": range(30, 120, 5)}
    first, again, other = (swept(FRAME, values, search=search, trials=30, seed=seed) for seed in (1, 1, 2))
    assert first.parameters == again.parameters and len(first.parameters) == 30
    assert first.frame.equals(again.frame, null_equal=True)
    assert {str(each) for each in first.parameters} != {str(each) for each in other.parameters}


def test_optuna_finds_more_than_luck() -> None:
    """In a smooth landscape: what it tries after its first sixteen is better on average than those were."""
    values = {"fast": range(2, 48), "slow": range(48, 180, 2)}
    found = swept(hours(5, 6_000, trend=0.1), values, search="optuna", trials=64)
    scores = found.frame["sharpe"].to_numpy()
    assert np.mean(scores[16:]) > np.mean(scores[:16]) and found.best >= 16


def test_optuna_goes_on_where_a_space_is_small_and_half_of_it_cannot_be() -> None:
    found = swept(FRAME, {"fast": range(2, 8), "slow": range(2, 8)}, search="optuna", trials=100)
    assert len(found.parameters) == 15 == len({str(each) for each in found.parameters})
    assert all("slow" in reason for _, reason in found.skipped)


def test_a_cluster_gives_what_the_threads_give() -> None:
    from distributed import Client

    here = swept(FRAME, GRID)
    with Client(processes=False, n_workers=1, dashboard_address=None) as client:
        there = swept(FRAME, GRID, client=client)
    assert here.frame.equals(there.frame, null_equal=True)
    np.testing.assert_array_equal(here.returns, there.returns)


def test_progress_counts_up_to_all_of_them() -> None:
    seen: list[tuple[int, int]] = []
    swept(FRAME, GRID, on_progress=lambda done, of: seen.append((done, of)))
    assert seen[-1] == (9, 9) and seen == sorted(seen)


def test_unknown_parameters_and_searches_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="slow"):
        swept(FRAME, {"fast": [30, 40], "slow": [20]})
    for wrong in ({"search": "genetic"}, {"score": "luck"}, {"trials": 0}):
        with pytest.raises(ConfigurationError, match=next(iter(wrong))):
            swept(FRAME, GRID, **wrong)
    with pytest.raises(ConfigurationError, match="more than 100,000"):
        swept(FRAME, {"fast": range(1, 1_000), "slow": range(2, 1_000)})
    with pytest.raises(NotFound, match="not enough candles"):
        swept(FRAME.head(400), GRID)


class Greedy(Strategy):
    """Wants twice of all that there is."""

    lookback = 1

    def exposure(self) -> pl.Expr:
        return pl.lit(2.0).repeat_by(1).explode() + pl.col("close") * 0


def test_what_a_strategy_gets_wrong_ends_the_sweep() -> None:
    with pytest.raises(ConfigurationError, match="Greedy"):
        swept(FRAME, {"any": [1, 2]}, make=lambda _: [Plan(strategy=Greedy(), symbol="BTCUSDT")])


def test_all_are_judged_over_the_same_candles() -> None:
    """An RSI of 2 needs fewer candles than one of 50; both begin where the longer one can."""
    make = lambda parameters: [Plan(strategy=RsiReversion(**parameters), symbol="BTCUSDT")]  # noqa: E731
    found = swept(FRAME, {"period": [2, 50]}, make=make)
    longest = RsiReversion(period=50).lookback
    assert found.begin == longest - 1 > RsiReversion(period=2).lookback
    assert {trial.metrics.days for trial in found.trials} == {(3_000 - longest + 1) / 24}
    stage = staged(["BTCUSDT"], {"BTCUSDT": FRAME}, {"BTCUSDT": INSTRUMENT}, "1h")
    assert found.from_ms == stage.market.times[found.begin]
