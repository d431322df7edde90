"""What can be traded, and on which grid of prices and quantities."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import ROUND_DOWN, Decimal
from typing import Any, NamedTuple

import msgspec

from quantlab.model.errors import ConfigurationError, MalformedMessage


class PriceBand(NamedTuple):
    """How far from the average price a limit may lie, as multiples of it (PERCENT_PRICE, PERCENT_PRICE_BY_SIDE)."""

    filter: str
    bid_down: Decimal
    bid_up: Decimal
    ask_down: Decimal
    ask_up: Decimal


class TrailingBounds(NamedTuple):
    """Least and most basis points of a trailing stop that lies above or below the market (TRAILING_DELTA)."""

    above_least: int
    above_most: int
    below_least: int
    below_most: int


class Instrument(msgspec.Struct, frozen=True, kw_only=True):
    """One spot symbol with the filters that orders must pass, as given by `GET /api/v3/exchangeInfo`.

    Prices live on multiples of `tick_size`, quantities on multiples of `step_size`. Books and matching work in
    whole ticks and lots (integers); `Decimal` begins at orders and balances. A zero bound means "not limited",
    as in Binance's own filters.
    """

    symbol: str
    base: str
    quote: str
    status: str = "TRADING"
    tick_size: Decimal
    step_size: Decimal
    min_price: Decimal = Decimal(0)
    max_price: Decimal = Decimal(0)
    min_quantity: Decimal = Decimal(0)
    max_quantity: Decimal = Decimal(0)
    market_step_size: Decimal = Decimal(0)
    market_min_quantity: Decimal = Decimal(0)
    market_max_quantity: Decimal = Decimal(0)
    min_notional: Decimal = Decimal(0)
    max_notional: Decimal = Decimal(0)
    min_notional_applies_to_market: bool = True
    max_notional_applies_to_market: bool = False
    #: The filter's name: MIN_NOTIONAL in answers of before 2023.
    notional_filter: str = "NOTIONAL"
    price_band: PriceBand | None = None
    trailing: TrailingBounds | None = None
    max_open_orders: int = 0
    max_algo_orders: int = 0
    max_position: Decimal = Decimal(0)
    #: Names as Binance gives them; empty where the answer does not tell.
    order_types: tuple[str, ...] = ()
    by_quote_allowed: bool = True
    oco_allowed: bool = True
    trailing_allowed: bool = True
    replace_allowed: bool = True
    amend_allowed: bool = True
    #: Decimal places in which commissions and balances of each asset are kept (8 on all of Binance spot).
    base_precision: int = 8
    quote_precision: int = 8

    def ticks(self, price: Decimal) -> int:
        """`price` in whole ticks; raises ConfigurationError when it lies off the grid."""
        return _whole(price, self.tick_size, self.symbol, "price", "tick size")

    def lots(self, quantity: Decimal) -> int:
        """`quantity` in whole lots (steps); raises ConfigurationError when it lies off the grid."""
        return _whole(quantity, self.step_size, self.symbol, "quantity", "step size")

    def price(self, ticks: int) -> Decimal:
        """The price of `ticks` whole ticks, in quote units."""
        return self.tick_size * ticks

    def quantity(self, lots: int) -> Decimal:
        """The quantity of `lots` whole lots, in base units."""
        return self.step_size * lots

    def floor_lots(self, quantity: Decimal) -> int:
        """The largest whole number of lots not above `quantity` (base units)."""
        return int((quantity / self.step_size).to_integral_value(rounding=ROUND_DOWN))


def _whole(value: Decimal, unit: Decimal, symbol: str, what: str, grid: str) -> int:
    count = value / unit
    whole = count.to_integral_value()
    if whole != count:
        raise ConfigurationError(f"{symbol}: {what} {value} is not a multiple of the {grid} {unit}")
    return int(whole)


def instruments_from_exchange_info(payload: bytes) -> dict[str, Instrument]:
    """Read every symbol of a `GET /api/v3/exchangeInfo` answer, of any year (MIN_NOTIONAL or NOTIONAL).

    Raises MalformedMessage when the answer is not an exchangeInfo object. Symbols without a price or lot filter
    cannot be traded and are left out.
    """
    try:
        rows = msgspec.json.decode(payload)["symbols"]
    except (msgspec.DecodeError, KeyError, TypeError) as error:
        raise MalformedMessage(f"exchangeInfo: not the object Binance documents ({error})") from error
    found = (_instrument(row) for row in rows)
    return {instrument.symbol: instrument for instrument in found if instrument is not None}


def _instrument(row: dict[str, Any]) -> Instrument | None:
    filters = {entry["filterType"]: entry for entry in row.get("filters", ())}
    price, lot = filters.get("PRICE_FILTER"), filters.get("LOT_SIZE")
    if price is None or lot is None or not Decimal(price["tickSize"]) or not Decimal(lot["stepSize"]):
        return None
    market = filters.get("MARKET_LOT_SIZE", {})
    old, new = filters.get("MIN_NOTIONAL", {}), filters.get("NOTIONAL", {})
    return Instrument(
        symbol=row["symbol"],
        base=row["baseAsset"],
        quote=row["quoteAsset"],
        status=row.get("status", "TRADING"),
        tick_size=Decimal(price["tickSize"]).normalize(),
        step_size=Decimal(lot["stepSize"]).normalize(),
        min_price=Decimal(price.get("minPrice", 0)),
        max_price=Decimal(price.get("maxPrice", 0)),
        min_quantity=Decimal(lot.get("minQty", 0)),
        max_quantity=Decimal(lot.get("maxQty", 0)),
        market_step_size=Decimal(market.get("stepSize", 0)),
        market_min_quantity=Decimal(market.get("minQty", 0)),
        market_max_quantity=Decimal(market.get("maxQty", 0)),
        min_notional=Decimal(new.get("minNotional", old.get("minNotional", 0))),
        max_notional=Decimal(new.get("maxNotional", 0)),
        min_notional_applies_to_market=bool(new.get("applyMinToMarket", old.get("applyToMarket", True))),
        max_notional_applies_to_market=bool(new.get("applyMaxToMarket", False)),
        notional_filter="NOTIONAL" if new or not old else "MIN_NOTIONAL",
        price_band=_price_band(filters),
        trailing=_trailing(filters.get("TRAILING_DELTA")),
        max_open_orders=int(filters.get("MAX_NUM_ORDERS", {}).get("maxNumOrders", 0)),
        max_algo_orders=int(filters.get("MAX_NUM_ALGO_ORDERS", {}).get("maxNumAlgoOrders", 0)),
        max_position=Decimal(filters.get("MAX_POSITION", {}).get("maxPosition", 0)),
        order_types=tuple(row.get("orderTypes", ())),
        # Answers of years in which a kind of order did not exist yet do not name it: it is not refused then.
        by_quote_allowed=bool(row.get("quoteOrderQtyMarketAllowed", True)),
        oco_allowed=bool(row.get("ocoAllowed", True)),
        trailing_allowed=bool(row.get("allowTrailingStop", True)),
        replace_allowed=bool(row.get("cancelReplaceAllowed", True)),
        amend_allowed=bool(row.get("amendAllowed", True)),
        base_precision=int(row.get("baseCommissionPrecision", 8)),
        quote_precision=int(row.get("quoteCommissionPrecision", 8)),
    )


def _price_band(filters: Mapping[str, Mapping[str, Any]]) -> PriceBand | None:
    if (band := filters.get("PERCENT_PRICE_BY_SIDE")) is not None:
        fields = ("bidMultiplierDown", "bidMultiplierUp", "askMultiplierDown", "askMultiplierUp")
        return PriceBand("PERCENT_PRICE_BY_SIDE", *(Decimal(band[field]) for field in fields))
    if (band := filters.get("PERCENT_PRICE")) is not None:
        down, up = Decimal(band["multiplierDown"]), Decimal(band["multiplierUp"])
        return PriceBand("PERCENT_PRICE", down, up, down, up)
    return None


def _trailing(row: Mapping[str, Any] | None) -> TrailingBounds | None:
    if row is None:
        return None
    fields = ("minTrailingAboveDelta", "maxTrailingAboveDelta", "minTrailingBelowDelta", "maxTrailingBelowDelta")
    return TrailingBounds(*(int(row[field]) for field in fields))
