"""A generated market: thirteen symbols that move together, with quiet and wild hours, an outage and a crash.

No real prices are in it, and none are claimed. One market factor with clustered volatility drives all symbols; each
adds its own moves, trends and returns to a mean by turns, and trades more when it moves more. At 12:34 of the first
day nothing is heard for some minutes; from about 16:00 the market loses 10 to 15 % within an hour and wins a part of
it back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from quantlab.model import ConfigurationError, NotFound
from quantlab.model.timeframe import DAY_MS, HOUR_MS, MINUTE_MS
from quantlab.venue.market.candles import CandleTable
from quantlab.venue.market.draws import Floats, key_of
from quantlab.venue.market.filters import exchange_info_of, grids, symbol_row
from quantlab.venue.market.synthetic import SyntheticMarket

#: 2025-06-02 00:00 UTC, a Monday.
DEFAULT_START_MS = 1_748_822_400_000
DEFAULT_HOURS = 24.0
HISTORY_DAYS = 10
_MOST_HOURS = 24 * 60


@dataclass(frozen=True)
class Species:
    """A symbol of the generated market: price level, decimals of tick and step, daily volume, beta to the market."""

    base: str
    price: float
    price_decimals: int
    quantity_decimals: int
    daily_usdt: float
    beta: float


#: Magnitudes as on Binance in 2025; ticks and steps as in its exchangeInfo, rounded where they changed often.
SPECIES = (
    Species("BTC", 104_000.0, 2, 5, 1.6e9, 0.8),
    Species("ETH", 2_520.0, 2, 4, 1.0e9, 1.1),
    Species("BNB", 655.0, 2, 3, 1.6e8, 0.7),
    Species("SOL", 155.0, 2, 3, 4.5e8, 1.3),
    Species("XRP", 2.18, 4, 1, 3.0e8, 1.0),
    Species("ADA", 0.68, 4, 1, 1.0e8, 1.2),
    Species("DOGE", 0.192, 5, 0, 1.8e8, 1.3),
    Species("AVAX", 20.8, 2, 2, 4.0e7, 1.3),
    Species("DOT", 4.05, 3, 2, 2.2e7, 1.1),
    Species("LINK", 13.9, 2, 2, 6.0e7, 1.2),
    Species("LTC", 87.5, 2, 3, 3.0e7, 0.9),
    Species("ATOM", 4.32, 3, 2, 1.0e7, 1.1),
    Species("NEAR", 2.45, 3, 1, 2.0e7, 1.3),
)

_MINUTE_SIGMA = 5.5e-4  # of the market factor, in an ordinary minute
_OUTAGE_AT_MS, _OUTAGE_MINUTES = 12 * HOUR_MS + 34 * MINUTE_MS, 9
_CRASH_AT_MINUTE, _CRASH_MINUTES, _REBOUND_MINUTES = 16 * 60, 55, 100


def open_generated(
    *, seed: int, from_ms: int | None, hours: float | None, symbols: Sequence[str] | None
) -> SyntheticMarket:
    """Ten days of history and `hours` (24) from `from_ms` (2025-06-02 UTC), a function of seed and start.

    Raises NotFound for a symbol that is not one of the thirteen, ConfigurationError for an unusable length.
    """
    names = [species.base + "USDT" for species in SPECIES]
    unknown = [symbol for symbol in symbols or () if symbol not in names]
    if unknown:
        raise NotFound(f"{', '.join(unknown)}: the generated market has {', '.join(names)}")
    length = DEFAULT_HOURS if hours is None else hours
    if not MINUTE_MS <= length * HOUR_MS <= _MOST_HOURS * HOUR_MS:
        raise ConfigurationError(f"{length:g} hours: a generated market lasts one minute to {_MOST_HOURS} hours")
    start_ms = DEFAULT_START_MS if from_ms is None else from_ms - from_ms % MINUTE_MS
    end_ms = start_ms + int(length * HOUR_MS) // MINUTE_MS * MINUTE_MS
    tables = [table for table in generate(seed, start_ms, end_ms) if not symbols or table.symbol in symbols]
    chosen = {table.symbol for table in tables}
    rows = [
        symbol_row(species.base, "USDT", species.price_decimals, species.quantity_decimals)
        for species in SPECIES
        if species.base + "USDT" in chosen
    ]
    info = exchange_info_of(rows, start_ms)
    return SyntheticMarket(
        "generated", f"seed {seed}", tables, grids(info), info, seed=seed, start_ms=start_ms, end_ms=end_ms
    )


def generate(seed: int, start_ms: int, end_ms: int) -> list[CandleTable]:
    """One-minute candles of all thirteen symbols, from ten days before `start_ms` to `end_ms`."""
    history = HISTORY_DAYS * DAY_MS // MINUTE_MS
    count = history + (end_ms - start_ms) // MINUTE_MS
    # Blocks of a day each have their own numbers, so that a longer window begins with the shorter one.
    minutes = start_ms - HISTORY_DAYS * DAY_MS + np.arange(count) * MINUTE_MS
    volatility = _volatility(_numbers(seed, "volatility", count), minutes)
    crash = _crash(seed, history, count)
    market = _numbers(seed, "market", count) * volatility * _MINUTE_SIGMA
    market *= np.where(crash != 0, 0.6, 1.0)
    heard = np.ones(count, bool)
    outage = history + _OUTAGE_AT_MS // MINUTE_MS
    heard[outage : outage + _OUTAGE_MINUTES] = False
    return [_candles(species, seed, minutes, market, crash, volatility, heard, history) for species in SPECIES]


def _candles(
    species: Species,
    seed: int,
    minutes: np.ndarray,
    market: Floats,
    crash: Floats,
    volatility: Floats,
    heard: np.ndarray,
    history: int,
) -> CandleTable:
    count, name = len(minutes), species.base
    own = _numbers(seed, f"{name} own", count) * volatility**0.6 * _MINUTE_SIGMA * 0.8
    returns = species.beta * market + own
    share = 0.85 + 0.3 * np.random.default_rng(int(key_of(seed, name, "crash"))).random()
    returns = _regimes(seed, name, returns, volatility * _MINUTE_SIGMA) + crash * share
    path = np.cumsum(returns)
    path -= path[history - 1]  # the price of the table is the price at the start
    tick, step = 10.0**species.price_decimals, 10.0**species.quantity_decimals
    close = np.maximum(np.rint(species.price * np.exp(path) * tick), 1)
    open_ = np.concatenate([close[:1], close[:-1]])
    spread = volatility * _MINUTE_SIGMA * 0.55 * close
    up = np.abs(_numbers(seed, f"{name} up", count)) * spread
    down = np.abs(_numbers(seed, f"{name} down", count)) * spread
    high = np.rint(np.maximum(open_, close) + up)
    low = np.maximum(np.rint(np.minimum(open_, close) - down), 1)
    moved = np.abs(returns) / _MINUTE_SIGMA
    busy = volatility**0.8 * (0.5 + 0.5 * moved) * np.exp(0.5 * _numbers(seed, f"{name} volume", count))
    lots = np.maximum(np.rint(species.daily_usdt / 1440 * busy * 0.9 / (close / tick) * step), 1)
    keep = heard
    columns = (open_ / tick, high / tick, low / tick, close / tick, lots / step)
    return CandleTable(name + "USDT", MINUTE_MS, minutes[keep], *(column[keep] for column in columns))


def _numbers(seed: int, purpose: str, count: int) -> Floats:
    """Standard normal numbers; the first ones do not depend on `count`."""
    return np.random.default_rng(int(key_of(seed, "generated", purpose))).standard_normal(count)


def _volatility(shocks: Floats, minutes: np.ndarray) -> Floats:
    """Around 1: clustered (a fast and a slow memory), low in Asia's night and high when New York opens."""
    fast = slow = 0.0
    logs = np.empty(len(shocks))
    for i, shock in enumerate(shocks.tolist()):
        fast = 0.985 * fast + 0.11 * shock
        slow = 0.9985 * slow + 0.022 * shock
        logs[i] = 0.6 * fast + 0.6 * slow
    hour = minutes % DAY_MS / HOUR_MS
    day = 0.35 * np.cos((hour - 15.0) / 24 * 2 * np.pi) + 0.15 * np.cos((hour - 14.0) / 12 * 2 * np.pi)
    return np.clip(np.exp(logs + day - 0.1), 0.25, 6.0)


