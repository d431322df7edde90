"""The budget holds in any 60 seconds, counted wherever between our sending and the answer the exchange counts, for any
number of processes, whatever becomes of their requests; and what the exchange tells of its own count is understood."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantlab.exchange.weight.line import Priority
from quantlab.exchange.weight.window import WINDOW_S, Process, State, Stop, WeightRule
from quantlab.venue.limits import WeightLimit

from .budget_machine import Machine, Sent, most_in_any_window, play

LIMIT = 100
TIMEOUT_S = 30.0
RULE = WeightRule(LIMIT, TIMEOUT_S)
#: A minute of the exchange's clock begins here.
MINUTE_MS = 60_000 * 29_000_000


_fates = st.tuples(
    st.sampled_from(["answered", "answered", "answered", "lost", "killed", "returned"]),
    st.floats(0.001, TIMEOUT_S),
    st.floats(0, 1),
)
_asks = st.tuples(
    st.integers(1, 3),
    st.integers(1, LIMIT),
    st.sampled_from(Priority),
    st.sampled_from("abc"),
    _fates,
    st.floats(0, 30),
)
_stops = st.tuples(st.just("stop"), st.floats(0, 90), st.sampled_from([0, 429, 418]))
_cancels = st.tuples(st.just("cancel"), st.integers(0, 30))


@given(st.lists(st.one_of(_asks, _asks, _asks, _stops, _cancels), max_size=40))
def test_no_window_holds_more(steps: list[Any]) -> None:
    """Any interleaving of three processes' asking, slow, fast and lost answers, deaths, cancellations and stops."""
    machine = Machine(RULE, 3)
    play(machine, steps)
    assert most_in_any_window(machine.sent) <= LIMIT
    assert most_in_any_window([Sent(sent.weight, sent.taken, sent.taken) for sent in machine.sent]) <= LIMIT


class SentIsSpent(WeightRule):
    """The control: a weight returns one window after it was *sent*, as a plain throttle has it."""

    def take(self, state: State, request: int, weight: int, now: float) -> None:
        super().take(state, request, weight, now)
        state.flying[request] = (weight, now + self.window_s)

    def answered(self, state: State, request: int, weight: int, now: float) -> None:
        """Nothing changes by an answer."""


def test_a_window_by_the_time_of_sending_would_not_do() -> None:
    slow, fast = ("answered", 25.0, 1.0), ("answered", 0.001, 1.0)
    for rule, most in ((RULE, LIMIT), (SentIsSpent(LIMIT, TIMEOUT_S), 2 * LIMIT)):
        machine = Machine(rule, 1)
        play(machine, [(1, LIMIT, Priority.SAFETY, "a", slow, 30.0), (1, LIMIT, Priority.SAFETY, "a", fast, 30.0)])
        assert most_in_any_window(machine.sent) == most


def test_weight_that_never_left_returns_at_once() -> None:
    state = State()
    RULE.take(state, 1, LIMIT, 0.0)
    assert RULE.room(state, 0.0, for_safety=True) < 1
    RULE.returned(state, 1)
    assert RULE.room(state, 0.0, for_safety=True) >= LIMIT


def test_an_answer_holds_for_one_window_and_no_answer_for_the_last_moment_and_one_window() -> None:
    state = State()
    RULE.take(state, 1, 60, 0.0)
    RULE.take(state, 2, 40, 0.0)
    RULE.answered(state, 1, 60, 25.5)
    assert RULE.used(state, 85.4) == 100
    assert RULE.next_return(state, 60.0) == pytest.approx(85.5)
    assert RULE.used(state, 85.5) == 40
    assert RULE.used(state, 94.9) == 40
    assert RULE.used(state, 95.0) == 0


def test_what_returns_together_is_one_sum_and_never_early() -> None:
    state = State()
    for number in range(10_000):
        RULE.answered(state, number, 1, number / 500)
    assert len(state.spent.untils) <= 20 / 0.25 + 1
    for at in (60.001, 65.0, 77.777, 79.99, 80.2):
        due = sum(number / 500 + WINDOW_S > at for number in range(10_000))
        assert due <= RULE.used(state, at) <= due + 500 * 0.25


def test_what_is_larger_than_all_but_the_safety_share_goes_alone() -> None:
    state = State()
    assert RULE.room(state, 0.0, for_safety=False) == LIMIT
    RULE.take(state, 1, 1, 0.0)
    assert RULE.room(state, 0.0, for_safety=False) == LIMIT - 2
    assert RULE.room(state, 0.0, for_safety=True) == LIMIT - 1


def test_who_may_have_to_cancel_keeps_more_room_than_the_hundredth() -> None:
    state = State(processes={5: Process(0.0, LIMIT, safety=20)})
    RULE.take(state, 1, 1, 0.0)
    assert RULE.room(state, 0.0, for_safety=False) == 79
    assert RULE.room(state, 0.0, for_safety=True) == 99
    state.processes[5].safety = 90
    assert RULE.room(state, 0.0, for_safety=False) == 74, "a quarter is the most"


def test_the_lowest_setting_of_those_who_run_counts() -> None:
    state = State(processes={5: Process(0.0, 60)})
    assert RULE.limit_now(state, 10.0) == 60
    assert RULE.limit_now(state, 60.0) == LIMIT


def test_what_the_exchange_allows_lowers_the_limit_and_never_raises_it() -> None:
    assert RULE.limit_now(State(allowed=40), 0.0) == 40
    assert RULE.limit_now(State(allowed=6000), 0.0) == LIMIT


