"""Candle series hold each closed candle once, in order, name what is missing, and cut by the stated rule."""

from __future__ import annotations

from decimal import Decimal

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantlab.market import FRAME_COLUMNS, CandleSeries, Gap
from quantlab.model import Candle, ConfigurationError

MINUTE = 60_000


def candle(minute: int, *, closed: bool = True) -> Candle:
    return Candle(
        "BTCUSDT", "1m", minute * MINUTE, minute + 0.1, minute + 0.4, minute + 0.05, minute + 0.3, 7.5, closed
    )


def series(keep: int = 100) -> CandleSeries:
    return CandleSeries("BTCUSDT", "1m", Decimal("0.01"), keep)


def minutes(kept: CandleSeries) -> list[int]:
    return [ms // MINUTE for ms in kept.frame()["open_time"]]


def test_the_frame_has_the_columns_strategies_read() -> None:
    kept = series()
    assert kept.frame().shape == (0, 7)
    assert kept.extend([candle(1), candle(2)]) == 2
    frame = kept.frame()
    assert frame.columns == list(FRAME_COLUMNS)
    assert frame.schema["open_time"] == pl.Int64
    assert set(frame.dtypes[1:]) == {pl.Float64()}
    assert frame.row(1) == (2 * MINUTE, 2.1, 2.4, 2.05, 2.3, 7.5, 0.01)
    assert (len(kept), kept.anchor_ms, kept.last_open_time_ms) == (2, MINUTE, 2 * MINUTE)


def test_only_closed_candles_in_order_each_once() -> None:
    kept = series()
    assert kept.append(candle(1))
    assert not kept.append(candle(2, closed=False)), "still forming"
    assert not kept.append(candle(1)), "known"
    assert not kept.append(candle(0)), "older"
    assert kept.append(candle(2))
    assert minutes(kept) == [1, 2]
    assert kept.gaps == []


def test_a_missing_candle_is_named_and_the_data_goes_on() -> None:
    kept = series()
    kept.extend([candle(1), candle(2), candle(5), candle(6), candle(8)])
    assert minutes(kept) == [1, 2, 5, 6, 8]
    assert kept.gaps == [Gap(3 * MINUTE, 2), Gap(7 * MINUTE, 1)]


def test_a_frame_handed_out_never_changes() -> None:
    kept = series(keep=3)
    kept.extend(candle(minute) for minute in range(4))
    before = kept.frame()
    copy = before.clone().rows()
    assert kept.frame() is before
    kept.extend(candle(minute) for minute in range(4, 30))
    assert before.rows() == copy
    assert kept.frame() is not before


def test_it_is_cut_to_keep_when_it_exceeds_twice_keep() -> None:
    kept = series(keep=3)
    lengths, anchors = [], []
    for minute in range(12):
        kept.append(candle(minute))
        lengths.append(len(kept))
        anchors.append(minutes(kept)[0])
    assert lengths == [1, 2, 3, 4, 5, 6, 3, 4, 5, 6, 3, 4]
    assert anchors == [0, 0, 0, 0, 0, 0, 4, 4, 4, 4, 8, 8]


@given(st.integers(1, 20), st.lists(st.integers(0, 60), max_size=80))
def test_the_frame_is_the_tail_of_what_was_accepted(keep: int, arriving: list[int]) -> None:
    kept, accepted = series(keep), []
    for minute in arriving:
        if kept.append(candle(minute)):
            accepted.append(minute)
    assert accepted == sorted(set(accepted))
    held = minutes(kept)
    assert held == accepted[len(accepted) - len(held) :]
    assert min(keep, len(accepted)) <= len(held) <= 2 * keep
    present = set(accepted)
    missing = {gap.open_time_ms // MINUTE + number for gap in kept.gaps for number in range(gap.missing)}
    assert not accepted or missing == set(range(accepted[0], accepted[-1] + 1)) - present


def test_nothing_to_keep_and_unknown_timeframes_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="at least 1 candle"):
        series(keep=0)
    with pytest.raises(ConfigurationError, match="7m"):
        CandleSeries("BTCUSDT", "7m", Decimal(1), 5)
