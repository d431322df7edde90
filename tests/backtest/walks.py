"""Generated hours in which nothing can be found, or one thing can."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np
import polars as pl

from quantlab.backtest import Conventions, Plan
from quantlab.backtest.search import Swept, sweep
from quantlab.backtest.space import Space
from quantlab.model import Instrument
from quantlab.strategies import Strategy
from quantlab.strategies.ema_cross import EmaCross

HOUR_MS = 3_600_000
INSTRUMENT = Instrument(
    symbol="BTCUSDT", base="BTC", quote="USDT", tick_size=Decimal("0.01"), step_size=Decimal("0.00001")
)


def hours(seed: int, count: int, *, trend: float = 0.0, volatility: float = 0.006, days: float = 20) -> pl.DataFrame:
    """A random walk of prices. Its drift is `trend` times its volatility, an hour, upwards and downwards by turns of
    `days` on average: nothing to be found at 0, which makes prices a martingale."""
    draw = np.random.default_rng(seed)
    way = np.where(np.cumsum(draw.random(count) < 1 / (days * 24)) % 2 == 0, 1.0, -1.0)
    steps = draw.normal(0, volatility, count) + way * trend * volatility - volatility**2 / 2
    close = np.round(30_000 * np.exp(np.cumsum(steps)), 2)
    opened = np.concatenate([close[:1], close[:-1]])
    high = np.round(np.maximum(opened, close) * (1 + np.abs(draw.normal(0, volatility / 3, count))), 2)
    low = np.round(np.minimum(opened, close) * (1 - np.abs(draw.normal(0, volatility / 3, count))), 2)
    return pl.DataFrame(
        {
            "open_time": 1_609_459_200_000 + np.arange(count) * HOUR_MS,
            "open": opened,
            "high": high,
            "low": low,
            "close": close,
            "volume": draw.uniform(1, 50, count),
        }
    )


@dataclass(frozen=True)
class Coin(Strategy):
    """Long or flat by the toss of a coin, a coin for each `number`: strategies that have nothing in common."""

    number: int = 0

    @property
    def lookback(self) -> int:
        return 1

    def exposure(self) -> pl.Expr:
        tossed = (pl.col("open_time") // (24 * HOUR_MS)).hash(self.number) % 2
        return tossed.cast(pl.Float64)


def crosses(parameters: Mapping[str, Any]) -> Sequence[Plan]:
    return [Plan(strategy=EmaCross(**parameters), symbol="BTCUSDT")]


def coins(parameters: Mapping[str, Any]) -> Sequence[Plan]:
    return [Plan(strategy=Coin(**parameters), symbol="BTCUSDT")]


def swept(
    frame: pl.DataFrame, values: Mapping[str, Any], *, make: Any = crosses, conventions: Conventions | None = None,
    **options: Any,
) -> Swept:  # fmt: skip
    return sweep(
        make, Space.of(values), {"BTCUSDT": frame}, {"BTCUSDT": INSTRUMENT}, timeframe="1h", conventions=conventions,
        source="GENERATED", **options,
    )  # fmt: skip
