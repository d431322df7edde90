"""Technical indicators as polars expressions, and comparisons that do not turn on float noise.

Every value depends on a stated number of candles only, so that a live window and all history agree:

- Sums are made anew for each window (`rolling_sum` with weights of one). The plain rolling sum adds and subtracts as
  it slides, and its last bits depend on where the data began.
- Recursive averages forget their seed: after `ema_memory(span)` candles its weight is below e^-40, less than the last
  bit of a double. They begin with the first value; textbooks and TA-Lib begin with an average, which is forgotten too.
- Prices are compared in whole ticks (`above`), so that what is left of such noise decides nothing.

polars computes an expression as often as it is written (there is no common subexpression in an eager `select`, and
`fill_nan` or `when` repeat their input), so formulas here name each average as seldom as they can. What is `shared` is
computed once for all strategies of a sweep.

Arguments named `x` are a column's name or an expression; the frame's columns are described at `Strategy.exposure`.
"""

from __future__ import annotations

import polars as pl

from quantlab.strategies.sharing import shared

#: Averages of far fewer ticks than this are what a flat market leaves of old moves: no move.
_NO_MOVE_TICKS = 1e-10


def expression(x: str | pl.Expr) -> pl.Expr:
    return pl.col(x) if isinstance(x, str) else x


# --- comparing ---------------------------------------------------------------------------------------------------


def ticks(x: str | pl.Expr) -> pl.Expr:
    """A price in whole ticks (Float64 that holds a whole number)."""
    return (expression(x) / pl.col("tick")).round()


def above(a: str | pl.Expr, b: str | pl.Expr) -> pl.Expr:
    """True where price `a` is above price `b` by a tick or more, both rounded to ticks."""
    return ticks(a) > ticks(b)


def crosses_above(a: str | pl.Expr, b: str | pl.Expr) -> pl.Expr:
    """True at the candle where `a` comes to be above `b`: it was not at the candle before."""
    is_above = above(a, b)
    return is_above & ~is_above.shift(1)


def hold(entry: pl.Expr, exit_: pl.Expr, max_candles: int) -> pl.Expr:
    """1.0 from an `entry` until an `exit_`, at most `max_candles` candles from the last entry on; else 0.0.

    The state is the newest of entry and exit within the last `max_candles` candles (exit wins when both come at one
    candle), so it depends on no candle before these: add `max_candles` to the lookback of entry and exit.
    """
    newest = pl.when(exit_).then(0.0).when(entry).then(1.0).otherwise(None)
    return newest.forward_fill(limit=max_candles - 1).fill_null(0.0)


# --- averages ----------------------------------------------------------------------------------------------------


@shared
def ema(x: str | pl.Expr, span: int) -> pl.Expr:
    """Exponential moving average with weight 2 / (span + 1) for the newest value."""
    return expression(x).ewm_mean(span=span, adjust=False)


def ema_memory(span: int) -> int:
    """Candles after which `ema(x, span)` has forgotten its seed."""
    return 20 * span


@shared
def wilder(x: str | pl.Expr, period: int) -> pl.Expr:
    """Wilder's average, weight 1 / period for the newest value (New Concepts in Technical Trading Systems, 1978)."""
    return expression(x).ewm_mean(alpha=1 / period, adjust=False)


def wilder_memory(period: int) -> int:
    """Candles after which `wilder(x, period)` has forgotten its seed: it is an EMA of span 2 × period - 1."""
    return 40 * period


@shared
def rolling_sum(x: str | pl.Expr, period: int) -> pl.Expr:
    """Sum of the last `period` values, the same bits wherever the data begins. `x` must hold no nulls."""
    return expression(x).rolling_sum(period, weights=[1.0] * period)


def sma(x: str | pl.Expr, period: int) -> pl.Expr:
    """Simple moving average of a price, exact up to the last division: sums of whole ticks have no other bits wherever
    they begin, so they may slide."""
    return _sum_of_ticks(x, period) * (pl.col("tick") / period)


@shared
def _sum_of_ticks(x: str | pl.Expr, period: int) -> pl.Expr:
    """Whole numbers slide in half the time that polars takes over floats (2.1, measured 2026-11-24)."""
    return _whole_ticks(x).rolling_sum(period)


@shared
def _whole_ticks(x: str | pl.Expr) -> pl.Expr:
    return ticks(x).cast(pl.Int64)


def vwap(period: int) -> pl.Expr:
    """Average of the typical price (high + low + close) / 3 over the last `period` candles, weighted by volume. Null
    where nothing was traded in all of them."""
    typical = (pl.col("high") + pl.col("low") + pl.col("close")) / 3
    volume = rolling_sum("volume", period)
    return pl.when(volume > 0).then(rolling_sum(typical * pl.col("volume"), period) / volume)


# --- ranges and bands ------------------------------------------------------------------------------------------


def true_range() -> pl.Expr:
    """Largest of high - low and the distances of high and low from the close before (Wilder, 1978)."""
    before = pl.col("close").shift(1)
    return pl.max_horizontal(
        pl.col("high") - pl.col("low"), (pl.col("high") - before).abs(), (pl.col("low") - before).abs()
    )


def atr(period: int) -> pl.Expr:
    """Average true range: Wilder's average of `true_range`."""
    return wilder(true_range(), period)


def donchian(period: int) -> tuple[pl.Expr, pl.Expr]:
    """(highest high, lowest low) of the `period` candles before this one."""
    return _highest(period), _lowest(period)


@shared
def _highest(period: int) -> pl.Expr:
    return pl.col("high").rolling_max(period).shift(1)


@shared
def _lowest(period: int) -> pl.Expr:
    return pl.col("low").rolling_min(period).shift(1)


def bollinger(period: int, deviations: float) -> tuple[pl.Expr, pl.Expr, pl.Expr]:
    """(lower, middle, upper): the average close, and `deviations` population standard deviations around it."""
    close = ticks("close")
    total, squares = rolling_sum(close, period), rolling_sum(close * close, period)
    deviation = (squares * period - total * total).clip(lower_bound=0.0).sqrt() / period * pl.col("tick")
    middle = total / period * pl.col("tick")
    return middle - deviation * deviations, middle, middle + deviation * deviations


def keltner(period: int, atr_period: int, multiple: float) -> tuple[pl.Expr, pl.Expr, pl.Expr]:
    """(lower, middle, upper): the EMA of the close, and `multiple` average true ranges around it."""
    middle, width = ema("close", period), atr(atr_period) * multiple
    return middle - width, middle, middle + width


# --- momentum ------------------------------------------------------------------------------------------------


def roc(x: str | pl.Expr, period: int) -> pl.Expr:
    """Rate of change over `period` candles, as a fraction (0.01 is one percent)."""
    return expression(x) / expression(x).shift(period) - 1


def macd(x: str | pl.Expr, fast: int, slow: int, signal: int) -> tuple[pl.Expr, pl.Expr]:
    """(line, signal): the difference of two EMAs, and the EMA of that difference."""
    line = ema(x, fast) - ema(x, slow)
    return line, ema(line, signal)


def rsi(x: str | pl.Expr, period: int) -> pl.Expr:
    """Wilder's relative strength index, 0 to 100; 50 where nothing moved, null at the first candle."""
    # Averages are linear: gain - loss is the average change (net), gain + loss the average of its size (total), and
    # 100 * gain / (gain + loss) is 50 * (1 + net / total), which goes to 50 as a flat market forgets its old moves.
    change = ticks(x).diff()
    net, total = wilder(change, period), wilder(change.abs(), period)
    return net / (total + _NO_MOVE_TICKS) * 50.0 + 50.0
