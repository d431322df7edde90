"""The grid of prices and quantities that a folder of candles is played on: given by exchangeInfo, or derived."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from quantlab.model import ConfigurationError, NotFound, instruments_from_exchange_info
from quantlab.model.grid import decimals_of, split_symbol
from quantlab.venue.market.candles import CandleTable, utc
from quantlab.venue.market.draws import Floats, Ints

#: Binance sends prices and quantities with eight decimals: integers below count units of 1e-8.
UNITS = 10**8
_RATE_LIMITS = [
    {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 6000},
    {"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": 100},
    {"rateLimitType": "ORDERS", "interval": "DAY", "intervalNum": 1, "limit": 200000},
    {"rateLimitType": "RAW_REQUESTS", "interval": "MINUTE", "intervalNum": 5, "limit": 61000},
]


@dataclass(frozen=True)
class Grid:
    """Tick and step of one symbol, in units of 1e-8."""

    symbol: str
    quote: str
    tick_units: int
    step_units: int

    @property
    def tick(self) -> float:
        return self.tick_units / UNITS

    @property
    def step(self) -> float:
        return self.step_units / UNITS


def read_exchange_info(path: Path) -> dict[str, Any]:
    """The body of a `GET /api/v3/exchangeInfo` answer from `path`, plain or .gz.

    Raises NotFound when there is no such file, ConfigurationError when it is something else.
    """
    try:
        raw = path.read_bytes()
        body = msgspec.json.decode(gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw)
        if not isinstance(body["symbols"], list):
            raise TypeError("symbols is no list")
    except FileNotFoundError as error:
        raise NotFound(f"{path}: no such exchangeInfo file") from error
    except (OSError, EOFError, msgspec.DecodeError, KeyError, TypeError) as error:
        raise ConfigurationError(f"{path}: not an exchangeInfo answer ({error})") from error
    return dict(body)


def rows_for(body: dict[str, Any], symbols: Sequence[str]) -> dict[str, Any]:
    """`body` with the rows of `symbols` only, in their order."""
    rows = {row["symbol"]: row for row in body["symbols"]}
    return {**body, "symbols": [rows[symbol] for symbol in symbols]}


def grids(body: dict[str, Any]) -> dict[str, Grid]:
    """The grid of each symbol of an exchangeInfo body; symbols without a price or lot filter are left out."""
    instruments = instruments_from_exchange_info(msgspec.json.encode(body))
    return {
        name: Grid(name, found.quote, int(found.tick_size * UNITS), int(found.step_size * UNITS))
        for name, found in instruments.items()
    }


def derive_row(table: CandleTable, from_ms: int, to_ms: int) -> dict[str, Any]:
    """An exchangeInfo row whose tick and step are the decimals seen in the candles that open in [from_ms, to_ms)."""
    rows = table.rows(from_ms, to_ms)
    prices = np.concatenate([table.open[rows], table.high[rows], table.low[rows], table.close[rows]])
    base, quote = split_symbol(table.symbol)
    return symbol_row(base, quote, decimals_of(prices), decimals_of(table.volume[rows]))


def symbol_row(base: str, quote: str, price_decimals: int, quantity_decimals: int) -> dict[str, Any]:
    """An exchangeInfo row in the form of 2026, with Binance's usual filters besides tick and step."""
    tick, step = Decimal(1).scaleb(-price_decimals), Decimal(1).scaleb(-quantity_decimals)
    return {
        "symbol": base + quote,
        "status": "TRADING",
        "baseAsset": base,
        "baseAssetPrecision": 8,
        "quoteAsset": quote,
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        "baseCommissionPrecision": 8,
        "quoteCommissionPrecision": 8,
        "orderTypes": [
            "LIMIT",
            "LIMIT_MAKER",
            "MARKET",
            "STOP_LOSS",
            "STOP_LOSS_LIMIT",
            "TAKE_PROFIT",
            "TAKE_PROFIT_LIMIT",
        ],
        "icebergAllowed": True,
        "ocoAllowed": True,
        "otoAllowed": True,
        "quoteOrderQtyMarketAllowed": True,
        "allowTrailingStop": True,
        "cancelReplaceAllowed": True,
        "amendAllowed": True,
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": True,
        "filters": [
            {
                "filterType": "PRICE_FILTER",
                "minPrice": f"{tick:.8f}",
                "maxPrice": f"{min(tick * 10**8, Decimal(1_000_000)):.8f}",
                "tickSize": f"{tick:.8f}",
            },
            {
                "filterType": "LOT_SIZE",
                "minQty": f"{step:.8f}",
                "maxQty": f"{min(step * 9 * 10**8, Decimal(9_000_000)):.8f}",
                "stepSize": f"{step:.8f}",
            },
            {"filterType": "ICEBERG_PARTS", "limit": 100},
            {
                "filterType": "MARKET_LOT_SIZE",
                "minQty": "0.00000000",
                "maxQty": f"{min(step * 10**7, Decimal(9_000_000)):.8f}",
                "stepSize": "0.00000000",
            },
            {
                "filterType": "PERCENT_PRICE_BY_SIDE",
                "bidMultiplierUp": "5",
                "bidMultiplierDown": "0.2",
                "askMultiplierUp": "5",
                "askMultiplierDown": "0.2",
                "avgPriceMins": 5,
            },
            {
                "filterType": "NOTIONAL",
                "minNotional": "5.00000000",
                "applyMinToMarket": True,
                "maxNotional": "9000000.00000000",
                "applyMaxToMarket": False,
                "avgPriceMins": 5,
            },
            {"filterType": "MAX_NUM_ORDERS", "maxNumOrders": 200},
            {"filterType": "MAX_NUM_ALGO_ORDERS", "maxNumAlgoOrders": 5},
        ],
        "permissions": [],
        "permissionSets": [["SPOT"]],
        "defaultSelfTradePreventionMode": "EXPIRE_MAKER",
        "allowedSelfTradePreventionModes": ["EXPIRE_TAKER", "EXPIRE_MAKER", "EXPIRE_BOTH", "DECREMENT"],
    }


def exchange_info_of(rows: list[dict[str, Any]], time_ms: int) -> dict[str, Any]:
    """A whole exchangeInfo body around `rows`, with Binance's limits of 2026."""
    return {
        "timezone": "UTC",
        "serverTime": time_ms,
        "rateLimits": _RATE_LIMITS,
        "exchangeFilters": [],
        "symbols": rows,
    }


def on_grid(values: Floats, unit: float, table: CandleTable, times: Ints, what: str, grid: str) -> Ints:
    """`values` in whole `unit`s. Raises ConfigurationError naming symbol and date of the first that lies between."""
    exact = values / unit
    whole = np.rint(exact)
    # Decimal fractions are not exact in binary: allow what rounding of value and quotient can leave.
    off = np.abs(exact - whole) > 1e-6 + exact * 1e-15
    if off.any():
        at = int(np.argmax(off))
        raise ConfigurationError(
            f"{table.symbol}: {what} {values[at]:.10g} of {utc(int(times[at]))} is not a multiple of the {grid} "
            f"{unit:.10g}; give the exchangeInfo of that time, or derive the filters from the data"
        )
    return whole.astype(np.int64)
