"""The budget holds in any 60 seconds, counted wherever between our sending and the answer the exchange counts."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantlab.exchange.budget import LOST_MARGIN_S, WINDOW_S, Budget, WeightWindow
from quantlab.model import ConfigurationError, ExchangeError, ExchangeUnreachable

LIMIT = 100
TIMEOUT_S = 30.0


class Request:
    def __init__(self, weight: int, sent: float, counted: float) -> None:
        self.weight, self.sent, self.counted = weight, sent, counted


def most_in_any_window(requests: list[Request]) -> int:
    """The heaviest 60 s, by the moment at which the exchange counted each request."""
    return max(
        sum(other.weight for other in requests if 0 <= other.counted - request.counted < WINDOW_S)
        for request in requests
    )


# weight, pause before asking, round trip (None: no answer comes), where in it the exchange counts
_asks = st.lists(
    st.tuples(
        st.integers(1, LIMIT),
        st.floats(0, 40),
        st.one_of(st.none(), st.floats(0.001, TIMEOUT_S)),
        st.floats(0, 1),
    ),
    min_size=1,
    max_size=40,
)


@given(_asks)
def test_no_window_holds_more(asks: list[tuple[int, float, float | None, float]]) -> None:
    """Any timeline of asking, slow, fast and lost answers: callers ask without waiting for one another."""
    window = WeightWindow(LIMIT, timeout_s=TIMEOUT_S)
    now = 0.0
    answers: list[tuple[float, object]] = []
    requests: list[Request] = []

    def advance(until: float) -> None:
        nonlocal now
        for due, held in sorted(answers, key=lambda answer: answer[0]):
            if due <= until:
                window.answered(held, due)  # type: ignore[arg-type]
                answers.remove((due, held))
        now = until

    for weight, pause, trip, where in asks:
        advance(now + pause)
        while (wait := window.wait_s(weight, now)) > 0:
            advance(min([now + wait, *(due for due, _ in answers)]))
        held = window.take(weight, now)
        latest = TIMEOUT_S + LOST_MARGIN_S if trip is None else trip
        requests.append(Request(weight, now, now + latest * where))
        if trip is not None:
            answers.append((now + trip, held))
    assert most_in_any_window(requests) <= LIMIT
    assert most_in_any_window(requests) <= window.peak <= LIMIT


def test_a_window_by_the_time_of_sending_would_not_do() -> None:
    """The control: were a weight to return 60 s after it was *sent*, this timeline would break the budget."""
    slow, fast = Request(LIMIT, 0.0, 25.0), Request(LIMIT, 60.0, 60.1)
    assert fast.sent - slow.sent >= WINDOW_S
    assert most_in_any_window([slow, fast]) > LIMIT
    window = WeightWindow(LIMIT, timeout_s=TIMEOUT_S)
    held = window.take(LIMIT, 0.0)
    window.answered(held, 25.5)
    assert window.wait_s(LIMIT, 60.0) == pytest.approx(25.5)


def test_weight_that_never_left_returns_at_once() -> None:
    window = WeightWindow(LIMIT, timeout_s=TIMEOUT_S)
    held = window.take(LIMIT, 0.0)
    assert window.wait_s(1, 0.0) > 0
    window.returned(held)
    assert window.wait_s(LIMIT, 0.0) == 0


def test_what_others_spent_at_this_address_counts() -> None:
    window = WeightWindow(LIMIT, timeout_s=TIMEOUT_S)
    window.answered(window.take(10, 0.0), 0.1)
    window.told_used(10, 0.1)
    assert window.wait_s(90, 0.1) == 0
    window.told_used(70, 0.2)  # 60 of them are not ours
    assert window.used(0.2) == 70
    assert window.wait_s(40, 0.2) == pytest.approx(59.9)
    assert window.wait_s(40, 60.3) == 0
    assert window.peak == 10


def test_a_stop_holds_until_it_ends() -> None:
    window = WeightWindow(LIMIT, timeout_s=TIMEOUT_S)
    window.stop(7.0, ExchangeError("wait", status=429), 1.0)
    assert window.wait_s(1, 2.0) == pytest.approx(6.0)
    window.stop(1.0, ExchangeError("shorter", status=429), 2.0)
    assert window.wait_s(1, 2.0) == pytest.approx(6.0)
    assert window.wait_s(1, 8.0) == 0


def small(limit: int = 10, window_s: float = 0.2) -> Budget:
    return Budget(limit, timeout_s=0.1, window_s=window_s)


def soon(budget: Budget, seconds: float = 5.0) -> float:
    return budget._clock() + seconds


async def test_more_than_the_whole_budget_is_refused_at_once() -> None:
    budget = small()
    with pytest.raises(ConfigurationError, match="QUANTLAB_WEIGHT_PER_MINUTE"):
        await budget.take(11, "GET /api/v3/depth", soon(budget))
    assert await budget.take(10, "GET /api/v3/depth", soon(budget))


async def test_first_come_first_served_and_a_cancelled_wait_costs_nothing() -> None:
    budget = small()
    order: list[str] = []

    async def ask(name: str, weight: int) -> None:
        held = await budget.take(weight, name, soon(budget))
        order.append(name)
        budget.answered(held)

    await ask("a", 10)
    waiting = [asyncio.create_task(ask(name, weight)) for name, weight in (("b", 10), ("c", 9), ("d", 1))]
    await asyncio.sleep(0.01)
    waiting[0].cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert order == ["a", "c", "d"]
    assert budget.peak_weight == 10


async def test_an_answer_wakes_who_waits() -> None:
    budget = Budget(10, timeout_s=1000.0, window_s=0.05)
    held = await budget.take(10, "a", soon(budget))
    waiting = asyncio.create_task(budget.take(10, "b", soon(budget)))
    await asyncio.sleep(0.01)
    assert not waiting.done()
    budget.answered(held)
    async with asyncio.timeout(5):  # without being woken it would wait for the lost answer's 1,000 s
        await waiting


async def test_no_room_in_time_is_said() -> None:
    budget = small(window_s=60.0)
    budget.answered(await budget.take(10, "a", soon(budget)))
    with pytest.raises(ExchangeUnreachable, match="no room in the budget of 10"):
        await budget.take(1, "GET /api/v3/klines", soon(budget, 0.05))


async def test_a_ban_longer_than_the_callers_patience_is_said_at_once() -> None:
    budget = small()
    budget.stop(3600.0, ExchangeError("banned for an hour", status=418))
    with pytest.raises(ExchangeError, match="banned for an hour"):
        await budget.take(1, "GET /api/v3/klines", soon(budget))
