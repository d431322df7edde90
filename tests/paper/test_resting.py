"""Promise: a resting order waits its turn, trades at its own limit only, and never on what others had first."""

from __future__ import annotations

from decimal import Decimal

import pytest

from quantlab.model import OrderStatus, OrderType, Side, Trade
from quantlab.paper.matching import fill_by_cross, fill_by_trade, shown_at


@pytest.fixture
def resting(world):
    """A bid of 2 BTC at 99.99, behind the 5 displayed there."""
    order = world.send(Side.BUY, OrderType.LIMIT_MAKER, 2_000, ticks=9_999)
    world.settle()
    assert order.status is OrderStatus.NEW
    return order


def test_the_queue_is_served_first_then_the_order_in_parts(world, resting):
    world.trade(9_999, 4_000, seller_aggressive=True)
    world.settle()
    assert resting.filled == 0
    world.trade(9_999, 1_500, seller_aggressive=True)
    world.settle()
    assert (resting.status, resting.filled) == (OrderStatus.PARTIALLY_FILLED, Decimal("0.500"))
    world.trade(9_999, 9_000, seller_aggressive=True)
    world.settle()
    assert (resting.status, resting.filled) == (OrderStatus.FILLED, Decimal("2.000"))
    assert {(f.price, f.maker) for f in world.journal.fills} == {(Decimal("99.99"), True)}
    assert [r.queue_ahead for r in world.journal.receipts] == [Decimal("1.000"), Decimal(0)]
    assert not world.broker.resting


def test_trades_of_the_other_side_do_not_advance_the_queue(world, resting):
    world.trade(9_999, 50_000, seller_aggressive=False)
    world.settle()
    assert resting.filled == 0
    world.trade(9_999, 50_000, seller_aggressive=True)
    world.settle()
    assert resting.status is OrderStatus.FILLED


def test_cancels_ahead_advance_it_only_to_what_is_displayed(world, resting):
    world.move([(9_999, 3_000)], [(10_000, 5_000)])
    world.trade(9_999, 3_000, seller_aggressive=True)
    world.settle()
    assert resting.filled == 0


def test_a_trade_through_fills_all_of_it_at_its_own_limit(world, resting):
    world.trade(9_990, 1, seller_aggressive=True)
    world.settle()
    (fill,) = world.journal.fills
    assert (fill.price, fill.quantity) == (Decimal("99.99"), Decimal("2.000"))


def test_a_trade_at_a_better_price_for_others_does_nothing(world, resting):
    world.trade(10_000, 50_000, seller_aggressive=True)
    world.settle()
    assert resting.filled == 0


def test_the_opposite_best_fills_up_to_what_it_shows_at_the_limit(world, resting):
    world.move([(9_980, 5_000)], [(9_990, 700)])
    world.settle()
    (fill,) = world.journal.fills
    assert (fill.price, fill.quantity, fill.maker) == (Decimal("99.99"), Decimal("0.700"), True)
    assert world.journal.receipts[0].basis == "quote"
    world.move([(9_980, 5_000)], [(10_000, 700)])  # they part, and meet again: new quantity
    world.move([(9_980, 5_000)], [(9_999, 400)])
    world.settle()
    assert resting.filled == Decimal("1.100")


def test_a_sale_mirrors_it(make_world):
    world = make_world().holding(5_000)
    world.book.set([(9_999, 100)], [(10_005, 300)])
    order = world.send(Side.SELL, OrderType.LIMIT, 2_000, ticks=10_005)
    world.settle()
    assert world.account.reserved_base == Decimal("2.000")
    world.trade(10_005, 800, seller_aggressive=False)
    world.settle()
    assert order.filled == Decimal("0.500")
    world.trade(10_006, 1, seller_aggressive=False)
    world.settle()
    assert (order.status, world.account.reserved_base) == (OrderStatus.FILLED, Decimal(0))


def test_limit_maker_that_would_take_is_refused(world):
    refused = world.send(Side.BUY, OrderType.LIMIT_MAKER, 1_000, ticks=10_000)
    rests = world.send(Side.BUY, OrderType.LIMIT_MAKER, 1_000, ticks=9_999)
    world.settle()
    assert (refused.status, rests.status) == (OrderStatus.REJECTED, OrderStatus.NEW)
    report = world.reports[0]
    assert (report.reject_code, report.reject_reason) == (-2010, "Order would immediately match and take.")


def test_nothing_happens_on_a_book_out_of_sync_but_trades_are_real(world, resting):
    world.book.in_sync = False
    world.move([(9_980, 5_000)], [(9_990, 700)])
    world.settle()
    assert resting.filled == 0
    world.trade(9_990, 1, seller_aggressive=True)
    world.settle()
    assert resting.status is OrderStatus.FILLED


def test_cancel_travels_and_frees_what_was_reserved(world, resting):
    assert world.account.reserved_quote == Decimal("199.98")
    world.broker.cancel(0, resting.number)
    world.pass_ms(39)
    assert world.broker.resting
    world.settle()
    assert (resting.status, world.account.reserved_quote) == (OrderStatus.CANCELED, Decimal(0))
    assert not world.broker.resting
    assert world.broker.open_orders(0) == []


def test_a_cancel_that_comes_too_late_is_answered_by_the_fill(world, resting):
    world.broker.cancel(0, resting.number)
    world.broker.cancel(0, resting.number)
    world.trade(9_990, 1, seller_aggressive=True)
    world.reports.clear()
    world.settle()
    assert [report.status for report in world.reports] == [OrderStatus.FILLED]


def test_queue_beyond_the_known_levels_is_unknown_and_not_served_at_its_price(world):
    assert shown_at(Side.BUY, 9_998, world.book) == 5_000
    assert shown_at(Side.SELL, 10_002, world.book) == 5_000
    world.book.set([(9_999, 5), (9_990, 7)], [])
    assert shown_at(Side.BUY, 9_995, world.book) == 0
    assert shown_at(Side.BUY, 9_000, world.book) is None
    assert shown_at(Side.SELL, 10_000, world.book) == 0
    at_price = Trade("BTCUSDT", 1, 9_000, 10**6, 0, True)
    assert fill_by_trade(Side.BUY, 9_000, 10, None, at_price) == (0, None)
    assert fill_by_trade(Side.BUY, 9_000, 10, 0, at_price) == (10, 0)


def test_crossed_quantity_counts_once():
    assert fill_by_cross(Side.BUY, 100, 50, 0, (99, 30)) == (30, 30)
    assert fill_by_cross(Side.BUY, 100, 20, 30, (99, 30)) == (0, 30)
    assert fill_by_cross(Side.BUY, 100, 20, 30, (99, 45)) == (15, 45)
    assert fill_by_cross(Side.BUY, 100, 20, 45, (101, 45)) == (0, 0)
    assert fill_by_cross(Side.SELL, 100, 20, 0, (101, 45)) == (20, 20)
    assert fill_by_cross(Side.SELL, 100, 20, 0, None) == (0, 0)
