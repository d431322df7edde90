"""What each request costs, as Binance documents it.

Source: Binance spot REST docs, "IP limits" and the weight of each endpoint, checked 2026-11-23. ccxt 4.5.90 counts
trades as 10 (25), aggTrades as 2 (4), one ticker as 2 (4 for several): its numbers are not used here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from quantlab.model.errors import Refused

#: (highest limit, weight) of GET /api/v3/depth.
DEPTH = ((100, 5), (500, 25), (1000, 50), (5000, 250))
#: (most symbols, weight) of GET /api/v3/ticker/24hr; without symbols all are meant.
TICKER_24HR = ((20, 2), (100, 40))
TICKER_24HR_ALL = 80

EXCHANGE_INFO = "/api/v3/exchangeInfo"
_FIXED = {
    "/api/v3/ping": 1,
    "/api/v3/time": 1,
    EXCHANGE_INFO: 20,
    "/api/v3/klines": 2,
    "/api/v3/avgPrice": 2,
    "/api/v3/trades": 25,
    "/api/v3/aggTrades": 4,
    "/__venue__/clock": 0,
}


def weight_of(path: str, params: Mapping[str, Any]) -> int:
    """Weight of GET `path` with `params` (`symbols` as the JSON array that is sent).

    Raises Refused for a path that is not in the table: what has no price is not asked.
    """
    if path in _FIXED:
        return _FIXED[path]
    if path == "/api/v3/depth":
        limit = int(params.get("limit", 100))
        return next((weight for most, weight in DEPTH if limit <= most), DEPTH[-1][1])
    if path in ("/api/v3/ticker/price", "/api/v3/ticker/bookTicker"):
        return 2 if "symbol" in params else 4
    if path == "/api/v3/ticker/24hr":
        count = _count(params)
        return next((weight for most, weight in TICKER_24HR if 0 < count <= most), TICKER_24HR_ALL)
    raise Refused(f"GET {path} is not a market data request that quantlab knows the weight of")


def allowed_weight(exchange_info: bytes) -> int:
    """What an address may weigh a minute, as exchangeInfo's `rateLimits` say; 0 where they do not."""
    try:
        limits = _LIMITS.decode(exchange_info).rateLimits
    except msgspec.DecodeError:
        return 0
    return next((row.limit for row in limits if (row.rateLimitType, row.interval, row.intervalNum) == _A_MINUTE), 0)


_A_MINUTE = ("REQUEST_WEIGHT", "MINUTE", 1)


class _RateLimit(msgspec.Struct):
    rateLimitType: str
    interval: str
    intervalNum: int
    limit: int


class _RateLimits(msgspec.Struct):
    rateLimits: list[_RateLimit] = []


_LIMITS = msgspec.json.Decoder(_RateLimits)


def _count(params: Mapping[str, Any]) -> int:
    """How many symbols are asked for; 0 means all."""
    if "symbol" in params:
        return 1
    return len(msgspec.json.decode(params["symbols"])) if "symbols" in params else 0
