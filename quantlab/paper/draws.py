"""Randomness without a generator: each draw is a pure function of (seed, bot, order number, purpose, index).

No state is shared, so adding a bot or an order changes no other draw, and a receipt can repeat its own. The
integers are mixed by splitmix64's finaliser (Steele, Lea and Flood, "Fast splittable pseudorandom number
generators", 2014).
"""

from __future__ import annotations

from enum import IntEnum

_MASK = (1 << 64) - 1
_GOLDEN = 0x9E3779B97F4A7C15


class Purpose(IntEnum):
    """What a draw is for; numbers are part of the contract and never change meaning."""

    ORDER_LATENCY = 1
    RESPONSE_LATENCY = 2
    CANCEL_LATENCY = 3
    AMEND_LATENCY = 4
    SLIPPAGE = 5


def uniform(seed: int, bot: int, order_number: int, purpose: Purpose, index: int = 0) -> float:
    """A number strictly between 0 and 1, with 53 bits. `index` counts draws of one purpose for one order."""
    state = _mix(seed)
    for part in (bot, order_number, purpose, index):
        state = _mix(state + part)
    return ((state >> 11) + 0.5) / (1 << 53)


def _mix(value: int) -> int:
    value = (value + _GOLDEN) & _MASK
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & _MASK
    return value ^ (value >> 31)
