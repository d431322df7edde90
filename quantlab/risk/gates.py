"""The gates that every order passes: its bot's, and the fleet's.

A limit refuses buys: spot and long only, a sale always reduces. The way out stays open in every state; only the order
rate of an ACTIVE bot holds its sales back too, since a strategy that sends so many is not on its way out.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from decimal import Decimal
from typing import NamedTuple

from quantlab.model import Order, Side
from quantlab.model.timeframe import MINUTE_MS
from quantlab.risk.limits import BotLimits, FleetLimits
from quantlab.risk.losses import LossGuard
from quantlab.risk.states import TradingState


class Verdict(NamedTuple):
    """May the order go? `limit` names what holds it back, `reason` says it for people."""

    ok: bool
    limit: str = ""
    reason: str = ""


_YES = Verdict(True)


class RiskGate(LossGuard):
    """Limits and state of one bot."""

    def __init__(self, limits: BotLimits, capital: Decimal) -> None:
        super().__init__(
            capital, max_daily_loss_pct=limits.max_daily_loss_pct, max_drawdown_pct=limits.max_drawdown_pct
        )
        self.limits = limits
        self._rate = OrderRate(limits.max_orders_per_minute)

    def judge(self, order: Order, time_ms: int, *, price: Decimal, position_value: Decimal, equity: Decimal) -> Verdict:
        """`price` is what the order is valued at (its limit, or the touch); `position_value` (with what open buys may
        add to it) and `equity` are in quote units."""
        most = self.limits.max_position_usdt
        if order.side is Side.BUY:
            if self.state is not TradingState.ACTIVE:
                return Verdict(False, "state", f"{self.state.lower()}, only sales pass: {self.cause}")
            if equity <= 0:
                return Verdict(False, "equity", "no equity is left")
            notional = order.worth(price)
            if verdict := _too_large(notional, self.limits.max_order_notional_usdt, "this bot"):
                return verdict
            if most is not None and (after := position_value + notional) > most:
                words = f"the position would be worth {after:.2f} USDT, the limit of this bot is {most}"
                return Verdict(False, "max_position_usdt", words)
        elif position_value <= 0:
            return Verdict(False, "position", "nothing is held: spot accounts cannot sell short")
        if self.state is TradingState.ACTIVE and self._rate.is_full(time_ms):
            words = f"{self._rate.most} orders in the last minute are the limit of this bot"
            return Verdict(False, "max_orders_per_minute", words)
        return _YES

    def count(self, time_ms: int) -> None:
        """An order was sent."""
        self._rate.count(time_ms)


class FleetGate(LossGuard):
    """Limits and state of all bots together. `capital` is the sum of theirs."""

    def __init__(self, limits: FleetLimits, capital: Decimal) -> None:
        super().__init__(
            capital, max_daily_loss_pct=limits.max_daily_loss_pct, max_drawdown_pct=limits.max_drawdown_pct
        )
        self.limits = limits
        self._rate = OrderRate(limits.max_orders_per_minute)

    def judge(
        self,
        order: Order,
        time_ms: int,
        *,
        price: Decimal,
        equity: Callable[[], Decimal],
        held: Callable[[], Decimal],
        held_of_symbol: Callable[[], Decimal],
    ) -> Verdict:
        """`held` is the worth of all positions with what open buys may add, `held_of_symbol` of those in the order's
        symbol, `equity` the fleet's: asked for only where a limit needs them. All in quote units."""
        if order.side is Side.SELL:
            return _YES
        limits = self.limits
        notional = order.worth(price)
        if self.state is not TradingState.ACTIVE:
            return Verdict(False, "fleet state", f"the fleet is {self.state.lower()}: {self.cause}")
        if verdict := _too_large(notional, limits.max_order_notional_usdt, "the fleet"):
            return verdict
        if limits.max_position_usdt is not None and (after := held() + notional) > limits.max_position_usdt:
            words = f"the fleet's positions would be worth {after:.2f} USDT, its limit is {limits.max_position_usdt}"
            return Verdict(False, "fleet max_position_usdt", words)
        if limits.max_symbol_pct is not None:
            whole = equity()
            share = (held_of_symbol() + notional) * 100 / whole if whole > 0 else Decimal("Infinity")
            if share > Decimal(str(limits.max_symbol_pct)):
                words = f"{share:.2f} % of the fleet's equity would be in {order.symbol}, its limit is"
                return Verdict(False, "fleet max_symbol_pct", f"{words} {limits.max_symbol_pct:g} %")
        if self._rate.is_full(time_ms):
            words = f"{self._rate.most} orders in the last minute are the limit of the fleet"
            return Verdict(False, "fleet max_orders_per_minute", words)
        return _YES

    def count(self, time_ms: int) -> None:
        """An order was sent, of whatever side."""
        self._rate.count(time_ms)


class OrderRate:
    """Orders in the last minute of engine time; `most` of None is no limit."""

    def __init__(self, most: int | None) -> None:
        self.most = most
        self._sent_ms: deque[int] = deque()

    def is_full(self, time_ms: int) -> bool:
        while self._sent_ms and self._sent_ms[0] <= time_ms - MINUTE_MS:
            self._sent_ms.popleft()
        return self.most is not None and len(self._sent_ms) >= self.most

    def count(self, time_ms: int) -> None:
        if self.most is not None:
            self._sent_ms.append(time_ms)


def _too_large(notional: Decimal, most: Decimal | None, whose: str) -> Verdict | None:
    if most is None or notional <= most:
        return None
    words = f"the order is worth {notional:.2f} USDT, the limit of {whose} for one is {most}"
    return Verdict(False, "max_order_notional_usdt" if whose == "this bot" else "fleet max_order_notional_usdt", words)
