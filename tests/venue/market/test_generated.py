"""Promise: without data there is a market worth a first run: thirteen symbols that move together, quiet and wild
hours, an outage and a crash on the first day, warm-up history; the same for the same seed."""

from __future__ import annotations

import json

import numpy as np
import pytest

from quantlab.model import ConfigurationError, NotFound, instruments_from_exchange_info
from quantlab.model.timeframe import DAY_MS, HOUR_MS, MINUTE_MS
from quantlab.venue.market import open_market
from quantlab.venue.market.generated import DEFAULT_START_MS, HISTORY_DAYS, SPECIES, generate

from .small import play

SEEDS = (0, 1, 7)


@pytest.fixture(scope="module", params=SEEDS)
def tables(request: pytest.FixtureRequest) -> list:
    return generate(request.param, DEFAULT_START_MS, DEFAULT_START_MS + DAY_MS)


def test_candles_are_sound_and_cover_history_and_window(tables: list) -> None:
    assert [table.symbol for table in tables] == [species.base + "USDT" for species in SPECIES]
    for table in tables:
        assert table.open_ms[0] == DEFAULT_START_MS - HISTORY_DAYS * DAY_MS
        assert table.open_ms[-1] == DEFAULT_START_MS + DAY_MS - MINUTE_MS
        assert (table.high >= np.maximum(table.open, table.close)).all()
        assert (table.low <= np.minimum(table.open, table.close)).all()
        assert (table.low > 0).all()
        assert (table.volume > 0).all()
        adjacent = np.diff(table.open_ms) == MINUTE_MS
        assert (table.open[1:] == table.close[:-1])[adjacent].all()


def test_an_outage_of_minutes_at_midday(tables: list) -> None:
    for table in tables:
        jumps = np.flatnonzero(np.diff(table.open_ms) != MINUTE_MS)
        assert len(jumps) == 1
        minute = (table.open_ms[jumps[0]] - DEFAULT_START_MS) // MINUTE_MS
        assert 12 * 60 <= minute <= 13 * 60


def test_a_crash_with_a_rebound_in_the_afternoon(tables: list) -> None:
    falls, backs = [], []
    for table in tables:
        day = table.open_ms >= DEFAULT_START_MS + 15 * HOUR_MS
        close = table.close[day]
        hour = np.array([close[i + 60] / close[i] - 1 for i in range(len(close) - 60)])
        falls.append(hour.min())
        low = int(close.argmin())
        backs.append(close[low : low + 180].max() / close[low] - 1)
    assert -0.19 < np.median(falls) < -0.095
    assert np.median(backs) > 0.03


def test_symbols_move_together_and_hours_differ(tables: list) -> None:
    calm = slice(0, 9 * 1440)
    returns = np.array([np.diff(np.log(table.close[calm])) for table in tables])
    correlation = np.corrcoef(returns)
    assert 0.35 < np.median(correlation[np.triu_indices(len(tables), 1)]) < 0.95
    hourly = np.abs(returns[0][: 9 * 1440 - 60]).reshape(-1, 60).mean(axis=1)
    assert np.quantile(hourly, 0.9) > 2 * np.quantile(hourly, 0.1)
    squares = returns[0] ** 2
    assert np.corrcoef(squares[1:], squares[:-1])[0, 1] > 0.05


def test_seed_and_start_make_the_market() -> None:
    one = generate(3, DEFAULT_START_MS, DEFAULT_START_MS + HOUR_MS)[0]
    again = generate(3, DEFAULT_START_MS, DEFAULT_START_MS + HOUR_MS)[0]
    longer = generate(3, DEFAULT_START_MS, DEFAULT_START_MS + DAY_MS)[0]
    other = generate(4, DEFAULT_START_MS, DEFAULT_START_MS + HOUR_MS)[0]
    count = len(one.close)
    assert (one.close == again.close).all()
    assert (one.close == longer.close[:count]).all()
    assert (one.volume == longer.volume[:count]).all()
    assert (one.close != other.close).any()


def test_it_opens_and_plays() -> None:
    market = open_market(None, hours=0.25, symbols=["ETHUSDT", "DOGEUSDT"])
    assert (market.kind, market.name, market.symbols) == ("generated", "seed 1", ("ETHUSDT", "DOGEUSDT"))
    assert len(market.klines("ETHUSDT", "15m", None, None, 1000)) >= 600
    rows = market.exchange_info["symbols"]
    assert [row["symbol"] for row in rows] == ["ETHUSDT", "DOGEUSDT"]
    instruments = instruments_from_exchange_info(json.dumps(market.exchange_info).encode())
    assert str(instruments["DOGEUSDT"].tick_size) == "0.00001"
    assert len(play(market, "trade", "bookTicker", "depth@100ms")) > 1000


def test_wrong_wishes_are_refused() -> None:
    with pytest.raises(NotFound, match="BTCUSDT, ETHUSDT"):
        open_market(None, symbols=["ZZZUSDT"])
    with pytest.raises(ConfigurationError, match="hours"):
        open_market(None, hours=0)
    with pytest.raises(ConfigurationError, match="hours"):
        open_market(None, hours=1e9)
