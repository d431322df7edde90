"""Promise: what Binance refuses is refused here, with Binance's code and words, and its neighbour passes."""

from __future__ import annotations

from decimal import Decimal

import pytest
from msgspec.structs import replace

from quantlab.model import Order, OrderStatus, OrderType, Side
from quantlab.paper.filters import check

ASK = Decimal("100.00")


def order(type_=OrderType.LIMIT, quantity="1", price="100", stop_price=None, side=Side.BUY):
    return Order(
        bot=0,
        number=1,
        symbol="BTCUSDT",
        side=side,
        type=type_,
        quantity=Decimal(quantity),
        price=None if price is None else Decimal(price),
        stop_price=None if stop_price is None else Decimal(stop_price),
        created_ms=0,
    )


@pytest.mark.parametrize(
    ("refused", "words", "passes"),
    [
        (order(price="100.005"), "PRICE_FILTER", order(price="100.01")),
        (order(price="0.00", quantity="9000"), "PRICE_FILTER", order(price="0.01", quantity="9000")),
        (order(price="1000000.01"), "PRICE_FILTER", order(price="1000000.00")),
        (order(quantity="0.0505"), "LOT_SIZE", order(quantity="0.050")),
        (order(quantity="0"), "LOT_SIZE", order(quantity="0.050")),
        (order(quantity="9000.001"), "LOT_SIZE", order(quantity="9000")),
        (
            order(OrderType.MARKET, quantity="100.001", price=None),
            "MARKET_LOT_SIZE",
            order(OrderType.MARKET, quantity="100", price=None),
        ),
        (order(quantity="0.049"), "NOTIONAL", order(quantity="0.050")),
        (
            order(OrderType.MARKET, quantity="0.049", price=None),
            "NOTIONAL",
            order(OrderType.MARKET, quantity="0.050", price=None),
        ),
        (
            order(OrderType.STOP_LOSS, quantity="0.050", price=None, stop_price="99.995"),
            "PRICE_FILTER",
            order(OrderType.STOP_LOSS, quantity="0.051", price=None, stop_price="99.99"),
        ),
        (
            order(OrderType.STOP_LOSS, quantity="0.050", price=None, stop_price="99.99"),
            "NOTIONAL",
            order(OrderType.STOP_LOSS, quantity="0.051", price=None, stop_price="99.99"),
        ),
    ],
)
def test_table(instrument, refused, words, passes):
    assert check(refused, instrument, ASK) == (-1013, f"Filter failure: {words}")
    assert check(passes, instrument, ASK) is None


def test_a_limit_above_the_market_lot_passes_because_only_market_orders_are_bound_by_it(instrument):
    assert check(order(quantity="100.001"), instrument, ASK) is None


def test_market_step_binds_market_orders_only(instrument):
    coarse = replace(instrument, market_step_size=Decimal("0.1"), market_min_quantity=Decimal("0.2"))
    for quantity in ("0.25", "0.1"):
        assert check(order(OrderType.MARKET, quantity, None), coarse, ASK) == (-1013, "Filter failure: MARKET_LOT_SIZE")
        assert check(order(quantity=quantity), coarse, ASK) is None
    assert check(order(OrderType.MARKET, "0.3", None), coarse, ASK) is None


def test_zero_bounds_mean_not_limited(instrument):
    free = replace(
        instrument,
        min_price=Decimal(0),
        max_price=Decimal(0),
        max_quantity=Decimal(0),
        market_max_quantity=Decimal(0),
        min_notional=Decimal(0),
    )
    for unbound in (order(price="99999999"), order(OrderType.MARKET, "99999999", None), order(quantity="0.001")):
        assert check(unbound, free, ASK) is None
        assert check(unbound, instrument, ASK) is not None


def test_notional_of_market_orders_is_judged_only_where_the_symbol_says_so(instrument):
    small = order(OrderType.MARKET, "0.001", None)
    assert check(small, instrument, ASK) is not None
    assert check(small, replace(instrument, min_notional_applies_to_market=False), ASK) is None
    big = order(OrderType.MARKET, "50", None)
    capped = replace(instrument, max_notional=Decimal(1000))
    assert check(big, capped, ASK) is None
    assert check(big, replace(capped, max_notional_applies_to_market=True), ASK) == (-1013, "Filter failure: NOTIONAL")
    assert check(order(quantity="50"), capped, ASK) == (-1013, "Filter failure: NOTIONAL")


def test_missing_prices_are_named(instrument):
    assert "'price'" in check(order(price=None), instrument, ASK).reason
    assert "'stopPrice'" in check(order(OrderType.STOP_LOSS, price=None), instrument, ASK).reason


def test_a_symbol_that_does_not_trade_refuses(world):
    world.instruments[world.instrument.symbol] = replace(world.instrument, status="BREAK")
    refused = world.send(Side.BUY, OrderType.MARKET, 1_000)
    world.settle()
    assert (refused.status, world.reports[-1].reject_reason) == (OrderStatus.REJECTED, "Market is closed.")
    world.instruments[world.instrument.symbol] = world.instrument
    assert world.send(Side.BUY, OrderType.MARKET, 1_000)
    assert world.settle() is None
    assert world.reports[-1].status is OrderStatus.FILLED


def test_balances_are_enough_to_the_last_digit_or_the_order_is_refused(world):
    """1,000 USDT buy 5 BTC at 100.00 and 4.999 at 100.01, with 0.05001 left: one lot more is one too many."""
    too_much = world.send(Side.BUY, OrderType.MARKET, 10_000)
    world.settle()
    assert too_much.status is OrderStatus.REJECTED
    assert world.reports[-1].reject_code == -2010
    enough = world.send(Side.BUY, OrderType.MARKET, 9_999)
    world.settle()
    assert enough.status is OrderStatus.FILLED
    assert world.account.cash == Decimal("1000") - 5 * Decimal("100.00") - Decimal("4.999") * Decimal("100.01")


def test_the_fee_in_base_makes_selling_the_bought_quantity_impossible(make_world):
    world = make_world().holding(1_000)
    refused = world.send(Side.SELL, OrderType.MARKET, 1_000)
    sold = world.send(Side.SELL, OrderType.MARKET, 999)
    world.settle()
    assert (refused.status, sold.status) == (OrderStatus.REJECTED, OrderStatus.FILLED)
