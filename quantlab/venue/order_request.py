"""The parameters of a new order: what each type needs, what it may not have, and the words for what is wrong.

Source: Binance spot REST docs, "New order" and "Error codes", checked 2026-11-23. Trailing stops and pegged orders are
refused in Binance's words; self-trade prevention is taken and never needed, for the account does not meet itself.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from decimal import Decimal

from quantlab.venue import errors, parameters
from quantlab.venue.errors import VenueError
from quantlab.venue.order import Request
from quantlab.venue.parameters import Params

_SIDES = ("BUY", "SELL")
_IN_FORCE = ("GTC", "IOC", "FOK")
_SHOWS = ("ACK", "RESULT", "FULL")
_PREVENTION = ("NONE", "EXPIRE_TAKER", "EXPIRE_MAKER", "EXPIRE_BOTH", "DECREMENT", "TRANSFER")
#: Mandatory parameters by type; of alternatives one is enough.
_MANDATORY = {
    "LIMIT": ("timeInForce", "quantity", "price"),
    "MARKET": ("quantity|quoteOrderQty",),
    "STOP_LOSS": ("quantity", "stopPrice|trailingDelta"),
    "STOP_LOSS_LIMIT": ("timeInForce", "quantity", "price", "stopPrice|trailingDelta"),
    "TAKE_PROFIT": ("quantity", "stopPrice|trailingDelta"),
    "TAKE_PROFIT_LIMIT": ("timeInForce", "quantity", "price", "stopPrice|trailingDelta"),
    "LIMIT_MAKER": ("quantity", "price"),
}
#: Parameters that only some types have.
_OWN = ("timeInForce", "price", "stopPrice", "trailingDelta", "icebergQty", "quoteOrderQty")
_OPTIONAL = {
    "LIMIT": ("icebergQty",),
    "LIMIT_MAKER": ("icebergQty",),
    "STOP_LOSS_LIMIT": ("icebergQty",),
    "TAKE_PROFIT_LIMIT": ("icebergQty",),
}
_FULL_BY_DEFAULT = ("MARKET", "LIMIT")
_MOST_PLACES = 8
_CLIENT_ID = re.compile("[a-zA-Z0-9_-]{1,36}")
_NONE = Decimal(0)


def read(params: Params, symbols: Collection[str]) -> Request:
    """The order that `params` describe. Raises VenueError."""
    symbol = parameters.symbol(params, symbols)
    side = parameters.choice(params, "side", _SIDES, VenueError(-1117, "Invalid side."))
    kind = parameters.choice(params, "type", _MANDATORY, VenueError(-1116, "Invalid orderType."))
    for names in _MANDATORY[kind]:
        if not any(name in params for name in names.split("|")):
            raise errors.missing(names.split("|")[0])
    takes = {name for names in _MANDATORY[kind] for name in names.split("|")} | set(_OPTIONAL.get(kind, ()))
    for name in _OWN:
        if name in params and name not in takes:
            raise VenueError(-1106, f"Parameter '{name}' sent when not required.")
    if kind == "MARKET" and "quantity" in params and "quoteOrderQty" in params:
        raise errors.bad_combination()
    if any(name.startswith("peg") for name in params):
        raise errors.not_supported("Pegged orders")
    if "trailingDelta" in params:
        raise errors.not_supported("Trailing stop orders")
    iceberg, in_force = _amount(params, "icebergQty"), "GTC"
    if "timeInForce" in params:
        in_force = parameters.choice(params, "timeInForce", _IN_FORCE, VenueError(-1115, "Invalid timeInForce."))
    if iceberg and in_force != "GTC":
        raise VenueError(-1106, "Parameter 'icebergQty' sent when not required.")
    default = "FULL" if kind in _FULL_BY_DEFAULT else "ACK"
    return Request(
        symbol=symbol,
        side=side,
        type=kind,
        quantity=_amount(params, "quantity"),
        price=_amount(params, "price"),
        stop_price=_amount(params, "stopPrice"),
        quote_quantity=_amount(params, "quoteOrderQty"),
        iceberg_quantity=iceberg,
        time_in_force=in_force,
        client_id=client_id(params, "newClientOrderId"),
        shows=_one_of(params, "newOrderRespType", _SHOWS, default),
        prevention=_one_of(params, "selfTradePreventionMode", _PREVENTION, "EXPIRE_MAKER"),
        labels=_labels(params),
    )


def client_id(params: Params, name: str) -> str:
    """An id that the client chose; "" where it leaves the choice to the exchange. Raises VenueError -1100."""
    value = params.get(name, "")
    if value and not _CLIENT_ID.fullmatch(value):
        raise errors.illegal(name, errors.LEGAL_CLIENT_ID)
    return value


def _amount(params: Params, name: str) -> Decimal:
    if name not in params:
        return _NONE
    value = parameters.decimal(params, name)
    if len(params[name].partition(".")[2].rstrip("0")) > _MOST_PLACES:
        raise VenueError(-1111, f"Parameter '{name}' has too much precision.")
    return value


def _one_of(params: Params, name: str, allowed: Collection[str], default: str) -> str:
    return parameters.choice(params, name, allowed, errors.invalid(name)) if name in params else default


def _labels(params: Params) -> dict[str, int]:
    labels = {}
    for name in ("strategyId", "strategyType"):
        value = parameters.integer(params, name)
        if value is None:
            continue
        if name == "strategyType" and value < 1_000_000:
            raise VenueError(-1134, "strategyType was less than 1000000.")
        labels[name] = value
    return labels
