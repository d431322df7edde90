"""Promise: each kind of order does what Binance's documents say of it: trailing stops, stops with a limit, lists,
all-or-nothing, orders by quote quantity, replacements, amendments, and orders of one account that would meet."""

from __future__ import annotations

import itertools
from decimal import Decimal

import pytest
from msgspec.structs import replace

from quantlab.model import OrderStatus, OrderType, Side, TimeInForce
from quantlab.paper import SelfTrade

NEW, FILLED, EXPIRED, CANCELED = OrderStatus.NEW, OrderStatus.FILLED, OrderStatus.EXPIRED, OrderStatus.CANCELED
IN_MATCH, REJECTED = OrderStatus.EXPIRED_IN_MATCH, OrderStatus.REJECTED


# -- trailing stops: the scenarios of Binance's trailing stop FAQ (checked 2026-11-24), prices in whole USDT --------


def linear(*ends: int) -> list[int]:
    """Trades in steps of 100 from each price to the next, which is reached exactly."""
    prices = []
    for start, end in itertools.pairwise(ends):
        prices += [*range(start, end, 100 if end > start else -100), end]
    return prices


SCENARIOS = {
    "A": (Side.BUY, OrderType.STOP_LOSS_LIMIT, 44_000, 500, 45_000, (40_000, 37_000, 45_000, 46_000, 42_000, 44_100)),
    "B": (Side.SELL, OrderType.STOP_LOSS_LIMIT, 39_000, 1_000, 38_000, (40_000, 41_500, 37_000, 41_000, 36_900)),
    "C": (Side.BUY, OrderType.TAKE_PROFIT_LIMIT, 38_000, 850, 38_500, (40_000, 42_000, 37_000, 39_000, 38_000, 40_145)),
    "D": (
        Side.SELL, OrderType.TAKE_PROFIT_LIMIT, 42_000, 750, 41_000,
        (40_000, 41_500, 39_000, 45_000, 44_000, 46_500, Decimal("43012.5")),
    ),
    "E": (Side.SELL, OrderType.STOP_LOSS_LIMIT, None, 700, 39_000, (40_000, 42_000, 39_500, 45_500, 42_315)),
}  # fmt: skip


@pytest.mark.parametrize("name", SCENARIOS)
def test_trailing_stops_go_off_where_the_faq_says(make_world, name):
    side, kind, stop, delta, limit, ends = SCENARIOS[name]
    world = make_world(capital="1000000").holding(2_000, ticks=4_000_000)
    order = world.send(side, kind, 1_000, ticks=limit * 100, stop_ticks=stop and stop * 100, trailing_delta=delta)
    world.settle()
    ticks = [int(price * 100) for price in (*linear(*(int(end) for end in ends[:-1])), ends[-1])]
    for at in ticks:
        assert order.status is NEW, f"it went off before {ends[-1]}"
        world.book.set([(at - 1, 10**6)], [(at, 10**6)])
        world.trade(at, 1, seller_aggressive=True)
        world.settle()
    crosses = limit * 100 >= ticks[-1] if side is Side.BUY else limit * 100 <= ticks[-1] - 1
    assert order.status is (FILLED if crosses else NEW)
    assert len(world.broker.resting) == (0 if crosses else 1)
    assert not any(one.dormant for orders in world.broker.resting.values() for one in orders)


def test_a_trailing_stop_sells_at_market_and_pays_no_more_than_its_delta(make_world):
    world = make_world().holding(2_000)
    order = world.send(Side.SELL, OrderType.STOP_LOSS, 1_998, trailing_delta=100)
    world.settle()
    for ticks in (10_000, 10_500, 10_396):
        world.book.set([(ticks, 5_000)], [(ticks + 1, 5_000)])
        world.trade(ticks, 1, seller_aggressive=True)
    world.settle()
    assert order.status is NEW
    world.book.set([(10_395, 5_000)], [(10_396, 5_000)])
    world.trade(10_395, 1, seller_aggressive=True)
    world.settle()
    assert (order.status, world.journal.fills[-1].price) == (FILLED, Decimal("103.95"))


# -- stops with a limit ------------------------------------------------------------------------------------------------


@pytest.fixture
def held(make_world):
    """2 BTC bought at 100.00, the book back at 99.99 to 100.00."""
    world = make_world().holding(2_000)
    world.book.set([(9_999, 5_000)], [(10_000, 5_000), (10_500, 1)])
    return world


