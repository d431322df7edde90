"""The risk gate: every order of a bot passes it, and its equity is marked against the bot's loss limits.

A breach of the daily loss or of the drawdown halts the bot: its position is flattened and the strategy is not
followed any more. After a daily loss that lasts until the next UTC day begins, after a drawdown (or a kill)
for the run. Equity is marked at the bid, on each fill and each 1-minute close; times are engine time in ms.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

from quantlab.model import ConfigurationError, Order, Side
from quantlab.model.timeframe import DAY_MS, MINUTE_MS
from quantlab.risk.states import BotState


@dataclass(frozen=True, slots=True, kw_only=True)
class BotLimits:
    """The limits of one bot; None means not limited. Percentages are of the day's first equity (loss) and of
    the highest equity so far (drawdown)."""

    max_position_usdt: Decimal | None = None
    max_daily_loss_pct: float | None = None
    max_drawdown_pct: float | None = None
    max_orders_per_minute: int | None = 60

    def __post_init__(self) -> None:
        if self.max_position_usdt is not None and not 0 < self.max_position_usdt < Decimal("Infinity"):
            raise ConfigurationError(f"max_position_usdt = {self.max_position_usdt}: must be an amount above 0 USDT")
        for name in ("max_daily_loss_pct", "max_drawdown_pct"):
            percent = getattr(self, name)
            if percent is not None and not 0 < percent <= 100:
                raise ConfigurationError(f"{name} = {percent}: must be a percentage above 0 and at most 100")
        orders = self.max_orders_per_minute
        if orders is not None and (orders < 1 or orders != int(orders)):
            raise ConfigurationError(f"max_orders_per_minute = {orders}: must be a whole number from 1 up")


class Verdict(NamedTuple):
    """May the order go? `reason` says why not, for people."""

    ok: bool
    reason: str = ""


class RiskGate:
    """Limits and state of one bot. `cause` is why it is in its state; empty while it has never left ACTIVE."""

    def __init__(self, limits: BotLimits, capital: Decimal) -> None:
        self.limits = limits
        self.state = BotState.ACTIVE
        self.cause = ""
        self._peak = self._last_equity = self._day_equity = Decimal(capital)
        self._day: int | None = None
        #: Halted by a daily loss: trades again when the next UTC day begins.
        self.until_next_day = False
        self._sent_ms: deque[int] = deque()

    # -- orders ----------------------------------------------------------------------------------------------

    def allow(
        self,
        order: Order,
        time_ms: int,
        *,
        position_value: Decimal,
        equity: Decimal,
        price: Decimal,
        open_buys_value: Decimal = Decimal(0),
    ) -> Verdict:
        """Judge one order, and count it if it may go. `price` is what it is valued at (its limit, or the
        touch); `position_value`, `equity` and `open_buys_value` (what resting buys may add) are in quote
        units.

        Sales that flatten pass in every state, and no order rate holds them back there: the way out stays
        open.
        """
        if order.side is Side.BUY:
            refused = self._refuses_buy(position_value + open_buys_value + order.quantity * price, equity)
            if refused:
                return Verdict(False, refused)
        elif position_value <= 0:
            return Verdict(False, "nothing is held: spot accounts cannot sell short")
        most = self.limits.max_orders_per_minute
        while self._sent_ms and self._sent_ms[0] <= time_ms - MINUTE_MS:
            self._sent_ms.popleft()
        if self.state is BotState.ACTIVE and most is not None and len(self._sent_ms) >= most:
            return Verdict(False, f"{most} orders in the last minute are the limit of this bot")
        self._sent_ms.append(time_ms)
        return Verdict(True)

    def _refuses_buy(self, position_after: Decimal, equity: Decimal) -> str:
        most = self.limits.max_position_usdt
        if self.state is not BotState.ACTIVE:
            return f"{self.state.lower()}, only sales pass: {self.cause}"
        if equity <= 0:
            return "no equity is left"
        if most is not None and position_after > most:
            return f"the position would be worth {position_after:.2f} USDT, the limit of this bot is {most}"
        return ""

    # -- equity ----------------------------------------------------------------------------------------------

    def mark(self, equity: Decimal, time_ms: int) -> BotState | None:
        """Take note of the bot's equity (quote units, at the bid). Returns the new state when it changed, else None."""
        before = self.state
        day = time_ms // DAY_MS
        if self._day is None or day > self._day:
            self._begin_day(day)
        self._last_equity = equity
        self._peak = max(self._peak, equity)
        drawdown = _percent_below(equity, self._peak)
        loss = _percent_below(equity, self._day_equity)
        if _breaches(drawdown, self.limits.max_drawdown_pct):
            if self.state is not BotState.HALTED or self.until_next_day:
                self.halt(f"drawdown of {drawdown:.2f} % reached the limit of {self.limits.max_drawdown_pct} %")
        elif self.state is not BotState.HALTED and _breaches(loss, self.limits.max_daily_loss_pct):
            limit = self.limits.max_daily_loss_pct
            self.halt(f"loss of {loss:.2f} % today reached the limit of {limit} %", until_next_day=True)
        return None if self.state is before else self.state

    def restore(self, *, peak_equity: Decimal, day_equity: Decimal | None = None, time_ms: int = 0) -> None:
        """Go on after a restart: the highest equity so far, and with what equity the UTC day of `time_ms` began."""
        self._peak = max(self._peak, peak_equity)
        if day_equity is not None:
            self._day, self._day_equity = time_ms // DAY_MS, day_equity

    def halt(self, cause: str, *, until_next_day: bool = False) -> None:
        """Halted for the run, whatever the equity does, as by the kill switch; or until the next UTC day begins."""
        self.state, self.cause, self.until_next_day = BotState.HALTED, cause, until_next_day

    def reduce(self, cause: str) -> None:
        """Let only sales pass from now on; a halted bot stays halted."""
        if self.state is not BotState.HALTED:
            self.state, self.cause = BotState.REDUCING, cause

    def _begin_day(self, day: int) -> None:
        """The day begins with the equity last seen before it (with the capital, on the first)."""
        self._day, self._day_equity = day, self._last_equity
        if self.state is BotState.HALTED and self.until_next_day:
            self.state, self.cause, self.until_next_day = BotState.ACTIVE, "a new UTC day began", False


def _percent_below(equity: Decimal, reference: Decimal) -> Decimal:
    return (reference - equity) * 100 / reference if reference > 0 else Decimal(100)


def _breaches(percent: Decimal, limit: float | None) -> bool:
    return limit is not None and percent >= Decimal(str(limit))
