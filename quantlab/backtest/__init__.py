"""The same strategies over years of candles: engine, figures, and what each result assumed."""

from quantlab.backtest.engine import backtest
from quantlab.backtest.plan import FREE, Conventions, Plan
from quantlab.backtest.result import Metrics, Result

__all__ = ["FREE", "Conventions", "Metrics", "Plan", "Result", "backtest"]
