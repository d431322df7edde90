"""Promise: an order that takes pays the displayed levels, no deeper, one fill a level, and never a better price."""

from __future__ import annotations

from decimal import Decimal

from quantlab.model import OrderStatus, OrderType, Side, TimeInForce


def test_market_buy_walks_levels_with_one_fill_each(world):
    world.send(Side.BUY, OrderType.MARKET, 7_000)
    world.settle()
    assert [(f.price, f.quantity, f.maker) for f in world.journal.fills] == [
        (Decimal("100.00"), Decimal("5.000"), False),
        (Decimal("100.01"), Decimal("2.000"), False),
    ]
    (report,) = world.reports
    assert (report.status, report.fills) == (OrderStatus.FILLED, tuple(world.journal.fills))


def test_market_sell_takes_the_bids(world):
    world.send(Side.BUY, OrderType.MARKET, 6_000)
    world.settle()
    world.send(Side.SELL, OrderType.MARKET, 5_500)
    world.settle()
    assert [(f.price, f.quantity) for f in world.journal.fills if f.side is Side.SELL] == [
        (Decimal("99.99"), Decimal("5.000")),
        (Decimal("99.98"), Decimal("0.500")),
    ]


def test_market_remainder_beyond_the_displayed_levels_expires(world):
    world.book.set([(9_999, 5_000)], [(10_000, 1_000)])
    order = world.send(Side.BUY, OrderType.MARKET, 3_000)
    world.settle()
    assert (order.status, order.filled) == (OrderStatus.EXPIRED, Decimal("1.000"))
    assert not world.broker.resting


def test_market_order_on_an_empty_side_expires_unfilled(world):
    world.book.set([(9_999, 5_000)], [])
    order = world.send(Side.BUY, OrderType.MARKET, 3_000)
    world.settle()
    assert (order.status, order.filled) == (OrderStatus.EXPIRED, Decimal(0))


def test_crossing_limit_takes_to_its_limit_and_rests_the_remainder(world):
    order = world.send(Side.BUY, OrderType.LIMIT, 8_000, ticks=10_000)
    world.settle()
    assert (order.status, order.filled) == (OrderStatus.PARTIALLY_FILLED, Decimal("5.000"))
    assert list(world.broker.resting) == [world.instrument.symbol]
    assert world.account.reserved_quote == Decimal("300.00")


def test_remainder_does_not_take_the_same_displayed_quantity_again(world):
    order = world.send(Side.BUY, OrderType.LIMIT, 8_000, ticks=10_000)
    world.settle()
    for _ in range(5):
        world.broker.on_book(world.instrument.symbol)
    assert sum(f.quantity for f in world.journal.fills) == Decimal("5.000")
    world.move([(9_999, 5_000)], [(10_000, 6_000)])  # a thousand lots more at the price: they are new
    world.settle()
    assert order.filled == Decimal("6.000")


def test_ioc_expires_what_it_cannot_take(world):
    crossing = world.send(Side.BUY, OrderType.LIMIT, 8_000, ticks=10_000, time_in_force=TimeInForce.IOC)
    world.settle()
    assert (crossing.status, crossing.filled) == (OrderStatus.EXPIRED, Decimal("5.000"))
    below = world.send(Side.BUY, OrderType.LIMIT, 1_000, ticks=9_000, time_in_force=TimeInForce.IOC)
    world.settle()
    assert (below.status, below.filled) == (OrderStatus.EXPIRED, Decimal(0))
    assert not world.broker.resting


def test_the_book_at_arrival_counts_not_the_book_at_decision(world):
    world.send(Side.BUY, OrderType.MARKET, 1_000)
    world.pass_ms(39)
    world.book.set([(10_499, 5_000)], [(10_500, 5_000)])
    world.settle()
    (fill,), (receipt,) = world.journal.fills, world.journal.receipts
    assert fill.price == Decimal("105.00")
    assert (receipt.decision_ask, receipt.arrival_ask) == (Decimal("100.00"), Decimal("105.00"))


def test_an_order_on_a_book_out_of_sync_is_refused_with_the_reason(world):
    world.book.in_sync = False
    refused = world.send(Side.BUY, OrderType.MARKET, 1_000)
    world.settle()
    assert refused.status is OrderStatus.REJECTED
    assert "book out of sync" in world.reports[-1].reject_reason
    world.book.in_sync = True
    taken = world.send(Side.BUY, OrderType.MARKET, 1_000)
    world.settle()
    assert taken.status is OrderStatus.FILLED
