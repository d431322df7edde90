"""Parameters of a request as Binance reads them: which are known, what is mandatory, what characters are legal.

Sources: Binance spot REST docs, "General information" and each endpoint's table, checked 2026-11-23.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from decimal import Decimal
from urllib.parse import parse_qsl

from quantlab.venue import errors
from quantlab.venue.errors import VenueError

Params = Mapping[str, str]

SIGNED = frozenset({"timestamp", "recvWindow", "signature"})

_SYMBOL = re.compile(errors.LEGAL_SYMBOL.replace("9-_", "9\\-_"))
_DECIMAL = re.compile(errors.LEGAL_DECIMAL)


def parse(query: str, body: str) -> dict[str, str]:
    """Query and form body together; where both hold a name, the query's value counts.

    Raises VenueError -1101 for a name that comes twice in one of them.
    """
    params: dict[str, str] = {}
    for part in (body, query):
        pairs = parse_qsl(part, keep_blank_values=True)
        if len({name for name, _ in pairs}) < len(pairs):
            raise VenueError(-1101, "Duplicate values for a parameter detected.")
        params.update(pairs)
    return params


def check_names(params: Params, known: Collection[str]) -> None:
    """Raise VenueError for a parameter that the endpoint does not have."""
    read = sum(name in known for name in params)
    if read == len(params):
        return
    if not known:
        raise VenueError(-1101, f"Too many parameters; expected '0' and received '{len(params)}'.")
    words = f"Not all sent parameters were read; read '{read}' parameter(s) but was sent '{len(params)}'."
    raise VenueError(-1104, words)


def text(params: Params, name: str) -> str:
    """A mandatory parameter. Raises VenueError when it is missing or empty."""
    if name not in params:
        raise errors.missing(name)
    if not params[name]:
        raise errors.empty(name)
    return params[name]


def symbol(params: Params, known: Collection[str]) -> str:
    """The mandatory `symbol`, one of `known`."""
    name = text(params, "symbol")
    if not _SYMBOL.fullmatch(name):
        raise errors.illegal("symbol", errors.LEGAL_SYMBOL)
    if name not in known:
        raise errors.bad_symbol()
    return name


def symbols(params: Params, known: Collection[str]) -> list[str] | None:
    """The symbols of `symbol` or `symbols`, None when neither is given."""
    if "symbol" in params and "symbols" in params:
        raise errors.bad_combination()
    if "symbol" in params:
        return [symbol(params, known)]
    if "symbols" not in params:
        return None
    try:
        names = json.loads(params["symbols"])
    except ValueError:
        raise errors.illegal("symbols", errors.LEGAL_SYMBOLS) from None
    well_formed = isinstance(names, list) and all(isinstance(n, str) and _SYMBOL.fullmatch(n) for n in names)
    if not well_formed or not names:
        raise errors.illegal("symbols", errors.LEGAL_SYMBOLS)
    if len(set(names)) < len(names):
        raise VenueError(-1151, "Symbol is present multiple times in the list.")
    if any(name not in known for name in names):
        raise errors.bad_symbol()
    return list(names)


def integer(params: Params, name: str) -> int | None:
    """An optional whole number of 0 or more."""
    if name not in params:
        return None
    value = text(params, name)
    if not (value.isascii() and value.isdigit() and len(value) <= 20):
        raise errors.illegal(name, errors.LEGAL_INTEGER)
    return int(value)


def limit(params: Params, default: int, most: int) -> int:
    """`limit`; above `most` it is `most`, as Binance does."""
    value = integer(params, "limit")
    if value == 0:
        raise errors.invalid("limit")
    return default if value is None else min(value, most)


def decimal(params: Params, name: str) -> Decimal:
    """A mandatory decimal above 0."""
    value = text(params, name)
    if not _DECIMAL.fullmatch(value):
        raise errors.illegal(name, errors.LEGAL_DECIMAL)
    if Decimal(value) <= 0:
        raise VenueError(-1013, f"Invalid {name}.")
    return Decimal(value)


def choice(params: Params, name: str, allowed: Collection[str], error: VenueError) -> str:
    """A mandatory parameter that is one of `allowed`, else `error`."""
    value = text(params, name)
    if value not in allowed:
        raise error
    return value
