"""Promise: with a slippage model an order that takes pays what the model says, rounded against it and never past its
limit, and its receipt computes the price again."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantlab.fleet.deal import fleet_toml
from quantlab.fleet.spec import parse_fleet
from quantlab.model import ConfigurationError, OrderStatus, OrderType, Side, TimeInForce
from quantlab.paper import Slippage, SlippageKind, difference
from quantlab.paper.slippage import worsened

FIXED = Slippage(kind=SlippageKind.FIXED, fixed_bps=Decimal("7.5"))
IMPACT = Slippage(kind=SlippageKind.IMPACT, impact_bps={"BTCUSDT": Decimal(4)})
UNIFORM = Slippage(kind=SlippageKind.UNIFORM)


@pytest.mark.parametrize(
    ("slippage", "lots", "bps"),
    [(FIXED, 1_000, "7.5"), (FIXED, 9_000, "7.5"), (IMPACT, 1_000, "0.4"), (IMPACT, 4_000, "0.8")],
)
def test_a_market_order_is_filled_whole_at_one_price(make_world, slippage, lots, bps):
    world = make_world(slippage=slippage)
    world.book.set([(9_999, 10)], [(10_000, 10), (20_000, 10)])
    order = world.send(Side.BUY, OrderType.MARKET, lots)
    world.settle()
    (fill,), (receipt,) = world.journal.fills, world.journal.receipts
    exact = Decimal(100) * (1 + Decimal(bps) / 10_000)
    assert exact <= fill.price < exact + Decimal("0.01")
    assert (order.status, fill.quantity, fill.maker) == (OrderStatus.FILLED, order.quantity, False)
    assert (receipt.basis, receipt.slippage_bps) == ("model", Decimal(bps))
    assert receipt.model.startswith(f"slippage {slippage.name}")
    assert difference(fill, receipt, order, world.instrument) is None
    assert "price" in difference(fill, _told(receipt, bps=Decimal(bps) + 2), order, world.instrument)


def _told(receipt, bps):
    from msgspec.structs import replace

    return replace(receipt, slippage_bps=bps)


def test_a_limit_is_never_passed(make_world):
    world = make_world(slippage=FIXED)
    world.book.set([(9_999, 10)], [(10_000, 10)])
    order = world.send(Side.BUY, OrderType.LIMIT, 1_000, ticks=10_003, time_in_force=TimeInForce.FOK)
    world.settle()
    assert (order.status, world.journal.fills[0].price) == (OrderStatus.FILLED, Decimal("100.03"))
    assert difference(world.journal.fills[0], world.journal.receipts[0], order, world.instrument) is None


def test_sales_get_less(make_world):
    world = make_world(slippage=FIXED).holding(2_000)
    world.book.set([(10_000, 10)], [(10_001, 10)])
    world.send(Side.SELL, OrderType.MARKET, 1_998)
    world.settle()
    assert world.journal.fills[-1].price == Decimal("99.92")  # 99.925, down to the tick


def test_what_is_drawn_lies_between_its_bounds_and_is_the_same_again(make_world):
    def prices(seed):
        world = make_world(slippage=UNIFORM, seed=seed, capital="1000000")
        world.book.set([(999_999, 10)], [(1_000_000, 10)])
        for _ in range(50):
            world.send(Side.BUY, OrderType.MARKET, 1)
            world.settle()
        return [fill.price for fill in world.journal.fills]

    first = prices(1)
    assert len(set(first)) > 40
    assert Decimal("10002") <= min(first) < Decimal("10004") < Decimal("10008") < max(first) <= Decimal("10010.01")
    assert prices(1) == first != prices(2)


def test_what_it_costs_must_be_there(make_world):
    for lots, status in ((9_992, OrderStatus.FILLED), (9_993, OrderStatus.REJECTED)):
        world = make_world(slippage=FIXED)
        world.book.set([(9_999, 10)], [(10_000, 10)])
        order = world.send(Side.BUY, OrderType.MARKET, lots)  # at 100.08
        world.settle()
        assert order.status is status


def test_an_amount_of_the_quote_asset_is_not_exceeded(make_world):
    world = make_world(slippage=FIXED)
    world.book.set([(9_999, 10)], [(10_000, 10)])
    world.send(Side.BUY, OrderType.MARKET, 0, quote_quantity=Decimal(500))
    world.settle()
    assert Decimal("499.8") < world.journal.fills[0].notional <= 500


@given(
    side=st.sampled_from(Side),
    ticks=st.integers(1, 10**9),
    bps=st.decimals("0", "999", places=4),
    limit=st.none() | st.integers(1, 10**9),
)
def test_never_better_than_the_level_nor_past_the_limit(side, ticks, bps, limit):
    if limit is not None and (limit < ticks if side is Side.BUY else limit > ticks):
        limit = ticks
    sign = 1 if side is Side.BUY else -1
    price = worsened(side, ticks, bps, limit)
    assert sign * (price - ticks) >= 0
    assert limit is None or sign * (limit - price) >= 0
    if limit is None and price > 1:
        assert 0 <= sign * (price - ticks * (1 + sign * bps / 10_000)) < 1


FLEET = """
[fleet]
name = "x"
[paper]
slippage = "impact"
impact_bps = { BTCUSDT = 0.35, ETHUSDT = 1 }
[[bot]]
name = "a"
strategy = "ema_cross"
symbol = "BTCUSDT"
timeframe = "1m"
"""


def test_the_fleet_file_names_the_model(tmp_path: Path):
    fleet = parse_fleet(FLEET, path=tmp_path / "f.toml")
    assert fleet.paper.slippage_model().bps("BTCUSDT", Decimal(40_000), 0.5) == Decimal("0.7000")
    assert fleet.paper.described()["slippage"] == "square root of the size"
    assert parse_fleet(fleet_toml(fleet), path=tmp_path / "f.toml").paper == fleet.paper


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("BTCUSDT = 0.35, ", "", "impact_bps has no number for BTCUSDT: `quantlab calibrate`"),
        ("{ BTCUSDT = 0.35, ETHUSDT = 1 }", "3", "impact_bps must be a table by symbol"),
        ("0.35", '"much"', r"impact_bps.BTCUSDT must be a number"),
        ("0.35", "-1", "BTCUSDT must be basis points"),
        ('"impact"', '"guess"', "must be one of depth, impact, fixed, uniform"),
    ],
)
def test_what_the_fleet_file_may_not_say(tmp_path: Path, old, new, words):
    with pytest.raises(ConfigurationError, match=words):
        parse_fleet(FLEET.replace(old, new), path=tmp_path / "f.toml")
