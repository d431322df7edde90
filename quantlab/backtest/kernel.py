"""The event kernel over candles: one pass, several symbols on one account, every order filled or refused on the way.

Compiled by numba without the GIL, so that threads run it side by side. Amounts are binary floats: the paper engine
keeps exact ones, and is what recordings are played through.

What happens within one candle, in this order:

1. at its open, sales that were decided at the close before, then buys;
2. within it, stops and targets, the stop first where both lie inside; a gap fills at the open;
3. at its close, positions are marked at the bid, loss limits are checked, and each strategy's target becomes an order.

The helpers take records, not arrays: numba counts references to arrays at every call, which cost more than the fills
(16 ms instead of 5 for 525,600 candles and 20,430 fills, measured 2026-11-24). They stand in this one file since numba
does not compile anew a caller whose helper changed in another.
"""

from __future__ import annotations

import math
import threading
from typing import Any

import numpy as np
from numba import njit

from quantlab.backtest.records import (
    FILL,
    FIXED,
    LEG,
    STATE,
    TERMS,
    TOTALS,
    TRIP,
    UNIFORM,
    Floats,
    Leg,
    Market,
    Outcome,
    Terms,
    Totals,
)

_DAY_MS = 86_400_000
_HUGE = 1e300
_TINY = 1e-9
#: Far above what rounding leaves of a quotient, relative, and far below a part of a tick or step.
_NOISE = 1e-12
_SIGNAL, _REBALANCE, _STOP, _TRAILING, _TARGET, _LIMIT = range(6)
_ROWS = 50_000
_jit = njit(cache=True, nogil=True, error_model="numpy")


class _Paper(threading.local):
    """What a thread writes its fills and round trips on, kept from one backtest to the next: new memory costs more than
    the writing (2 ms of 7 for 20,000 fills, measured 2026-11-24)."""

    def __init__(self) -> None:
        self.fills, self.trips = np.zeros(_ROWS, dtype=FILL), np.zeros(_ROWS, dtype=TRIP)

    def rows(self, least: int) -> tuple[Any, Any]:
        if len(self.fills) >= least:
            return self.fills, self.trips
        return np.empty(least, dtype=FILL), np.empty(least, dtype=TRIP)


_paper = _Paper()
_NO_ROWS = (np.empty(0, dtype=FILL), np.empty(0, dtype=TRIP))


