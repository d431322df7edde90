"""Runs in an environment of its own: the same backtest by vectorbt and by backtesting.py.

    python backtest_runner.py CANDLES.npz equity OUT.npz     vectorbt's equity for the signals in the file
    python backtest_runner.py CANDLES.npz time               seconds, as JSON: one SMA cross, and 100 of them

CANDLES.npz has open, high, low, close; `wanted`, the exposure at each close, for `equity`; `fast` and `slow`, the spans
of the averages, for `time`. Orders fill at the next open; `fee` (in quote) and `slippage` (beyond the price) are in
the file, as fractions.
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

warnings.simplefilter("ignore")
CASH = 1e7


def portfolio(candles: Any, entries: Any, exits: Any) -> Any:
    import vectorbt as vbt

    def late(signals: Any) -> Any:
        return np.concatenate([np.zeros_like(signals[:1]), signals[:-1]])

    opened = candles["open"] if entries.ndim == 1 else candles["open"][:, None]
    closed = candles["close"] if entries.ndim == 1 else candles["close"][:, None]
    return vbt.Portfolio.from_signals(
        closed, late(entries), late(exits), price=opened, fees=float(candles["fee"]),
        slippage=float(candles["slippage"]), init_cash=CASH, freq="1min",
    )  # fmt: skip


def crossed(closes: np.ndarray, fast: Any, slow: Any) -> tuple[np.ndarray, np.ndarray]:
    import vectorbt as vbt

    quick, steady = vbt.MA.run(closes, fast).ma, vbt.MA.run(closes, slow).ma
    up = quick.to_numpy() > steady.to_numpy()
    known = ~np.isnan(steady.to_numpy())
    return up & known, ~up & known


def equity(candles: Any) -> np.ndarray:
    wanted = candles["wanted"]
    return np.asarray(portfolio(candles, wanted > 0.5, wanted <= 0.5).value())


def one(candles: Any, fast: int, slow: int) -> dict[str, float]:
    found = portfolio(candles, *crossed(candles["close"], fast, slow))
    return {
        "final": float(found.final_value()),
        "sharpe": float(found.sharpe_ratio()),
        "drawdown": float(found.max_drawdown()),
        "trades": int(found.trades.count()),
    }


def many(candles: Any, fast: list[int], slow: list[int]) -> list[float]:
    """Twenty columns at a time: a hundred at once take 10 GB."""
    returns: list[float] = []
    for start in range(0, len(fast), 20):
        signals = crossed(candles["close"], fast[start : start + 20], slow[start : start + 20])
        found = portfolio(candles, *signals)
        found.sharpe_ratio(), found.max_drawdown(), found.trades.count()
        returns.extend(float(each) for each in np.atleast_1d(found.final_value()))
    return returns


def seconds(call: Callable[[], Any], rounds: int) -> tuple[float, Any]:
    answer, best = call(), float("inf")  # the first compiles
    for _ in range(rounds):
        began = time.perf_counter()
        answer = call()
        best = min(best, time.perf_counter() - began)
    return best, answer


def other(candles: Any, fast: int, slow: int) -> tuple[float, float]:
    """backtesting.py: seconds and the final equity; it charges half of the spread it is given at entry alone."""
    import pandas as pd
    from backtesting import Backtest, Strategy

    class Cross(Strategy):
        def init(self) -> None:
            closes = pd.Series(self.data.Close)
            self.quick = self.I(lambda: closes.rolling(fast).mean().to_numpy())
            self.steady = self.I(lambda: closes.rolling(slow).mean().to_numpy())

        def next(self) -> None:
            if self.quick[-1] > self.steady[-1]:
                if not self.position:
                    self.buy(size=0.9999)
            elif self.position:
                self.position.close()

    names = {"Open": "open", "High": "high", "Low": "low", "Close": "close"}
    index = pd.date_range("2021-01-01", periods=len(candles["close"]), freq="1min")
    frame = pd.DataFrame({name: candles[key] for name, key in names.items()}, index=index)
    began = time.perf_counter()
    stats = Backtest(
        frame, Cross, cash=CASH, commission=float(candles["fee"]), spread=2 * float(candles["slippage"])
    ).run()
    return time.perf_counter() - began, float(stats["Equity Final [$]"])


def main() -> None:
    candles = dict(np.load(sys.argv[1]))
    if sys.argv[2] == "equity":
        np.savez(sys.argv[3], equity=equity(candles))
        return
    fast, slow = [int(n) for n in candles["fast"]], [int(n) for n in candles["slow"]]
    one_s, found = seconds(lambda: one(candles, fast[0], slow[0]), 3)
    many_s, _ = seconds(lambda: many(candles, fast, slow), 1)
    other_s, other_final = other(candles, fast[0], slow[0])
    json.dump(
        {"one_s": one_s, "many_s": many_s, "other_s": other_s, "other_final": other_final, **found}, sys.stdout
    )  # fmt: skip


if __name__ == "__main__":
    main()
