"""Indicators equal their textbook definitions, written out here as plain loops;
comparisons do not turn on float noise; holding is bounded."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantlab.strategies import indicators as ind

from .candles import from_closes, walk

FRAME = walk(1500)
OPEN, HIGH, LOW, CLOSE = (FRAME[name].to_numpy() for name in ("open", "high", "low", "close"))
VOLUME = FRAME["volume"].to_numpy()
SETTLED = slice(900, None)


def values(*expressions: pl.Expr, frame: pl.DataFrame = FRAME) -> list[np.ndarray]:
    table = frame.select(expression.alias(str(at)) for at, expression in enumerate(expressions))
    return [table[name].to_numpy() for name in table.columns]


def recursive(x: np.ndarray, weight: float) -> np.ndarray:
    out = [float(x[0])]
    for value in x[1:]:
        out.append(out[-1] + weight * (float(value) - out[-1]))
    return np.array(out)


def windows(x: np.ndarray, period: int) -> np.ndarray:
    return np.lib.stride_tricks.sliding_window_view(x, period)


def true_ranges() -> np.ndarray:
    out = [HIGH[0] - LOW[0]]
    for high, low, before in zip(HIGH[1:], LOW[1:], CLOSE[:-1], strict=True):
        out.append(max(high - low, abs(high - before), abs(low - before)))
    return np.array(out)


def test_averages() -> None:
    ema, wilder, sma = values(ind.ema("close", 26), ind.wilder("close", 14), ind.sma("close", 20))
    np.testing.assert_allclose(ema, recursive(CLOSE, 2 / 27))
    np.testing.assert_allclose(wilder, recursive(CLOSE, 1 / 14))
    np.testing.assert_allclose(sma[19:], windows(CLOSE, 20).mean(axis=1))
    assert np.isnan(sma[:19]).all()


def test_ranges_and_bands() -> None:
    ranges, atr, highest, lowest = values(ind.true_range(), ind.atr(10), *ind.donchian(20))
    np.testing.assert_allclose(ranges, true_ranges(), atol=1e-9)
    np.testing.assert_allclose(atr, recursive(true_ranges(), 1 / 10))
    np.testing.assert_array_equal(highest[20:], windows(HIGH, 20).max(axis=1)[:-1])
    np.testing.assert_array_equal(lowest[20:], windows(LOW, 20).min(axis=1)[:-1])
    lower, middle, upper = values(*ind.bollinger(20, 2.0))
    mean, deviation = windows(CLOSE, 20).mean(axis=1), windows(CLOSE, 20).std(axis=1)
    np.testing.assert_allclose(middle[19:], mean)
    np.testing.assert_allclose(upper[19:], mean + 2 * deviation)
    np.testing.assert_allclose(lower[19:], mean - 2 * deviation)
    lower, middle, upper = values(*ind.keltner(20, 10, 1.5))
    np.testing.assert_allclose(middle, recursive(CLOSE, 2 / 21))
    np.testing.assert_allclose(upper - middle, 1.5 * atr)
    np.testing.assert_allclose(middle - lower, 1.5 * atr)


def test_vwap_is_null_where_nothing_was_traded() -> None:
    (vwap,) = values(ind.vwap(48))
    typical = (HIGH + LOW + CLOSE) / 3
    traded = windows(VOLUME, 48).sum(axis=1)
    expected = windows(typical * VOLUME, 48).sum(axis=1)[traded > 0] / traded[traded > 0]
    np.testing.assert_allclose(vwap[47:][traded > 0], expected)
    assert np.isnan(vwap[47:][traded == 0]).all()
    assert (traded == 0).sum() == 13


def test_momentum() -> None:
    roc, line, signal, rsi = values(ind.roc("close", 12), *ind.macd("close", 12, 26, 9), ind.rsi("close", 14))
    np.testing.assert_allclose(roc[12:], CLOSE[12:] / CLOSE[:-12] - 1)
    expected = recursive(CLOSE, 2 / 13) - recursive(CLOSE, 2 / 27)
    np.testing.assert_allclose(line, expected, atol=1e-9)
    np.testing.assert_allclose(signal, recursive(expected, 2 / 10), atol=1e-9)
    change = np.diff(CLOSE)
    gain, loss = recursive(change.clip(min=0), 1 / 14), recursive((-change).clip(min=0), 1 / 14)
    np.testing.assert_allclose(rsi[30:], 100 * gain[29:] / (gain + loss)[29:], rtol=1e-6)
    assert rsi[1:].min() >= 0
    assert rsi[1:].max() <= 100


def test_rsi_of_one_direction_and_of_no_move() -> None:
    for closes, expected in (([1.0 + n for n in range(50)], 100), ([99.0 - n for n in range(50)], 0), ([5.0] * 50, 50)):
        (rsi,) = values(ind.rsi("close", 14), frame=from_closes(closes))
        assert rsi[-1] == pytest.approx(expected, abs=1e-5)
        assert (rsi[-1] == 50) == (expected == 50), "no move is the middle exactly"


def test_a_window_sum_has_the_same_bits_wherever_the_data_begins() -> None:
    """The plain rolling sum, as the control, has not."""
    path = 100 + np.cumsum(np.random.default_rng(0).normal(size=3000))
    frame, tail = pl.DataFrame({"x": path}), pl.DataFrame({"x": path[2000:]})

    def equal(expression: pl.Expr) -> bool:
        return bool((frame.select(expression)[2050:, 0] == tail.select(expression)[50:, 0]).all())

    assert equal(ind.rolling_sum("x", 50))
    assert not equal(pl.col("x").rolling_sum(50))


def test_prices_are_compared_in_whole_ticks() -> None:
    frame = pl.DataFrame({"a": [0.1 + 0.2, 0.31, 0.29, 0.3049], "b": [0.3] * 4, "tick": [0.01] * 4})
    assert frame.select(ind.above("a", "b")).to_series().to_list() == [False, True, False, False]
    assert frame.select(ind.above("b", "a")).to_series().to_list() == [False, False, True, False]
    assert frame.select(pl.col("a") > pl.col("b")).item(0, 0), "the control: floats call the tie a rise"


def test_crosses_above_is_the_candle_where_it_happens() -> None:
    frame = pl.DataFrame({"a": [1.0, 3, 3, 1, 3], "b": [2.0] * 5, "tick": [0.01] * 5})
    crossed = frame.select(ind.crosses_above("a", "b").fill_null(value=False)).to_series().to_list()
    assert crossed == [False, True, False, False, True]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60), st.integers(1, 12))
def test_holding_is_the_newest_of_entry_and_exit_within_the_bound(
    signals: list[tuple[bool, bool]], max_candles: int
) -> None:
    frame = pl.DataFrame(signals, schema={"entry": pl.Boolean, "exit": pl.Boolean}, orient="row")
    held = frame.select(ind.hold(pl.col("entry"), pl.col("exit"), max_candles)).to_series().to_list()
    for at, state in enumerate(held):
        expected = 0.0
        for entry, exit_ in reversed(signals[max(0, at - max_candles + 1) : at + 1]):
            if entry or exit_:
                expected = 0.0 if exit_ else 1.0
                break
        assert state == expected


def test_memories_leave_less_than_the_last_bit() -> None:
    for span in (2, 9, 26, 200):
        assert (1 - 2 / (span + 1)) ** ind.ema_memory(span) < math.exp(-40) * 1.001
        assert (1 - 1 / span) ** ind.wilder_memory(span) < math.exp(-40) * 1.001
