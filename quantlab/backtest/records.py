"""What the kernel is given and what it gives back: arrays, and records whose fields have names."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

#: How slippage is told, in `Terms.slippage`.
FIXED, UNIFORM, IMPACT = range(3)

#: Why an order was sent, in fills and trips.
REASONS = ("signal", "rebalance", "stop", "trailing stop", "target", "loss limit")


class Market(NamedTuple):
    """Candles, each array (symbols, bars), NaN in all of them where a symbol has none; `times` are open times in ms,
    (bars,). `wanted` is the target exposure at each close, 0 to 1; NaN where there is no answer yet."""

    times: Ints
    length_ms: int
    opens: Floats
    highs: Floats
    lows: Floats
    closes: Floats
    volumes: Floats
    wanted: Floats


class Terms(NamedTuple):
    """What holds for the account: fractions, not percent; 0 where not asked for.

    `filters`: 0 lets any quantity at any price through, fills in whatever candle comes next, and sizes a buy when it
    fills. `fee_received`: a buy pays its fee in base, else in quote. `slippage` is one of the three kinds, with `fixed`
    and the bounds of a uniform draw in basis points. `reserve` is the part of the cash that a buy leaves. The two loss
    limits are of the day's first equity and of the highest.
    """

    capital: float
    filters: float
    fee: float
    fee_received: float
    slippage: float
    fixed: float
    low: float
    high: float
    seed: float
    reserve: float
    day_loss: float
    max_drawdown: float


class Leg(NamedTuple):
    """What holds for one symbol: its filters, as `ticks` to a quote unit and `lots` to a base unit; what it costs
    (`half_spread` a fraction, `impact` in basis points of 10,000 quote units); and what its bot is told: fractions,
    amounts in quote units, 0 where not asked for."""

    ticks: float
    lots: float
    min_quantity: float
    max_quantity: float
    min_notional: float
    half_spread: float
    impact: float
    weight: float
    rebalance: float
    stop: float
    stop_limit: float
    trailing: float
    target: float
    max_slippage: float
    max_position: float
    max_order: float


class Totals(NamedTuple):
    """What came of it. Quote units; bars for times; `exposure` is the mean share of equity that was in the market."""

    final: float
    cash: float
    drawdown: float
    drawdown_bars: float
    bars: float
    bars_in_market: float
    exposure: float
    orders: float
    fills: float
    refused: float
    halts: float
    fees: float
    slippage: float
    turnover: float
    trips: float
    wins: float
    gross_profit: float
    gross_loss: float


class Fill(NamedTuple):
    """`side` is 1 or -1, `slippage` in quote units with the half spread in it, `reason` a number of `REASONS`;
    `at_open` is 1 at the candle's open, 0 within it."""

    bar: float
    symbol: float
    side: float
    price: float
    quantity: float
    fee: float
    slippage: float
    reason: float
    at_open: float


class Trip(NamedTuple):
    """A round trip, from flat to flat: amounts in quote units, the two excursions as fractions of the entry price."""

    symbol: float
    entry_bar: float
    exit_bar: float
    quantity: float
    entry_price: float
    exit_price: float
    fees: float
    pnl: float
    mae: float
    mfe: float
    reason: float


class Outcome(NamedTuple):
    """`curve` is the equity at each close, `fills` and `trips` are arrays of records: all three are empty unless kept.
    `marks` is the equity at the end of each sample. `error_bar` >= 0 names the first bar whose target is not within 0
    to 1."""

    curve: Floats
    marks: Floats
    fills: NDArray[np.void]
    trips: NDArray[np.void]
    totals: Totals
    quantities: Floats
    error_bar: int


class _State(NamedTuple):
    """A symbol's. What is held and what it cost; the exposure last acted upon; the order that waits for the next open;
    the levels of stop, its limit and target; the best price that a trailing stop has seen; the limit at which a stop
    rests that went off below it; the last known bid; and of the open round trip its first bar (-1: none), what it paid
    and got, with fees and without, what it bought and sold, its fees, and the extremes while it was held."""

    quantity: float
    cost: float
    acted: float
    side: float
    amount: float
    bound: float
    reason: float
    stop: float
    limit: float
    target: float
    peak: float
    resting: float
    last_bid: float
    entry_bar: float
    paid: float
    got: float
    paid_gross: float
    got_gross: float
    bought: float
    sold: float
    trip_fees: float
    lowest: float
    highest: float


def _dtype(fields: tuple[str, ...]) -> np.dtype:
    return np.dtype([(name, np.float64) for name in fields])


TERMS, LEG, TOTALS, STATE, FILL, TRIP = (_dtype(each._fields) for each in (Terms, Leg, Totals, _State, Fill, Trip))
