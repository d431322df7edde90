"""Indicators equal TA-Lib's to 1e-9, once both have forgotten how they began: TA-Lib starts its recursive averages with
a simple one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
import talib

from quantlab.model.grid import decimals_of
from quantlab.strategies import indicators as ind

from .candles import read, recorded, walk

PRICES = ("high", "low", "close")


def compare(frame: pl.DataFrame) -> None:
    """Differences are relative to the value, or to the price for what swings around zero."""
    high, low, close = (frame[name].to_numpy().astype(float) for name in PRICES)
    upper, middle, lower = talib.BBANDS(close, 20, 2, 2)
    line, signal, _ = talib.MACD(close, 12, 26, 9)
    lines = ind.macd("close", 12, 26, 9)
    bands = ind.bollinger(20, 2.0)
    ema, wilder = ind.ema_memory(26), ind.wilder_memory(14)
    rows = [
        ("sma", ind.sma("close", 20), talib.SMA(close, 20), 20, 0.0),
        ("roc", ind.roc("close", 10), talib.ROCP(close, 10), 11, 1.0),
        ("ema", ind.ema("close", 26), talib.EMA(close, 26), ema, 0.0),
        ("atr", ind.atr(14), talib.ATR(high, low, close, 14), wilder, 0.0),
        ("rsi", ind.rsi("close", 14), talib.RSI(close, 14), wilder, 100.0),
        ("macd", lines[0], line, ema, close.max()),
        ("macd signal", lines[1], signal, ema + ind.ema_memory(9), close.max()),
        # TA-Lib's variance is a difference of sums, which loses half of the digits: in a flat hour it is noise.
        ("lower band", bands[0], lower, 20, None),
        ("middle band", bands[1], middle, 20, 0.0),
        ("upper band", bands[2], upper, 20, None),
    ]
    ours = frame.select(expression.cast(pl.Float64).alias(name) for name, expression, *_ in rows)
    for name, _, theirs, settled, scale in rows:
        mine, theirs = ours[name].to_numpy()[settled:], theirs[settled:]
        if scale is None:
            moved = talib.STDDEV(close, 20)[settled:] > 1e-3 * close[settled:]
            mine, theirs, scale = mine[moved], theirs[moved], 0.0
            assert len(mine) > 100, name
        np.testing.assert_allclose(mine, theirs, rtol=1e-9, atol=1e-9 * scale, err_msg=name)


def test_on_a_walk() -> None:
    compare(walk(3_000).filter(pl.col("volume") > 0))


@pytest.mark.parametrize("symbol", ["BTCUSDT", "ETHUSDT", "DOGEUSDT"])
def test_on_recorded_candles(symbol: str, shared_market: Path) -> None:
    paths = [path for path in recorded(shared_market) if path.stem == symbol]
    assert len(paths) == 2
    for path in paths:
        frame = read(path, shared_market)
        # The tick of that time, not of the exchangeInfo: averages are made of whole ones.
        tick = 10.0 ** -decimals_of(np.concatenate([frame[name].to_numpy() for name in PRICES]))
        compare(frame.with_columns(tick=pl.lit(tick)))
