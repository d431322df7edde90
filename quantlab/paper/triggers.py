"""When a conditional order goes off: at its stop price, or so far behind the best price since then (trailing).

Source: Binance spot trailing stop FAQ, checked 2026-11-24; its scenarios A to E are tests.
"""

from __future__ import annotations

from quantlab.model import Side
from quantlab.paper.working import Working

_BASIS_POINTS = 10_000


def goes_off(working: Working, ticks: int) -> bool:
    """Does a trade at `ticks` set the order off? A trailing one remembers the best price it has seen."""
    if not working.order.trailing_delta:
        return _reached(working, ticks)
    if not working.best_ticks:
        if not working.stop_ticks or _reached(working, ticks):
            working.best_ticks = ticks
        return False
    delta = working.order.trailing_delta
    if working.order.side is Side.BUY:
        working.best_ticks = min(working.best_ticks, ticks)
        return ticks * _BASIS_POINTS >= working.best_ticks * (_BASIS_POINTS + delta)
    working.best_ticks = max(working.best_ticks, ticks)
    return ticks * _BASIS_POINTS <= working.best_ticks * (_BASIS_POINTS - delta)


def _reached(working: Working, ticks: int) -> bool:
    return ticks <= working.stop_ticks if working.order.falling else ticks >= working.stop_ticks