def test_a_stop_with_a_limit_rests_where_the_market_has_gone_past_it(held):
    order = held.send(Side.SELL, OrderType.STOP_LOSS_LIMIT, 1_998, ticks=9_790, stop_ticks=9_800)
    held.settle()
    held.book.set([(9_700, 5_000)], [(9_795, 50)])
    held.trade(9_700, 1, seller_aggressive=True)
    held.settle()
    assert (order.status, order.filled) == (NEW, 0), "below its limit it does not sell"
    held.trade(9_790, 1_000, seller_aggressive=False)
    held.settle()
    assert (order.status, order.filled) == (OrderStatus.PARTIALLY_FILLED, Decimal("1.000"))
    assert held.journal.fills[-1].maker
    held.move([(9_700, 5_000)], [(9_790, 5_000)])
    held.broker.cancel(0, order.number)
    held.settle()
    assert (order.status, held.account.reserved_base) == (CANCELED, 0)


@pytest.mark.parametrize("in_force", [TimeInForce.IOC, TimeInForce.FOK])
def test_the_time_in_force_of_a_stop_begins_when_it_goes_off(held, in_force):
    order = held.send(
        Side.SELL, OrderType.STOP_LOSS_LIMIT, 1_998, ticks=9_790, stop_ticks=9_800, time_in_force=in_force
    )
    held.settle()
    assert order.status is NEW
    held.book.set([(9_795, 1_000)], [(9_900, 50)])
    held.trade(9_800, 1, seller_aggressive=True)
    held.settle()
    assert (order.status, order.filled) == (EXPIRED, Decimal(1) if in_force is TimeInForce.IOC else 0)


# -- all or nothing ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("lots", "status"), [(9_000, FILLED), (9_999, FILLED), (10_001, EXPIRED)])
def test_fill_or_kill(make_world, lots, status):
    world = make_world(capital="100000")
    world.book.set([(9_999, 5_000)], [(10_000, 5_000), (10_001, 4_999), (10_002, 9_000)])
    order = world.send(Side.BUY, OrderType.LIMIT, lots, ticks=10_001, time_in_force=TimeInForce.FOK)
    world.settle()
    assert order.status is status
    assert order.filled == (order.quantity if status is FILLED else 0)
    if status is EXPIRED:  # and it has taken nothing from the others
        again = world.send(Side.BUY, OrderType.LIMIT, 9_999, ticks=10_001, time_in_force=TimeInForce.FOK)
        world.settle()
        assert again.status is FILLED


# -- by quote quantity -------------------------------------------------------------------------------------------------


def test_a_market_order_spends_what_it_was_told_to(world):
    order = world.send(Side.BUY, OrderType.MARKET, 0, quote_quantity=Decimal("700.5"))
    world.settle()
    assert order.status is FILLED
    assert [(f.price, f.quantity) for f in world.journal.fills] == [
        (Decimal("100.00"), Decimal("5.000")),
        (Decimal("100.01"), Decimal("2.004")),
    ]
    assert order.quantity == order.filled == Decimal("7.004")
    spent = sum(f.notional for f in world.journal.fills)
    assert Decimal("700.5") - world.instrument.step_size * Decimal("100.01") < spent <= Decimal("700.5")


def test_a_sale_brings_what_it_was_told_to(held):
    order = held.send(Side.SELL, OrderType.MARKET, 0, quote_quantity=Decimal("99.99"))
    held.settle()
    assert (order.status, order.quantity) == (FILLED, Decimal("1.000"))


@pytest.mark.parametrize(
    ("amount", "code", "words"),
    [
        ("4.99", -1013, "Filter failure: NOTIONAL"),
        ("1000.06", -2010, "Account has insufficient balance for requested action."),
    ],
)
def test_an_amount_that_cannot_be_spent_is_refused(world, amount, code, words):
    order = world.send(Side.BUY, OrderType.MARKET, 0, quote_quantity=Decimal(amount))
    world.settle()
    assert (order.status, world.reports[-1].reject_code, world.reports[-1].reject_reason) == (REJECTED, code, words)


def test_by_quote_against_an_empty_side(world):
    world.book.set([(9_999, 5_000)], [])
    order = world.send(Side.BUY, OrderType.MARKET, 0, quote_quantity=Decimal(50))
    world.settle()
    assert order.status is REJECTED
    assert "liquidity is less than" in world.reports[-1].reject_reason


# -- lists (OCO) -------------------------------------------------------------------------------------------------------


def test_of_a_list_what_trades_first_ends_the_other(held):
    maker = held.send(Side.SELL, OrderType.LIMIT_MAKER, 1_998, ticks=10_100, list_number=1)
    stop = held.send(Side.SELL, OrderType.STOP_LOSS, 1_998, stop_ticks=9_900, list_number=1)
    held.settle()
    assert (maker.status, stop.status, held.account.reserved_base) == (NEW, NEW, Decimal("1.998"))
    held.trade(10_100, 500, seller_aggressive=False)
    held.settle()
    assert (maker.status, stop.status) == (OrderStatus.PARTIALLY_FILLED, EXPIRED)
    assert held.account.reserved_base == Decimal("1.498")


