"""What a bot and what the fleet may do at most, as their file says it. None means not limited."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from quantlab.model import ConfigurationError


@dataclass(frozen=True, slots=True, kw_only=True)
class BotLimits:
    """The limits of one bot.

    `max_position_usdt`: what it holds, with what its open buys may add. `max_order_notional_usdt`: one buy. Percentages
    are of the day's first equity (loss) and of the highest equity so far (drawdown). Raises ConfigurationError.
    """

    max_position_usdt: Decimal | None = None
    max_order_notional_usdt: Decimal | None = None
    max_daily_loss_pct: float | None = None
    max_drawdown_pct: float | None = None
    max_orders_per_minute: int | None = 60

    def __post_init__(self) -> None:
        _check(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetLimits:
    """The limits of all bots together; no bot's own limits lift them.

    `max_symbol_pct`: of the fleet's equity, what all bots together may hold of one symbol (what they hold of it wins
    and loses together, whatever their strategies are). A symbol whose price has moved by `halt_move_pct` within
    `halt_window_minutes` (highest against lowest mid) takes no buy until it has been calmer for `halt_pause_minutes`.
    Raises ConfigurationError.
    """

    max_position_usdt: Decimal | None = None
    max_order_notional_usdt: Decimal | None = None
    max_daily_loss_pct: float | None = None
    max_drawdown_pct: float | None = None
    max_orders_per_minute: int | None = None
    max_symbol_pct: float | None = None
    halt_move_pct: float | None = None
    halt_window_minutes: float = 5
    halt_pause_minutes: float = 15

    def __post_init__(self) -> None:
        _check(self)


def _check(limits: Any) -> None:
    for name in limits.__dataclass_fields__:
        value = getattr(limits, name)
        if value is None:
            continue
        if name.endswith("_usdt") and not 0 < value < Decimal("Infinity"):
            raise ConfigurationError(f"{name} = {value}: must be an amount above 0 USDT")
        if name.endswith("_pct") and not 0 < value <= 100:
            raise ConfigurationError(f"{name} = {value}: must be a percentage above 0 and at most 100")
        if name.endswith("_per_minute") and (value < 1 or value != int(value)):
            raise ConfigurationError(f"{name} = {value}: must be a whole number from 1 up")
        if name.endswith("_minutes") and not 0.25 <= value <= 1440:
            raise ConfigurationError(f"{name} = {value}: must be minutes from 0.25 to 1440")
