"""A strategy's value at a close depends on its `lookback` candles and on nothing before them: a live window and all
history decide alike, on every recorded file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from quantlab.strategies import STRATEGIES, Strategy
from quantlab.strategies.ema_cross import EmaCross
from quantlab.strategies.indicators import ema

from .candles import read, recorded, walk

EXPRESSION_STRATEGIES = [name for name, strategy in STRATEGIES.items() if not strategy.uses_book]


def rows_that_differ(strategies: list[Strategy], frame: pl.DataFrame, rows: np.ndarray) -> dict[str, int]:
    """At each of `rows`: how often the last value of a window of lookback (and a few more) candles is not that of the
    full frame. A row too early for a strategy's lookback is not counted."""
    full = frame.select(one.exposure().alias(str(at)) for at, one in enumerate(strategies))
    assert full.null_count().sum_horizontal().item() == 0
    assert set(full.dtypes) == {pl.Float64()}
    differing = dict.fromkeys((type(one).__name__ for one in strategies), 0)
    for at, strategy in enumerate(strategies):
        last = strategy.exposure().last()
        for row in rows:
            length = strategy.lookback + int(row) % 4 * 3
            if row >= length:
                window = frame.slice(int(row) + 1 - length, length)
                differing[type(strategy).__name__] += window.select(last).item() != full[int(row), at]
    return differing


def defaults() -> list[Strategy]:
    return [STRATEGIES[name]() for name in EXPRESSION_STRATEGIES]


def test_on_a_drawn_market_with_a_flat_hour_without_volume() -> None:
    frame = walk(3000)
    assert set(rows_that_differ(defaults(), frame, np.arange(900, 3000, 9)).values()) == {0}


def test_on_every_recorded_file(shared_market: Path) -> None:
    """Forty rows a file, spread over all of it; the campaign below takes each row."""
    files = recorded(shared_market)
    assert len(files) == 28
    for number, path in enumerate(files):
        frame = read(path, shared_market)
        rows = np.random.default_rng(number).integers(900, len(frame), 40)
        differing = rows_that_differ(defaults(), frame, rows)
        assert set(differing.values()) == {0}, (path.name, differing)


@pytest.mark.campaign
@pytest.mark.timeout(3600)
def test_on_every_row_of_every_recorded_file(shared_market: Path) -> None:
    for path in recorded(shared_market):
        frame = read(path, shared_market)
        differing = rows_that_differ(defaults(), frame, np.arange(len(frame)))
        assert set(differing.values()) == {0}, (path.name, differing)


@dataclass(frozen=True)
class TooShort(EmaCross):
    """The control: it forgets what it needs."""

    @property
    def lookback(self) -> int:
        return self.slow


@dataclass(frozen=True)
class Unrounded(EmaCross):
    """The other control: it compares floats, so that ties turn on their last bits."""

    def exposure(self) -> pl.Expr:
        return (ema("close", self.fast) > ema("close", self.slow)).cast(pl.Float64)


def test_the_check_fails_for_a_lookback_that_is_too_short() -> None:
    assert rows_that_differ([TooShort()], walk(3000), np.arange(900, 3000, 9))["TooShort"] > 0


def test_the_check_fails_where_ties_are_not_rounded() -> None:
    """A market that stands still: both averages reach the same price, up to the last bit."""
    moving = walk(600)
    still = moving.tail(1).select(pl.all().repeat_by(2000).list.explode())
    frame = pl.concat([moving, still])
    rows = np.arange(600 + 520, 2600, 3)
    assert rows_that_differ([EmaCross()], frame, rows)["EmaCross"] == 0
    assert rows_that_differ([Unrounded()], frame, rows)["Unrounded"] > 0
