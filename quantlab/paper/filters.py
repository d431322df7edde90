"""What Binance refuses before an order reaches the book, with its codes and words.

Source: Binance spot REST docs, filters and error messages, checked 2026-11-24. A zero bound means "not limited".

Deviations, so that nobody trusts this further than it goes. Where Binance takes an average over `avgPriceMins` (price
bands, the notional of market orders), the touch is taken. STOP_LOSS and TAKE_PROFIT pass on a symbol that offers only
their LIMIT forms, as many did from 2021 to 2023: they then stand for one with a far limit. A trailing order whose stop
price has been reached already is not refused: it begins to track. Filters of iceberg orders, of order lists' counts and
of the whole exchange find nothing here.
"""

from __future__ import annotations

from collections.abc import Collection
from decimal import Decimal
from typing import NamedTuple

from quantlab.model import AT_MARKET, CONDITIONAL, PRICED, Instrument, Order, OrderType, Side, TimeInForce


class Rejection(NamedTuple):
    """An error code of Binance (0: quantlab's own refusal) and its words."""

    code: int
    reason: str


INSUFFICIENT_BALANCE = Rejection(-2010, "Account has insufficient balance for requested action.")
WOULD_TAKE = Rejection(-2010, "Order would immediately match and take.")
WOULD_TRIGGER = Rejection(-2010, "Order would trigger immediately.")
WRONG_PAIR = Rejection(-2010, "The relationship of the prices for the orders is not correct.")
MARKET_CLOSED = Rejection(-1013, "Market is closed.")
REPLACE_FAILED = Rejection(-2022, "Order cancel-replace failed.")
OUT_OF_SYNC = Rejection(0, "book out of sync: quantlab does not fill on a guess")

TOO_THIN = Rejection(-2010, "Order book liquidity is less than `LOT_SIZE` filter minimum quantity.")

_SAME = Rejection(-2038, "The requested action would change no state; rejecting.")
_CANNOT_GROW = Rejection(-2038, "Order amend (quantity increase) is not supported.")
_FILLED_ALREADY = Rejection(-2038, "Order amend: so much is filled already.")  # the words are ours
_WORDS = {
    OrderType.MARKET: "Market orders",
    OrderType.LIMIT: "Limit orders",
    OrderType.LIMIT_MAKER: "Limit maker orders",
    OrderType.STOP_LOSS: "Stop loss orders",
    OrderType.STOP_LOSS_LIMIT: "Stop loss limit orders",
    OrderType.TAKE_PROFIT: "Take profit orders",
    OrderType.TAKE_PROFIT_LIMIT: "Take profit limit orders",
}


def check(order: Order, instrument: Instrument, touch: Decimal | None) -> Rejection | None:
    """The first filter that `order` fails, or None. `touch` is the price at which it would trade now (ask for
    a buy, bid for a sale), None when that side of the book is empty."""
    if instrument.status != "TRADING":
        return MARKET_CLOSED
    refused = _missing(order) or _unsupported(order, instrument)
    if refused is not None:
        return refused
    failed = _price_fails(order, instrument, touch) or _quantity_fails(order, instrument)
    if failed is None:
        price = order.price or order.stop_price or touch
        notional = order.quote_quantity or (None if price is None else price * order.quantity)
        if notional is not None and not _notional_passes(notional, order, instrument):
            failed = instrument.notional_filter
    return None if failed is None else _failure(failed)


def check_account(order: Order, instrument: Instrument, resting: Collection[Order], held: Decimal) -> Rejection | None:
    """The filters that count: `resting` are the account's orders on the symbol, `held` what it has of the base."""
    most = instrument.max_position
    if most and order.side is Side.BUY:
        bought = sum((other.remaining for other in resting if other.side is Side.BUY), order.quantity)
        if held + bought > most:
            return _failure("MAX_POSITION")
    conditional = order.type in CONDITIONAL
    takes_only = order.type is OrderType.LIMIT and order.time_in_force is not TimeInForce.GTC
    if order.type is OrderType.MARKET or takes_only:
        return None  # it never rests
    if instrument.max_open_orders and len(resting) >= instrument.max_open_orders:
        return _failure("MAX_NUM_ORDERS")
    waiting = sum(other.type in CONDITIONAL for other in resting)
    if conditional and instrument.max_algo_orders and waiting >= instrument.max_algo_orders:
        return _failure("MAX_NUM_ALGO_ORDERS")
    return None


