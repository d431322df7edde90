"""Promise: an order is sent only when the target changed (or drifted), can be paid, and passes the filters."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from quantlab.model import ConfigurationError, Instrument, Side
from quantlab.risk import order_for_target
from quantlab.risk.sizing import CASH_RESERVE

BID, ASK = Decimal("1999.99"), Decimal("2000.00")
FLAT = Decimal(0)


def size(instrument, exposure, *, equity="1000", position="0", **options):
    return order_for_target(exposure, Decimal(equity), Decimal(position), BID, ASK, instrument, **options)


def test_from_flat_to_full_leaves_the_reserve(instrument):
    side, quantity = size(instrument, 1.0, previous_exposure=0.0)
    assert (side, quantity) == (Side.BUY, Decimal("0.4975"))
    assert quantity * ASK <= 1000 * (1 - CASH_RESERVE)


def test_half_exposure_buys_half_of_the_equity_at_the_bid(instrument):
    assert size(instrument, 0.5, previous_exposure=0.0) == (Side.BUY, Decimal("0.2500"))


def test_back_to_flat_sells_all_that_the_step_allows(instrument):
    sold = size(instrument, 0.0, position="0.49700279", previous_exposure=1.0)
    assert sold == (Side.SELL, Decimal("0.4970"))


def test_a_lower_target_sells_the_difference(instrument):
    assert size(instrument, 0.25, position="0.25", previous_exposure=0.5) == (Side.SELL, Decimal("0.1249"))


def test_an_unchanged_exposure_sends_nothing_however_far_the_price_went(instrument):
    assert size(instrument, 1.0, position="0.1", previous_exposure=1.0) is None
    assert size(instrument, 1.0, position="0.1", previous_exposure=0.5) is not None
    assert size(instrument, 0.0, previous_exposure=None) is None, "flat and wants flat"


def test_drift_is_rebalanced_only_beyond_what_the_bot_asks_for(instrument):
    drifted = {"position": "0.2", "previous_exposure": 0.5}  # 400 of 1,000 USDT: 10 % of equity off
    assert size(instrument, 0.5, **drifted) is None
    assert size(instrument, 0.5, rebalance_pct=11, **drifted) is None
    assert size(instrument, 0.5, rebalance_pct=9, **drifted) == (Side.BUY, Decimal("0.0500"))


@pytest.mark.parametrize(
    ("change", "exposure"),
    [({"min_notional": Decimal(5)}, 0.0049), ({"min_quantity": Decimal("0.1")}, 0.1)],
)
def test_what_the_filters_would_refuse_is_dust(instrument, change, exposure):
    assert size(replace(instrument, **change), exposure, previous_exposure=0.0) is None
    assert size(replace(instrument, **change), exposure * 3, previous_exposure=0.0) is not None


def test_a_remainder_that_cannot_be_sold_is_dust(instrument):
    assert size(instrument, 0.0, position="0.002", previous_exposure=1.0) is None
    assert size(instrument, 0.0, position="0.003", previous_exposure=1.0) == (Side.SELL, Decimal("0.0030"))


def test_cash_and_the_position_limit_cap_a_buy(instrument):
    assert size(instrument, 1.0, cash=Decimal(100), previous_exposure=0.0) == (Side.BUY, Decimal("0.0497"))
    side, quantity = size(instrument, 1.0, max_position=Decimal(300), previous_exposure=0.0)
    assert (side, quantity) == (Side.BUY, Decimal("0.1500"))
    assert quantity * ASK <= 300


def test_the_largest_market_order_caps_it(instrument):
    small = replace(instrument, market_max_quantity=Decimal("0.10005"), market_step_size=Decimal("0.001"))
    assert size(small, 1.0, previous_exposure=0.0) == (Side.BUY, Decimal("0.1"))


@pytest.mark.parametrize("exposure", [float("nan"), -0.1, 1.1, float("inf")])
def test_an_exposure_that_spot_cannot_have_is_refused(instrument, exposure):
    with pytest.raises(ConfigurationError, match="0 to 1"):
        size(instrument, exposure)
    assert size(instrument, 1.0 + 1e-12) is not None


@given(
    exposure=st.floats(0, 1),
    cash=st.decimals(0, 10**6, places=8),
    position=st.decimals(0, 10**4, places=8),
    bid_ticks=st.integers(1, 10**7),
    spread_ticks=st.integers(1, 1000),
    step=st.sampled_from(["1", "0.1", "0.00001"]),
)
def test_every_order_can_be_paid_and_is_on_the_grid(exposure, cash, position, bid_ticks, spread_ticks, step):
    instrument = Instrument(
        symbol="ETHUSDT",
        base="ETH",
        quote="USDT",
        tick_size=Decimal("0.01"),
        step_size=Decimal(step),
        min_notional=Decimal(5),
    )
    bid, ask = instrument.price(bid_ticks), instrument.price(bid_ticks + spread_ticks)
    order = order_for_target(exposure, cash + position * bid, position, bid, ask, instrument, previous_exposure=None)
    if order is None:
        return
    side, quantity = order
    assert quantity % instrument.step_size == 0
    if side is Side.BUY:
        assert 0 < quantity * ask <= cash
    else:
        assert 0 < quantity <= position
