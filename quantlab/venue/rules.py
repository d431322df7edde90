"""The filters of a symbol and of the exchange, as exchangeInfo tells them, put to a new order.

Source: Binance spot docs, "Filters", checked 2026-11-23. Filters whose numbers are zero are off. TRAILING_DELTA and the
amendments' filter find nothing here: the venue takes no such orders.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from quantlab.venue import errors
from quantlab.venue.errors import VenueError
from quantlab.venue.order import Order, Request

Filter = Mapping[str, Any]

_TYPE_WORDS = {
    "MARKET": "Market orders",
    "STOP_LOSS": "Stop loss orders",
    "STOP_LOSS_LIMIT": "Stop loss limit orders",
    "TAKE_PROFIT": "Take profit orders",
    "TAKE_PROFIT_LIMIT": "Take profit limit orders",
    "LIMIT": "Limit orders",
    "LIMIT_MAKER": "Limit maker orders",
}


class Rules:
    """The rules of one symbol: `row` is its row in exchangeInfo, `exchange` the filters of the whole exchange."""

    def __init__(self, row: Mapping[str, Any], exchange: Sequence[Filter] = ()) -> None:
        self.base, self.quote = str(row["baseAsset"]), str(row["quoteAsset"])
        self._row, self._exchange = row, exchange
        self._filters = {one["filterType"]: one for one in row["filters"]}

    @property
    def step(self) -> Decimal:
        """What quantities are multiples of."""
        return Decimal(self._filters["LOT_SIZE"]["stepSize"]) if "LOT_SIZE" in self._filters else Decimal("0.00000001")

    def check(
        self, request: Request, quantity: Decimal, average: Decimal, open_orders: Sequence[Order], held: Decimal
    ) -> None:
        """Raise VenueError -1013 unless the order may be placed.

        `quantity` is its quantity in the base asset, `average` the average price that market orders and price bands
        are measured by, `open_orders` all of the account's, `held` what it has of the base asset.
        """
        self._check_symbol(request)
        self._check_prices(request, average)
        self._check_quantity(request, quantity)
        self._check_notional(request, quantity, average)
        self._check_counts(request, open_orders)
        most = self._filters.get("MAX_POSITION")
        if most is not None and request.buys:
            bought = (o.left for o in open_orders if o.request.symbol == request.symbol and o.request.buys)
            if held + sum(bought, quantity) > Decimal(most["maxPosition"]):
                raise errors.filter_failure("MAX_POSITION")

    def check_lists(self, open_here: int, open_anywhere: int) -> None:
        """Raise VenueError when there are as many order lists as there may be."""
        _below(self._filters.values(), "MAX_NUM_ORDER_LISTS", "maxNumOrderLists", open_here)
        _below(self._exchange, "EXCHANGE_MAX_NUM_ORDER_LISTS", "maxNumOrderLists", open_anywhere)

    def _check_symbol(self, request: Request) -> None:
        row = self._row
        if row.get("status", "TRADING") != "TRADING" or not row.get("isSpotTradingAllowed", True):
            raise VenueError(-1013, "Market is closed.")
        if request.type not in row.get("orderTypes", (request.type,)):
            raise errors.not_supported(_TYPE_WORDS[request.type])
        if request.iceberg_quantity and not row.get("icebergAllowed", True):
            raise errors.not_supported("Iceberg orders")
        if request.quote_quantity and not row.get("quoteOrderQtyMarketAllowed", True):
            raise VenueError(-1013, "Quote order qty market orders are not support for this symbol.")

    def _check_prices(self, request: Request, average: Decimal) -> None:
        grid = self._filters.get("PRICE_FILTER")
        for price in (request.price, request.stop_price):
            if price and grid is not None and not _fits(price, grid["minPrice"], grid["maxPrice"], grid["tickSize"]):
                raise errors.filter_failure("PRICE_FILTER")
        if not request.price:
            return
        for name, up, down in (
            ("PERCENT_PRICE", "multiplierUp", "multiplierDown"),
            ("PERCENT_PRICE_BY_SIDE", "bidMultiplierUp", "bidMultiplierDown"),
        ):
            band = self._filters.get(name)
            if band is None:
                continue
            if name == "PERCENT_PRICE_BY_SIDE" and not request.buys:
                up, down = "askMultiplierUp", "askMultiplierDown"
            if not average * Decimal(band[down]) <= request.price <= average * Decimal(band[up]):
                raise errors.filter_failure(name)

    def _check_quantity(self, request: Request, quantity: Decimal) -> None:
        if request.iceberg_quantity > quantity:
            raise VenueError(-1013, "IcebergQty exceeds QTY.")
        for name in ("LOT_SIZE", *(("MARKET_LOT_SIZE",) if request.is_market else ())):
            lots = self._filters.get(name)
            for amount in (quantity, *((request.iceberg_quantity,) if request.iceberg_quantity else ())):
                if lots is not None and not _fits(amount, lots["minQty"], lots["maxQty"], lots["stepSize"]):
                    raise errors.filter_failure(name)
        parts = self._filters.get("ICEBERG_PARTS")
        if parts is not None and request.iceberg_quantity * int(parts["limit"]) < quantity * bool(
            request.iceberg_quantity
        ):
            raise errors.filter_failure("ICEBERG_PARTS")

    def _check_notional(self, request: Request, quantity: Decimal, average: Decimal) -> None:
        value = request.quote_quantity or (request.price or request.stop_price or average) * quantity
        market = request.is_market
        if (least := self._filters.get("MIN_NOTIONAL")) is not None:
            applies = not market or least.get("applyToMarket", True)
            if applies and value < Decimal(least["minNotional"]):
                raise errors.filter_failure("MIN_NOTIONAL")
        if (band := self._filters.get("NOTIONAL")) is not None:
            too_small = value < Decimal(band["minNotional"]) and (not market or band["applyMinToMarket"])
            too_large = value > Decimal(band["maxNotional"]) and (not market or band["applyMaxToMarket"])
            if too_small or too_large:
                raise errors.filter_failure("NOTIONAL")

    def _check_counts(self, request: Request, open_orders: Sequence[Order]) -> None:
        if request.type == "MARKET" or (request.time_in_force in ("IOC", "FOK") and not request.is_stop):
            return  # they never rest
        here = [order for order in open_orders if order.request.symbol == request.symbol]
        for rows, orders, prefix in ((self._filters.values(), here, ""), (self._exchange, open_orders, "EXCHANGE_")):
            _below(rows, f"{prefix}MAX_NUM_ORDERS", "maxNumOrders", len(orders))
            if request.is_stop:
                algo = sum(order.request.is_stop for order in orders)
                _below(rows, f"{prefix}MAX_NUM_ALGO_ORDERS", "maxNumAlgoOrders", algo)
            if request.iceberg_quantity:
                icebergs = sum(bool(order.request.iceberg_quantity) for order in orders)
                _below(rows, f"{prefix}MAX_NUM_ICEBERG_ORDERS", "maxNumIcebergOrders", icebergs)


def _below(rows: Iterable[Filter], name: str, field: str, count: int) -> None:
    if any(row["filterType"] == name and count >= int(row[field]) for row in rows):
        raise errors.filter_failure(name)


def _fits(value: Decimal, least: str, most: str, step: str) -> bool:
    if value < Decimal(least) or (Decimal(most) and value > Decimal(most)):
        return False
    return not Decimal(step) or value % Decimal(step) == 0