def check_amendment(order: Order, quantity: Decimal, instrument: Instrument) -> Rejection | None:
    """Whether a resting order may be reduced to `quantity`."""
    if not instrument.amend_allowed:
        return Rejection(-2038, "Order amend is not supported for this symbol.")
    if quantity == order.quantity:
        return _SAME
    if quantity > order.quantity:
        return _CANNOT_GROW
    if not _lot_passes(quantity, instrument):
        return _failure("LOT_SIZE")
    if quantity <= order.filled + order.prevented:
        return _FILLED_ALREADY
    price = order.price or order.stop_price
    if price is not None and not _notional_passes(price * quantity, order, instrument):
        return _failure(instrument.notional_filter)
    return None


def check_replacement(order: Order, instrument: Instrument) -> Rejection | None:
    """Whether `order` may be sent in the place of another: its filters are judged before that one is cancelled."""
    if not instrument.replace_allowed:
        return Rejection(-1013, "Order cancel-replace is not supported for this symbol.")
    return check(order, instrument, None)


def would_trigger(order: Order, bid: Decimal | None, ask: Decimal | None) -> bool:
    """Would this stop or target trigger on arrival? Judged at the touch it would trade at, since the last
    trade of a quiet symbol may be old; an empty side triggers nothing."""
    touch = bid if order.side is Side.SELL else ask
    if touch is None or order.stop_price is None or order.trailing_delta:
        return False
    return touch <= order.stop_price if order.falling else touch >= order.stop_price


def makes_pair(order: Order, other: Order, bid: Decimal | None, ask: Decimal | None) -> bool:
    """Do two orders of a list stand around the market, one above and one below it? A limit stands by its price, a
    conditional order by its trigger; a trailing one without a trigger stands where the other does not."""
    prices = [price for price in (_stands_at(order), _stands_at(other)) if price is not None]
    if not any(each.type in CONDITIONAL for each in (order, other)) or order.side is not other.side:
        return False
    if bid is None or ask is None or len(prices) < 2:
        return True
    return min(prices) <= ask and max(prices) >= bid and prices[0] != prices[1]


def _stands_at(order: Order) -> Decimal | None:
    return order.stop_price if order.type in CONDITIONAL else order.price


def _failure(name: str) -> Rejection:
    return Rejection(-1013, f"Filter failure: {name}")


def _missing(order: Order) -> Rejection | None:
    conditional = order.type in CONDITIONAL
    if order.type in PRICED and order.price is None:
        name = "price"
    elif conditional and order.stop_price is None and not order.trailing_delta:
        name = "stopPrice"
    else:
        unwanted = {
            "price": order.price is not None and order.type not in PRICED,
            "stopPrice": order.stop_price is not None and not conditional,
            "trailingDelta": bool(order.trailing_delta) and not conditional,
            "quoteOrderQty": order.quote_quantity is not None and order.type is not OrderType.MARKET,
        }
        sent = next((name for name, is_unwanted in unwanted.items() if is_unwanted), None)
        return None if sent is None else Rejection(-1106, f"Parameter '{sent}' sent when not required.")
    return Rejection(-1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")


def _unsupported(order: Order, instrument: Instrument) -> Rejection | None:
    offered = instrument.order_types
    what = None
    if offered and order.type not in offered and f"{order.type}_LIMIT" not in offered:
        what = _WORDS[order.type]
    elif order.trailing_delta and not instrument.trailing_allowed:
        what = "Trailing stop orders"
    elif order.list_number and not instrument.oco_allowed:
        return Rejection(-2010, "OCO orders are not supported for this symbol")
    elif order.quote_quantity is not None and not instrument.by_quote_allowed:
        return Rejection(-1013, "Quote order qty market orders are not support for this symbol.")
    return None if what is None else Rejection(-1013, f"{what} are not supported for this symbol.")


def _price_fails(order: Order, instrument: Instrument, touch: Decimal | None) -> str | None:
    for price in (order.price, order.stop_price):
        if price is not None and not _price_passes(price, instrument):
            return "PRICE_FILTER"
    if order.trailing_delta and (bounds := instrument.trailing) is not None:
        least, most = bounds[2:] if order.falling else bounds[:2]
        if not least <= order.trailing_delta <= most:
            return "TRAILING_DELTA"
    band = instrument.price_band
    if band is not None and order.price is not None and touch is not None:
        buys = order.side is Side.BUY
        down, up = (band.bid_down, band.bid_up) if buys else (band.ask_down, band.ask_up)
        if not touch * down <= order.price <= touch * up:
            return band.filter
    return None


def _quantity_fails(order: Order, instrument: Instrument) -> str | None:
    if order.quote_quantity is not None:
        return None  # the exchange itself finds a quantity that passes
    if not _lot_passes(order.quantity, instrument):
        return "LOT_SIZE"
    if order.type in AT_MARKET and not _market_lot_passes(order.quantity, instrument):
        return "MARKET_LOT_SIZE"
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
