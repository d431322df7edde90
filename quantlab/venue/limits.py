"""Request weights as Binance documents them, counted by the wall clock's minute; 429 first, then 418.

Source: Binance spot REST docs, "IP limits" and each endpoint's weight, checked 2026-11-23.
"""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from quantlab.venue.errors import VenueError

#: Request weight a minute and address on `/api`, and on `/sapi`, which is counted apart.
WEIGHT_A_MINUTE = 6_000
WALLET_WEIGHT_A_MINUTE = 12_000

#: (highest limit, weight) and (most symbols, weight).
_DEPTH = ((100, 5), (500, 25), (1000, 50), (5000, 250))
_TICKER_24H = ((20, 2), (100, 40))
_TICKER_24H_ALL = 80
_FIXED = {
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
    "/api/v3/orderList": 4,
    "/api/v3/openOrderList": 6,
    "/api/v3/rateLimit/order": 40,
}
#: Requests that go on after a 429 before the address is banned, and for how long at first ("2 minutes to 3 days").
_PATIENCE = 5
_BAN_S, _LONGEST_BAN_S = 120, 3 * 86_400


def weight_of(method: str, path: str, params: Mapping[str, str]) -> int:
    """The weight of one request; parameters that make no sense cost as if they were absent."""
    if path == "/api/v3/depth":
        text = params.get("limit", "")
        limit = int(text) if text.isascii() and text.isdigit() and len(text) <= 20 else 100
        return next((weight for most, weight in _DEPTH if limit <= most), _DEPTH[-1][1])
    if path == "/api/v3/ticker/24hr":
        count = _count(params)
        return next((weight for most, weight in _TICKER_24H if 0 < count <= most), _TICKER_24H_ALL)
    if path in ("/api/v3/ticker/price", "/api/v3/ticker/bookTicker"):
        return 2 if "symbol" in params else 4
    if path == "/api/v3/openOrders" and method == "GET":
        return 6 if "symbol" in params else 80
    if path == "/api/v3/order" and method == "GET":
        return 4
    if path == "/api/v3/orderList" and method == "DELETE":
        return 1
    if path == "/api/v3/order/test" and params.get("computeCommissionRates") == "true":
        return 20
    if path == "/api/v3/myTrades":
        return 5 if "orderId" in params else 20
    return _FIXED.get(path, 1)


def _count(params: Mapping[str, str]) -> int:
    """How many symbols are asked for; 0 means all."""
    if "symbol" in params:
        return 1
    try:
        return len(json.loads(params.get("symbols", "[]")))
    except (TypeError, ValueError):
        return 0


def rate_limits(rows: Sequence[Mapping[str, Any]], limit: int) -> list[dict[str, Any]]:
    """exchangeInfo's `rateLimits` with the request weight that this venue allows a minute."""
    kept = [dict(row) for row in rows if row["rateLimitType"] != "REQUEST_WEIGHT"]
    weight = {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": limit}
    return [weight, *kept]


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

    @property
    def used(self) -> int:
        """What was used in the minute of the last request."""
        return self._used

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
            self._banned_until, self._ignored = now + self._ban_s, 0
            self._ban_s = min(self._ban_s * 2, _LONGEST_BAN_S)
            raise self._ban(now)
        words = (
            f"Too much request weight used; current limit is {self.limit} request weight per 1 MINUTE. "
            "Please use WebSocket Streams for live updates to avoid polling the API."
        )
        raise VenueError(-1003, words, 429, {"Retry-After": str(60 - int(now % 60))})

    def ban(self, seconds: float) -> None:
        """Ban the address from now on: whatever it asks is answered 418."""
        self._banned_until = self._wall() + seconds

    def _ban(self, now: float) -> VenueError:
        words = (
            f"Way too much request weight used; IP banned until {int(self._banned_until * 1000)}. "
            "Please use WebSocket Streams for live updates to avoid bans."
        )
        return VenueError(-1003, words, 418, {"Retry-After": str(int(self._banned_until - now) + 1)})


class RateLimit:
    """At most `most` in any `window_s`: messages of a connection, connections of an address."""

    def __init__(self, most: int, window_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._most, self._window_s, self._clock = most, window_s, clock
        self._times: deque[float] = deque()

    def take(self) -> bool:
        """Count one; False when it is one too many."""
        now = self._clock()
        while self._times and self._times[0] <= now - self._window_s:
            self._times.popleft()
        self._times.append(now)
        return len(self._times) <= self._most
