"""Promise: what all bots together may do holds, whatever each of them may do by itself."""

from __future__ import annotations

from decimal import Decimal

import pytest

from quantlab.model import ConfigurationError, Side
from quantlab.model.timeframe import DAY_MS
from quantlab.risk import FleetGate, FleetLimits, TradingState

NOON = 20_000 * DAY_MS + DAY_MS // 2


def never() -> Decimal:
    raise AssertionError("no limit needs it")


def judge(limits, order, *, held=never, of_symbol=never, equity=never, gate=None):
    gate = gate or FleetGate(limits, Decimal(10_000))
    return gate.judge(order, NOON, price=Decimal(100), equity=equity, held=held, held_of_symbol=of_symbol)


def test_without_limits_nothing_is_summed_up(make_order):
    assert judge(FleetLimits(), make_order(Side.BUY)).ok


def test_all_positions_together(make_order):
    limits = FleetLimits(max_position_usdt=Decimal(1000))
    assert judge(limits, make_order(Side.BUY), held=lambda: Decimal(900)).ok
    refused = judge(limits, make_order(Side.BUY), held=lambda: Decimal("900.01"))
    assert refused.limit == "fleet max_position_usdt"
    assert refused.reason == "the fleet's positions would be worth 1000.01 USDT, its limit is 1000"
    assert judge(limits, make_order(Side.SELL)).ok


def test_bots_on_one_symbol_win_and_lose_together(make_order):
    limits = FleetLimits(max_symbol_pct=20)
    fleet = {"equity": lambda: Decimal(10_000)}
    assert judge(limits, make_order(Side.BUY), of_symbol=lambda: Decimal(1_900), **fleet).ok
    refused = judge(limits, make_order(Side.BUY), of_symbol=lambda: Decimal(1_901), **fleet)
    assert refused == (
        False, "fleet max_symbol_pct", "20.01 % of the fleet's equity would be in ETHUSDT, its limit is 20 %",
    )  # fmt: skip
    assert not judge(limits, make_order(Side.BUY), of_symbol=lambda: Decimal(0), equity=lambda: Decimal(0)).ok


def test_one_order_of_any_bot(make_order):
    limits = FleetLimits(max_order_notional_usdt=Decimal(150))
    assert judge(limits, make_order(Side.BUY, "1.5")).ok
    assert judge(limits, make_order(Side.BUY, "1.51")).limit == "fleet max_order_notional_usdt"
    assert judge(limits, make_order(Side.BUY, "0", quote="150.01")).limit == "fleet max_order_notional_usdt"


def test_the_fleets_order_rate_counts_sales_and_holds_back_buys_only(make_order):
    gate = FleetGate(FleetLimits(max_orders_per_minute=2), Decimal(10_000))
    gate.count(NOON - 60_000)
    gate.count(NOON - 59_999)
    assert judge(None, make_order(Side.BUY), gate=gate).ok
    gate.count(NOON)
    assert judge(None, make_order(Side.BUY), gate=gate).limit == "fleet max_orders_per_minute"
    assert judge(None, make_order(Side.SELL), gate=gate).ok


@pytest.mark.parametrize("stop", [FleetGate.halt, FleetGate.reduce])
def test_in_no_state_but_active_a_buy_passes_and_in_each_a_sale(make_order, stop):
    gate = FleetGate(FleetLimits(), Decimal(10_000))
    stop(gate, "test")
    assert judge(None, make_order(Side.BUY), gate=gate).limit == "fleet state"
    assert judge(None, make_order(Side.SELL), gate=gate).ok
    gate.release("resumed")
    assert judge(None, make_order(Side.BUY), gate=gate).ok is (stop is FleetGate.reduce)


def test_the_fleets_loss_today_and_its_drawdown():
    gate = FleetGate(FleetLimits(max_daily_loss_pct=2, max_drawdown_pct=10), Decimal(10_000))
    assert gate.mark(Decimal(9_801), NOON) is None
    assert gate.mark(Decimal(9_800), NOON) is TradingState.HALTED
    assert gate.until_next_day
    assert gate.mark(Decimal(9_800), NOON + DAY_MS) is TradingState.ACTIVE
    assert gate.mark(Decimal(9_000), NOON + DAY_MS) is TradingState.HALTED
    assert not gate.until_next_day


@pytest.mark.parametrize(
    ("name", "bad", "good"),
    [
        ("max_symbol_pct", 100.5, 100),
        ("halt_move_pct", 0, 5),
        ("halt_window_minutes", 0.1, 0.25),
        ("halt_pause_minutes", 1441, 1440),
        ("max_orders_per_minute", 0.5, 1),
        ("max_order_notional_usdt", Decimal(-1), Decimal(1)),
    ],
)
def test_limits_that_make_no_sense_are_refused_by_name(name, bad, good):
    with pytest.raises(ConfigurationError, match=name):
        FleetLimits(**{name: bad})
    assert getattr(FleetLimits(**{name: good}), name) == good
