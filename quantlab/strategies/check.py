"""Checks of parameters, with one line that names the field."""

from __future__ import annotations

from quantlab.model import ConfigurationError


def whole(strategy: object, *names: str, least: int = 1, most: int = 5_000) -> None:
    """Each field must be a whole number within the bounds."""
    for name in names:
        value = getattr(strategy, name)
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise ConfigurationError(f"parameter {name} = {value!r} must be a whole number from {least} to {most}")


def between(strategy: object, name: str, least: float, most: float) -> None:
    """The field must be a number within the bounds."""
    value = getattr(strategy, name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        raise ConfigurationError(f"parameter {name} = {value!r} must be a number from {least:g} to {most:g}")


def ordered(strategy: object, smaller: str, larger: str) -> None:
    """One field must be below the other."""
    if not getattr(strategy, smaller) < getattr(strategy, larger):
        raise ConfigurationError(
            f"parameter {smaller} = {getattr(strategy, smaller)} must be below {larger} = {getattr(strategy, larger)}"
        )
