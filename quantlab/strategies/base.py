"""What a strategy is: a frozen dataclass of parameters with one method that says how much to hold."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

import polars as pl

from quantlab.model import BookView, ConfigurationError, DesiredQuote, Order, Position


class Strategy:
    """Base of all strategies. Subclasses are frozen dataclasses; their fields are the parameters.

    Expression strategies implement `lookback` and `exposure`. Book strategies set `uses_book = True` and implement
    `on_book` and `why_aside`. Both are pure: no clock, no state, no randomness.
    """

    #: True for a strategy that rests orders on the book instead of giving an exposure at each close.
    uses_book: ClassVar[bool] = False

    @property
    def lookback(self) -> int:
        """Candles that the value at a close can depend on, that candle included: evaluated on the last `lookback`
        candles, `exposure` gives what it gives on all history. 0 for book strategies."""
        if self.uses_book:
            return 0
        raise NotImplementedError(f"{type(self).__name__} must say its lookback, in candles")

    def exposure(self) -> pl.Expr:
        """Target exposure at each candle's close: Float64 from 0 (flat) to 1 (all of the bot's equity), never null.

        An expression over the columns `open_time` (ms), `open`, `high`, `low`, `close` (quote units), `volume` (base
        units) and `tick` (the symbol's tick size). Raises ConfigurationError for a book strategy.
        """
        if self.uses_book:
            raise ConfigurationError(
                f"{type(self).__name__} rests orders on the book and has no exposure at candle closes:"
                " run it in a fleet, where there are books"
            )
        raise NotImplementedError(f"{type(self).__name__} must give its exposure")

    def on_book(self, book: BookView, position: Position, open_orders: Sequence[Order]) -> Sequence[DesiredQuote]:
        """The orders that should rest now, given the book, what the bot holds and what it has resting. An open order
        that is to stay is named again with its own price."""
        raise ConfigurationError(f"{type(self).__name__} decides at candle closes: it rests no orders on the book")

    def why_aside(self, book: BookView, position: Position) -> str:
        """Why `on_book` wants nothing on this book, in words for people; "" when it does not stand aside."""
        return ""


def check_whole(strategy: Strategy, field: str, *, at_least: int, at_most: int = 10_000) -> None:
    """Refuse a parameter that is not a whole number in the range; raises ConfigurationError naming it."""
    value = getattr(strategy, field)
    if not isinstance(value, int) or isinstance(value, bool) or not at_least <= value <= at_most:
        raise _wrong(strategy, field, f"must be a whole number from {at_least} to {at_most}, not {value!r}")


def check_number(strategy: Strategy, field: str, *, at_least: float, at_most: float) -> None:
    """Refuse a parameter that is not a number in the range; raises ConfigurationError naming it."""
    value = getattr(strategy, field)
    number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not number or not at_least <= value <= at_most:
        raise _wrong(strategy, field, f"must be a number from {at_least:g} to {at_most:g}, not {value!r}")


def check_above(strategy: Strategy, field: str, other: str) -> None:
    """Refuse a parameter that is not above another one; raises ConfigurationError naming both."""
    value, bound = getattr(strategy, field), getattr(strategy, other)
    if not value > bound:
        raise _wrong(strategy, field, f"must be above {other} ({bound!r}), not {value!r}")


def _wrong(strategy: Strategy, field: str, what: str) -> ConfigurationError:
    return ConfigurationError(f'{type(strategy).__name__}: parameter "{field}" {what}')