def simulate(market: Market, legs: list[Leg], terms: Terms, begin: int, sample_ms: int, *, keep: bool) -> Outcome:
    """Run all candles from bar `begin`, with one leg a symbol; `marks` are taken each `sample_ms`. With `keep` false
    only totals and marks come back. Holds no GIL while it runs."""
    bars = market.closes.shape[1] if keep else 0
    sums: Totals | None = None
    while True:
        state, totals = np.zeros(len(legs), dtype=STATE), np.zeros(1, dtype=TOTALS)
        curve = np.empty(bars)
        fills, trips = _paper.rows(int(sums.fills) if sums else 0) if keep else _NO_ROWS
        marks = np.empty(int(market.times[-1] // sample_ms - market.times[begin] // sample_ms) + 1)
        error_bar = _simulate(
            market, np.array(legs, dtype=LEG), np.array([terms], dtype=TERMS), state, totals, curve, marks, fills,
            trips, begin, sample_ms, keep,
        )  # fmt: skip
        sums = Totals(*totals[0].item())
        if not keep or sums.fills <= len(fills):  # else once more, with room for all of them
            break
    fills, trips = fills[: int(sums.fills)].copy(), trips[: int(sums.trips)].copy()
    return Outcome(curve, marks, fills, trips, sums, state["quantity"].copy(), error_bar)


# -- prices and quantities --------------------------------------------------------------------------------------------


@_jit
def _drawn(seed: float, order: float) -> float:
    """A number from 0 to 1 that is a function of the seed and the order's number (the finalizer of splitmix64)."""
    z = np.uint64(seed) + np.uint64(order) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z = z ^ (z >> np.uint64(31))
    return float(z >> np.uint64(11)) / 9007199254740992.0


@_jit
def _slippage(leg: Any, terms: Any, notional: float, order: float) -> float:
    """What an order pays beyond the best price, as a fraction."""
    if terms.slippage == FIXED:
        bps = terms.fixed
    elif terms.slippage == UNIFORM:
        bps = terms.low + (terms.high - terms.low) * _drawn(terms.seed, order)
    else:
        bps = leg.impact * math.sqrt(notional / 10_000.0)
    return float(bps * 1e-4)


@_jit
def _rounded(leg: Any, terms: Any, price: float, upwards: bool) -> float:
    """`price` on its grid, the very float that a candle has there; what rounding leaves is not another tick."""
    if not terms.filters:
        return price
    ticks = price * leg.ticks
    whole = np.rint(ticks)
    if abs(ticks - whole) > _NOISE * max(1.0, whole):
        whole = math.ceil(ticks) if upwards else math.floor(ticks)
    return float(max(whole, 1.0) / leg.ticks)


@_jit
def _ask(leg: Any, terms: Any, price: float) -> float:
    return _rounded(leg, terms, price * (1.0 + leg.half_spread), True)


@_jit
def _bid(leg: Any, terms: Any, price: float) -> float:
    return _rounded(leg, terms, price * (1.0 - leg.half_spread), False)


@_jit
def _in_lots(leg: Any, terms: Any, quantity: float) -> float:
    """`quantity` as one market order may have it: whole steps, downwards, and not too many."""
    if not terms.filters:
        return quantity
    if leg.max_quantity > 0.0:
        quantity = min(quantity, leg.max_quantity)
    lots = quantity * leg.lots
    return float(math.floor(lots + _NOISE * max(1.0, lots)) / leg.lots)


@_jit
def _too_small(leg: Any, terms: Any, quantity: float, price: float) -> bool:
    if quantity <= 0.0:
        return True
    return bool(terms.filters) and (quantity < leg.min_quantity or quantity * price < leg.min_notional)


# -- stops and targets ------------------------------------------------------------------------------------------------


@_jit
def _unprotect(s: Any) -> None:
    s.stop = s.limit = s.target = s.peak = s.resting = 0.0


@_jit
def _protect(s: Any, leg: Any, terms: Any, open_: float) -> None:
    """Stop and target rest around the average price, on their ticks as `quantlab.risk.stops` has them."""
    _unprotect(s)
    average = s.cost / s.quantity
    if leg.stop > 0.0:
        s.stop = _rounded(leg, terms, average * (1.0 - leg.stop), True)
        if terms.filters and s.stop >= average:
            s.stop = (np.rint(s.stop * leg.ticks) - 1.0) / leg.ticks
        if leg.stop_limit > 0.0:
            s.limit = _rounded(leg, terms, s.stop * (1.0 - leg.stop_limit), False)
    if leg.trailing > 0.0:
        s.peak = open_
    if leg.target > 0.0:
        s.target = _rounded(leg, terms, average * (1.0 + leg.target), True)


@_jit
def _triggered(s: Any, leg: Any, t: int, open_: float, high: float, low: float, close: float) -> tuple[float, int]:
    """(price, reason) at which a stop or target goes off in this candle; a price of 0: none does.

    The stop comes first. A trailing one follows the best price of the candles before and of this open; what the rest of
    the candle adds counts where the close lies below: from its high the price then came down through the stop.
    """
    if s.resting > 0.0:
        return (max(open_, s.resting) if high >= s.resting else 0.0), _STOP
    stop, reason = s.stop, _STOP
    if s.peak > 0.0:
        if s.entry_bar != t:
            s.peak = max(s.peak, open_)
        stop, reason = s.peak * (1.0 - leg.trailing), _TRAILING
    if stop > 0.0 and low <= stop:
        price = min(open_, stop)
        if price >= s.limit:
            return price, reason
        s.resting, s.stop, s.target = s.limit, 0.0, 0.0  # it opened below its limit, and rests there from now on
        return (s.resting if high >= s.resting else 0.0), _STOP
    if s.target > 0.0 and high >= s.target:
        return max(open_, s.target), _TARGET
    if s.peak > 0.0:
        s.peak = max(s.peak, high)
        stop = s.peak * (1.0 - leg.trailing)
        if close <= stop:
            return stop, _TRAILING
    return 0.0, reason


@_jit
def _price_of_stop(s: Any, leg: Any, terms: Any, price: float, order: float) -> float:
    """What a stop or target that went off at `price` gets: as a market order, or as the limit that it has become."""
    if s.resting > 0.0:
        return price
    got = price * (1.0 - leg.half_spread) * (1.0 - _slippage(leg, terms, s.quantity * price, order))
    return _rounded(leg, terms, max(got, s.limit), False)


# -- fills ------------------------------------------------------------------------------------------------------------


@_jit
def _price_at_open(s: Any, leg: Any, terms: Any, cash: float, open_: float, order: float) -> float:
    """What the waiting order pays or gets at this open; 0 where that is worse than its bound."""
    if s.side > 0.0:
        touch = _ask(leg, terms, open_)
        notional = s.amount * touch if terms.filters else s.amount * cash
        price = _rounded(leg, terms, touch * (1.0 + _slippage(leg, terms, notional, order)), True)
        return 0.0 if 0.0 < s.bound < price else price
    touch = _bid(leg, terms, open_)
    price = _rounded(leg, terms, touch * (1.0 - _slippage(leg, terms, s.amount * touch, order)), False)
    return 0.0 if price < s.bound else price


@_jit
def _buy(s: Any, totals: Any, leg: Any, terms: Any, t: int, price: float, amount: float) -> float:
    """Buy at most `amount` at `price`, as far as the cash goes; the quantity bought, 0 where it is too little."""
    per_unit = price if terms.fee_received else price * (1.0 + terms.fee)
    amount = _in_lots(leg, terms, min(amount, totals.cash / per_unit))
    if _too_small(leg, terms, amount, price):
        return 0.0
    notional = amount * price
    spent = notional if terms.fee_received else notional * (1.0 + terms.fee)
    received = amount * (1.0 - terms.fee) if terms.fee_received else amount
    totals.cash = max(0.0, totals.cash - spent)  # not below it by the last bits of a buy with everything
    if s.entry_bar < 0.0:  # dust of the round trip before is taken over at this price
        s.entry_bar, s.cost, s.paid = t, s.quantity * price, s.quantity * price
        s.got = s.paid_gross = s.got_gross = s.bought = s.sold = s.trip_fees = s.highest = 0.0
        s.lowest = _HUGE
    s.quantity += received
    s.cost += received * price
    s.paid += spent
    s.paid_gross += notional
    s.bought += amount
    _book(s, totals, notional, notional * terms.fee)
    return amount


@_jit
def _sell(s: Any, totals: Any, leg: Any, terms: Any, price: float, amount: float) -> float:
    """Sell at most `amount` at `price`; the quantity sold, 0 where it is too little."""
    amount = _in_lots(leg, terms, min(amount, s.quantity))
    if _too_small(leg, terms, amount, price):
        return 0.0
    notional, left = amount * price, max(0.0, s.quantity - amount)
    totals.cash += notional * (1.0 - terms.fee)
    s.cost *= left / s.quantity
    s.quantity = left
    s.got += notional * (1.0 - terms.fee)
    s.got_gross += notional
    s.sold += amount
    _book(s, totals, notional, notional * terms.fee)
    return amount


@_jit
def _book(s: Any, totals: Any, notional: float, fee: float) -> None:
    s.trip_fees += fee
    totals.fees += fee
    totals.turnover += notional
    totals.fills += 1.0


@_jit
def _end_trip(s: Any, totals: Any, price: float) -> float:
    """The round trip is over; what is left of it is dust, which goes with it at this price. Returns what it made."""
    pnl = s.got + s.quantity * price - s.paid
    totals.trips += 1.0
    if pnl > 0.0:
        totals.wins += 1.0
        totals.gross_profit += pnl
    else:
        totals.gross_loss -= pnl
    return float(pnl)


@_jit
def _note_trip(row: Any, s: Any, i: int, t: int, pnl: float, reason: float) -> None:
    row.symbol, row.entry_bar, row.exit_bar = i, s.entry_bar, t
    row.quantity, row.fees, row.pnl, row.reason = s.bought, s.trip_fees, pnl, reason
    entry, leave = s.paid_gross / s.bought, s.got_gross / s.sold
    row.entry_price, row.exit_price = entry, leave
    row.mae = min(s.lowest, entry, leave) / entry - 1.0
    row.mfe = max(s.highest, entry, leave) / entry - 1.0


# -- decisions --------------------------------------------------------------------------------------------------------


@_jit
def _decide(
    s: Any, totals: Any, leg: Any, terms: Any, wanted: float, close: float, equity: float, cash: float, buys: bool
) -> float:
    """Turn a target into an order for the next open, as `quantlab.risk.sizing` does, if it is one of this side; returns
    the notional that waits, 0 where none does."""
    changed = abs(wanted - s.acted) > _TINY
    bid = _bid(leg, terms, close)
    share = min(max(wanted, 0.0), 1.0) * leg.weight
    wished = share * equity
    if leg.max_position > 0.0:
        wished = min(wished, leg.max_position)
    drift = wished - s.quantity * bid
    drifted = leg.rebalance > 0.0 and abs(drift) > leg.rebalance * equity
    if (drift > 0.0) != buys or not (changed or drifted):
        return 0.0
    price, bound = bid, 0.0
    if buys:
        price = _ask(leg, terms, close)
        if leg.max_slippage > 0.0:
            price = bound = _rounded(leg, terms, price * (1.0 + leg.max_slippage), False)
        amount = min(drift / bid, cash * (1.0 - terms.reserve) / price)
        if leg.max_position > 0.0:
            amount = min(amount, (leg.max_position - s.quantity * bid) / price)
    else:
        if leg.max_slippage > 0.0:
            bound = _rounded(leg, terms, bid * (1.0 - leg.max_slippage), True)
        amount = s.quantity if wished == 0.0 else min(s.quantity, -drift / bid)
    amount = _in_lots(leg, terms, amount)
    if _too_small(leg, terms, amount, price):
        s.acted = wanted
        return 0.0
    if buys and 0.0 < leg.max_order < amount * price:
        totals.refused += 1.0
        return 0.0
    # Without filters the share is kept: the quantity comes of it when it fills.
    s.amount = share if buys and not terms.filters else amount
    s.side, s.bound, s.acted = (1.0 if buys else -1.0), bound, wanted
    s.reason = _SIGNAL if changed else _REBALANCE
    return float(amount * price)


# -- the loop ---------------------------------------------------------------------------------------------------------


@_jit
def _simulate(
    market: Market, legs: Any, all_terms: Any, state: Any, all_totals: Any, curve: Floats, marks: Floats,
    fills: Any, trips: Any, begin: int, sample_ms: int, keep: bool,
) -> int:  # fmt: skip
    times, closes, wants = market.times, market.closes, market.wanted
    opens, highs, lows, volumes = market.opens, market.highs, market.lows, market.volumes
    symbols, bars = closes.shape
    terms, totals = all_terms[0], all_totals[0]

    protects, rebalances = False, False
    for i in range(symbols):
        state[i].entry_bar = -1.0
        protects = protects or legs[i].stop > 0.0 or legs[i].trailing > 0.0 or legs[i].target > 0.0
        rebalances = rebalances or legs[i].rebalance > 0.0
    limits_losses = terms.day_loss > 0.0 or terms.max_drawdown > 0.0
    totals.cash = terms.capital
    equity = equity_before = high_water = trough = day_equity = terms.capital
    high_water_bar, longest, in_market = begin, 0, 0
    worst = exposure = 0.0
    sample, next_sample_ms, next_day_ms = 0, (times[begin] // sample_ms + 1) * sample_ms, times[begin]
    halted, until_next_day, sells, buys, holds = False, False, False, False, False
    error_bar = -1

    t = begin - 1
    while t + 1 < bars:
        t += 1
        # -- 1. and 2.: what this candle fills ------------------------------------------------------------------------
        if sells or buys or (protects and holds):
            # Orders do not survive an outage, and nothing is filled in a candle in which nobody traded.
            later = False
            joined = not terms.filters or t == begin or times[t] - times[t - 1] == market.length_ms
            for phase in range(3):  # sales at the open, buys at the open, stops and targets within
                if not (sells, buys, protects)[phase]:
                    continue
                for i in range(symbols):
                    open_, s, leg = opens[i, t], state[i], legs[i]
                    if open_ != open_ and (phase == 2 or not terms.filters):
                        later = later or s.side != 0.0
                        continue
                    traded = not terms.filters or volumes[i, t] > 0.0
                    middle, price, amount = open_, 0.0, 0.0
                    if phase < 2:
                        side, reason = s.side, s.reason
                        if side != (-1.0 if phase == 0 else 1.0):
                            continue
                        totals.orders += 1.0
                        if joined and traded and open_ == open_:
                            price = _price_at_open(s, leg, terms, totals.cash, open_, totals.orders)
                        if price > 0.0 and side < 0.0:
                            amount = _sell(s, totals, leg, terms, price, s.amount)
                        elif price > 0.0 and terms.filters:
                            amount = _buy(s, totals, leg, terms, t, price, s.amount)
                        elif price > 0.0:
                            worth = totals.cash
                            for j in range(symbols):
                                worth += state[j].quantity * (price if j == i else state[j].last_bid)
                            amount = s.amount * worth / price - s.quantity
                            amount = _buy(s, totals, leg, terms, t, price, amount)
                        s.side = 0.0
                        if amount == 0.0:  # the next close asks again
                            s.acted = -1.0
                            totals.refused += 1.0
                            continue
                    else:
                        if not traded or s.entry_bar < 0.0:
                            continue
                        middle, why = _triggered(s, leg, t, open_, highs[i, t], lows[i, t], closes[i, t])
                        if middle == 0.0:
                            continue
                        side, reason = -1.0, float(why)
                        totals.orders += 1.0
                        price = _price_of_stop(s, leg, terms, middle, totals.orders)
                        amount = _sell(s, totals, leg, terms, price, s.quantity)
                        if amount == 0.0:
                            continue
                        s.lowest = min(s.lowest, price)
                    slipped = abs(price - middle) * amount
                    totals.slippage += slipped
                    n = int(totals.fills) - 1
                    if n < fills.shape[0]:
                        row = fills[n]
                        row.bar, row.symbol, row.side, row.price, row.quantity = t, i, side, price, amount
                        row.fee, row.slippage, row.reason = price * amount * terms.fee, slipped, reason
                        row.at_open = 1.0 if middle == open_ else 0.0
                    if side < 0.0 and _too_small(leg, terms, _in_lots(leg, terms, s.quantity), price):
                        _unprotect(s)
                        pnl = _end_trip(s, totals, price)
                        n = int(totals.trips) - 1
                        if n < trips.shape[0]:
                            _note_trip(trips[n], s, i, t, pnl, reason)
                        s.entry_bar = -1.0
                    elif protects and phase < 2:
                        _protect(s, leg, terms, open_)
            sells = buys = later

        # -- 3.: marks, loss limits, targets --------------------------------------------------------------------------
        # Most candles only move the marks: they are passed in a loop of their own, for one symbol without its record.
        quantity, acted, kept = state[0].quantity, state[0].acted, 1.0 - legs[0].half_spread
        lowest, highest, single_holds = state[0].lowest, state[0].highest, state[0].entry_bar >= 0.0
        cash, watches = totals.cash, sells or buys or limits_losses
        while True:
            held, holds, asks = 0.0, False, rebalances
            if symbols == 1:
                held, holds, wanted = quantity * (closes[0, t] * kept), single_holds, wants[0, t]
                if keep:  # for the excursions of round trips, which begin anew with each
                    lowest, highest = min(lowest, lows[0, t]), max(highest, highs[0, t])
                # Opens are looked at to have them near: fetched one by one, where an order fills, they cost the pass a
                # sixth (6.2 ms became 5.2, measured 2026-11-24). One symbol has no candle without an open.
                if (wanted != acted and wanted == wanted) or opens[0, t] != opens[0, t]:
                    asks = True
                    if not -_TINY <= wanted <= 1.0 + _TINY:
                        error_bar = t
            else:
                for i in range(symbols):
                    close, s, wanted = closes[i, t], state[i], wants[i, t]
                    if close == close:
                        s.last_bid = close * (1.0 - legs[i].half_spread)
                    if s.quantity > 0.0:
                        held += s.quantity * s.last_bid
                        if s.entry_bar >= 0.0:
                            holds = True
                            if close == close:
                                s.lowest, s.highest = min(s.lowest, lows[i, t]), max(s.highest, highs[i, t])
                    if wanted != s.acted and wanted == wanted:
                        asks = True
                        if not -_TINY <= wanted <= 1.0 + _TINY:
                            error_bar = t
            equity = cash + held
            if keep:
                curve[t] = equity
            while times[t] >= next_sample_ms:
                marks[sample + 1] = marks[sample]
                sample += 1
                next_sample_ms += sample_ms
            marks[sample] = equity
            if holds:
                in_market += 1
                exposure += held / equity
            if equity >= high_water:
                longest = max(longest, t - 1 - high_water_bar)
                high_water, trough, high_water_bar = equity, equity, t
            elif equity < trough:
                trough = equity
                worst = max(worst, 1.0 - equity / high_water)
            if asks or t + 1 == bars or watches or (protects and holds):
                break
            t += 1
        if symbols == 1:
            state[0].lowest, state[0].highest, state[0].last_bid = lowest, highest, closes[0, t] * kept
        if error_bar >= 0:
            break
        if limits_losses:
            if times[t] >= next_day_ms:
                next_day_ms, day_equity = (times[t] // _DAY_MS + 1) * _DAY_MS, equity_before
                halted = halted and not until_next_day
            equity_before = equity
            fallen = terms.max_drawdown > 0.0 and equity <= high_water * (1.0 - terms.max_drawdown)
            lost = terms.day_loss > 0.0 and equity <= day_equity * (1.0 - terms.day_loss)
            if (fallen and not (halted and not until_next_day)) or (lost and not halted):
                halted, until_next_day = True, not fallen
                totals.halts += 1.0
            if halted:
                for i in range(symbols):
                    s = state[i]
                    s.acted = s.side = 0.0
                    if s.entry_bar >= 0.0:
                        s.side, s.amount, s.bound, s.reason, sells = -1.0, s.quantity, 0.0, _LIMIT, True
                continue
        if asks and equity > 0.0:
            cash = totals.cash  # with what the sales of this close will bring
            for i in range(symbols):
                if wants[i, t] == wants[i, t] and closes[i, t] == closes[i, t]:
                    notional = _decide(state[i], totals, legs[i], terms, wants[i, t], closes[i, t], equity, cash, False)
                    sells = sells or notional > 0.0
                    cash += notional * (1.0 - terms.fee)
            for i in range(symbols):
                if wants[i, t] == wants[i, t] and closes[i, t] == closes[i, t]:
                    notional = _decide(state[i], totals, legs[i], terms, wants[i, t], closes[i, t], equity, cash, True)
                    buys = buys or notional > 0.0
                    cash = max(0.0, cash - notional)

    totals.final, totals.drawdown, totals.drawdown_bars = equity, worst, max(longest, t - high_water_bar)
    totals.bars, totals.bars_in_market, totals.exposure = bars - begin, in_market, exposure / max(1, bars - begin)
    return error_bar
