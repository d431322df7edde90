"""Backtests beside a bare numba loop, vectorbt and backtesting.py: one year of one-minute candles, one SMA cross."""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numba import njit

from quantlab.backtest import Conventions, Plan, Result, backtest
from quantlab.backtest.search import Swept, sweep
from quantlab.backtest.space import Space
from quantlab.model import Instrument
from quantlab.paper import Assumptions, SlippageKind
from quantlab.strategies import Strategy
from quantlab.strategies.indicators import above, sma
from tests.peers.environment import BACKTESTS, throwaway

ROOT = Path(__file__).resolve().parents[2]
YEAR = 525_600
FAST, SLOW = 10, 30
#: Fast and slow spans of a sweep.
HUNDRED = [(FAST, SLOW), *((slow // 4, slow) for slow in range(20, 119))]
#: So little that the account outlives 20,000 fills; what is charged costs no time.
CASH, FEE, SLIPPAGE = 1e7, 0.00002, 0.00001
CONVENTIONS = Conventions(
    capital_usdt=Decimal(10_000_000),
    spread_bps=0,
    paper=Assumptions(slippage=SlippageKind.FIXED, slippage_bps=Decimal("0.1"), taker_fee_pct=Decimal("0.002")),
    fee_received=False,
    filters=False,
)
INSTRUMENT = Instrument(
    symbol="BTCUSDT", base="BTC", quote="USDT", tick_size=Decimal("0.01"), step_size=Decimal("0.00001")
)


@dataclass(frozen=True)
class SmaCross(Strategy):
    """Long while the fast average of the close is above the slow one."""

    fast: int = FAST
    slow: int = SLOW

    @property
    def lookback(self) -> int:
        return self.slow

    def exposure(self) -> pl.Expr:
        return above(sma("close", self.fast), sma("close", self.slow)).cast(pl.Float64)


def year() -> pl.DataFrame:
    """A random walk in cents, as rough as a year of BTCUSDT."""
    draw = np.random.default_rng(11)
    close = np.round(30_000 * np.exp(np.cumsum(draw.normal(0, 0.0008, YEAR))), 2)
    opened = np.concatenate([close[:1], close[:-1]])
    high = np.round(np.maximum(opened, close) * (1 + np.abs(draw.normal(0, 0.0003, YEAR))), 2)
    low = np.round(np.minimum(opened, close) * (1 - np.abs(draw.normal(0, 0.0003, YEAR))), 2)
    return pl.DataFrame(
        {
            "open_time": 1_609_459_200_000 + np.arange(YEAR) * 60_000,
            "open": opened,
            "high": high,
            "low": low,
            "close": close,
            "volume": draw.uniform(0.1, 50, YEAR),
        }
    )


def ours(frame: pl.DataFrame) -> Result:
    plan = Plan(strategy=SmaCross(), symbol="BTCUSDT")
    found = backtest(
        [plan], {"BTCUSDT": frame}, {"BTCUSDT": INSTRUMENT}, timeframe="1m", conventions=CONVENTIONS
    )  # fmt: skip
    assert found.metrics.trades > 1_000
    return found


def swept(frame: pl.DataFrame) -> Swept:
    """The same hundred that `tests/peers/backtest_runner.py` gives vectorbt."""

    def make(given: Mapping[str, Any]) -> list[Plan]:
        return [Plan(strategy=SmaCross(*HUNDRED[given["number"]]), symbol="BTCUSDT")]

    found = sweep(
        make, Space.of({"number": range(100)}), {"BTCUSDT": frame}, {"BTCUSDT": INSTRUMENT}, timeframe="1m",
        conventions=CONVENTIONS,
    )  # fmt: skip
    assert len(found.trials) == 100
    return found


@njit(nogil=True, error_model="numpy")
def bare(opens: Any, closes: Any, fast: int, slow: int) -> Any:  # pragma: no cover
    """What any loop over these candles has to do, and nothing else: averages, fills, fees, equity."""
    equity = np.empty(len(closes))
    cash, held, quick, steady, order = CASH, 0.0, 0.0, 0.0, 0
    for t in range(len(closes)):
        if order == 1:
            held, cash = cash / (opens[t] * (1 + SLIPPAGE) * (1 + FEE)), 0.0
        elif order == -1:
            cash, held = held * opens[t] * (1 - SLIPPAGE) * (1 - FEE), 0.0
        order = 0
        quick += closes[t]
        steady += closes[t]
        if t >= fast:
            quick -= closes[t - fast]
        if t >= slow:
            steady -= closes[t - slow]
        if t >= slow - 1:
            up = quick * slow > steady * fast
            order = 1 if up and held == 0.0 else -1 if held > 0.0 and not up else 0
        equity[t] = cash + held * closes[t]
    return equity


def best(call: Callable[[], Any], rounds: int = 9) -> float:
    """Seconds; the first call, which compiles, does not count."""
    call()
    found = float("inf")
    for _ in range(rounds):
        began = time.perf_counter()
        call()
        found = min(found, time.perf_counter() - began)
    return found


def rows(row: Callable[..., dict[str, Any]]) -> list[dict[str, Any]]:
    """The lines of `make bench`; those beside others are left out where the package registry cannot be reached."""
    frame = year()
    opens, closes = frame["open"].to_numpy(), frame["close"].to_numpy()
    floor, one = best(lambda: bare(opens, closes, FAST, SLOW)), best(lambda: ours(frame))
    found = [
        row("backtest one", one * 1e3, "ms", "a bare numba loop", floor / one, 10 * floor * 1e3, one <= 10 * floor)
    ]
    with tempfile.TemporaryDirectory() as folder:
        theirs = peers(frame, Path(folder))
    if theirs is None:
        return found
    found.append(
        row("backtest one", one * 1e3, "ms", "vectorbt", theirs["one_s"] / one, theirs["one_s"] * 100,
            theirs["one_s"] >= 10 * one)
    )  # fmt: skip
    found.append(row("backtest one", one * 1e3, "ms", "backtesting.py", theirs["other_s"] / one, 0, True))
    hundred = best(lambda: swept(frame), 3)
    found.append(
        row("backtest sweep", hundred, "s", "vectorbt, 100 combinations", theirs["many_s"] / hundred,
            theirs["many_s"] / 25, theirs["many_s"] >= 25 * hundred)
    )  # fmt: skip
    return found


def peers(frame: pl.DataFrame, folder: Path) -> dict[str, Any] | None:
    """What `tests/peers/backtest_runner.py` measures."""
    columns = {name: frame[name].to_numpy() for name in ("open", "high", "low", "close")}
    np.savez(
        folder / "candles.npz",
        **columns,
        fee=FEE,
        slippage=SLIPPAGE,
        fast=np.array([fast for fast, _ in HUNDRED]),  # the first is timed alone
        slow=np.array([slow for _, slow in HUNDRED]),
    )
    try:
        python = throwaway(folder / "env", *BACKTESTS)
    except subprocess.CalledProcessError:
        return None
    command = [python, ROOT / "tests" / "peers" / "backtest_runner.py", folder / "candles.npz", "time"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer
