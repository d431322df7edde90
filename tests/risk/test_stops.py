"""Promise: stops and targets rest on the grid, the stop no later and the target no nearer than the bot asked for."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from quantlab.model import Instrument, OrderType
from quantlab.risk import Protection, protective_orders


def test_both_around_the_average_price(instrument):
    assert protective_orders(Decimal("2001.2345"), instrument, stop_loss_pct=2, take_profit_pct=3.5) == [
        Protection(OrderType.STOP_LOSS, Decimal("1961.21")),
        Protection(OrderType.TAKE_PROFIT, Decimal("2071.28")),
    ]


def test_only_what_was_asked_for(instrument):
    assert protective_orders(Decimal(2000), instrument) == []
    assert [one.type for one in protective_orders(Decimal(2000), instrument, stop_loss_pct=2)] == [OrderType.STOP_LOSS]
    target = protective_orders(Decimal(2000), instrument, take_profit_pct=2)
    assert [one.type for one in target] == [OrderType.TAKE_PROFIT]
    assert protective_orders(Decimal(0), instrument, stop_loss_pct=2, take_profit_pct=2) == []


def test_a_stop_with_a_limit_sells_at_no_less(instrument):
    (stop,) = protective_orders(Decimal(2000), instrument, stop_loss_pct=2, stop_limit_pct=0.5)
    assert stop == (OrderType.STOP_LOSS_LIMIT, Decimal("1960.00"), Decimal("1950.20"), 0)


def test_a_trailing_stop_is_told_in_basis_points(instrument):
    stop, target = protective_orders(Decimal(2000), instrument, trailing_stop_pct=1.25, take_profit_pct=4)
    assert stop == (OrderType.STOP_LOSS, None, None, 125)
    assert target == (OrderType.TAKE_PROFIT, Decimal("2080.00"), None, 0)


def test_on_a_coarse_grid_the_stop_stays_below_and_above_zero(instrument):
    coarse = replace(instrument, tick_size=Decimal(1))
    assert protective_orders(Decimal(3), coarse, stop_loss_pct=1) == [Protection(OrderType.STOP_LOSS, Decimal(2))]
    assert protective_orders(Decimal(1), coarse, stop_loss_pct=1) == []


@given(
    price=st.decimals("0.0001", 10**6, places=12),
    tick=st.sampled_from(["1", "0.5", "0.01", "0.00001"]),
    stop_pct=st.floats(0.01, 99),
    target_pct=st.floats(0.01, 500),
)
def test_always_on_the_grid_and_on_the_right_side(price, tick, stop_pct, target_pct):
    instrument = Instrument(
        symbol="ETHUSDT", base="ETH", quote="USDT", tick_size=Decimal(tick), step_size=Decimal("0.1")
    )
    orders = protective_orders(price, instrument, stop_loss_pct=stop_pct, take_profit_pct=target_pct)
    for type_, trigger, *_ in orders:
        assert trigger % instrument.tick_size == 0
        assert 0 < trigger < price if type_ is OrderType.STOP_LOSS else trigger > price
    assert orders[-1][0] is OrderType.TAKE_PROFIT
