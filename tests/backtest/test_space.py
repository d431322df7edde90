"""Promise: a space has every combination once, in an order; what is drawn of it is drawn anew by the same seed."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantlab.backtest.space import Space, parse_values
from quantlab.model import ConfigurationError

spaces = st.dictionaries(
    st.sampled_from("abcd"), st.lists(st.integers(-5, 50), min_size=1, max_size=6, unique=True), min_size=1
)


@given(spaces)
def test_every_combination_once_the_last_parameter_first(values: dict[str, list[int]]) -> None:
    space = Space.of(values)
    every = [dict(zip(values, picked, strict=True)) for picked in product(*values.values())]
    assert list(space.all()) == every and len(space) == len(every)


@given(spaces, st.integers(1, 40), st.integers(0, 9))
def test_a_draw_has_no_combination_twice_and_is_repeated_by_its_seed(
    values: dict[str, list[int]], count: int, seed: int
) -> None:
    space = Space.of(values)
    drawn = space.drawn(count, seed)
    assert drawn == space.drawn(count, seed)
    assert len({tuple(each.values()) for each in drawn}) == len(drawn) == min(count, len(space))


def test_another_seed_draws_others() -> None:
    space = Space.of({"a": range(1_000), "b": range(90_000)})
    assert space.drawn(5, 1) != space.drawn(5, 2)


def test_corners() -> None:
    assert list(Space.of({"a": [1, 2, 3], "b": 7}).corners()) == [{"a": 1, "b": 7}, {"a": 3, "b": 7}]
    assert Space.of({"a": [1, 2, 3], "b": 7}).searched == ("a",)


def test_numbers_of_numpy_become_pythons_own() -> None:
    values = Space.of({"a": np.arange(3), "b": np.array([0.5])}).values
    assert values == {"a": (0, 1, 2), "b": (0.5,)}
    assert all(type(each) is int for each in values["a"])


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("fast=5:9", (5, 6, 7, 8, 9)),
        ("fast=5:50:15", (5, 20, 35, 50)),
        ("fast=5:51:15", (5, 20, 35, 50)),
        ("fast=0.5:1:0.25", (0.5, 0.75, 1.0)),
        ("fast=0.1:0.5:0.1", (0.1, 0.2, 0.3, 0.4, 0.5)),
        ("fast=5, 10,2.5", (5, 10, 2.5)),
        ("fast=12", (12,)),
        ("fast=true,false", (True, False)),
        ("fast=close", ("close",)),
    ],
)
def test_what_a_person_writes(text: str, values: tuple[object, ...]) -> None:
    name, found = parse_values(text)
    assert (name, found) == ("fast", values)
    assert [type(each) for each in found] == [type(each) for each in values]


@pytest.mark.parametrize("text", ["fast", "=5", "fast=", "fast=9:5", "fast=1:5:0", "fast=1:2:3:4", "fast=a:b",
                                  "fast=0:1e9:1"])  # fmt: skip
def test_what_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError):
        parse_values(text)


@pytest.mark.parametrize("values", [{}, {"a": []}, {"a": [1, 1]}])
def test_empty_and_double_values_are_refused(values: dict[str, list[int]]) -> None:
    with pytest.raises(ConfigurationError):
        Space.of(values)
