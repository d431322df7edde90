"""Promise: an order's place in its queue is what trades and the displayed quantity say, and the stated model for the
rest; of three models none is filled later than the pessimist nor earlier than the optimist."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantlab.model import OrderStatus, OrderType, Side
from quantlab.paper import QueueModel
from quantlab.paper.queues import advance, join
from tests.paper.conftest import World, plain_instrument

PRICE = 9_998


def test_where_an_order_joins():
    assert [join(model, 500) for model in QueueModel] == [500, 500, 0]
    assert [join(model, None) for model in QueueModel] == [None, None, 0]


def test_cancels_are_behind_or_anywhere():
    assert advance(QueueModel.PESSIMISTIC, 60, 100, 80, 0) == 60
    assert advance(QueueModel.PROPORTIONAL, 60, 100, 80, 0) == 48
    assert advance(QueueModel.PROPORTIONAL, 60, 100, 80, 20) == 60, "trades explain the decrease"
    assert advance(QueueModel.PROPORTIONAL, 60, 100, 150, 0) == 60, "who comes later stands behind"


@pytest.mark.parametrize("model", [QueueModel.PESSIMISTIC, QueueModel.PROPORTIONAL])
def test_no_more_stands_before_it_than_is_displayed(model):
    assert advance(model, 60, 100, 10, 0) <= 10
    assert advance(model, 60, 100, 0, 0) == 0


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.integers(0, 10**6), st.integers(0, 10**6))
def test_the_models_are_in_order_and_within_what_is_known(queue, before, shown, traded):
    queue = min(queue, before)
    careful, likely = (advance(model, queue, before, shown, traded) for model in list(QueueModel)[:2])
    assert 0 <= likely <= careful <= min(queue, shown)


def place(world: World, price: int = PRICE, bot: int = 0) -> None:
    world.send(Side.BUY, OrderType.LIMIT, 100, ticks=price, bot=bot)
    world.settle()


def book(world: World, at_price: int) -> None:
    world.move([(9_999, 100), (PRICE, at_price), (9_990, 50)], [(10_002, 100)])


@pytest.mark.parametrize("model", list(QueueModel))
def test_cancels_ahead_by_model(make_world, model):
    """What is displayed falls by cancels, by trades and by both; then others come behind and one of nine leaves."""
    world = make_world(queue=model)
    book(world, 5_000)
    place(world)
    book(world, 4_000)
    (working,) = world.broker.resting["BTCUSDT"]
    assert working.queue_lots == {"pessimistic": 4_000, "proportional": 4_000, "optimistic": 0}[model]
    world.trade(PRICE, 1_500, seller_aggressive=True)
    if model is QueueModel.OPTIMISTIC:
        assert world.journal.fills
        return
    book(world, 2_500)
    assert working.queue_lots == 2_500
    book(world, 2_000)
    book(world, 9_000)
    book(world, 8_000)
    assert working.queue_lots == {"pessimistic": 2_000, "proportional": 1_778}[model]


def test_a_price_that_comes_into_sight_has_at_most_what_is_displayed_before_it(make_world):
    world = make_world()
    world.move([(9_999, 100)], [(10_002, 100)])
    place(world, 9_500)
    (working,) = world.broker.resting["BTCUSDT"]
    assert working.queue_lots is None
    world.move([(9_600, 100), (9_500, 70), (9_400, 1)], [(10_002, 100)])
    assert working.queue_lots == 70
    world.trade(9_500, 71, seller_aggressive=True)
    assert [fill.quantity for fill in world.journal.fills] == [world.instrument.step_size]
    assert world.journal.receipts[0].queue_ahead == world.instrument.step_size * 70


def test_after_a_gap_a_smaller_level_is_no_cancel(make_world):
    """It may have been traded: the trades of the gap come afterwards."""
    world = make_world(queue=QueueModel.PROPORTIONAL)
    book(world, 5_000)
    place(world)
    book(world, 9_000)
    (working,) = world.broker.resting["BTCUSDT"]
    world.broker.look_anew("BTCUSDT")
    book(world, 6_000)
    assert working.queue_lots == 5_000
    book(world, 3_000)
    assert working.queue_lots == 2_500, "the control: this decrease was seen"


def test_one_bot_behind_another_stays_there(make_world):
    world = make_world(bots=2, queue=QueueModel.PROPORTIONAL)
    book(world, 5_000)
    for bot in (0, 1):
        place(world, bot=bot)
    first, second = world.broker.resting["BTCUSDT"]
    assert second.queue_lots == first.queue_lots + first.lots
    book(world, 2_500)
    assert (first.queue_lots, second.queue_lots) == (2_500, 2_500 + first.lots)
    book(world, 0)
    assert (first.queue_lots, second.queue_lots) == (0, first.lots)


@given(st.lists(st.tuples(st.integers(0, 8_000), st.integers(0, 3_000), st.booleans()), min_size=1, max_size=30))
def test_nobody_is_filled_before_the_optimist_or_after_the_pessimist(steps):
    filled = []
    for model in QueueModel:
        world = World(plain_instrument(), queue=model)
        book(world, 5_000)
        place(world)
        done = []
        for shown, traded, trade_first in steps:
            if trade_first:
                world.trade(PRICE, traded or 1, seller_aggressive=True)
            book(world, shown)
            done.append(sum((fill.quantity for fill in world.journal.fills), Decimal(0)))
        filled.append(done)
    careful, likely, front = filled
    assert all(a <= b <= c for a, b, c in zip(careful, likely, front, strict=True))


def test_the_receipt_names_the_model(make_world):
    world = make_world(queue=QueueModel.PROPORTIONAL)
    book(world, 0)
    place(world)
    world.trade(PRICE, 10_000, seller_aggressive=True)
    assert world.journal.receipts[0].model.startswith("queue proportional; ")


def test_what_is_left_of_a_market_order_expires_or_pays_for_going_on(make_world):
    """101 lots a tick are displayed; an order for half as much again goes on as deep as that needs, at its mean."""
    for reaches, status in ((False, OrderStatus.EXPIRED), (True, OrderStatus.FILLED)):
        world = make_world(capital="100000", reaches_beyond=reaches)
        world.book.set([(9_999, 5)], [(10_000 + n, 101) for n in range(10)])
        world.send(Side.BUY, OrderType.MARKET, 1_515)
        world.settle()
        assert world.reports[-1].status is status
        assert len(world.journal.fills) == (11 if reaches else 10)
    last, receipt = world.journal.fills[-1], world.journal.receipts[-1]
    assert last.quantity == world.instrument.step_size * 505
    assert last.price == world.instrument.price(10_009 + 3)  # five ticks more, of which the mean is rounded against it
    assert (receipt.basis, last.maker) == ("beyond", False)
    assert receipt.model.startswith("beyond the displayed depth")


def test_beyond_the_display_there_is_at_most_as_much_again(make_world):
    world = make_world(capital="1000000", reaches_beyond=True)
    world.book.set([(9_999, 5)], [(10_000 + n, 100) for n in range(10)])
    world.send(Side.BUY, OrderType.MARKET, 2_500)
    world.settle()
    assert sum(fill.quantity for fill in world.journal.fills) == world.instrument.step_size * 2_000
    assert world.reports[-1].status is OrderStatus.EXPIRED


def test_an_order_with_a_limit_never_goes_beyond(make_world):
    world = make_world(capital="1000000", reaches_beyond=True)
    world.book.set([(9_999, 5)], [(10_000 + n, 100) for n in range(10)])
    world.send(Side.BUY, OrderType.LIMIT, 2_500, ticks=11_000)
    world.settle()
    assert sum(fill.quantity for fill in world.journal.fills) == world.instrument.step_size * 1_000
