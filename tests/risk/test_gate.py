"""Promise: no order passes a limit, a breach of a loss limit halts the bot, and the way out stays open."""

from __future__ import annotations

from decimal import Decimal

import pytest

from quantlab.model import ConfigurationError, Side
from quantlab.model.timeframe import DAY_MS
from quantlab.risk import BotLimits, RiskGate, TradingState

NOON = 20_000 * DAY_MS + DAY_MS // 2


def make_gate(**limits):
    return RiskGate(BotLimits(**limits), Decimal(1000))


def allow(gate, order, *, time_ms=NOON, position="0", equity="1000", price="100"):
    """Judge the order, and count it when it may go."""
    verdict = gate.judge(order, time_ms, position_value=Decimal(position), equity=Decimal(equity), price=Decimal(price))
    if verdict.ok:
        gate.count(time_ms)
    return verdict


def test_position_limit_counts_what_is_held_and_the_order(make_order):
    gate = make_gate(max_position_usdt=Decimal(500))
    buy = make_order(Side.BUY, "2")
    assert allow(gate, buy, position="300").ok
    refused = allow(gate, buy, position="300.01")
    words = "the position would be worth 500.01 USDT, the limit of this bot is 500"
    assert refused == (False, "max_position_usdt", words)
    assert allow(gate, make_order(Side.SELL, "9"), position="900").ok, "a sale always reduces"


def test_one_order_has_a_largest_notional(make_order):
    gate = make_gate(max_order_notional_usdt=Decimal(200))
    assert allow(gate, make_order(Side.BUY, "2")).ok
    assert allow(gate, make_order(Side.BUY, "2.01")).limit == "max_order_notional_usdt"
    assert allow(gate, make_order(Side.BUY, "0", quote="200")).ok
    assert allow(gate, make_order(Side.BUY, "0", quote="200.01")).limit == "max_order_notional_usdt"
    assert allow(gate, make_order(Side.SELL, "9"), position="900").ok, "a sale always reduces"


def test_nothing_can_be_sold_short(make_order):
    assert "short" in allow(make_gate(), make_order(Side.SELL)).reason
    assert allow(make_gate(), make_order(Side.SELL), position="100").ok


def test_orders_a_minute_in_any_minute(make_order):
    gate = make_gate(max_orders_per_minute=3)
    for second in (0, 20, 40):
        assert allow(gate, make_order(Side.BUY, "0.1"), time_ms=NOON + second * 1_000).ok
    assert "3 orders in the last minute" in allow(gate, make_order(Side.BUY, "0.1"), time_ms=NOON + 59_999).reason
    assert allow(gate, make_order(Side.BUY, "0.1"), time_ms=NOON + 60_000).ok
    assert not allow(gate, make_order(Side.BUY, "0.1"), time_ms=NOON + 60_001).ok


def test_refused_orders_do_not_use_up_the_rate(make_order):
    gate = make_gate(max_orders_per_minute=1, max_position_usdt=Decimal(50))
    for _ in range(5):
        assert not allow(gate, make_order(Side.BUY)).ok
    assert allow(gate, make_order(Side.BUY, "0.1")).ok


