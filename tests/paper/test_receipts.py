"""Promise: each fill explains itself: its receipt alone replays it to the same price, quantity and fee."""

from __future__ import annotations

from decimal import Decimal

import pytest
from msgspec.structs import replace

from quantlab.model import OrderType, QuantlabError, Side
from quantlab.paper import difference, replay


@pytest.fixture
def busy(world):
    """A taker over two levels, a maker served by trades, one by a trade-through, one by the quote, a triggered stop."""
    world.send(Side.BUY, OrderType.MARKET, 5_100)
    world.settle()
    world.send(Side.BUY, OrderType.LIMIT_MAKER, 1_000, ticks=9_999)
    world.settle()
    world.trade(9_999, 5_400, seller_aggressive=True)
    world.trade(9_990, 10, seller_aggressive=True)
    world.send(Side.SELL, OrderType.LIMIT_MAKER, 500, ticks=10_005)
    world.send(Side.SELL, OrderType.STOP_LOSS, 500, stop_ticks=9_900)
    world.settle()
    world.move([(10_007, 300), (10_006, 600)], [(10_008, 100)])
    world.trade(9_900, 1, seller_aggressive=True)
    world.settle()
    assert [receipt.basis for receipt in world.journal.receipts] == [
        "depth",
        "depth",
        "trade",
        "trade",
        "quote",
        "depth",
    ]
    return world


def test_every_fill_replays_from_its_receipt(busy):
    for fill, receipt in busy.journal.of("fill"):
        order = busy.orders[fill.bot, fill.order_number]
        again = replay(receipt, order, busy.instrument)
        assert (again.price, again.quantity, again.fee) == (fill.price, fill.quantity, fill.fee)
        assert (again.fee_asset, again.maker) == (fill.fee_asset, fill.maker)
        assert difference(fill, receipt, order, busy.instrument) is None


@pytest.mark.parametrize("index", range(6))
@pytest.mark.parametrize(
    "change",
    [
        {"price": Decimal("100.03")},
        {"quantity": Decimal("0.399")},
        {"fee": Decimal("0.1")},
        {"fee_quote": Decimal("7")},
        {"side": None},
        {"maker": None},
        {"number": 99},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_changed_fill_does_not_replay(busy, index, change):
    fill, receipt = busy.journal.of("fill")[index]
    order = busy.orders[fill.bot, fill.order_number]
    if "side" in change:
        change = {"side": Side.SELL if fill.side is Side.BUY else Side.BUY}
    if "maker" in change:
        change = {"maker": not fill.maker}
    assert difference(fill, receipt, order, busy.instrument) is None
    assert difference(replace(fill, **change), receipt, order, busy.instrument)


def test_a_receipt_that_cannot_be_is_refused(busy):
    fill, receipt = busy.journal.of("fill")[2]
    order = busy.orders[fill.bot, fill.order_number]
    replay(receipt, order, busy.instrument)
    ((level, quantity),) = receipt.levels
    for change, words in (
        ({"levels": ()}, "0 levels"),
        ({"levels": ((level + Decimal("0.01"), quantity),)}, "beyond the limit"),
        ({"levels": ((level, Decimal(9)),)}, "not an order's part"),
        ({"levels": ((level, Decimal("0.0005")),)}, "not an order's part"),
        ({"basis": "guess"}, "unknown"),
        ({"queue_ahead": Decimal(-1)}, "queue"),
        ({"bot": 4}, "another order"),
    ):
        with pytest.raises(QuantlabError, match=words):
            replay(replace(receipt, **change), order, busy.instrument)


def test_receipts_name_what_they_used(busy):
    first = busy.journal.receipts[0]
    assert (first.book_id, first.levels) == (1, ((Decimal("100.00"), Decimal("5.000")),))
    assert (first.decision_bid, first.arrival_ask) == (Decimal("99.99"), Decimal("100.00"))
    assert (first.fee_rate, first.fee_source, first.seed) == (Decimal("0.001"), "setting", 1)
    assert first.model == "depth walk; fixed(40,20)"
    served, through = busy.journal.receipts[2:4]
    assert (served.trade_id, served.queue_ahead, served.model) == (1, Decimal(5), "queue pessimistic; fixed(40,20)")
    assert (through.trade_id, through.levels[0][0]) == (2, Decimal("99.90"))
