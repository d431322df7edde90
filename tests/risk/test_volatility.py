"""Promise: a symbol that has moved too far too fast takes no buy until it has been calm."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from quantlab.model.timeframe import MINUTE_MS
from quantlab.risk import Change, FleetLimits, VolatilityHalts

LIMITS = FleetLimits(halt_move_pct=5, halt_window_minutes=5, halt_pause_minutes=15)
T0 = 1_750_000_000_000


def look(halts: VolatilityHalts, minute: float, price: str) -> Change | None:
    return halts.look("ETHUSDT", Decimal(price), T0 + round(minute * MINUTE_MS))


def test_a_fall_halts_at_once_and_a_rise_as_well():
    for prices in (("100", "95.24", "95.23"), ("100", "104.99", "105")):
        halts = VolatilityHalts(LIMITS)
        assert look(halts, 0, prices[0]) is look(halts, 1, prices[1]) is None
        change = look(halts, 1.25, prices[2])
        assert change is not None and change.halted
        assert "ETHUSDT moved by 5.0" in halts.halted["ETHUSDT"] and "within 5 minutes" in change.cause
        assert change.until_ms == T0 + round(16.25 * MINUTE_MS)


def test_a_move_that_takes_longer_than_the_window_does_not():
    halts = VolatilityHalts(LIMITS)
    assert all(look(halts, minute, str(100 + minute)) is None for minute in range(30))


def test_it_is_over_once_it_was_calm_for_the_pause_and_not_before():
    halts = VolatilityHalts(LIMITS)
    look(halts, 0, "100")
    look(halts, 1, "110")
    assert look(halts, 4, "110") is None, "the move is still within the window: the pause begins anew"
    assert look(halts, 18.9, "110") is None and "ETHUSDT" in halts.halted
    change = look(halts, 19, "110")
    assert change == Change("ETHUSDT", False, "ETHUSDT has been calm for 15 minutes")
    assert not halts.halted


def test_symbols_are_apart():
    halts = VolatilityHalts(LIMITS)
    look(halts, 0, "100")
    assert halts.look("BTCUSDT", Decimal(200), T0) is None


def test_after_a_restart_the_pause_goes_on():
    halts = VolatilityHalts(LIMITS)
    halts.restore(Change("ETHUSDT", True, "as before", T0 + MINUTE_MS))
    assert look(halts, 0.5, "100") is None
    assert halts.halted == {"ETHUSDT": "as before"}
    assert look(halts, 1, "100") is not None
    assert not halts.halted


def test_without_the_limit_it_does_not_watch():
    assert not VolatilityHalts(FleetLimits()).watches
    assert VolatilityHalts(LIMITS).watches


@given(st.lists(st.tuples(st.integers(1, 90), st.integers(80, 120)), min_size=1, max_size=40))
def test_it_says_what_the_prices_of_the_window_say(steps):
    """Against the plain reading: halted from a look at which the window's range reaches the limit, until the first look
    that lies a pause behind the last such."""
    halts = VolatilityHalts(LIMITS)
    seen: list[tuple[int, int]] = []
    now, hot = T0, None
    for seconds, price in steps:
        now += seconds * 1_000
        seen.append((now, price))
        window = [p for at, p in seen if at > now - 5 * MINUTE_MS]
        if (max(window) - min(window)) * 100 >= 5 * min(window):
            hot = now
        elif hot is not None and now >= hot + 15 * MINUTE_MS:
            hot = None
        halts.look("ETHUSDT", Decimal(price), now)
        assert ("ETHUSDT" in halts.halted) is (hot is not None)
