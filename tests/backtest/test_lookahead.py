"""Nothing is known before it happened: with another future, everything before it stays as it was, bit for bit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
import pytest

from quantlab.backtest import Conventions, Plan, Result, backtest
from quantlab.strategies import STRATEGIES, Strategy
from tests.backtest.stage import instrument, walk

CUT = 4_000
NAMES = [name for name, strategy in STRATEGIES.items() if not strategy.uses_book]
RULES = {"stop_loss_pct": 2.0, "take_profit_pct": 3.0, "rebalance_pct": 1.0}


@dataclass(frozen=True)
class Clairvoyant(Strategy):
    """Buys before the price rises: it reads three candles ahead."""

    @property
    def lookback(self) -> int:
        return 2

    def exposure(self) -> pl.Expr:
        return (pl.col("close").shift(-3) > pl.col("close")).fill_null(False).cast(pl.Float64)


def result(strategy: Strategy, frames: list[pl.DataFrame]) -> Result:
    symbols = ["BTCUSDT", "ETHUSDT"][: len(frames)]
    plans = [Plan(strategy=strategy, symbol=symbol, weight=1 / len(frames), **RULES) for symbol in symbols]
    candles = dict(zip(symbols, frames, strict=True))
    return backtest(
        plans, candles, {s: instrument(s) for s in symbols}, timeframe="1m",
        conventions=Conventions(max_daily_loss_pct=30),
    )  # fmt: skip


def elsewhere(frame: pl.DataFrame, seed: int) -> pl.DataFrame:
    """The same until the cut, another walk from there on; times as they were."""
    other = walk(frame.height - CUT, np.random.default_rng(seed), price=float(frame["close"][CUT - 1]))
    other = other.with_columns(open_time=frame["open_time"][CUT:])
    return pl.concat([frame[:CUT], other])


def knows_the_future(strategy: Strategy, symbols: int) -> bool:
    frames = [walk(6_000, np.random.default_rng(seed), outages=False) for seed in range(symbols)]
    before = result(strategy, frames)
    after = result(strategy, [elsewhere(frame, 100 + n) for n, frame in enumerate(frames)])
    assert not np.array_equal(before.outcome.curve[CUT:], after.outcome.curve[CUT:])
    known = [each.outcome.fills[each.outcome.fills["bar"] < CUT] for each in (before, after)]
    trips = [each.outcome.trips[each.outcome.trips["exit_bar"] < CUT] for each in (before, after)]
    assert len(known[0]) > 5
    wants = [each.market.wanted[:, each.begin : CUT] for each in (before, after)]
    return not (
        np.array_equal(*wants, equal_nan=True)
        and np.array_equal(before.outcome.curve[before.begin : CUT], after.outcome.curve[after.begin : CUT])
        and np.array_equal(*known)
        and np.array_equal(*trips)
    )


@pytest.mark.parametrize("symbols", [1, 2])
@pytest.mark.parametrize("name", NAMES)
def test_the_future_changes_nothing_before_it(name: str, symbols: int) -> None:
    assert not knows_the_future(STRATEGIES[name](), symbols)


@pytest.mark.parametrize("symbols", [1, 2])
def test_a_strategy_that_reads_ahead_is_found_out(symbols: int) -> None:
    assert knows_the_future(Clairvoyant(), symbols)


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_traded_before_the_lookback_is_filled(name: str) -> None:
    strategy = STRATEGIES[name]()
    frame = walk(6_000, np.random.default_rng(1), outages=False)
    found = result(strategy, [frame])
    assert found.begin >= strategy.lookback - 1
    assert found.fills["time"][0] >= pl.Series([int(frame["open_time"][strategy.lookback])]).cast(
        pl.Datetime("ms", "UTC")
    )[0]  # fmt: skip