def test_of_a_list_what_goes_off_first_ends_the_other(held):
    maker = held.send(Side.SELL, OrderType.LIMIT_MAKER, 1_998, ticks=10_100, list_number=1)
    stop = held.send(Side.SELL, OrderType.STOP_LOSS, 1_998, stop_ticks=9_900, list_number=1)
    held.settle()
    held.book.set([(9_890, 5_000)], [(9_900, 5_000)])
    held.trade(9_900, 1, seller_aggressive=True)
    held.settle()
    assert (maker.status, stop.status, held.account.quantity) == (EXPIRED, FILLED, 0)


def test_a_list_is_taken_back_whole(held):
    maker = held.send(Side.SELL, OrderType.LIMIT_MAKER, 1_998, ticks=10_100, list_number=1)
    stop = held.send(Side.SELL, OrderType.STOP_LOSS, 1_998, stop_ticks=9_900, list_number=1)
    held.settle()
    held.broker.cancel(0, stop.number)
    held.broker.cancel(0, maker.number)
    held.settle()
    assert (maker.status, stop.status, held.account.reserved_base) == (CANCELED, CANCELED, 0)


def test_without_a_list_the_same_two_are_one_too_many(held):
    held.send(Side.SELL, OrderType.LIMIT_MAKER, 1_998, ticks=10_100)
    stop = held.send(Side.SELL, OrderType.STOP_LOSS, 1_998, stop_ticks=9_900)
    held.settle()
    assert stop.status is REJECTED


def test_a_list_on_one_side_of_the_market_is_refused(held):
    held.send(Side.SELL, OrderType.LIMIT_MAKER, 1_998, ticks=10_100, list_number=1)
    wrong = held.send(Side.SELL, OrderType.TAKE_PROFIT, 1_998, stop_ticks=10_200, list_number=1)
    held.settle()
    assert wrong.status is REJECTED
    assert held.reports[-1].reject_reason == "The relationship of the prices for the orders is not correct."


# -- replacing and amending --------------------------------------------------------------------------------------------


def test_a_replacement_takes_the_money_of_the_old_one_and_loses_its_place(world):
    first = world.send(Side.BUY, OrderType.LIMIT, 9_990, ticks=9_999)
    world.settle()
    world.trade(9_999, 5_000, seller_aggressive=True)
    second = world.send(Side.BUY, OrderType.LIMIT, 9_900, ticks=9_999, replaces=first)
    world.settle()
    assert (first.status, second.status) == (CANCELED, NEW)
    world.trade(9_999, 5_000, seller_aggressive=True)
    assert not world.journal.fills, "it stands behind what is displayed, the old one was first in the queue"
    world.trade(9_999, 1, seller_aggressive=True)
    assert [fill.order_number for fill in world.journal.fills] == [second.number]


def test_what_cannot_replace_leaves_the_old_one_alone(world):
    first = world.send(Side.BUY, OrderType.LIMIT, 1_000, ticks=9_999)
    world.settle()
    bad = world.send(Side.BUY, OrderType.LIMIT, 1_000, ticks=0, replaces=first)
    world.settle()
    assert (first.status, bad.status) == (NEW, REJECTED)
    assert world.reports[-1].reject_reason == "Filter failure: PRICE_FILTER"
    world.broker.cancel(0, first.number)
    late = world.send(Side.BUY, OrderType.LIMIT, 1_000, ticks=9_999, replaces=first)
    world.settle()
    assert (late.status, world.reports[-1].reject_code) == (REJECTED, -2022)


def test_an_amended_order_keeps_its_place(world):
    order = world.send(Side.BUY, OrderType.LIMIT, 5_500, ticks=9_999)
    world.settle()
    world.trade(9_999, 5_500, seller_aggressive=True)  # the 5 BTC before it, and half a BTC of its own
    world.broker.amend(0, order.number, Decimal("2.5"))
    world.settle()
    assert (order.status, order.quantity, order.filled) == (
        OrderStatus.PARTIALLY_FILLED,
        Decimal("2.5"),
        Decimal("0.5"),
    )
    assert world.account.reserved_quote == Decimal("2.0") * Decimal("99.99")
    world.trade(9_999, 3_000, seller_aggressive=True)
    world.settle()
    assert (order.status, order.filled) == (FILLED, Decimal("2.5"))


@pytest.mark.parametrize(
    ("quantity", "words"),
    [
        ("6", "Order amend (quantity increase) is not supported."),
        ("5.5", "The requested action would change no state; rejecting."),
        ("0.5", "Order amend: so much is filled already."),
        ("2.50001", "Filter failure: LOT_SIZE"),
    ],
)
def test_an_amendment_that_is_refused_changes_nothing(world, quantity, words):
    order = world.send(Side.BUY, OrderType.LIMIT, 5_500, ticks=9_999)
    world.settle()
    world.trade(9_999, 5_500, seller_aggressive=True)
    world.broker.amend(0, order.number, Decimal(quantity))
    world.settle()
    assert (order.status, order.quantity) == (OrderStatus.PARTIALLY_FILLED, Decimal("5.5"))
    assert world.reports[-1].reject_reason == words


