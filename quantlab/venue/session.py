"""One connection to the WebSocket API: the key it is logged on with, and the account's events that it is sent.

Source: Binance spot WebSocket API docs, "Authentication requests" and "User Data Stream requests", checked 2026-11-23.
Listen keys ended on 2026-02-20. Events leave in the order in which things happened, after the answer that is being made
meanwhile; an answer that a `latency` fault holds back comes after them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from quantlab.venue import errors, parameters
from quantlab.venue.account import Account
from quantlab.venue.errors import VenueError
from quantlab.venue.keys import Key
from quantlab.venue.user_stream import Event

#: Method → the parameters it has besides those of a signed request. Each weighs 2.
SESSION_METHODS: dict[str, frozenset[str]] = {
    "session.logon": parameters.SIGNED | {"apiKey"},
    "session.status": frozenset(),
    "session.logout": frozenset(),
    "session.subscriptions": frozenset(),
    "userDataStream.subscribe": frozenset(),
    "userDataStream.subscribe.signature": parameters.SIGNED | {"apiKey"},
    "userDataStream.unsubscribe": frozenset({"subscriptionId"}),
}
SESSION_WEIGHT = 2
#: Those that a key signs.
SIGNED_METHODS = ("session.logon", "userDataStream.subscribe.signature")
_MOST_IN_ALL = 65_535

#: Takes the name of an event, for faults, and what is sent.
Send = Callable[[str, bytes], None]


class Session:
    """`send` is called with each event of the account once somebody has subscribed."""

    def __init__(self, account: Account, send: Send, *, shows_limits: bool = True) -> None:
        self.key: Key | None = None
        self.shows_limits = shows_limits
        self._account, self._send = account, send
        self._since_ms = _now_ms()
        self._authorized_ms: int | None = None
        self._started = 0
        self._active: dict[int, str] = {}  # subscription → the method that began it

    def answer(self, method: str, params: Mapping[str, str], key: Key | None) -> Any:
        """Obey a method of the session; `key` signed it, where it is one that is signed. Raises VenueError."""
        parameters.check_names(params, SESSION_METHODS[method])
        match method:
            case "session.logon":
                return self._log_on(key)
            case "session.logout":
                self.log_out()
                return self._status()
            case "session.subscriptions":
                return [{"subscriptionId": number} for number in self._active]
            case "userDataStream.unsubscribe":
                self._unsubscribe(parameters.integer(params, "subscriptionId"))
                return {}
            case "userDataStream.subscribe" | "userDataStream.subscribe.signature":
                if key is None and self.key is None:
                    raise errors.rejected_key()
                return {"subscriptionId": self._subscribe(method)}
        return self._status()

    def log_out(self) -> None:
        """Forget the key, and end the subscription that it began."""
        self.key, self._authorized_ms = None, None
        for number, method in tuple(self._active.items()):
            if method == "userDataStream.subscribe":
                self._end(number)

    def close(self) -> None:
        """The connection has gone."""
        self._active.clear()
        self._account.stream.leave(self._tell)

    def _log_on(self, key: Key | None) -> dict[str, Any]:
        if key is None or key.type != "ed25519":
            raise VenueError(-1020, "This operation is not supported: only Ed25519 keys log on.")
        self.key, self._authorized_ms = key, _now_ms()
        return self._status()

    def _status(self) -> dict[str, Any]:
        return {
            "apiKey": None if self.key is None else self.key.api_key,
            "authorizedSince": self._authorized_ms,
            "connectedSince": self._since_ms,
            "returnRateLimits": self.shows_limits,
            "serverTime": _now_ms(),
            "userDataStream": bool(self._active),
        }

    def _subscribe(self, method: str) -> int:
        """One subscription at a time: all keys of the venue are of one account."""
        if self._active:
            raise VenueError(-2035, "User Data Stream subscription already active.")
        if self._started >= _MOST_IN_ALL:
            raise VenueError(-2042, "Maximum subscription ID reached for this connection.")
        number = self._started
        self._started += 1
        self._active[number] = method
        self._account.stream.listen(self._tell)
        return number

    def _unsubscribe(self, number: int | None) -> None:
        if not self._active or (number is not None and number not in self._active):
            raise VenueError(-2036, "User Data Stream subscription not active.")
        for one in tuple(self._active) if number is None else (number,):
            self._end(one)

    def _end(self, number: int) -> None:
        self._tell({"e": "eventStreamTerminated", "E": self._account.now_ms})
        del self._active[number]
        if not self._active:
            self._account.stream.leave(self._tell)

    def _tell(self, event: Event) -> None:
        for number in self._active:
            content = msgspec.json.encode({"subscriptionId": number, "event": event})
            self._send(f"userData@{event['e']}", content)


def retry_data(error: VenueError) -> dict[str, Any]:
    """The body of an error, with the time from which on a refused address or account may ask again."""
    wait_s = error.headers.get("Retry-After")
    if error.status not in (418, 429) or wait_s is None or error.data is not None:
        return error.body
    now_ms = _now_ms()
    return {**error.body, "data": {"serverTime": now_ms, "retryAfter": now_ms + int(wait_s) * 1000}}


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
