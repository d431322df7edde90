"""Why the matching engine turned an order down, which only the message of -1010, -1013, -2010, -2011 and -2038 says.

Source: Binance spot docs, errors.md ("Messages for -1010 …", "Filter failures") and filters.md, checked 2026-11-23. The
keys are as much of Binance's message as tells it from the others; names and hints are ours.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from quantlab.exchange.failure.codes import code_of

#: The codes whose message has to be read.
TOLD_BY_MESSAGE = frozenset({-1010, -1013, -2010, -2011, -2038})


class Reason(StrEnum):
    """What a program can do something about; the rest is `OTHER`."""

    UNKNOWN_ORDER = "unknown order"
    DUPLICATE = "duplicate"
    MARKET_CLOSED = "market closed"
    NO_FUNDS = "insufficient balance"
    WOULD_TAKE = "would take"
    WOULD_TRIGGER = "would trigger"
    NO_LIQUIDITY = "no liquidity"
    NO_CHANGE = "no change"
    NOT_SUPPORTED = "not supported"
    NOT_ALLOWED = "not allowed"
    FILTER = "filter"
    OTHER = "other"


class Rejection(NamedTuple):
    """Why, the filter that minded (its name, or ""), and what to do about it in plain words."""

    reason: Reason
    filter: str = ""
    hint: str = ""


_RESTRICTED = "the account may not: ask Binance's support, or use another symbol"

#: (part of the message in lower case, what it means); the first that fits counts.
MESSAGES: tuple[tuple[str, Rejection], ...] = (
    ("unknown order sent", Rejection(Reason.UNKNOWN_ORDER, hint="it is filled, cancelled, or was never accepted")),
    ("duplicate order sent", Rejection(Reason.DUPLICATE, hint="an open order has this id already: ask for it")),
    ("market is closed", Rejection(Reason.MARKET_CLOSED, hint="the symbol does not trade now")),
    ("insufficient balance", Rejection(Reason.NO_FUNDS, hint="free money is less than the order and its fee need")),
    (
        "immediately match and take",
        Rejection(Reason.WOULD_TAKE, hint="the price crosses the book: a maker order may not"),
    ),
    ("would trigger immediately", Rejection(Reason.WOULD_TRIGGER, hint="the last price is beyond the stop already")),
    ("order book liquidity", Rejection(Reason.NO_LIQUIDITY, hint="the far side of the book is too thin")),
    ("would change no state", Rejection(Reason.NO_CHANGE)),
    ("this account may not place or cancel", Rejection(Reason.NOT_ALLOWED, hint=_RESTRICTED)),
    ("disabled on this account", Rejection(Reason.NOT_ALLOWED, hint=_RESTRICTED)),
    ("not permitted for this account", Rejection(Reason.NOT_ALLOWED, hint=_RESTRICTED)),
    ("restricted for this account", Rejection(Reason.NOT_ALLOWED, hint=_RESTRICTED)),
    ("trading is not enabled", Rejection(Reason.NOT_ALLOWED, hint="this address of the exchange takes no orders")),
    ("price * qty is zero", Rejection(Reason.OTHER, hint="price times quantity rounds to nothing")),
    ("icebergqty exceeds qty", Rejection(Reason.OTHER)),
    ("unsupported order combination", Rejection(Reason.NOT_SUPPORTED)),
    ("cancel order is invalid", Rejection(Reason.OTHER, hint="a cancellation needs the order's id")),
    ("relationship of the prices", Rejection(Reason.OTHER, hint="the legs of the list stand on the wrong side")),
    ("cancel restrictions", Rejection(Reason.OTHER, hint="the order was not in the state that was asked for")),
    ("may not use pegged price", Rejection(Reason.NOT_SUPPORTED)),
    ("cannot be used with this order type", Rejection(Reason.NOT_SUPPORTED)),
    ("not supported", Rejection(Reason.NOT_SUPPORTED)),
    ("not support for this symbol", Rejection(Reason.NOT_SUPPORTED)),
)

_ORDERS = "cancel some, or fewer bots on this account"
_PRICE = "round the price to the tick, within the filter's bounds"
_SIZE = "round the quantity to the step, within the filter's bounds"
_SMALL = "price times quantity is outside the filter's bounds: trade more at once"
_BAND = "the price is too far from the average of the last minutes"

#: What each filter minds. Filters of a symbol, of the exchange, of an asset.
FILTERS: dict[str, str] = {
    "PRICE_FILTER": _PRICE,
    "PERCENT_PRICE": _BAND,
    "PERCENT_PRICE_BY_SIDE": _BAND,
    "LOT_SIZE": _SIZE,
    "MARKET_LOT_SIZE": _SIZE,
    "MIN_NOTIONAL": _SMALL,
    "NOTIONAL": _SMALL,
    "ICEBERG_PARTS": "the visible part is too small",
    "MAX_POSITION": "the account would hold more of the base asset than it may",
    "TRAILING_DELTA": "the trailing distance is outside the filter's bounds",
    "MAX_NUM_ORDERS": _ORDERS,
    "MAX_NUM_ALGO_ORDERS": "too many stops and targets rest on this symbol: " + _ORDERS,
    "MAX_NUM_ICEBERG_ORDERS": _ORDERS,
    "MAX_NUM_ORDER_AMENDS": "this order was changed too often: cancel it and place another",
    "MAX_NUM_ORDER_LISTS": _ORDERS,
    "EXCHANGE_MAX_NUM_ORDERS": _ORDERS,
    "EXCHANGE_MAX_NUM_ALGO_ORDERS": _ORDERS,
    "EXCHANGE_MAX_NUM_ICEBERG_ORDERS": _ORDERS,
    "EXCHANGE_MAX_NUM_ORDER_LISTS": _ORDERS,
    "MAX_ASSET": "more of this asset than one order may move",
}
_FILTER_FAILURE = "filter failure:"


def rejection_of(message: str) -> Rejection:
    """Why an order was turned down, from Binance's own words; `Reason.OTHER` for words that are new."""
    words = message.lower().strip()
    if words.startswith(_FILTER_FAILURE):
        name = message.strip()[len(_FILTER_FAILURE) :].strip(" .").upper()
        return Rejection(Reason.FILTER, name, FILTERS.get(name, "look at the symbol's filters"))
    return next((found for part, found in MESSAGES if part in words), Rejection(Reason.OTHER))


def hint_of(code: int, message: str) -> str:
    """What to do about an error of the exchange, in plain words; "" where its own message says all there is."""
    if code in TOLD_BY_MESSAGE and (hint := rejection_of(message).hint):
        return hint
    return code_of(code).hint
