"""The bots of one series are answered together: each hears its own strategy, and no strategy is asked twice."""

import copy
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest

from quantlab.fleet.group import Group
from quantlab.fleet.spec import load_fleet
from quantlab.market import CandleSeries
from quantlab.model import Candle

FLEET = Path(__file__).resolve().parents[2] / "notebooks" / "fleet.toml"


def bots_of_the_fleet_file() -> list[Any]:
    rows = [spec for spec in load_fleet(FLEET).bots if not spec.make_strategy().uses_book]
    return [SimpleNamespace(spec=spec, strategy=spec.make_strategy()) for spec in rows]


@pytest.fixture(scope="module")
def group() -> Group:
    """Every candle strategy of the fleet file, each twice, on one made-up walk."""
    bots = bots_of_the_fleet_file()
    bots += [SimpleNamespace(spec=bot.spec, strategy=replace(bot.strategy)) for bot in bots]
    group = Group(CandleSeries("BTCUSDT", "1m", 0.01, max(bot.strategy.lookback for bot in bots) + 1))  # type: ignore[arg-type]
    rng = np.random.default_rng(5)
    closes = 60_000 * np.exp(np.cumsum(rng.normal(0, 0.002, 1_500)))
    for n, close in enumerate(closes.tolist()):
        group.series.append(Candle("BTCUSDT", "1m", n * 60_000, close, close * 1.001, close * 0.999, close, 1.0))
    for bot in bots:
        group.add(bot)
    return group


def test_each_bot_hears_its_own_strategy(group: Group) -> None:
    answers = group.evaluate()
    alone = [group.series.frame().select(bot.strategy.exposure().last().cast(pl.Float64)).item() for bot in group.bots]
    assert [bot for bot, _ in answers] == group.bots
    assert [value for _, value in answers] == alone
    assert len(set(alone)) > 1, "strategies that all say the same would hide a mix-up"


def test_no_strategy_is_asked_twice(group: Group) -> None:
    different = {bot.strategy for bot in group.bots}
    assert len(group.expressions) == len(different) < len(group.bots)


def test_a_group_out_of_a_checkpoint_answers_the_same(group: Group) -> None:
    again = copy.deepcopy(group)
    assert [value for _, value in again.evaluate()] == [value for _, value in group.evaluate()]