def test_a_429_lowers_the_limit_for_a_while_once_for_all_requests_in_flight() -> None:
    state = State()
    for _ in range(16):
        RULE.stop(state, Stop(7.0, 0, 429, -1003, "quiet"), 0.0)
    assert RULE.limit_now(state, 1.0) == 75
    RULE.stop(state, Stop(20.0, 0, 429, -1003, "quiet"), 10.0)
    assert RULE.limit_now(state, 11.0) == 56
    for at in range(100, 500, 10):
        RULE.stop(state, Stop(at + 1.0, 0, 429, -1003, "quiet"), float(at))
    assert RULE.limit_now(state, 501.0) == 25
    assert RULE.limit_now(state, 490.0 + 600.0) == LIMIT


def test_a_stop_is_never_cut_short() -> None:
    state = State()
    RULE.stop(state, Stop(8.0, 8, 418, 0, "long"), 1.0)
    RULE.stop(state, Stop(3.0, 3, 429, 0, "short"), 2.0)
    assert state.stop is not None and state.stop.text == "long"
    assert RULE.next_return(state, 2.0) == 8.0


def told(state: State, used: int, second: float, *, trip_s: float = 0.1, weight: int = 1, request: int = 1) -> int:
    """An answer at `second` of the exchange's hour; returns what is held as others'."""
    now = 1000.0 + second
    RULE.take(state, request, weight, now - trip_s)
    RULE.answered(state, request, weight, now)
    date_ms = MINUTE_MS + int(second) * 1000
    RULE.told_used(state, used, now, date_ms=date_ms, trip_s=trip_s, weight=weight)
    return state.foreign.held(now)


def test_what_others_spent_at_this_address_is_held_for_one_window() -> None:
    state = State()
    assert told(state, 1, 5) == 0
    assert told(state, 52, 10) == 50
    assert told(state, 73, 20) == 70, "only what is new is added"
    assert told(state, 74, 30) == 70
    assert state.foreign.held(1000.0 + 69.9) == 70
    assert state.foreign.held(1000.0 + 70.0) == 20
    assert state.foreign.held(1000.0 + 80.0) == 0


def test_the_exchanges_number_falls_at_its_minute_and_nothing_is_made_of_it() -> None:
    state = State()
    assert told(state, 40, 30, weight=40) == 0
    assert told(state, 1, 65) == 0
    assert RULE.used(state, 1065.0) == 41, "ours of the last minute is still held: its window is not the minute"
    assert told(state, 22, 70) == 20, "and others are seen although we hold more than the exchange counts"


def test_an_answer_from_around_the_turn_of_the_minute_says_nothing() -> None:
    """Counted at 59.9 s with the old minute's number, answered at 60.1 s: the number is not the new minute's."""
    state = State()
    told(state, 40, 30, weight=40)
    assert told(state, 41, 60.1, trip_s=0.2) == 0
    assert told(state, 41, 64, trip_s=4.5) == 0
    assert told(state, 44, 65) == 41, "the control: it would have been taken for others'"


def test_what_is_under_way_may_be_ours() -> None:
    state = State()
    RULE.take(state, 7, 30, 1009.0)
    assert told(state, 31, 10) == 0
    RULE.returned(state, 7)
    assert told(state, 32, 11) == 30


@given(
    st.lists(st.tuples(st.booleans(), st.integers(1, 20), st.floats(0.01, 40), st.floats(0.001, 3)), max_size=40),
    st.floats(0, 60),
)
def test_none_of_ours_is_taken_for_others_and_most_of_others_is_seen(
    steps: list[tuple[bool, int, float, float]], offset: float
) -> None:
    """Against the venue's counter, which goes by the minute of its wall clock as the exchange's does."""
    state, now, theirs, between = State(), 1000.0, Counter[int](), Counter[int]()
    venue = WeightLimit(6000, wall=lambda: now + offset)
    for number, (is_ours, weight, pause, trip) in enumerate(steps):
        now += pause
        minute, used = int((now + offset) // 60), venue.take(weight)
        if not is_ours:
            theirs[minute] += weight
            continue
        RULE.take(state, number, weight, now)
        now += trip
        RULE.answered(state, number, weight, now)
        RULE.told_used(state, used, now, date_ms=int(now + offset) * 1000, trip_s=trip, weight=weight)
        if minute < state.minute:
            between[state.minute] += weight  # counted in the one, answered in the other: it may be of either
        assert state.minute_foreign <= theirs[state.minute]
        if int(now + offset) - trip >= state.minute * 60:
            assert state.minute_foreign >= theirs[state.minute] - between[state.minute]


def test_a_state_of_another_boot_holds_all_that_it_held_for_as_long_as_it_may_count() -> None:
    state = State(boot="old")
    RULE.take(state, 1, 30, 5000.0)
    RULE.answered(state, 2, 20, 5000.0)
    RULE.stop(state, Stop(6000.0, 1_000_000, 418, 0, "banned"), 5000.0)
    fresh = RULE.cautious(state, "new", 10.0, wall_ms=400_000)
    assert RULE.used(fresh, 10.0) == 50
    assert RULE.used(fresh, 10.0 + 94.9) == 50
    assert RULE.used(fresh, 10.0 + 95.2) == 0
    assert fresh.stop is not None and fresh.stop.until_s == pytest.approx(610.0), "a ban ends by the wall's clock"
    assert RULE.used(RULE.cautious(None, "new", 10.0, wall_ms=0), 10.0) == LIMIT
