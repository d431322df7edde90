"""Who goes next: the more urgent first, each caller its share in weight, the large ones too, in all processes."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantlab.exchange.weight import line
from quantlab.exchange.weight.line import Priority, Waiter
from quantlab.exchange.weight.window import WeightRule

from .budget_machine import Machine, play

LIMIT = 200
LIGHTEST, HEAVIEST = 5, 50
RULE = WeightRule(LIMIT, 30.0)
_OF = Priority.LIVE_FEED
_SOON = ("returned", 1.0, 0.0)  # it gives its room back after a second: turns come fast


def shares(weights: list[list[int]], processes: int, rounds: int) -> Counter[int]:
    """What each caller was given in so many turns of the whole limit, each asking without end for its `weights`."""
    machine = Machine(RULE, processes)
    machine.ask(1, LIMIT, _OF, "full", _SOON)  # all wait behind this one
    for number in range(rounds * LIMIT // LIGHTEST):
        for caller, asked in enumerate(weights):
            machine.ask(1 + caller % processes, asked[number % len(asked)], _OF, str(caller), _SOON)
    machine.advance(rounds + 0.5)
    given = Counter[int]()
    for waiter in machine.granted[1:]:
        given[int(waiter.caller)] += waiter.weight
    return given


_weights = st.lists(st.lists(st.integers(LIGHTEST, HEAVIEST), min_size=1, max_size=4), min_size=2, max_size=8)


@given(_weights, st.integers(1, 3))
@settings(max_examples=25)
def test_callers_with_work_get_the_same_weight(weights: list[list[int]], processes: int) -> None:
    """To within the heaviest request of each, one that passes, and between processes a turn: there small requests go
    a few at each look, and fewer turns fit into the time."""
    given = shares(weights, processes, 3)
    amounts = [given[caller] for caller in range(len(weights))]
    assert sum(amounts) > (2 * LIMIT if processes == 1 else LIMIT // 2)
    assert max(amounts) - min(amounts) <= 3 * HEAVIEST + LIMIT // 100


def test_in_the_order_of_asking_they_would_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: without marks who asks for more gets more."""
    weights = [[5], [50]]
    fair = shares(weights, 1, 3)
    assert abs(fair[0] - fair[1]) <= 50
    monkeypatch.setattr(line._Lane, "tag", lambda self, waiter: float(waiter.arrived))
    greedy = shares(weights, 1, 3)
    assert abs(greedy[0] - greedy[1]) > 250


_fates = st.tuples(st.sampled_from(["answered", "returned", "lost"]), st.floats(0.001, 5.0), st.floats(0, 1))
_asks = st.tuples(
    st.integers(1, 3),
    st.integers(1, LIMIT),
    st.sampled_from(Priority),
    st.sampled_from("ab"),
    _fates,
    st.floats(0, 5),
)


@given(st.lists(_asks, max_size=30))
@settings(max_examples=50)
def test_the_more_urgent_goes_first(steps: list[Any]) -> None:
    machine = Machine(RULE, 3)
    play(machine, steps)
    assert machine.inversions == 0
    assert len(machine.granted) == len(steps), "and in the end everybody went"


def test_without_priorities_it_would_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: a line that looks at the least urgent first."""
    steps = [(1, LIMIT, priority, "", ("returned", 1.0, 0.0), 0.0) for priority in (_OF, Priority.BACKFILL, _OF)]
    for order, inversions in ((Priority, 0), (tuple(reversed(Priority)), 1)):
        monkeypatch.setattr(line, "Priority", order)
        machine = Machine(RULE, 1)
        monkeypatch.setattr(line, "Priority", Priority)
        play(machine, steps)
        assert machine.inversions == inversions


def waiting(machine: Machine, process: int, weight: int, caller: str) -> Waiter:
    return machine.ask(process, weight, _OF, caller, _SOON)


@pytest.mark.parametrize("processes", [1, 2])
def test_small_ones_pass_a_large_one_for_its_own_weight_at_most(processes: int) -> None:
    machine = Machine(RULE, processes)
    for number in range(40):
        machine.ask(1, 5, _OF, f"first {number}", ("returned", 1.0 + number / 10, 0.0))
    large = waiting(machine, processes, 150, "large")
    machine.advance(0.05)
    for number in range(200):
        waiting(machine, 1, 3, f"small {number}")
    for _ in range(200):
        machine.advance(0.1)
    granted = [waiter.caller for waiter in machine.granted]
    at = granted.index("large")
    before = sum(waiter.weight for waiter in machine.granted[:at] if waiter.caller.startswith("small"))
    assert 0 < before <= 150 + 3
    assert large.passed <= 150


def test_a_newcomer_is_neither_owed_nor_owes() -> None:
    machine = Machine(RULE, 1)
    for _ in range(1000):
        waiting(machine, 1, 1, "old")
    machine.advance(1.5)
    for _ in range(400):
        waiting(machine, 1, 1, "new")
    begun = len(machine.granted)
    machine.advance(2.0)
    given = Counter(waiter.caller for waiter in machine.granted[begun:])
    assert abs(given["old"] - given["new"]) <= 2
    assert given["new"] > 50