def test_daily_loss_halts_until_the_next_utc_day(make_order):
    gate = make_gate(max_daily_loss_pct=5)
    assert gate.mark(Decimal("950.01"), NOON) is None
    assert gate.mark(Decimal("950.00"), NOON + 1) is TradingState.HALTED
    assert gate.cause == "loss of 5.00 % today reached the limit of 5 %"
    assert not allow(gate, make_order(Side.BUY)).ok
    assert gate.mark(Decimal(940), NOON + DAY_MS // 2 - 1) is None
    assert gate.mark(Decimal(940), NOON + DAY_MS // 2) is TradingState.ACTIVE
    assert allow(gate, make_order(Side.BUY)).ok
    assert gate.mark(Decimal(894), NOON + DAY_MS) is None, "the new day begins at 940"
    assert gate.mark(Decimal(893), NOON + DAY_MS) is TradingState.HALTED


def test_drawdown_halts_for_the_run(make_order):
    gate = make_gate(max_drawdown_pct=20)
    assert gate.mark(Decimal(1500), NOON) is None
    assert gate.mark(Decimal(1201), NOON + 1) is None
    assert gate.mark(Decimal(1200), NOON + 2) is TradingState.HALTED
    assert gate.mark(Decimal(1600), NOON + DAY_MS) is None
    assert gate.state is TradingState.HALTED
    assert "drawdown of 20.00 %" in allow(gate, make_order(Side.BUY)).reason


def test_a_drawdown_outlasts_a_daily_loss():
    gate = make_gate(max_daily_loss_pct=5, max_drawdown_pct=20)
    assert gate.mark(Decimal(900), NOON) is TradingState.HALTED
    gate.mark(Decimal(790), NOON + 1)
    assert gate.mark(Decimal(790), NOON + DAY_MS) is None
    assert gate.state is TradingState.HALTED


def test_a_daily_loss_that_is_a_drawdown_too_the_next_day_stays_halted():
    gate = make_gate(max_daily_loss_pct=5, max_drawdown_pct=20)
    gate.mark(Decimal(900), NOON)
    assert gate.mark(Decimal(750), NOON + DAY_MS) is None
    assert "drawdown" in gate.cause


def test_the_kill_switch_holds_whatever_the_day(make_order):
    gate = make_gate(max_daily_loss_pct=5)
    gate.halt("kill switch")
    gate.mark(Decimal(900), NOON)
    assert gate.mark(Decimal(1000), NOON + DAY_MS) is None
    assert (gate.state, gate.cause) == (TradingState.HALTED, "kill switch")
    assert allow(gate, make_order(Side.BUY)).reason == "halted, only sales pass: kill switch"


@pytest.mark.parametrize("stop", [RiskGate.halt, RiskGate.reduce])
def test_the_way_out_stays_open(make_order, stop):
    gate = make_gate(max_orders_per_minute=1)
    assert allow(gate, make_order(Side.SELL), position="100").ok
    assert not allow(gate, make_order(Side.SELL), position="100").ok, "the rate holds while active"
    stop(gate, "test")
    for _ in range(3):
        assert allow(gate, make_order(Side.SELL), position="100").ok
    assert not allow(gate, make_order(Side.BUY)).ok


def test_reducing_does_not_wake_a_halted_bot():
    gate = make_gate()
    gate.halt("kill switch")
    gate.reduce("symbol halts")
    assert (gate.state, gate.cause) == (TradingState.HALTED, "kill switch")


def test_a_restart_remembers_peak_and_day():
    gate = make_gate(max_daily_loss_pct=5, max_drawdown_pct=20)
    gate.restore(peak_equity=Decimal(1300), day_equity=Decimal(1100), time_ms=NOON)
    assert gate.mark(Decimal(1046), NOON + 1) is None
    assert gate.mark(Decimal(1045), NOON + 2) is TradingState.HALTED
    again = make_gate(max_drawdown_pct=20)
    again.restore(peak_equity=Decimal(1300))
    assert again.mark(Decimal(1040), NOON) is TradingState.HALTED
    assert make_gate(max_drawdown_pct=20).mark(Decimal(1040), NOON) is None


def test_a_day_that_began_meanwhile_begins_with_the_equity_before_it():
    gate = make_gate(max_daily_loss_pct=5)
    gate.restore(peak_equity=Decimal(1300), last_equity=Decimal(1200), day_equity=Decimal(1000), time_ms=NOON)
    assert gate.mark(Decimal(1141), NOON + DAY_MS) is None
    assert gate.mark(Decimal(1140), NOON + DAY_MS) is TradingState.HALTED


@pytest.mark.parametrize(
    ("name", "bad", "good"),
    [
        ("max_position_usdt", Decimal(0), Decimal("0.01")),
        ("max_position_usdt", Decimal("Infinity"), Decimal(10)),
        ("max_daily_loss_pct", 0, 0.1),
        ("max_daily_loss_pct", 100.1, 100),
        ("max_drawdown_pct", -5, 5),
        ("max_drawdown_pct", float("nan"), 5),
        ("max_orders_per_minute", 0, 1),
        ("max_orders_per_minute", 1.5, 2),
    ],
)
def test_limits_that_make_no_sense_are_refused_by_name(name, bad, good):
    with pytest.raises(ConfigurationError, match=name):
        BotLimits(**{name: bad})
    assert getattr(BotLimits(**{name: good}), name) == good
