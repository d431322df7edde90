"""Candles, wants and rules to run the kernel on, drawn or written out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np
import polars as pl

from quantlab.backtest import Conventions, Plan, Result
from quantlab.backtest.engine import answered, sample_length, staged
from quantlab.backtest.kernel import simulate
from quantlab.backtest.records import Market
from quantlab.model import Instrument
from quantlab.strategies import Strategy

MINUTE_MS = 60_000


@dataclass(frozen=True)
class Told(Strategy):
    """Stands for a strategy where a test says itself what is wanted."""


def instrument(symbol: str = "BTCUSDT", **changed: Any) -> Instrument:
    rules = {
        "tick_size": Decimal("0.01"),
        "step_size": Decimal("0.001"),
        "min_quantity": Decimal("0.001"),
        "min_notional": Decimal(5),
    }
    return Instrument(symbol=symbol, base=symbol.removesuffix("USDT"), quote="USDT", **{**rules, **changed})


def candles(rows: Sequence[Sequence[float]], *, times: Sequence[int] | None = None) -> pl.DataFrame:
    """`rows` of open, high, low, close and, if not 1, volume; one a minute."""
    columns = np.array([[*row, *([1.0] if len(row) == 4 else [])] for row in rows], dtype=float).T
    named = dict(zip(("open", "high", "low", "close", "volume"), columns, strict=True))
    minutes = np.array(times if times is not None else range(len(rows)), dtype=np.int64)
    return pl.DataFrame({"open_time": minutes * MINUTE_MS, **named})


def flat(prices: Sequence[float]) -> list[tuple[float, float, float, float]]:
    """Candles that stay at one price each."""
    return [(price, price, price, price) for price in prices]


def market_of(frames: Sequence[pl.DataFrame], wants: Sequence[Sequence[float]]) -> Market:
    symbols = [f"S{number}USDT" for number in range(len(frames))]
    candles_of = dict(zip(symbols, frames, strict=True))
    stage = staged(symbols, candles_of, {symbol: instrument(symbol) for symbol in symbols}, "1m")
    return answered(stage, [np.array(want, dtype=float) for want in wants], [1] * len(frames))


def run(
    frame: pl.DataFrame,
    wants: Sequence[float],
    *,
    conventions: Conventions | None = None,
    rules: dict[str, Any] | None = None,
    filters: Instrument | None = None,
) -> Result:
    """One symbol, told what to want at each close; no spread unless asked for."""
    plan = Plan(strategy=Told(), symbol="BTCUSDT", **(rules or {}))
    return run_all([frame], [wants], [plan], [filters or instrument()], conventions or Conventions(spread_bps=0))


def run_all(
    frames: Sequence[pl.DataFrame],
    wants: Sequence[Sequence[float]],
    plans: Sequence[Plan],
    instruments: Sequence[Instrument],
    conventions: Conventions,
    *,
    keep: bool = True,
) -> Result:
    market = market_of(frames, wants)
    sample_ms = sample_length(market, 0)
    legs = [conventions.leg(plan, each) for plan, each in zip(plans, instruments, strict=True)]
    outcome = simulate(market, legs, conventions.terms(), 0, sample_ms, keep=keep)
    return Result(tuple(plans), conventions, "1m", market, outcome, 0, sample_ms, "TEST")


def walk(rows: int, draw: np.random.Generator, *, price: float = 100.0, outages: bool = True) -> pl.DataFrame:
    """A random walk in cents with wicks and jumps, missing candles and candles without a trade."""
    steps = draw.normal(0, 0.006, rows) + (draw.random(rows) < 0.03) * draw.normal(0, 0.05, rows)
    close = np.maximum(1.0, price * np.exp(np.cumsum(steps)))
    opened = np.concatenate([[price], close[:-1]]) * (1 + draw.normal(0, 0.002, rows))
    high = np.maximum(opened, close) * (1 + np.abs(draw.normal(0, 0.004, rows)))
    low = np.minimum(opened, close) * (1 - np.abs(draw.normal(0, 0.004, rows)))
    times = np.arange(rows)
    volume = np.ones(rows)
    if outages:
        times = times + np.cumsum((draw.random(rows) < 0.02) * draw.integers(1, 30, rows))
        volume = (draw.random(rows) > 0.03).astype(float)
    table = np.round(np.stack([opened, high, low, close], axis=1), 2)
    return candles([(*row, has) for row, has in zip(table, volume, strict=True)], times=[int(t) for t in times])
