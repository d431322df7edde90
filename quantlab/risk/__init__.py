"""From target exposure to orders, and which orders may go: sizing, stops, limits, states."""

from quantlab.risk.gates import FleetGate, RiskGate, Verdict
from quantlab.risk.limits import BotLimits, FleetLimits
from quantlab.risk.losses import LossGuard
from quantlab.risk.sizing import order_for_target
from quantlab.risk.states import TradingState
from quantlab.risk.stops import Protection, protective_orders
from quantlab.risk.volatility import Change, VolatilityHalts

__all__ = [
    "BotLimits",
    "Change",
    "FleetGate",
    "FleetLimits",
    "LossGuard",
    "Protection",
    "RiskGate",
    "TradingState",
    "Verdict",
    "VolatilityHalts",
    "order_for_target",
    "protective_orders",
]
