"""Promise: what Binance refuses is refused here, with Binance's code and words, and its neighbour passes."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest
from msgspec.structs import replace

from quantlab.model import (
    Order,
    OrderStatus,
    OrderType,
    PriceBand,
    Side,
    TimeInForce,
    TrailingBounds,
    instruments_from_exchange_info,
)
from quantlab.paper.filters import check, check_account

ASK = Decimal("100.00")


def order(type_=OrderType.LIMIT, quantity="1", price="100", stop_price=None, side=Side.BUY, **fields):
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
        **fields,
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


def stop(side, delta, kind=OrderType.STOP_LOSS):
    return order(kind, price=None, side=side, trailing_delta=delta)


@pytest.mark.parametrize(
    ("band", "refused", "passes"),
    [
        (PriceBand("PERCENT_PRICE", *map(Decimal, ("0.7", "1.3", "0.7", "1.3"))), "69.99", "70.00"),
        (PriceBand("PERCENT_PRICE", *map(Decimal, ("0.7", "1.3", "0.7", "1.3"))), "130.01", "130.00"),
        (PriceBand("PERCENT_PRICE_BY_SIDE", *map(Decimal, ("0.2", "1.2", "0.8", "5"))), "120.01", "120.00"),
    ],
)
def test_a_limit_far_from_the_market_is_refused(instrument, band, refused, passes):
    banded = replace(instrument, price_band=band)
    assert check(order(price=refused), banded, ASK) == (-1013, f"Filter failure: {band.filter}")
    assert check(order(price=passes), banded, ASK) is None
    assert check(order(price=refused), instrument, ASK) is None


def test_each_side_has_its_own_band(instrument):
    banded = replace(
        instrument, price_band=PriceBand("PERCENT_PRICE_BY_SIDE", *map(Decimal, ("0.2", "1.2", "0.8", "5")))
    )
    assert check(order(price="300", side=Side.SELL), banded, ASK) is None
    assert check(order(price="300", side=Side.BUY), banded, ASK) is not None
    assert check(order(price="79", side=Side.SELL), banded, ASK) is not None


def test_how_far_a_stop_may_trail_depends_on_where_it_lies(instrument):
    bounded = replace(instrument, trailing=TrailingBounds(10, 2_000, 20, 1_000))
    for side, kind, least, most in (
        (Side.BUY, OrderType.STOP_LOSS, 10, 2_000),
        (Side.SELL, OrderType.TAKE_PROFIT, 10, 2_000),
        (Side.SELL, OrderType.STOP_LOSS, 20, 1_000),
        (Side.BUY, OrderType.TAKE_PROFIT, 20, 1_000),
    ):
        for delta in (least, most):
            assert check(stop(side, delta, kind), bounded, ASK) is None
        for delta in (least - 1, most + 1):
            assert check(stop(side, delta, kind), bounded, ASK) == (-1013, "Filter failure: TRAILING_DELTA")


def test_what_the_symbol_does_not_offer_is_refused_in_its_words(instrument):
    only_limits = replace(instrument, order_types=("LIMIT", "MARKET", "STOP_LOSS_LIMIT"))
    assert check(order(OrderType.LIMIT_MAKER), only_limits, ASK) == (
        -1013,
        "Limit maker orders are not supported for this symbol.",
    )
    assert check(order(), only_limits, ASK) is None
    far = order(OrderType.STOP_LOSS, price=None, stop_price="99")
    assert check(far, only_limits, ASK) is None, "it stands for a stop with a far limit"
    for field, asked, words in (
        ("trailing_allowed", stop(Side.SELL, 100), "Trailing stop orders are not supported for this symbol."),
        ("oco_allowed", order(list_number=1), "OCO orders are not supported for this symbol"),
        (
            "by_quote_allowed",
            order(OrderType.MARKET, price=None, quantity="0", quote_quantity=Decimal(50)),
            "Quote order qty market orders are not support for this symbol.",
        ),
    ):
        assert check(asked, instrument, ASK) is None
        assert check(asked, replace(instrument, **{field: False}), ASK).reason == words


@pytest.mark.parametrize(
    ("asked", "unwanted"),
    [
        (order(OrderType.MARKET), "price"),
        (order(stop_price="99"), "stopPrice"),
        (order(trailing_delta=5), "trailingDelta"),
        (order(quote_quantity=Decimal(5)), "quoteOrderQty"),
    ],
)
def test_what_a_kind_of_order_does_not_take_is_refused(instrument, asked, unwanted):
    assert check(asked, instrument, ASK) == (-1106, f"Parameter '{unwanted}' sent when not required.")


def test_counts_of_the_account(instrument):
    resting = [order(), order(OrderType.STOP_LOSS, price=None, stop_price="99", side=Side.SELL)]
    for limits, asked, words in (
        ({"max_open_orders": 2}, order(), "MAX_NUM_ORDERS"),
        ({"max_algo_orders": 1}, stop(Side.SELL, 100), "MAX_NUM_ALGO_ORDERS"),
        ({"max_position": Decimal("3.999")}, order(), "MAX_POSITION"),
    ):
        tight = replace(instrument, **limits)
        assert check_account(asked, tight, resting, Decimal(2)) == (-1013, f"Filter failure: {words}")
        one_more = replace(instrument, **{name: value + 1 for name, value in limits.items()})
        assert check_account(asked, one_more, resting, Decimal(2)) is None
    takes = order(time_in_force=TimeInForce.IOC)
    assert check_account(takes, replace(instrument, max_open_orders=2), resting, Decimal(0)) is None


def test_the_filters_of_every_year_are_read():
    row = {
        "symbol": "BTCUSDT", "baseAsset": "BTC", "quoteAsset": "USDT", "allowTrailingStop": False,
        "filters": [
            {"filterType": "PRICE_FILTER", "minPrice": "0.01", "maxPrice": "1000000.00", "tickSize": "0.01"},
            {"filterType": "LOT_SIZE", "minQty": "0.00001", "maxQty": "9000", "stepSize": "0.00001"},
            {"filterType": "PERCENT_PRICE", "multiplierUp": "5", "multiplierDown": "0.2", "avgPriceMins": 5},
            {"filterType": "MIN_NOTIONAL", "minNotional": "10", "applyToMarket": True, "avgPriceMins": 5},
            {"filterType": "MAX_NUM_ALGO_ORDERS", "maxNumAlgoOrders": 5},
        ],
    }  # fmt: skip
    old = instruments_from_exchange_info(msgspec.json.encode({"symbols": [row]}))["BTCUSDT"]
    assert (old.notional_filter, old.price_band.bid_up, old.price_band.ask_up) == ("MIN_NOTIONAL", 5, 5)
    assert (old.max_algo_orders, old.trailing, old.trailing_allowed, old.amend_allowed) == (5, None, False, True)
    assert check(order(quantity="0.09"), old, ASK) == (-1013, "Filter failure: MIN_NOTIONAL")


def test_the_filters_of_today_are_read(shared_market):
    row = msgspec.json.decode((shared_market / "rest" / "exchangeInfo_one_symbol_row_2026.json").read_bytes())
    found = instruments_from_exchange_info(msgspec.json.encode({"symbols": row.get("symbols", [row])}))
    (now,) = found.values()
    assert now.price_band.filter == "PERCENT_PRICE_BY_SIDE"
    assert now.trailing.above_most > now.trailing.above_least > 0
    assert now.max_open_orders > now.max_algo_orders > 0
    assert (now.notional_filter, now.amend_allowed, now.by_quote_allowed) == ("NOTIONAL", True, True)
