"""SUBSCRIBE and its kin: what a client may say on a market stream, and the answers as Binance words them.

Source: Binance spot WebSocket streams docs, "Live subscribing/unsubscribing" and "Error messages", checked 2026-11-23.
Binance accepts streams that do not exist and never sends anything on them; the venue says so instead.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

from quantlab.venue.masking import masked
from quantlab.venue.tickers import ALL_MINI, is_ticker

MAX_STREAMS = 1024
_METHODS = ("SUBSCRIBE", "UNSUBSCRIBE", "LIST_SUBSCRIPTIONS", "SET_PROPERTY", "GET_PROPERTY")
_STREAM = re.compile(
    r"[^@\s/A-Z!]{1,50}@(bookTicker|trade|aggTrade|ticker|miniTicker|depth(@100ms|@1000ms)?|kline_(\d{1,2}[smhdwM]))"
)


class Subscription:
    """Which streams a connection gets, and whether wrapped as `{"stream", "data"}`."""

    def __init__(self, intervals: Iterable[str], *, combined: bool) -> None:
        self.streams: frozenset[str] = frozenset()
        #: Whether tickers are among them.
        self.tickers = False
        self.combined = combined
        self._intervals = frozenset(intervals)

    def add(self, names: Iterable[str]) -> str | None:
        """Subscribe; returns what is wrong, and then nothing was added."""
        for name in names:
            if name == ALL_MINI:
                continue
            match = _STREAM.fullmatch(name)
            if match is None or (match[3] is not None and match[3] not in self._intervals):
                return f"this market does not play stream {name}"
        streams = self.streams.union(names)
        if len(streams) > MAX_STREAMS:
            return f"too many streams: at most {MAX_STREAMS} a connection"
        self._listen_to(streams)
        return None

    def _listen_to(self, streams: frozenset[str]) -> None:
        self.streams, self.tickers = streams, any(map(is_ticker, streams))

    def answer(self, text: str) -> dict[str, Any]:
        """Obey one command; returns what the client is told."""
        try:
            command = json.loads(text)
        except ValueError as error:
            return _error(3, f"Invalid JSON: {error}", None)
        if not isinstance(command, dict):
            return _error(2, "Invalid request: request must be a JSON object", None)
        number, method, params = command.get("id"), command.get("method"), command.get("params", [])
        if not _is_id(number):
            return _error(2, "Invalid request: request ID must be an unsigned integer", None)
        if "method" not in command:
            return _error(2, "Invalid request: missing field `method`", number)
        if method not in _METHODS:
            words = f"Invalid request: unknown variant `{method}`, expected one of {', '.join(_METHODS)}"
            return _error(2, words, number)
        if not isinstance(params, list):
            return _error(2, "Invalid request: `params` must be an array", number)
        if method == "LIST_SUBSCRIPTIONS":
            return {"result": sorted(self.streams), "id": number}
        if method in ("SET_PROPERTY", "GET_PROPERTY"):
            return self._property(method, params, number)
        if not params or not all(isinstance(name, str) for name in params):
            return _error(2, "Invalid request: `params` must be an array of stream names", number)
        if method == "UNSUBSCRIBE":
            self._listen_to(self.streams.difference(params))
        elif (wrong := self.add(params)) is not None:
            return _error(2, f"Invalid request: {wrong}", number)
        return {"result": None, "id": number}

    def _property(self, method: str, params: list[Any], number: int | str | None) -> dict[str, Any]:
        if len(params) > (2 if method == "SET_PROPERTY" else 1):
            return _error(2, "Invalid request: too many parameters", number)
        if not params or not isinstance(params[0], str):
            return _error(2, "Invalid request: property name must be a string", number)
        if params[0] != "combined":
            return _error(0, "Unknown property", number)
        if method == "GET_PROPERTY":
            return {"result": self.combined, "id": number}
        if len(params) < 2 or not isinstance(params[1], bool):
            return _error(1, "Invalid value type: expected Boolean", number)
        self.combined = params[1]
        return {"result": None, "id": number}


def named_in(text: str) -> list[str]:
    """The streams that a SUBSCRIBE names; none for any other message."""
    try:
        command = json.loads(text)
    except ValueError:
        return []
    if not isinstance(command, dict) or command.get("method") != "SUBSCRIBE":
        return []
    params = command.get("params")
    return [name for name in params if isinstance(name, str)] if isinstance(params, list) else []


def refusal(text: str, words: str | None) -> dict[str, Any]:
    """The answer to a SUBSCRIBE that is refused as a whole; nothing was added."""
    number = json.loads(text).get("id")
    return _error(2, words or "Invalid request: refused", number if _is_id(number) else None)


def _is_id(number: object) -> bool:
    if isinstance(number, str):
        return len(number) <= 36
    return number is None or (isinstance(number, int) and not isinstance(number, bool) and abs(number) < 1 << 63)


def _error(code: int, words: str, number: int | str | None) -> dict[str, Any]:
    return {"error": {"code": code, "msg": masked(words)}, "id": number}
