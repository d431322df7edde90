"""Equity against its loss limits, and the trading state that comes of it: for a bot, and for the fleet.

A breach of the daily loss or of the drawdown halts: positions are flattened and strategies are not followed any more.
After a daily loss that lasts until the next UTC day begins, after a drawdown (or a kill) for the run. Equity is marked
at the bid, on each fill and each 1-minute close; times are engine time in ms.
"""

from __future__ import annotations

from decimal import Decimal

from quantlab.model.timeframe import DAY_MS
from quantlab.risk.states import TradingState


class LossGuard:
    """`cause` is why it is in its state; empty while it has never left ACTIVE."""

    def __init__(self, capital: Decimal, *, max_daily_loss_pct: float | None, max_drawdown_pct: float | None) -> None:
        self.state = TradingState.ACTIVE
        self.cause = ""
        #: Halted by a daily loss: trades again when the next UTC day begins.
        self.until_next_day = False
        self.capital = Decimal(capital)
        self._peak = self._last_equity = self._day_equity = self.capital
        self._day: int | None = None
        self._max_daily_loss_pct, self._max_drawdown_pct = max_daily_loss_pct, max_drawdown_pct

    def mark(self, equity: Decimal, time_ms: int) -> TradingState | None:
        """Take note of the equity (quote units, at the bid). Returns the new state when it changed, else None."""
        before = self.state
        day = time_ms // DAY_MS
        if self._day is None or day > self._day:
            self._begin_day(day)
        self._last_equity = equity
        self._peak = max(self._peak, equity)
        drawdown = _percent_below(equity, self._peak)
        loss = _percent_below(equity, self._day_equity)
        if _breaches(drawdown, self._max_drawdown_pct):
            if self.state is not TradingState.HALTED or self.until_next_day:
                self.halt(f"drawdown of {drawdown:.2f} % reached the limit of {self._max_drawdown_pct} %")
        elif self.state is not TradingState.HALTED and _breaches(loss, self._max_daily_loss_pct):
            limit = self._max_daily_loss_pct
            self.halt(f"loss of {loss:.2f} % today reached the limit of {limit} %", until_next_day=True)
        return None if self.state is before else self.state

    def restore(
        self,
        *,
        peak_equity: Decimal,
        last_equity: Decimal | None = None,
        day_equity: Decimal | None = None,
        time_ms: int = 0,
    ) -> None:
        """Go on after a restart: the highest equity so far, the last one, and with what equity the UTC day of `time_ms`
        began."""
        self._peak = max(self._peak, peak_equity)
        if last_equity is not None:
            self._last_equity = last_equity
        if day_equity is not None:
            self._day, self._day_equity = time_ms // DAY_MS, day_equity

    def halt(self, cause: str, *, until_next_day: bool = False) -> None:
        """Halted for the run, whatever the equity does, as by the kill switch; or until the next UTC day begins."""
        self.state, self.cause, self.until_next_day = TradingState.HALTED, cause, until_next_day

    def reduce(self, cause: str) -> None:
        """Let only sales pass from now on; what is halted stays halted."""
        if self.state is not TradingState.HALTED:
            self.state, self.cause = TradingState.REDUCING, cause

    def release(self, cause: str) -> None:
        """From REDUCING back to ACTIVE; what is halted stays halted."""
        if self.state is TradingState.REDUCING:
            self.state, self.cause = TradingState.ACTIVE, cause

    def _begin_day(self, day: int) -> None:
        """The day begins with the equity last seen before it (with the capital, on the first)."""
        self._day, self._day_equity = day, self._last_equity
        if self.state is TradingState.HALTED and self.until_next_day:
            self.state, self.cause, self.until_next_day = TradingState.ACTIVE, "a new UTC day began", False


def _percent_below(equity: Decimal, reference: Decimal) -> Decimal:
    return (reference - equity) * 100 / reference if reference > 0 else Decimal(100)


def _breaches(percent: Decimal, limit: float | None) -> bool:
    return limit is not None and percent >= Decimal(str(limit))
