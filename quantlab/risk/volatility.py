"""Which symbols move too fast to buy. Looked at by mid prices in engine time, and again before each buy."""

from __future__ import annotations

from collections import deque
from decimal import Decimal
from typing import NamedTuple

from quantlab.model.timeframe import MINUTE_MS
from quantlab.risk.limits import FleetLimits


class Change(NamedTuple):
    """A symbol was halted, or is free again. `until_ms`: when that ends if the price is calm from now on."""

    symbol: str
    halted: bool
    cause: str
    until_ms: int = 0


class VolatilityHalts:
    """`halted` has the cause of each symbol that takes no buy now."""

    def __init__(self, limits: FleetLimits) -> None:
        self.halted: dict[str, str] = {}
        self.watches = limits.halt_move_pct is not None
        self._most = Decimal(str(limits.halt_move_pct or 0))
        self._minutes = limits.halt_window_minutes
        self._window_ms = round(limits.halt_window_minutes * MINUTE_MS)
        self._pause_ms = round(limits.halt_pause_minutes * MINUTE_MS)
        self._mids: dict[str, deque[tuple[int, Decimal]]] = {}
        self._until_ms: dict[str, int] = {}

    def look(self, symbol: str, mid: Decimal, now_ms: int) -> Change | None:
        """Take note of a price. Returns what changed, if anything did."""
        mids = self._mids.setdefault(symbol, deque())
        while mids and mids[0][0] <= now_ms - self._window_ms:
            mids.popleft()
        mids.append((now_ms, mid))
        low, high = min(price for _, price in mids), max(price for _, price in mids)
        move = (high - low) * 100 / low
        if move >= self._most:
            self._until_ms[symbol] = now_ms + self._pause_ms
            if symbol in self.halted:
                return None
            self.halted[symbol] = f"{symbol} moved by {move:.2f} % within {self._minutes:g} minutes: no buys"
            return Change(symbol, True, self.halted[symbol], self._until_ms[symbol])
        return self._free_again(symbol, now_ms)

    def restore(self, change: Change) -> None:
        """Go on after a restart with the last change of a symbol."""
        if change.halted:
            self.halted[change.symbol], self._until_ms[change.symbol] = change.cause, change.until_ms

    def _free_again(self, symbol: str, now_ms: int) -> Change | None:
        if symbol not in self.halted or now_ms < self._until_ms[symbol]:
            return None
        del self.halted[symbol]
        return Change(symbol, False, f"{symbol} has been calm for {self._pause_ms / MINUTE_MS:g} minutes")
