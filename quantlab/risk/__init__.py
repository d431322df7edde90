"""From target exposure to orders, and which orders may go: sizing, stops, limits, kill states."""

from quantlab.risk.limits import BotLimits, RiskGate, Verdict
from quantlab.risk.sizing import order_for_target
from quantlab.risk.states import BotState
from quantlab.risk.stops import protective_orders

__all__ = ["BotLimits", "BotState", "RiskGate", "Verdict", "order_for_target", "protective_orders"]
