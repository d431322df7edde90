"""One backtest: candles and plans in, a result out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import polars as pl

from quantlab.backtest.kernel import simulate
from quantlab.backtest.plan import Conventions, Plan
from quantlab.backtest.records import Floats, Ints, Market
from quantlab.backtest.result import Result
from quantlab.model import ConfigurationError, Instrument, NotFound, timeframe_ms
from quantlab.model.timeframe import DAY_MS, HOUR_MS
from quantlab.strategies import Strategy
from quantlab.strategies.sharing import sharing

_PRICES = {"opens": "open", "highs": "high", "lows": "low", "closes": "close", "volumes": "volume"}


class Stage(NamedTuple):
    """Candles made ready for any number of backtests: the frame of each symbol, their filters, and all of them on one
    axis of time (`market`, without answers). `places` says where on it each frame's rows stand; None for one symbol,
    whose rows are the axis."""

    timeframe: str
    frames: list[pl.DataFrame]
    instruments: Mapping[str, Instrument]
    market: Market
    places: list[Ints] | None

    @property
    def ticks(self) -> list[float]:
        return [float(instrument.tick_size) for instrument in self.instruments.values()]


def backtest(
    plans: Sequence[Plan],
    candles: Mapping[str, pl.DataFrame],
    instruments: Mapping[str, Instrument],
    *,
    timeframe: str,
    conventions: Conventions | None = None,
    from_ms: int | None = None,
    source: str = "",
) -> Result:
    """Run `plans` over the candles of their symbols, on one account.

    `candles` by symbol, columns `open_time` (ms), `open`, `high`, `low`, `close`, `volume`, in order of time. Nothing
    is traded before `from_ms`, nor on a symbol before its strategy's lookback is filled. Two plans on one symbol are
    refused: one position cannot follow two. Raises ConfigurationError, NotFound.
    """
    conventions = conventions or Conventions()
    check(plans)
    stage = staged([plan.symbol for plan in plans], candles, instruments, timeframe)
    market = next(answers(stage, [plans]))
    begin = beginning(market, from_ms, plans[0].strategy.lookback if len(plans) == 1 else 1)
    return run(stage, plans, conventions, market, begin, sample_length(market, begin), source=source, keep=True)


def check(plans: Sequence[Plan]) -> None:
    """Raises ConfigurationError for plans that cannot share an account."""
    if not plans or len({plan.symbol for plan in plans}) < len(plans):
        raise ConfigurationError("a backtest has one plan for each of its symbols")
    if sum(plan.weight for plan in plans) > 1 + 1e-9:
        raise ConfigurationError("the weights of the plans must not add up to more than 1")


def run(
    stage: Stage, plans: Sequence[Plan], conventions: Conventions, market: Market, begin: int, sample_ms: int,
    *, source: str, keep: bool,
) -> Result:  # fmt: skip
    """The kernel over `market`, which is that of `stage` with the answers of `plans`. Without `keep` the result has
    figures and no tables. Raises ConfigurationError for a strategy that wants what cannot be held."""
    legs = [conventions.leg(plan, stage.instruments[plan.symbol]) for plan in plans]
    outcome = simulate(market, legs, conventions.terms(), begin, sample_ms, keep=keep)
    if outcome.error_bar >= 0:
        raise ConfigurationError(
            f"{', '.join(sorted({type(plan.strategy).__name__ for plan in plans}))}: a strategy must want 0 to 1 "
            f"(spot, long only), and one wants something else at the close of candle {market.times[outcome.error_bar]}"
        )
    return Result(tuple(plans), conventions, stage.timeframe, market, outcome, begin, sample_ms, source)


def answers(stage: Stage, combinations: Sequence[Sequence[Plan]]) -> Iterator[Market]:
    """The market with what each combination (one plan a symbol) wants, one after the other; what their strategies have
    in common is computed once."""
    asked = [
        exposures([plan.strategy for plan in plans], frame, tick)
        for plans, frame, tick in zip(zip(*combinations, strict=True), stage.frames, stage.ticks, strict=True)
    ]
    for number, plans in enumerate(combinations):
        lookbacks = [plan.strategy.lookback for plan in plans]
        yield answered(stage, [of_symbol[number] for of_symbol in asked], lookbacks)


def exposures(strategies: Sequence[Strategy], frame: pl.DataFrame, tick: float) -> list[Floats]:
    """The target exposure of each strategy at each close; what strategies have in common is computed once. The first
    `lookback` - 1 values of each mean nothing."""
    with sharing() as shared:
        asked = [strategy.exposure().cast(pl.Float64).alias(str(n)) for n, strategy in enumerate(strategies)]
    found = shared.over(frame.lazy().with_columns(tick=pl.lit(tick))).select(asked).collect()
    columns = (found[str(n)] for n in range(len(strategies)))
    return [(each.fill_null(float("nan")) if each.null_count() else each).to_numpy() for each in columns]


def staged(
    symbols: Sequence[str], candles: Mapping[str, pl.DataFrame], instruments: Mapping[str, Instrument], timeframe: str
) -> Stage:
    """The candles of several symbols on one axis of time. Raises NotFound, ConfigurationError."""
    for symbol in symbols:
        if symbol not in candles or candles[symbol].is_empty():
            raise NotFound(f"no {timeframe} candles of {symbol}")
        if symbol not in instruments:
            raise NotFound(f"no filters of {symbol}: its row of an exchangeInfo is missing")
    frames, length_ms = [candles[symbol] for symbol in symbols], timeframe_ms(timeframe)
    times: list[Ints] = [frame["open_time"].to_numpy() for frame in frames]
    for of_symbol in times:
        steps = np.diff(of_symbol)
        if steps.size and steps.min() < length_ms:
            raise ConfigurationError(f"candles are not in order of time, each once and {timeframe} long")
    kept = {symbol: instruments[symbol] for symbol in symbols}
    if len(frames) == 1:
        of_one = {name: _one(frames[0][column].to_numpy()) for name, column in _PRICES.items()}
        market = Market(times[0], length_ms, wanted=np.empty((1, 0)), **of_one)
        return Stage(timeframe, frames, kept, market, None)
    axis = np.unique(np.concatenate(times))
    places = [np.searchsorted(axis, of_symbol) for of_symbol in times]
    pairs = list(zip(frames, places, strict=True))
    rows = {
        name: np.stack([_spread_out(frame[column].to_numpy(), at, len(axis)) for frame, at in pairs])
        for name, column in _PRICES.items()
    }
    market = Market(axis, length_ms, wanted=np.empty((len(frames), 0)), **rows)
    return Stage(timeframe, frames, kept, market, places)


def answered(stage: Stage, wanted: Sequence[Floats], lookbacks: Sequence[int]) -> Market:
    """With the answers of each symbol's strategy. Of several symbols, none has an answer before its lookback is filled;
    a single one is to begin there (`beginning`), which spares a copy of it."""
    if stage.places is None:
        return stage.market._replace(wanted=_one(wanted[0]))
    length = len(stage.market.times)
    spread = [_spread_out(each, place, length) for each, place in zip(wanted, stage.places, strict=True)]
    for answer, place, lookback in zip(spread, stage.places, lookbacks, strict=True):
        answer[: place[min(lookback, len(place)) - 1]] = np.nan
    return stage.market._replace(wanted=np.stack(spread))


def beginning(market: Market, from_ms: int | None, lookback: int) -> int:
    """The first bar on which something may be decided. Raises NotFound where the lookback takes all there is."""
    bars = len(market.times)
    answered = np.any(~np.isnan(market.wanted[:, lookback - 1 :]), axis=0)
    begin = lookback - 1 + int(np.argmax(answered)) if answered.any() else bars
    if from_ms is not None:
        begin = max(begin, int(np.searchsorted(market.times, from_ms)))
    if begin >= bars - 1:
        raise NotFound(f"not enough candles: {bars} are there, and the strategy needs {lookback} before it trades")
    return begin


def sample_length(market: Market, begin: int) -> int:
    """Of the periods whose returns the metrics are made of, in ms: days over a month and more, hours over two days."""
    span_ms = market.times[-1] - market.times[begin]
    length = DAY_MS if span_ms >= 30 * DAY_MS else HOUR_MS if span_ms >= 2 * DAY_MS else market.length_ms
    return max(length, market.length_ms)


def _one(row: Floats) -> Floats:
    """(1, bars), without a copy."""
    return np.ascontiguousarray(row, dtype=np.float64).reshape(1, -1)


def _spread_out(values: Floats, places: Ints, length: int) -> Floats:
    out = np.full(length, np.nan)
    out[places] = values
    return out
