"""What Binance refuses before an order reaches the book, with its codes and words.

Source: Binance spot REST docs, filters and error messages, checked 2026-11-23. A zero bound means "not
limited".

Deviations, so that nobody trusts this further than it goes: MIN_NOTIONAL/NOTIONAL of market orders is judged
at the touch (Binance takes an average over `avgPriceMins`); PERCENT_PRICE(_BY_SIDE), the counts of open
orders and `orderTypes` are not checked. The last on purpose: many symbols of 2021 to 2023 offer
STOP_LOSS_LIMIT only, and our STOP_LOSS then stands for one with a far limit.
"""

from __future__ import annotations

from decimal import Decimal
from typing import NamedTuple

from quantlab.model import Instrument, Order, OrderType, Side

_AT_MARKET = frozenset({OrderType.MARKET, OrderType.STOP_LOSS, OrderType.TAKE_PROFIT})
_PRICED = frozenset({OrderType.LIMIT, OrderType.LIMIT_MAKER})


class Rejection(NamedTuple):
    """An error code of Binance (0: quantlab's own refusal) and its words."""

    code: int
    reason: str


INSUFFICIENT_BALANCE = Rejection(-2010, "Account has insufficient balance for requested action.")
WOULD_TAKE = Rejection(-2010, "Order would immediately match and take.")
WOULD_TRIGGER = Rejection(-2010, "Order would trigger immediately.")
MARKET_CLOSED = Rejection(-1013, "Market is closed.")
OUT_OF_SYNC = Rejection(0, "book out of sync: quantlab does not fill on a guess")


def check(order: Order, instrument: Instrument, touch: Decimal | None) -> Rejection | None:
    """The first filter that `order` fails, or None. `touch` is the price at which it would trade now (ask for
    a buy, bid for a sale), None when that side of the book is empty; only market orders are judged by it."""
    if instrument.status != "TRADING":
        return MARKET_CLOSED
    missing = _missing(order)
    if missing is not None:
        return missing
    priced = order.price if order.type in _PRICED else order.stop_price
    failed = None
    if priced is not None and not _price_passes(priced, instrument):
        failed = "PRICE_FILTER"
    elif not _lot_passes(order.quantity, instrument):
        failed = "LOT_SIZE"
    elif order.type in _AT_MARKET and not _market_lot_passes(order.quantity, instrument):
        failed = "MARKET_LOT_SIZE"
    else:
        price = priced if priced is not None else touch
        if price is not None and not _notional_passes(price * order.quantity, order, instrument):
            failed = "NOTIONAL"
    return None if failed is None else Rejection(-1013, f"Filter failure: {failed}")


def would_trigger(order: Order, bid: Decimal | None, ask: Decimal | None) -> bool:
    """Would this stop or target trigger on arrival? Judged at the touch it would trade at, since the last
    trade of a quiet symbol may be old; an empty side triggers nothing."""
    touch = bid if order.side is Side.SELL else ask
    if touch is None or order.stop_price is None:
        return False
    falls = (order.type is OrderType.STOP_LOSS) == (order.side is Side.SELL)
    return touch <= order.stop_price if falls else touch >= order.stop_price


def _missing(order: Order) -> Rejection | None:
    if order.type in _PRICED and order.price is None:
        return Rejection(-1102, "Mandatory parameter 'price' was not sent, was empty/null, or malformed.")
    if order.type in (OrderType.STOP_LOSS, OrderType.TAKE_PROFIT) and order.stop_price is None:
        return Rejection(-1102, "Mandatory parameter 'stopPrice' was not sent, was empty/null, or malformed.")
    return None


def _price_passes(price: Decimal, instrument: Instrument) -> bool:
    return (
        price > 0
        and price % instrument.tick_size == 0
        and price >= instrument.min_price
        and not (instrument.max_price and price > instrument.max_price)
    )


def _lot_passes(quantity: Decimal, instrument: Instrument) -> bool:
    return (
        quantity > 0
        and quantity % instrument.step_size == 0
        and quantity >= instrument.min_quantity
        and not (instrument.max_quantity and quantity > instrument.max_quantity)
    )


def _market_lot_passes(quantity: Decimal, instrument: Instrument) -> bool:
    step = instrument.market_step_size
    return (
        not (step and quantity % step)
        and quantity >= instrument.market_min_quantity
        and not (instrument.market_max_quantity and quantity > instrument.market_max_quantity)
    )


def _notional_passes(notional: Decimal, order: Order, instrument: Instrument) -> bool:
    at_market = order.type is OrderType.MARKET
    judge_min = instrument.min_notional_applies_to_market or not at_market
    judge_max = instrument.max_notional_applies_to_market or not at_market
    too_small = judge_min and notional < instrument.min_notional
    too_big = judge_max and bool(instrument.max_notional) and notional > instrument.max_notional
    return not (too_small or too_big)
