"""Each expression strategy does what its first line says, refuses parameters that make no sense, and decides nothing
before its time."""

from __future__ import annotations

import dataclasses
from decimal import Decimal

import polars as pl
import pytest

from quantlab.model import ConfigurationError, Position
from quantlab.strategies import STRATEGIES, Strategy
from quantlab.strategies.bollinger_reversion import BollingerReversion
from quantlab.strategies.donchian_breakout import DonchianBreakout
from quantlab.strategies.ema_cross import EmaCross
from quantlab.strategies.keltner_breakout import KeltnerBreakout
from quantlab.strategies.macd_momentum import MacdMomentum
from quantlab.strategies.rate_of_change import RateOfChange
from quantlab.strategies.rsi_reversion import RsiReversion
from quantlab.strategies.vwap_reversion import VwapReversion

from .candles import from_closes, walk

FLAT = [100.0] * 60
UP = [100.0 + n for n in range(1, 31)]
DOWN = [100.0 - n for n in range(1, 31)]


def exposures(strategy: Strategy, closes: list[float]) -> list[float]:
    return from_closes(closes).select(strategy.exposure()).to_series().to_list()


@pytest.mark.parametrize(
    "strategy",
    [
        EmaCross(3, 8),
        DonchianBreakout(10, 5, 40),
        KeltnerBreakout(10, 5, 1.0, 40),
        MacdMomentum(3, 8, 4),
        RateOfChange(5, 0.5),
    ],
)
def test_trend_strategies_hold_a_rise_and_neither_a_calm_nor_a_fall(strategy: Strategy) -> None:
    rise = exposures(strategy, FLAT + UP)
    assert rise[:60] == [0.0] * 60
    assert rise[63] == 1.0
    fall = exposures(strategy, FLAT + UP[:10] + [UP[9] - 4 * n for n in range(1, 20)])
    assert fall[69] == 1.0
    assert fall[-1] == 0.0
    assert exposures(strategy, FLAT + DOWN)[60:75] == [0.0] * 15


@pytest.mark.parametrize(
    "strategy",
    [
        RsiReversion(5, 30, 55, 40),
        BollingerReversion(20, 2.0, 40),
        VwapReversion(20, 1.0, 40),
    ],
)
def test_reversion_strategies_buy_a_fall_and_sell_the_way_back(strategy: Strategy) -> None:
    path = exposures(strategy, FLAT + DOWN[:5] + [96.0 + n for n in range(8)])
    assert path[:60] == [0.0] * 60
    assert path[64] == 1.0
    assert path[-1] == 0.0
    assert 1.0 not in exposures(strategy, FLAT + UP)[60:]


def test_a_position_is_held_for_max_candles_at_most() -> None:
    """One jump, then a price that neither comes back nor goes on."""
    assert exposures(DonchianBreakout(10, 5, 7), FLAT + [105.0] * 41)[60:] == [1.0] * 7 + [0.0] * 34
    assert exposures(DonchianBreakout(10, 5, 90), FLAT + [105.0] * 41)[60:] == [1.0] * 41


@pytest.mark.parametrize("name", STRATEGIES)
def test_it_is_frozen_documented_and_its_lookback_is_a_number_of_candles(name: str) -> None:
    strategy = STRATEGIES[name]()
    field = dataclasses.fields(strategy)[0].name  # type: ignore[arg-type]
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(strategy, field, 1)
    doc = type(strategy).__doc__ or ""
    assert all(word in doc for word in ("Idea:", "Parameters:", "Source:"))
    assert isinstance(strategy.lookback, int)
    assert (strategy.lookback > 0) is not strategy.uses_book


@pytest.mark.parametrize("name", [name for name, found in STRATEGIES.items() if not found.uses_book])
def test_on_any_number_of_candles_the_value_is_0_or_1(name: str) -> None:
    expression = STRATEGIES[name]().exposure()
    for rows in (1, 2, 30, 400):
        values = walk(400).head(rows).select(expression).to_series()
        assert values.dtype == pl.Float64
        assert set(values) <= {0.0, 1.0}


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: EmaCross(0, 26), "fast"),
        (lambda: EmaCross(26, 26), "slow"),
        (lambda: EmaCross(12.5, 26), "fast"),  # type: ignore[arg-type]
        (lambda: EmaCross(True, 26), "fast"),
        (lambda: DonchianBreakout(max_candles=0), "max_candles"),
        (lambda: KeltnerBreakout(multiple=float("nan")), "multiple"),
        (lambda: MacdMomentum(signal=0), "signal"),
        (lambda: RateOfChange(threshold_pct=-1), "threshold_pct"),
        (lambda: RsiReversion(entry_level=60, exit_level=55), "exit_level"),
        (lambda: BollingerReversion(deviations="2"), "deviations"),  # type: ignore[arg-type]
        (lambda: VwapReversion(period=1), "period"),
    ],
)
def test_a_parameter_that_makes_no_sense_is_refused_by_name(make, field: str) -> None:
    with pytest.raises(ConfigurationError, match=f'parameter "{field}" must be'):
        make()


def test_an_expression_strategy_rests_no_orders() -> None:
    with pytest.raises(ConfigurationError, match="rests no orders"):
        EmaCross().on_book(None, Position(symbol="X", quantity=Decimal(0)), [])  # type: ignore[arg-type]
