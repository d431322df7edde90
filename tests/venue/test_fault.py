"""A fault strikes in its window, in its turn and by its draw, the same each time; what makes no sense is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantlab.model import ConfigurationError
from quantlab.venue.fault import KINDS, Fault
from quantlab.venue.faults import Faults


def struck(count: int = 20, ms: int = 0, **row: Any) -> list[int]:
    """Which of `count` events, numbered from 1, the fault strikes."""
    fault = Fault.of({"match": "aaa", "kind": "gap", **row})
    return [number for number in range(1, count + 1) if fault.strikes("aaausdt@trade", ms)]


def test_every_one_unless_it_says_otherwise() -> None:
    assert struck() == list(range(1, 21))
    assert struck(times=3) == [1, 2, 3]
    assert struck(after_events=4, times=2) == [5, 6]
    assert struck(every=5) == [1, 6, 11, 16]
    assert struck(every=5, after_events=2, times=2) == [3, 8]


def test_a_window_of_market_time() -> None:
    window = {"after_ms": 1_000, "until_ms": 2_000}
    assert [bool(struck(1, ms, **window)) for ms in (0, 999, 1_000, 1_999, 2_000)] == [False, False, True, True, False]


def test_what_lies_outside_the_window_is_not_counted() -> None:
    fault = Fault.of({"match": "", "kind": "gap", "after_ms": 1_000, "after_events": 1})
    assert [fault.strikes("x", ms) for ms in (0, 0, 1_000, 1_001)] == [False, False, False, True]


def test_only_what_it_matches_is_counted() -> None:
    fault = Fault.of({"match": "aaa", "kind": "gap", "every": 2})
    names = ["aaa", "bbb", "aaa", "bbb", "aaa"]
    assert [fault.strikes(name, 0) for name in names] == [True, False, False, False, True]


@given(st.integers(0, 2**40), st.floats(0, 1))
def test_draws_are_a_function_of_seed_and_count(seed: int, probability: float) -> None:
    first = struck(50, probability=probability, seed=seed)
    assert first == struck(50, probability=probability, seed=seed)
    assert set(first) <= set(struck(50, probability=1.0, seed=seed))


def test_draws_are_as_likely_as_they_say() -> None:
    found = struck(4_000, probability=0.25, seed=7)
    assert 0.22 < len(found) / 4_000 < 0.28
    assert found != struck(4_000, probability=0.25, seed=8)
    assert struck(100, probability=0.0) == []


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_each_kind_can_be_said_and_read_back(kind: str) -> None:
    row = Fault.of({"match": "", "kind": kind}).row
    assert row.pop("struck") == 0
    assert Fault.of(row).row == {**row, "struck": 0}


def test_a_code_brings_its_status_and_words() -> None:
    told = {code: Fault.of({"match": "", "kind": "status", "code": code}).told for code in (-1003, -1007, -1021, -2015)}
    assert {code: status for code, (status, _, _) in told.items()} == {-1003: 429, -1007: 504, -1021: 400, -2015: 401}
    assert b"execution status unknown" in told[-1007][2]
    assert Fault.of({"match": "", "kind": "status", "code": -1007, "status": 503}).told[0] == 503
    assert b'"code": -1003' in Fault.of({"match": "", "kind": "status", "status": 429}).told[2]


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"kind": "gap", "ms": 5}, "takes no ms"),
        ({"kind": "latency", "ms": -1}, "ms = -1"),
        ({"kind": "latency", "ms": "5"}, "ms = '5'"),
        ({"kind": "gap", "every": 0}, "every = 0"),
        ({"kind": "gap", "times": 1.5}, "times = 1.5"),
        ({"kind": "gap", "probability": 1.5}, "above 1"),
        ({"kind": "gap", "after_ms": 5, "until_ms": 5}, "not after"),
        ({"kind": "status", "status": 99}, "no status"),
        ({"kind": "status", "headers": "x"}, "headers"),
        ({"kind": "status", "processed": 1}, "processed"),
        ({"kind": "gap", "struck": 3}, "takes no struck"),
        ({"kind": "gap", "match": 3}, "match"),
        ({"kind": ["gap"]}, "there are"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_what_makes_no_sense_is_refused(row: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        Fault.of({"match": "", **row})


def test_a_file_is_named_when_it_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "night.toml"
    path.write_text('[[fault]]\nmatch = ""\nkind = "earthquake"\n')
    with pytest.raises(ConfigurationError, match=r"night\.toml: fault kind"):
        Faults().load(path)
