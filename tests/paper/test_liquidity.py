"""Promise: what one bot took is gone for the others until the market shows it anew, and what that cost is known."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantlab.model import OrderType, Side
from quantlab.paper.liquidity import Liquidity, crowding
from quantlab.paper.matching import walk

ASKS = [(10_000, 5_000), (10_001, 5_000), (10_002, 5_000)]
BIDS = [(9_999, 5_000), (9_998, 5_000)]
BOTS = 3


@pytest.fixture
def crowd(make_world):
    def make(*, shared_liquidity: bool = True):
        world = make_world(bots=BOTS, capital="100000", shared_liquidity=shared_liquidity)
        world.book.set(BIDS, ASKS)
        return world

    return make


def bought(world) -> list[tuple[int, int, int]]:
    """(bot, ticks, lots) of each fill."""
    to = world.instrument
    return [(fill.bot, to.ticks(fill.price), to.lots(fill.quantity)) for fill in world.journal.fills]


def test_the_next_bot_pays_for_what_the_first_one_took(crowd) -> None:
    world = crowd()
    for bot in range(2):
        world.send(Side.BUY, OrderType.MARKET, 4_000, bot=bot)
        world.settle()
    assert bought(world) == [(0, 10_000, 4_000), (1, 10_000, 1_000), (1, 10_001, 3_000)]
    tick_lot = world.instrument.tick_size * world.instrument.step_size
    assert [receipt.crowding for receipt in world.journal.receipts] == [0, 0, 3_000 * tick_lot]


def test_each_for_itself_when_the_fleet_file_says_so(crowd) -> None:
    world = crowd(shared_liquidity=False)
    for bot in range(2):
        world.send(Side.BUY, OrderType.MARKET, 4_000, bot=bot)
        world.settle()
    assert bought(world) == [(0, 10_000, 4_000), (1, 10_000, 4_000)]
    assert {receipt.crowding for receipt in world.journal.receipts} == {Decimal(0)}


@pytest.mark.parametrize(
    ("shown", "free"),
    [
        (5_000, 1_000),  # as it stood
        (7_000, 3_000),  # 2,000 were added
        (2_000, 1_000),  # 3,000 were really taken: of the fleet's 4,000
        (500, 500),  # more than the fleet took
        (0, 0),
    ],
)
def test_a_level_that_the_market_shows_anew(crowd, shown: int, free: int) -> None:
    world = crowd()
    world.send(Side.BUY, OrderType.MARKET, 4_000, bot=0)
    world.settle()
    world.move(BIDS, [(ticks, lots) for ticks, lots in [(10_000, shown), *ASKS[1:]] if lots])
    world.send(Side.BUY, OrderType.MARKET, 6_000, bot=1)
    world.settle()
    assert sum(lots for bot, ticks, lots in bought(world) if bot == 1 and ticks == 10_000) == free


def test_a_level_that_left_the_book_comes_back_whole(crowd) -> None:
    world = crowd()
    world.send(Side.BUY, OrderType.MARKET, 5_000, bot=0)
    world.settle()
    world.move(BIDS, ASKS[1:])
    world.send(Side.BUY, OrderType.MARKET, 1_000, bot=1)  # the look that sees it gone
    world.settle()
    world.move(BIDS, ASKS)
    world.send(Side.BUY, OrderType.MARKET, 5_000, bot=2)
    world.settle()
    assert bought(world)[-1] == (2, 10_000, 5_000)


def test_resting_orders_of_the_fleet_queue_behind_each_other(crowd) -> None:
    for shared, second in ((True, 0), (False, 1_000)):
        world = crowd(shared_liquidity=shared)
        for bot in range(2):
            world.send(Side.BUY, OrderType.LIMIT_MAKER, 1_000, ticks=9_999, bot=bot)
            world.settle()
        world.trade(9_999, 6_000, seller_aggressive=True)  # 5,000 stood there before
        filled = Counter({0: 0, 1: 0})
        for bot, _, lots in bought(world):
            filled[bot] += lots
        assert filled == {0: 1_000, 1: second}


def test_who_stands_behind_a_cancelled_order_moves_up(crowd) -> None:
    world = crowd()
    first = world.send(Side.BUY, OrderType.LIMIT_MAKER, 1_000, ticks=9_999, bot=0)
    world.settle()
    world.send(Side.BUY, OrderType.LIMIT_MAKER, 1_000, ticks=9_999, bot=1)
    world.settle()
    world.broker.cancel(0, first.number)
    world.settle()
    world.trade(9_999, 5_400, seller_aggressive=True)
    assert bought(world) == [(1, 9_999, 400)]


def test_one_offer_that_comes_to_two_resting_bids_is_sold_once(crowd) -> None:
    for shared, total in ((True, 700), (False, 1_400)):
        world = crowd(shared_liquidity=shared)
        for bot in range(2):
            world.send(Side.BUY, OrderType.LIMIT_MAKER, 1_000, ticks=9_999, bot=bot)
            world.settle()
        world.move([(9_990, 10)], [(9_999, 700), *ASKS])
        world.move([(9_989, 10)], [(9_999, 700), *ASKS])
        assert sum(lots for _, _, lots in bought(world)) == total


levels = st.lists(st.integers(0, 50), min_size=1, max_size=6).map(
    lambda shown: [(100 + n, lots) for n, lots in enumerate(shown) if lots]
)


@given(st.lists(st.tuples(levels, st.lists(st.integers(1, 120), max_size=4)), max_size=6))
def test_never_more_than_was_shown(looks) -> None:
    """Over any looks at any books: between two changes a level gives at most what it shows, and a walk that skips what
    is gone costs at least what a walk alone would."""
    liquidity = Liquidity()
    for shown, orders in looks:
        given_out: Counter[int] = Counter()
        for lots in orders:
            taken, left = walk(Side.BUY, lots, liquidity.left("S", Side.BUY, shown))
            liquidity.take("S", Side.BUY, taken, shown)
            alone, left_alone = walk(Side.BUY, lots, shown)
            assert left >= left_alone
            cost = crowding(taken, alone)
            assert all(part >= 0 for part in cost)
            if not left:
                assert sum(cost) == sum(t * n for t, n in taken) - sum(t * n for t, n in alone)
            given_out.update(dict(taken))
        assert all(given_out[ticks] <= lots for ticks, lots in shown)
        assert set(given_out) <= {ticks for ticks, _ in shown}
