"""Small markets made of given candles, and a reader of their streams."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np

from quantlab.model.timeframe import MINUTE_MS
from quantlab.venue.market.candles import CandleTable
from quantlab.venue.market.filters import exchange_info_of, grids, symbol_row
from quantlab.venue.market.synthetic import SyntheticMarket

#: 2025-06-02 09:00 UTC.
START_MS = 1_748_854_800_000
Candle = tuple[int, int, int, int, int]


def make_market(
    *series: Sequence[Candle | None],
    base_ms: int = MINUTE_MS,
    start_ms: int = START_MS,
    history: int = 0,
    seed: int = 1,
) -> SyntheticMarket:
    """A market of one or more symbols from candles in ticks (0.01) and lots (0.001); None is a missing candle.

    The first `history` candles lie before `start_ms`.
    """
    names = ["AAA", "BBB", "CCC"][: len(series)]
    tables = []
    for name, candles in zip(names, series, strict=True):
        times = start_ms + (np.arange(len(candles)) - history) * base_ms
        there = np.array([candle is not None for candle in candles])
        columns = np.array([candle for candle in candles if candle is not None]).T
        values = (*(column / 100 for column in columns[:4]), columns[4] / 1000)
        tables.append(CandleTable(name + "USDT", base_ms, times[there], *values))
    info = exchange_info_of([symbol_row(name, "USDT", 2, 3) for name in names], start_ms)
    end_ms = start_ms + (max(map(len, series)) - history) * base_ms
    return SyntheticMarket("candles", "test", tables, grids(info), info, seed=seed, start_ms=start_ms, end_ms=end_ms)


def streams(market: SyntheticMarket, *suffixes: str) -> frozenset[str]:
    kinds = suffixes or ("bookTicker", "trade", "depth@100ms", "kline_1m")
    return frozenset(f"{symbol.lower()}@{kind}" for symbol in market.symbols for kind in kinds)


def play(market: SyntheticMarket, *suffixes: str, step_ms: int = 1000) -> list[tuple[str, dict[str, Any]]]:
    """All of the market from where it stands, decoded."""
    wanted, events = streams(market, *suffixes), []
    while market.now_ms < market.end_ms:
        events += market.advance(market.now_ms + step_ms, wanted)
    return [(stream, json.loads(payload)) for stream, payload in events]


def by_kind(events: list[tuple[str, dict[str, Any]]]) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for stream, data in events:
        found[stream.partition("@")[2]].append(data)
    return found


def ticks(text: str) -> int:
    """Ticks of 0.01."""
    return round(float(text) * 100)


def lots(text: str) -> int:
    """Lots of 0.001."""
    return round(float(text) * 1000)


def waves(count: int, *, volume: int = 50_000, price: int = 10_000, swing: int = 40) -> list[Candle]:
    """Plain candles that go up and down."""
    candles, last = [], price
    for i in range(count):
        close = price + round(swing * np.sin(i / 5) + swing / 4 * np.sin(i * 1.7))
        candles.append((last, max(last, close) + i % 7, min(last, close) - i % 5, close, volume + 97 * i))
        last = close
    return candles