def _crash(seed: int, history: int, count: int) -> Floats:
    """Extra returns of the market: a fall of 11.5 to 13.5 % in 55 minutes, then 35 to 50 % of it back."""
    random = np.random.default_rng(int(key_of(seed, "generated", "crash")))
    depth, back = random.uniform(0.115, 0.135), random.uniform(0.35, 0.5)
    start = history + _CRASH_AT_MINUTE + int(random.integers(0, 25))
    fall = random.gamma(1.2, size=_CRASH_MINUTES) * np.linspace(0.6, 1.4, _CRASH_MINUTES)
    rise = random.gamma(1.5, size=_REBOUND_MINUTES) * np.linspace(1.6, 0.4, _REBOUND_MINUTES)
    total = np.log1p(-depth)
    shape = np.concatenate([fall / fall.sum() * total, -rise / rise.sum() * total * back])
    crash = np.zeros(count)
    part = crash[start : start + len(shape)]
    part[:] = shape[: len(part)]
    return crash


def _regimes(seed: int, name: str, returns: Floats, sigma: Floats) -> Floats:
    """Stretches of one to five hours that trend, return to their mean, or do neither."""
    random = np.random.default_rng(int(key_of(seed, name, "regimes")))
    result, at = returns.copy(), 0
    while at < len(result):
        length = int(random.integers(60, 300))
        kind, direction = random.random(), 1.0 if random.random() < 0.5 else -1.0
        part = slice(at, at + length)
        if kind < 0.35:
            result[part] += direction * 0.16 * sigma[part]
        elif kind < 0.75:
            result[part] = _reverting(returns[part])
        at += length
    return result


def _reverting(returns: Floats) -> Floats:
    """The same shocks, but the path is pulled back to where it began, half of the way in ten minutes."""
    away, moved = 0.0, []
    for shock in returns.tolist():
        step = shock - 0.067 * away
        away += step
        moved.append(step)
    return np.array(moved)
