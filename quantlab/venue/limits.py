"""Request weights as Binance documents them, counted by the wall clock's minute; 429 first, then 418.

Source: Binance spot REST docs, "IP limits" and each endpoint's weight, checked 2026-11-23.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from quantlab.venue.errors import VenueError

_DEPTH = ((100, 5), (500, 25), (1000, 50), (5000, 250))
_FIXED = {
    "/api/v3/ping": 1,
    "/api/v3/time": 1,
    "/api/v3/exchangeInfo": 20,
    "/api/v3/klines": 2,
    "/api/v3/uiKlines": 2,
    "/api/v3/trades": 25,
    "/api/v3/historicalTrades": 25,
    "/api/v3/aggTrades": 4,
    "/api/v3/avgPrice": 2,
    "/api/v3/account": 20,
    "/api/v3/account/commission": 20,
    "/api/v3/allOrders": 20,
    "/api/v3/myTrades": 20,
    "/sapi/v1/account/apiRestrictions": 1,
}
#: Requests that go on after a 429 before the address is banned, and for how long at first.
_PATIENCE = 5
_BAN_S = 120


def weight_of(method: str, path: str, params: Mapping[str, str], symbols: int) -> int:
    """The weight of one request; `symbols` is how many it asks for (0: all)."""
    if path == "/api/v3/depth":
        limit = int(params.get("limit") or 100)
        return next((weight for most, weight in _DEPTH if limit <= most), _DEPTH[-1][1])
    if path == "/api/v3/ticker/24hr":
        return 80 if symbols == 0 or symbols > 100 else 40 if symbols > 20 else 2
    if path in ("/api/v3/ticker/price", "/api/v3/ticker/bookTicker"):
        return 2 if symbols == 1 else 4
    if path == "/api/v3/openOrders":
        return 6 if "symbol" in params else 80
    if path == "/api/v3/order" and method == "GET":
        return 4
    if path == "/api/v3/myTrades" and "orderId" in params:
        return 5
    return _FIXED.get(path, 1)


class WeightLimit:
    """Weight used by one address in the running minute. Over the limit it answers 429; who goes on is banned (418)."""

    def __init__(self, limit: int, wall: Callable[[], float] = time.time) -> None:
        self.limit = limit
        self._wall = wall
        self._minute = -1
        self._used = 0
        self._ignored = 0
        self._banned_until = 0.0
        self._ban_s = _BAN_S

    def take(self, weight: int) -> int:
        """Count `weight`; returns what is used in this minute. Raises VenueError 429 or 418 with Retry-After."""
        now = self._wall()
        if now < self._banned_until:
            raise self._ban(now)
        minute = int(now // 60)
        if minute != self._minute:
            self._minute, self._used = minute, 0
        self._used += weight
        if self._used <= self.limit:
            self._ignored = 0
            return self._used
        self._ignored += 1
        if self._ignored > _PATIENCE:
            self._banned_until, self._ban_s, self._ignored = now + self._ban_s, self._ban_s * 2, 0
            raise self._ban(now)
        wait = str(60 - int(now % 60))
        words = f"Too much request weight used; current limit is {self.limit} request weight per 1 MINUTE."
        raise VenueError(-1003, words, 429, {"Retry-After": wait})

    @property
    def used(self) -> int:
        return self._used

    def _ban(self, now: float) -> VenueError:
        until = int(self._banned_until * 1000)
        words = f"Way too much request weight used; IP banned until {until}. Please use WebSocket Streams instead."
        return VenueError(-1003, words, 418, {"Retry-After": str(int(self._banned_until - now) + 1)})
