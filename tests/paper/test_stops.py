"""Promise: stops and targets wait for a trade at their price, then sell at market at once; one of a pair at most."""

from __future__ import annotations

from decimal import Decimal

import pytest

from quantlab.model import OrderStatus, OrderType, Side


@pytest.fixture
def held(make_world):
    """2 BTC bought at 100.00, the book back at 99.99 to 100.00."""
    world = make_world().holding(2_000)
    world.book.set([(9_999, 5_000)], [(10_000, 5_000)])
    return world


def test_stop_loss_sells_at_market_when_a_trade_reaches_it(held):
    stop = held.send(Side.SELL, OrderType.STOP_LOSS, 1_998, stop_ticks=9_800)
    held.settle()
    assert (stop.status, held.account.reserved_base) == (OrderStatus.NEW, Decimal("1.998"))
    held.trade(9_801, 1, seller_aggressive=True)
    held.settle()
    assert stop.status is OrderStatus.NEW
    held.book.set([(9_790, 1_000), (9_780, 5_000)], [(9_800, 10)])
    held.trade(9_800, 1, seller_aggressive=True)
    held.settle()
    assert stop.status is OrderStatus.FILLED
    assert [(f.price, f.quantity) for f in held.journal.fills[1:]] == [
        (Decimal("97.90"), Decimal("1.000")),
        (Decimal("97.80"), Decimal("0.998")),
    ]
    assert held.account.quantity == 0
    assert held.account.reserved_base == 0


def test_stop_and_target_share_the_position_and_one_ends_the_other(held):
    stop = held.send(Side.SELL, OrderType.STOP_LOSS, 1_998, stop_ticks=9_800, list_number=1)
    target = held.send(Side.SELL, OrderType.TAKE_PROFIT, 1_998, stop_ticks=10_200, list_number=1)
    held.settle()
    assert (stop.status, target.status) == (OrderStatus.NEW, OrderStatus.NEW)
    held.book.set([(10_199, 5_000)], [(10_200, 5_000)])
    held.trade(10_200, 1, seller_aggressive=False)
    held.settle()
    assert (stop.status, target.status) == (OrderStatus.EXPIRED, OrderStatus.FILLED)
    assert held.journal.fills[-1].price == Decimal("101.99")
    held.trade(9_000, 1, seller_aggressive=True)
    assert not held.broker.resting
    assert held.account.quantity == 0


def test_two_stops_for_the_same_position_are_one_too_many(held):
    first = held.send(Side.SELL, OrderType.STOP_LOSS, 1_998, stop_ticks=9_800)
    second = held.send(Side.SELL, OrderType.STOP_LOSS, 1_998, stop_ticks=9_700)
    held.settle()
    assert (first.status, second.status) == (OrderStatus.NEW, OrderStatus.REJECTED)
    assert held.reports[-1].reject_reason == "Account has insufficient balance for requested action."


@pytest.mark.parametrize(
    ("type_", "stop_ticks"),
    [(OrderType.STOP_LOSS, 9_999), (OrderType.TAKE_PROFIT, 9_999), (OrderType.STOP_LOSS, 11_000)],
)
def test_a_stop_that_would_trigger_at_once_is_refused(held, type_, stop_ticks):
    order = held.send(Side.SELL, type_, 1_000, stop_ticks=stop_ticks)
    held.settle()
    assert (order.status, held.reports[-1].reject_reason) == (OrderStatus.REJECTED, "Order would trigger immediately.")


def test_a_stop_reached_while_the_book_is_out_of_sync_goes_off_when_it_is_whole(held):
    stop = held.send(Side.SELL, OrderType.STOP_LOSS, 1_998, stop_ticks=9_800)
    held.settle()
    held.book.in_sync = False
    held.trade(9_700, 1, seller_aggressive=True)
    held.settle()
    assert stop.status is OrderStatus.NEW
    held.book.in_sync = True
    held.move([(9_750, 5_000)], [(9_760, 5_000)])
    held.settle()
    assert stop.status is OrderStatus.FILLED
    assert held.journal.fills[-1].price == Decimal("97.50")


def test_a_resting_stop_keeps_a_market_sale_off_until_it_is_cancelled(held):
    stop = held.send(Side.SELL, OrderType.STOP_LOSS, 1_998, stop_ticks=9_800)
    refused = held.send(Side.SELL, OrderType.MARKET, 1_998)
    held.settle()
    assert refused.status is OrderStatus.REJECTED
    held.broker.cancel(0, stop.number)
    exit_ = held.send(Side.SELL, OrderType.MARKET, 1_998)  # sent at once: messages of a bot keep their order
    held.settle()
    assert (stop.status, exit_.status) == (OrderStatus.CANCELED, OrderStatus.FILLED)


def test_a_buy_stop_triggers_upwards(held):
    stop = held.send(Side.BUY, OrderType.STOP_LOSS, 1_000, stop_ticks=10_100)
    held.settle()
    assert held.account.reserved_quote == Decimal("101.00")
    held.trade(10_099, 1, seller_aggressive=False)
    held.settle()
    assert stop.status is OrderStatus.NEW
    held.trade(10_100, 1, seller_aggressive=False)
    held.settle()
    assert stop.status is OrderStatus.FILLED
    assert held.account.reserved_quote == 0