# -- one account: the scenarios of Binance's STP FAQ (checked 2026-11-24) ----------------------------------------------


@pytest.fixture
def scenario(make_world, instrument):
    """Three bids of bot 0 and a sale of bot 1 that would meet them, as in scenario B; nothing else in the book there.
    Quantities as there, prices a hundredfold, so that they are worth an order."""

    def play(mode: SelfTrade | None, *, taker_lots: int = 3_000, kind: OrderType = OrderType.LIMIT):
        world = make_world(bots=2, capital="5000", prevention=mode)
        world.book.set([(5_000, 10**6)], [(20_000, 10**6)])
        world.book.set([(5_000, 10**6)], [(10_000, 10**6)])
        world.send(Side.BUY, OrderType.MARKET, 10_000, bot=1)
        world.settle()
        world.book.set([(5_000, 10**6)], [(20_000, 10**6)])
        makers = [
            world.send(Side.BUY, OrderType.LIMIT, lots, ticks=ticks)
            for lots, ticks in ((1_200, 12_000), (1_300, 11_000), (8_100, 10_000))
        ]
        world.settle()
        fields = {} if kind is OrderType.MARKET else {"ticks": 10_000}
        taker = world.send(Side.SELL, kind, taker_lots, bot=1, **fields)
        world.settle()
        return world, makers, taker

    return play


def test_expire_maker_clears_the_way(scenario):
    _, makers, taker = scenario(SelfTrade.EXPIRE_MAKER)
    assert [maker.status for maker in makers] == [IN_MATCH] * 3
    assert [maker.prevented for maker in makers] == [Decimal("1.2"), Decimal("1.3"), Decimal("8.1")]
    assert (taker.status, taker.prevented) == (NEW, 0)


def test_expire_taker_lets_the_makers_rest(scenario):
    _, makers, taker = scenario(SelfTrade.EXPIRE_TAKER)
    assert [maker.status for maker in makers] == [NEW] * 3
    assert taker.status is IN_MATCH


def test_expire_both_ends_the_first_and_the_taker(scenario):
    _, makers, taker = scenario(SelfTrade.EXPIRE_BOTH)
    assert [maker.status for maker in makers] == [IN_MATCH, NEW, NEW]
    assert taker.status is IN_MATCH


def test_decrement_takes_the_same_from_both(scenario):
    _, makers, taker = scenario(SelfTrade.DECREMENT)
    assert [maker.status for maker in makers] == [IN_MATCH, IN_MATCH, NEW]
    assert [maker.prevented for maker in makers] == [Decimal("1.2"), Decimal("1.3"), Decimal("0.5")]
    assert (taker.status, taker.prevented, taker.filled) == (IN_MATCH, Decimal(3), 0)


def test_on_accounts_of_their_own_bots_do_not_meet(scenario):
    _, makers, taker = scenario(None)
    assert [maker.status for maker in makers] == [NEW] * 3
    assert taker.status is NEW


def test_a_taker_has_what_stands_before_the_maker(scenario):
    world, makers, taker = scenario(SelfTrade.EXPIRE_TAKER, taker_lots=1_000)
    assert taker.status is IN_MATCH
    world.book.set([(12_500, 400)], [(20_000, 10**6)])
    after = world.send(Side.SELL, OrderType.MARKET, 1_000, bot=1)
    world.settle()
    assert (after.status, after.filled) == (IN_MATCH, Decimal("0.4"))
    assert makers[0].status is NEW


def test_a_maker_only_order_of_one_account_would_take_from_its_own(scenario):
    for mode, status in ((SelfTrade.EXPIRE_MAKER, REJECTED), (None, NEW)):
        _, _, taker = scenario(mode, kind=OrderType.LIMIT_MAKER)
        assert taker.status is status


def test_one_account_has_one_count_of_waiting_orders(make_world, instrument):
    few = replace(instrument, max_algo_orders=2)
    for prevention, last in ((SelfTrade.EXPIRE_MAKER, REJECTED), (None, NEW)):
        world = make_world(bots=3, instrument=few, prevention=prevention)
        world.book.set([(9_999, 5_000)], [(10_000, 5_000)])
        orders = [world.send(Side.BUY, OrderType.STOP_LOSS, 100, stop_ticks=10_100, bot=bot) for bot in range(3)]
        world.settle()
        assert [order.status for order in orders] == [NEW, NEW, last]
    assert "MAX_NUM_ALGO_ORDERS" not in world.reports[-1].reject_reason
