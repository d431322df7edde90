"""Market-data answers of `/api/v3`, from the market behind the venue: functions of (market, parameters).

Payload forms and parameters: Binance spot REST docs, "Market data endpoints", checked 2026-11-23.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

from quantlab.venue import parameters
from quantlab.venue.errors import VenueError, bad_combination, bad_interval, invalid
from quantlab.venue.parameters import Params
from quantlab.venue.source import Market

Answer = Callable[[Market, Params], Any]

#: All that Binance has; a market made of 5 m candles plays only some of them.
INTERVALS = frozenset("1s 1m 3m 5m 15m 30m 1h 2h 4h 6h 8h 12h 1d 3d 1w 1M".split())
_AVERAGE_MINUTES = 5
_MOST_TRADES = 1000

_MINI = (
    "symbol", "openPrice", "highPrice", "lowPrice", "lastPrice", "volume", "quoteVolume", "openTime", "closeTime",
    "firstId", "lastId", "count",
)  # fmt: skip


class Endpoint(NamedTuple):
    """How a GET is answered, and the parameters it has."""

    answer: Answer
    known: frozenset[str]


def ping(market: Market, params: Params) -> Any:
    return {}


def system_status(market: Market, params: Params) -> Any:
    """Source: Binance wallet docs, "System status", checked 2026-11-23."""
    return {"status": 0, "msg": "normal"}


def server_time(market: Market, params: Params) -> Any:
    """The wall clock's time: what signatures and budgets are measured against."""
    return {"serverTime": time.time_ns() // 1_000_000}


def exchange_info(market: Market, params: Params) -> Any:
    names = parameters.symbols(params, market.symbols)
    if names is not None and ("permissions" in params or "symbolStatus" in params):
        raise bad_combination()
    rows = market.exchange_info["symbols"]
    if names is not None:
        rows = [row for row in rows if row["symbol"] in set(names)]
    if "symbolStatus" in params:
        rows = [row for row in rows if row["status"] == params["symbolStatus"]]
    if params.get("showPermissionSets") == "false":
        rows = [{**row, "permissionSets": []} for row in rows]
    return {**market.exchange_info, "serverTime": time.time_ns() // 1_000_000, "symbols": rows}


def depth(market: Market, params: Params) -> Any:
    return market.depth(parameters.symbol(params, market.symbols), parameters.limit(params, 100, 5000))


def klines(market: Market, params: Params) -> Any:
    symbol = parameters.symbol(params, market.symbols)
    interval = parameters.text(params, "interval")
    if interval not in INTERVALS:
        raise bad_interval()
    if interval not in market.intervals:
        raise VenueError(-1120, f"Invalid interval. This market has {' '.join(market.intervals)} only.")
    if params.get("timeZone", "0") not in ("0", "00:00", "+00:00"):
        raise invalid("timeZone")
    start, end = (parameters.integer(params, name) for name in ("startTime", "endTime"))
    return market.klines(symbol, interval, start, end, parameters.limit(params, 500, 1000))


def trades(market: Market, params: Params) -> Any:
    return market.trades(parameters.symbol(params, market.symbols), parameters.limit(params, 500, _MOST_TRADES))


def historical_trades(market: Market, params: Params) -> Any:
    """Of the newest thousand trades those from `fromId`: older ones are not kept."""
    rows = market.trades(parameters.symbol(params, market.symbols), _MOST_TRADES)
    return _page(rows, "id", parameters.integer(params, "fromId"), parameters.limit(params, 500, _MOST_TRADES))


def agg_trades(market: Market, params: Params) -> Any:
    """Of the newest thousand aggregates those from `fromId`, or between the times: older ones are not kept."""
    symbol = parameters.symbol(params, market.symbols)
    first, start, end = (parameters.integer(params, name) for name in ("fromId", "startTime", "endTime"))
    limit = parameters.limit(params, 500, _MOST_TRADES)
    if first is not None and (start is not None or end is not None):
        raise bad_combination()
    if first is None and start is None and end is None:
        return market.agg_trades(symbol, limit)
    rows = market.agg_trades(symbol, _MOST_TRADES)
    if first is None:
        rows = [row for row in rows if (start or 0) <= row["T"] and (end is None or row["T"] <= end)]
        return rows[:limit] if start is not None else rows[-limit:]
    return _page(rows, "a", first, limit)


def average_price(market: Market, params: Params) -> Any:
    """Weighted by volume over the trades of the last five minutes; the last price when there were none."""
    symbol = parameters.symbol(params, market.symbols)
    since = market.now_ms - _AVERAGE_MINUTES * 60_000
    rows = [row for row in market.trades(symbol, _MOST_TRADES) if row["time"] >= since]
    volume = sum(float(row["qty"]) for row in rows)
    if not volume:
        ticker = market.ticker_24h(symbol)
        return {"mins": _AVERAGE_MINUTES, "price": ticker["lastPrice"], "closeTime": ticker["closeTime"]}
    price = sum(float(row["price"]) * float(row["qty"]) for row in rows) / volume
    return {"mins": _AVERAGE_MINUTES, "price": f"{price:.8f}", "closeTime": rows[-1]["time"]}


def ticker_24h(market: Market, params: Params) -> Any:
    kind = params.get("type", "FULL")
    if kind not in ("FULL", "MINI"):
        raise invalid("type")
    rows = _each(market, params, market.ticker_24h)
    if kind == "MINI":
        rows = [{name: row[name] for name in _MINI} for row in rows]
    return rows[0] if "symbol" in params else rows


def ticker_price(market: Market, params: Params) -> Any:
    rows = _each(market, params, market.ticker_24h)
    prices = [{"symbol": row["symbol"], "price": row["lastPrice"]} for row in rows]
    return prices[0] if "symbol" in params else prices


def book_ticker(market: Market, params: Params) -> Any:
    rows = _each(market, params, market.book_ticker)
    return rows[0] if "symbol" in params else rows


def _endpoint(answer: Answer, known: str = "") -> Endpoint:
    return Endpoint(answer, frozenset(known.split()))


PUBLIC: dict[str, Endpoint] = {
    "/api/v3/ping": _endpoint(ping),
    "/api/v3/time": _endpoint(server_time),
    "/sapi/v1/system/status": _endpoint(system_status),
    "/api/v3/exchangeInfo": _endpoint(exchange_info, "symbol symbols permissions showPermissionSets symbolStatus"),
    "/api/v3/depth": _endpoint(depth, "symbol limit symbolStatus"),
    "/api/v3/klines": _endpoint(klines, "symbol interval startTime endTime timeZone limit"),
    "/api/v3/uiKlines": _endpoint(klines, "symbol interval startTime endTime timeZone limit"),
    "/api/v3/trades": _endpoint(trades, "symbol limit"),
    "/api/v3/historicalTrades": _endpoint(historical_trades, "symbol limit fromId"),
    "/api/v3/aggTrades": _endpoint(agg_trades, "symbol fromId startTime endTime limit"),
    "/api/v3/avgPrice": _endpoint(average_price, "symbol"),
    "/api/v3/ticker/24hr": _endpoint(ticker_24h, "symbol symbols type symbolStatus"),
    "/api/v3/ticker/price": _endpoint(ticker_price, "symbol symbols symbolStatus"),
    "/api/v3/ticker/bookTicker": _endpoint(book_ticker, "symbol symbols symbolStatus"),
}


def _each(market: Market, params: Params, row: Callable[[str], dict[str, Any]]) -> list[dict[str, Any]]:
    names = parameters.symbols(params, market.symbols)
    return [row(name) for name in (market.symbols if names is None else names)]


def _page(rows: list[dict[str, Any]], number: str, first: int | None, limit: int) -> list[dict[str, Any]]:
    """The newest rows, or those from `first` on."""
    if first is None:
        return rows[-limit:]
    return [row for row in rows if row[number] >= first][:limit]
