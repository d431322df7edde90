"""One symbol's year out of a history of twenty million candles, beside one Parquet file with nothing but that year."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from quantlab.market.history import History
from tests.benchmarks.backtests import YEAR, year

#: Symbols with a year each: 19,972,800 candles.
SYMBOLS = 38
GOAL_MS = 60.0


def rows(row: Callable[..., dict[str, Any]]) -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as folder:
        history, frame = History(Path(folder) / "history"), year()
        now_ms = int(frame["open_time"][-1]) + 60_000
        for number in range(SYMBOLS):
            history.add(f"S{number:02}USDT", "1m", frame, source="GENERATED for a benchmark", now_ms=now_ms)
        plain = Path(folder) / "plain.parquet"
        frame.write_parquet(plain)
        ours = _median(lambda number: _opened(history, f"S{number:02}USDT"))
        peer = _median(lambda _: pl.read_parquet(plain))
    return [row("history year", ours * 1e3, "ms", "one Parquet file of that year", peer / ours, GOAL_MS,
                ours * 1e3 <= GOAL_MS)]  # fmt: skip


def _opened(history: History, symbol: str) -> None:
    assert history.candles(symbol, "1m").height == YEAR


def _median(call: Callable[[int], Any]) -> float:
    """Seconds, each time another symbol."""
    found = []
    for number in range(15):
        began = time.perf_counter()
        call(number)
        found.append(time.perf_counter() - began)
    return float(np.median(found))
