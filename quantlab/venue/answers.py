"""Market-data answers of `/api/v3`, from the market behind the venue. Pure functions of (market, parameters)."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from typing import Any

from quantlab.venue.errors import VenueError, bad_interval, bad_symbol, illegal, missing
from quantlab.venue.source import Market

Params = Mapping[str, str]

_MINI = (
    "symbol",
    "openPrice",
    "highPrice",
    "lowPrice",
    "lastPrice",
    "volume",
    "quoteVolume",
    "openTime",
    "closeTime",
    "firstId",
    "lastId",
    "count",
)
INTERVALS = frozenset("1s 1m 3m 5m 15m 30m 1h 2h 4h 6h 8h 12h 1d 3d 1w 1M".split())


def symbols_asked(market: Market, params: Params) -> list[str] | None:
    """The symbols of `symbol` or `symbols`, None when neither is given. Raises VenueError for unknown ones."""
    if "symbol" in params and "symbols" in params:
        raise VenueError(-1128, "Combination of optional parameters invalid.")
    if "symbol" in params:
        return [_symbol(market, params)]
    if "symbols" not in params:
        return None
    try:
        names = json.loads(params["symbols"])
    except ValueError:
        raise illegal("symbols") from None
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise illegal("symbols")
    if any(name not in market.symbols for name in names):
        raise bad_symbol()
    return names


def ping(market: Market, params: Params) -> Any:
    return {}


def server_time(market: Market, params: Params) -> Any:
    return {"serverTime": time.time_ns() // 1_000_000}


def exchange_info(market: Market, params: Params) -> Any:
    names = symbols_asked(market, params)
    info = {**market.exchange_info, "serverTime": time.time_ns() // 1_000_000}
    if names is not None:
        wanted = set(names)
        info["symbols"] = [row for row in info["symbols"] if row["symbol"] in wanted]
    return info


def depth(market: Market, params: Params) -> Any:
    return market.depth(_symbol(market, params), _limit(params, 100, 5000))


def klines(market: Market, params: Params) -> Any:
    symbol = _symbol(market, params)
    interval = params.get("interval")
    if not interval:
        raise missing("interval")
    if interval not in INTERVALS:
        raise bad_interval()
    if interval not in market.intervals:
        raise VenueError(-1120, f"Invalid interval. This market has {' '.join(market.intervals)} only.")
    start, end = _time(params, "startTime"), _time(params, "endTime")
    return market.klines(symbol, interval, start, end, _limit(params, 500, 1000))


def trades(market: Market, params: Params) -> Any:
    return market.trades(_symbol(market, params), _limit(params, 500, 1000))


def agg_trades(market: Market, params: Params) -> Any:
    return market.agg_trades(_symbol(market, params), _limit(params, 500, 1000))


def average_price(market: Market, params: Params) -> Any:
    ticker = market.book_ticker(_symbol(market, params))
    middle = (float(ticker["bidPrice"]) + float(ticker["askPrice"])) / 2
    return {"mins": 5, "price": f"{middle:.8f}", "closeTime": market.now_ms}


def ticker_24h(market: Market, params: Params) -> Any:
    rows = _each(market, params, market.ticker_24h)
    if params.get("type", "FULL") == "MINI":
        rows = [{name: row[name] for name in _MINI} for row in rows]
    return rows[0] if "symbol" in params else rows


def ticker_price(market: Market, params: Params) -> Any:
    rows = [{"symbol": row["symbol"], "price": row["lastPrice"]} for row in _each(market, params, market.ticker_24h)]
    return rows[0] if "symbol" in params else rows


def book_ticker(market: Market, params: Params) -> Any:
    rows = _each(market, params, market.book_ticker)
    return rows[0] if "symbol" in params else rows


PUBLIC: dict[str, Callable[[Market, Params], Any]] = {
    "/api/v3/ping": ping,
    "/api/v3/time": server_time,
    "/api/v3/exchangeInfo": exchange_info,
    "/api/v3/depth": depth,
    "/api/v3/klines": klines,
    "/api/v3/uiKlines": klines,
    "/api/v3/trades": trades,
    "/api/v3/historicalTrades": trades,
    "/api/v3/aggTrades": agg_trades,
    "/api/v3/avgPrice": average_price,
    "/api/v3/ticker/24hr": ticker_24h,
    "/api/v3/ticker/price": ticker_price,
    "/api/v3/ticker/bookTicker": book_ticker,
}


def _each(market: Market, params: Params, row: Callable[[str], dict[str, Any]]) -> list[dict[str, Any]]:
    names = symbols_asked(market, params)
    return [row(name) for name in (market.symbols if names is None else names)]


def _symbol(market: Market, params: Params) -> str:
    symbol = params.get("symbol")
    if not symbol:
        raise missing("symbol")
    if not (symbol.isalnum() and symbol.isascii() and symbol.isupper()):
        raise illegal("symbol")
    if symbol not in market.symbols:
        raise bad_symbol()
    return symbol


def _limit(params: Params, default: int, most: int) -> int:
    text = params.get("limit")
    if text is None:
        return default
    if not text.isdigit():
        raise illegal("limit")
    if int(text) < 1:
        raise VenueError(-1130, "Data sent for parameter 'limit' is not valid.")
    return min(int(text), most)


def _time(params: Params, name: str) -> int | None:
    text = params.get(name)
    if not text:
        return None
    if not text.isdigit():
        raise illegal(name)
    return int(text)
