"""What is asked, and how each answer is read: every endpoint that quantlab uses, in the forms in which it uses them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import msgspec

from quantlab.market import decode_depth, decode_klines
from quantlab.model import Instrument, instruments_from_exchange_info

#: Reads the answer with quantlab's own decoder, and raises what that raises; None where no decoder reads it.
Reader = Callable[[bytes, dict[str, Instrument]], object]


class Question(NamedTuple):
    """GET `path` with `params`; `name` tells two forms of one path apart."""

    name: str
    path: str
    params: dict[str, Any]
    read: Reader | None = None


def questions(symbols: Sequence[str]) -> list[Question]:
    """The questions about `symbols` (at least two), exchangeInfo first: the other readers need its instruments."""
    first, listed = symbols[0], msgspec.json.encode(list(symbols)).decode()

    def one(path: str, name: str, read: Reader | None = None, **params: Any) -> Question:
        return Question(f"{path} ({name})", path, {"symbol": first, **params}, read)

    def several(path: str) -> Question:
        return Question(f"{path} (symbols)", path, {"symbols": listed})

    def klines(payload: bytes, instruments: dict[str, Instrument]) -> object:
        return decode_klines(payload, first, "1m")

    def depth(payload: bytes, instruments: dict[str, Instrument]) -> object:
        return decode_depth(payload, instruments[first])

    return [
        Question("/api/v3/exchangeInfo", "/api/v3/exchangeInfo", {"symbols": listed}, _instruments),
        Question("/api/v3/ping", "/api/v3/ping", {}),
        Question("/api/v3/time", "/api/v3/time", {}, lambda payload, _: msgspec.json.decode(payload)["serverTime"]),
        one("/api/v3/klines", "newest", klines, interval="1m", limit=1000),
        one("/api/v3/depth", "100 levels", depth, limit=100),
        one("/api/v3/depth", "1000 levels", depth, limit=1000),
        one("/api/v3/trades", "newest", limit=10),
        one("/api/v3/aggTrades", "newest", limit=10),
        one("/api/v3/avgPrice", "one"),
        one("/api/v3/ticker/24hr", "one"),
        several("/api/v3/ticker/24hr"),
        one("/api/v3/ticker/bookTicker", "one"),
        several("/api/v3/ticker/bookTicker"),
        one("/api/v3/ticker/price", "one"),
        several("/api/v3/ticker/price"),
    ]


def _instruments(payload: bytes, known: dict[str, Instrument]) -> object:
    known.update(instruments_from_exchange_info(payload))
    if not known:
        raise ValueError("no symbol of the answer has a tick size and a step size")
    return known
