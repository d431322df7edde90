"""The nine strategies, what they are made of, and how to name your own."""

from quantlab.strategies.base import Strategy
from quantlab.strategies.registry import STRATEGIES, find_strategy, make_strategy, source_sha256

__all__ = ["STRATEGIES", "Strategy", "find_strategy", "make_strategy", "source_sha256"]
