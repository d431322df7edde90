"""What a search goes through: lists of values by the name of a parameter, and the combinations of them."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from quantlab.model import ConfigurationError

#: More values than this in one list are a slip of the keyboard.
_MOST_VALUES = 100_000


@dataclass(frozen=True)
class Space:
    """Values to try, in order, by parameter name. Combinations have numbers from 0; the last parameter changes
    fastest. Raises ConfigurationError for a parameter without values, or with one twice."""

    values: Mapping[str, tuple[Any, ...]]

    def __post_init__(self) -> None:
        if not self.values:
            raise ConfigurationError("give a parameter to search, such as fast=5:50:5")
        for name, of_name in self.values.items():
            if not of_name or len(set(of_name)) < len(of_name):
                raise ConfigurationError(f"{name}: give one value or more, each once")

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Space:
        """From what a person gives: a list, a range or an array by name, or one value that stays."""
        return cls({name: _listed(name, given) for name, given in values.items()})

    def __len__(self) -> int:
        return math.prod(len(of_name) for of_name in self.values.values())

    @property
    def searched(self) -> tuple[str, ...]:
        """The parameters that have more than one value."""
        return tuple(name for name, of_name in self.values.items() if len(of_name) > 1)

    def at(self, number: int) -> dict[str, Any]:
        """The combination of this number."""
        picked: dict[str, Any] = {}
        for name, of_name in reversed(list(self.values.items())):
            number, place = divmod(number, len(of_name))
            picked[name] = of_name[place]
        return dict(reversed(picked.items()))

    def all(self) -> Iterator[dict[str, Any]]:
        return (self.at(number) for number in range(len(self)))

    def drawn(self, count: int, seed: int) -> list[dict[str, Any]]:
        """`count` different combinations at random, or all of them where there are no more; in order of number."""
        if count >= len(self):
            return list(self.all())
        draw = random.Random(seed)  # noqa: S311 (a draw to be repeated, not a secret)
        return [self.at(number) for number in sorted(draw.sample(range(len(self)), count))]

    def corners(self) -> Iterator[dict[str, Any]]:
        """First and last value of each parameter, in every combination."""
        ends = {name: tuple(dict.fromkeys((of_name[0], of_name[-1]))) for name, of_name in self.values.items()}
        return Space(ends).all()


def parse_values(text: str) -> tuple[str, tuple[Any, ...]]:
    """`fast=5:50:5` (from, to and with, step; the step may be left out), `fast=5,10,20` or `fast=12`. Raises
    ConfigurationError."""
    name, sign, given = text.partition("=")
    name = name.strip()
    if not sign or not name or not given.strip():
        raise ConfigurationError(f"{text}: write it as name=value, name=1,2,3 or name=from:to:step")
    if ":" not in given:
        return name, tuple(_value(each) for each in given.split(","))
    try:
        first, last, *rest = (Decimal(each.strip()) for each in given.split(":"))
        step = rest[0] if rest else Decimal(1)
        if len(rest) > 1 or step <= 0 or last < first:
            raise ValueError
    except (InvalidOperation, ValueError) as error:
        raise ConfigurationError(f"{text}: write a range as {name}=5:50:5, upwards") from error
    if (last - first) / step > _MOST_VALUES:
        raise ConfigurationError(f"{text}: more than {_MOST_VALUES:,} values")
    steps = [first + step * number for number in range(int((last - first) / step) + 1)]
    whole = all(each == each.to_integral_value() for each in (first, step))
    return name, tuple(int(each) if whole else float(each) for each in steps)


def _value(text: str) -> Any:
    text = text.strip()
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return {"true": True, "false": False}.get(text.lower(), text)


def _listed(name: str, given: Any) -> tuple[Any, ...]:
    if isinstance(given, str) or not isinstance(given, Iterable):
        given = [given]
    listed: Sequence[Any] = [each.item() if hasattr(each, "item") else each for each in given]  # numpy's own numbers
    if len(listed) > _MOST_VALUES:
        raise ConfigurationError(f"{name}: more than {_MOST_VALUES:,} values")
    return tuple(listed)
