"""Whether a bot, a symbol or the fleet may trade."""

from __future__ import annotations

from enum import StrEnum


class TradingState(StrEnum):
    """ACTIVE: every order that the limits allow. REDUCING: the strategy goes on, but only sales pass. HALTED:
    the strategy is not followed any more; only the sales that flatten the position pass.

    Spot and long only: a sale always reduces, a buy never does.
    """

    ACTIVE = "ACTIVE"
    REDUCING = "REDUCING"
    HALTED = "HALTED"
