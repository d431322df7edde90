"""Promise: a run that broke off goes on from its fills; what was open is closed as unknown, and counted right."""

from __future__ import annotations

from decimal import Decimal

import pytest
from msgspec.structs import replace

from quantlab.model import OrderStatus, OrderType, QuantlabError, Side
from quantlab.paper.recovery import as_unknown


@pytest.fixture
def broken_off(world):
    """One buy done, one limit half filled, one on its way when the process died."""
    world.send(Side.BUY, OrderType.MARKET, 1_000)
    world.settle()
    world.send(Side.BUY, OrderType.LIMIT, 6_000, ticks=10_000)
    world.settle()
    world.send(Side.SELL, OrderType.MARKET, 500)
    return world


def test_accounts_and_counters_go_on_where_the_ledger_ends(broken_off, make_world):
    again = make_world()
    again.book.set([(9_999, 5_000)], [(10_000, 5_000)])
    left_open = [order for order in broken_off.orders.values() if not order.status.is_final]
    closed = again.broker.restore(broken_off.journal.fills, left_open, engine_time_ms=50_000)
    for name in ("cash", "quantity", "cost", "realised", "fees_quote", "fees"):
        assert getattr(again.account, name) == getattr(broken_off.account, name)
    assert again.account.reserved_quote == 0
    assert [(order.number, order.status, order.filled) for order in closed] == [
        (2, OrderStatus.CANCELED, Decimal("4.000")),
        (3, OrderStatus.CANCELED, Decimal(0)),
    ]
    assert all("unknown after a restart" in order.reason for order in closed)
    assert again.journal.of("order") == closed
    with pytest.raises(QuantlabError, match="numbers never repeat, go on from 3"):
        again.send(Side.BUY, OrderType.MARKET, 100)
    again._numbers[0], again.now_ms = 3, 50_000
    again.send(Side.BUY, OrderType.MARKET, 100)
    again.settle()
    assert again.journal.fills[-1].number == len(broken_off.journal.fills) + 1


def test_fills_on_disk_decide_when_the_order_state_was_not_written_any_more(broken_off, make_world):
    stale = replace(broken_off.orders[0, 1], status=OrderStatus.PENDING, filled=Decimal(0))
    (closed,) = make_world().broker.restore(broken_off.journal.fills, [stale])
    assert (closed.status, closed.filled) == (OrderStatus.FILLED, Decimal("1.000"))


def test_an_order_by_quote_quantity_that_was_on_its_way_is_not_called_filled(world):
    sent = world.send(Side.BUY, OrderType.MARKET, 0, quote_quantity=Decimal(100))
    assert as_unknown(sent, []).status is OrderStatus.CANCELED
    world.settle()
    stale = replace(world.orders[0, 1], status=OrderStatus.PENDING, quantity=Decimal(0), filled=Decimal(0))
    closed = as_unknown(stale, world.journal.fills)
    assert (closed.status, closed.quantity, closed.filled) == (OrderStatus.FILLED, Decimal(1), Decimal(1))


def test_a_ledger_with_a_hole_stops_the_recovery(broken_off, make_world):
    with pytest.raises(QuantlabError, match="not whole"):
        make_world().broker.restore(broken_off.journal.fills[1:], [])
    make_world().broker.restore(broken_off.journal.fills, [])
