"""The queue of one process: the more urgent first, fair among callers, cancelled waits free, stops obeyed and said."""

from __future__ import annotations

import asyncio

import pytest

from quantlab.exchange.weight.budget import Budget, Held, Priority
from quantlab.exchange.weight.store import OwnState
from quantlab.model import ConfigurationError, ExchangeError, ExchangeUnreachable


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


async def test_a_ban_says_until_when() -> None:
    budget = small()
    budget.stop(3600.0, ExchangeError("banned", status=418, code=-1003))
    with pytest.raises(ExchangeError, match=r"until \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC") as caught:
        await budget.take(1, "GET /api/v3/klines", soon(budget))
    assert (caught.value.status, caught.value.code) == (418, -1003)
    assert budget.snapshot()["stopped_until_ms"] > 0


async def served(budget: Budget, asks: list[tuple[str, int, Priority, str]], *, limit: int) -> list[str]:
    """The order in which `asks` (name, weight, priority, caller) are granted when all wait behind a full budget."""
    order: list[str] = []
    first = await budget.take(limit, "full", soon(budget))

    async def ask(name: str, weight: int, priority: Priority, caller: str) -> None:
        held = await budget.take(weight, name, soon(budget), priority=priority, caller=caller)
        order.append(name)
        budget.answered(held)

    waiting = [asyncio.create_task(ask(*one)) for one in asks]
    await asyncio.sleep(0)
    budget.answered(first)
    async with asyncio.timeout(20):
        await asyncio.gather(*waiting)
    return order


async def test_the_more_urgent_goes_first() -> None:
    order = await served(
        small(),
        [(priority.name, 10, priority, "") for priority in reversed(Priority)],
        limit=10,
    )
    assert order == [priority.name for priority in Priority]


async def test_one_greedy_caller_does_not_hold_up_the_others() -> None:
    asks = [(f"greedy {number}", 1, Priority.LIVE_FEED, "greedy") for number in range(200)]
    asks += [(f"modest {number}", 1, Priority.LIVE_FEED, f"bot {number}") for number in range(44)]
    order = await served(Budget(50, timeout_s=0.1, window_s=0.05), asks, limit=50)
    assert max(order.index(f"modest {number}") for number in range(44)) < 46
    greedy = [name for name in order if name.startswith("greedy")]
    assert greedy == [f"greedy {number}" for number in range(200)], "first come, first served within a caller"


async def test_a_large_request_is_passed_by_small_ones_for_its_own_weight_at_most() -> None:
    budget = Budget(20, timeout_s=0.1, window_s=0.1)
    order: list[str] = []
    over = asyncio.Event()

    async def small_ones(number: int) -> None:
        while not over.is_set():
            budget.answered(await budget.take(1, "small", soon(budget), caller=f"small {number}"))
            order.append("small")

    many = [asyncio.create_task(small_ones(number)) for number in range(30)]
    await asyncio.sleep(0.15)
    order.clear()
    async with asyncio.timeout(20):
        await budget.take(19, "large", soon(budget), caller="large")
    over.set()
    for task in many:
        task.cancel()
    await asyncio.gather(*many, return_exceptions=True)
    assert len(order) <= 30 + 19, "one each of those who waited before it, and as many as it weighs"


async def test_safety_finds_room_where_others_find_none() -> None:
    budget = Budget(200, timeout_s=0.1, window_s=60.0)
    for _ in range(198):
        budget.answered(await budget.take(1, "GET /api/v3/klines", soon(budget)))
    with pytest.raises(ExchangeUnreachable):
        await budget.take(1, "GET /api/v3/klines", soon(budget, 0.02))
    for _ in range(2):
        assert await budget.take(1, "GET /api/v3/time", soon(budget), priority=Priority.SAFETY)
    with pytest.raises(ExchangeUnreachable):
        await budget.take(1, "GET /api/v3/time", soon(budget, 0.02), priority=Priority.SAFETY)


async def test_who_is_cancelled_in_the_moment_it_is_granted_gives_it_back() -> None:
    budget = small(window_s=60.0)
    held = await budget.take(10, "a", soon(budget))
    waiting = asyncio.create_task(budget.take(10, "b", soon(budget)))
    await asyncio.sleep(0.01)
    budget.returned(held)  # grants it to b, which has not run yet
    assert budget.snapshot()["used"] == 10
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert waiting.cancelled()
    assert budget.snapshot()["used"] == 0


async def test_what_is_settled_twice_counts_once() -> None:
    budget = small(window_s=60.0)
    held = await budget.take(6, "a", soon(budget))
    budget.answered(held)
    budget.returned(held)
    budget.lost(held)
    assert budget.snapshot()["used"] == 6


async def test_what_the_exchange_allows_holds_below_the_setting() -> None:
    budget = Budget(100, timeout_s=0.1, window_s=60.0)
    budget.allowed(6000)
    assert budget.snapshot()["limit"] == 100
    budget.allowed(40)
    assert budget.snapshot()["limit"] == 40
    budget.answered(await budget.take(40, "a", soon(budget)))
    with pytest.raises(ExchangeUnreachable, match="budget of 40"):
        await budget.take(1, "b", soon(budget, 0.02))


async def test_the_snapshot_shows_who_waits() -> None:
    budget = small(window_s=60.0)
    held = await budget.take(10, "a", soon(budget))
    waiting = [asyncio.create_task(budget.take(5, "b", soon(budget), priority=Priority.BACKFILL)) for _ in range(3)]
    await asyncio.sleep(0.01)
    shown = budget.snapshot()
    assert shown["waiting"] == {"safety": 0, "live_feed": 0, "warm_up": 0, "backfill": 3}
    assert (shown["limit"], shown["used"], shown["processes"], shown["stopped_until_ms"]) == (10, 10, 1, 0)
    budget.returned(held)
    await asyncio.sleep(0)
    for task in waiting:
        task.cancel()
    found = await asyncio.gather(*waiting, return_exceptions=True)
    assert sum(isinstance(one, Held) for one in found) == 2


async def test_who_waits_at_a_door_that_closes_is_told() -> None:
    budget = small(window_s=60.0)
    await budget.take(10, "a", soon(budget))
    waiting = asyncio.create_task(budget.take(1, "GET /api/v3/klines", soon(budget)))
    await asyncio.sleep(0.01)
    budget.close()
    with pytest.raises(ExchangeUnreachable, match="its door was closed"):
        await waiting


async def test_a_whole_line_that_gives_up_is_forgotten_at_once() -> None:
    store = OwnState()
    one, other = (Budget(10, timeout_s=0.1, window_s=0.3, open_store=lambda rule: store) for _ in range(2))
    held = await one.take(10, "full", soon(one))
    waiting = [asyncio.create_task(one.take(10, "a", soon(one), priority=Priority.SAFETY)) for _ in range(3)]
    await asyncio.sleep(0.01)
    assert any(process.rows for process in store.lock().processes.values())
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    await asyncio.sleep(0.01)
    assert not any(process.rows for process in store.lock().processes.values())
    one.returned(held)
    assert await other.take(10, "b", soon(other))


async def test_what_can_not_fit_any_more_holds_nobody_up() -> None:
    budget = Budget(100, timeout_s=0.1, window_s=60.0)
    full = await budget.take(100, "full", soon(budget))
    waiting = asyncio.create_task(budget.take(50, "GET /api/v3/depth", soon(budget)))
    await asyncio.sleep(0.01)
    budget.allowed(40)
    with pytest.raises(ExchangeUnreachable, match="costs 50 weight, and 40 a minute is all there is now"):
        await waiting
    budget.returned(full)
    assert await budget.take(40, "a", soon(budget))
