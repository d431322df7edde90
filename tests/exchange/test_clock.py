"""The exchange's clock is known within the uncertainty that is stated; a clock that was set is noticed at once.

All three clocks of the machine are the test's: true time goes on by itself, the wall's may be set, the monotonic one
stands still while the machine sleeps.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantlab.exchange import Door
from quantlab.exchange import clock as clock_module
from quantlab.exchange.clock import ExchangeClock, Reading
from quantlab.model import ExchangeUnreachable

from .scripted import ScriptedExchange, until

START_MS = 1_723_118_400_000.0


class Machine:
    """True time and this machine's clocks, in seconds since the start; `exchange_ms` is what the exchange would say."""

    def __init__(self, *, counts_sleep: bool = True) -> None:
        self.counts_sleep = counts_sleep
        self.true_s = 0.0
        self.slept_s = 0.0
        self.wall_set_ms = 0.0
        self.exchange_set_ms = 0.0
        self.asked = 0
        self.rtt_s = 0.02
        self.share = 0.5
        self.fault: Exception | None = None
        self.clock = ExchangeClock(
            self.read,
            wall_ms=lambda: START_MS + self.true_s * 1000 + self.wall_set_ms,
            steady_s=lambda: 1_000.0 + self.true_s - (0.0 if counts_sleep else self.slept_s),
            monotonic_s=self.monotonic_s,
            counts_sleep=counts_sleep,
        )

    def monotonic_s(self) -> float:
        return 50.0 + self.true_s - self.slept_s

    @property
    def exchange_ms(self) -> float:
        return START_MS + self.true_s * 1000 + self.exchange_set_ms

    async def read(self) -> Reading:
        """A round trip: `share` of it on the way there."""
        self.asked += 1
        if self.fault is not None:
            raise self.fault
        sent_s = self.monotonic_s()
        self.true_s += self.rtt_s * self.share
        server_ms = int(self.exchange_ms)
        self.true_s += self.rtt_s * (1 - self.share)
        return Reading(server_ms, sent_s, self.monotonic_s())

    def date(self, error_ms: float = 0.0) -> Reading:
        """The `Date` of an answer that took no time."""
        whole_s = int((self.exchange_ms + error_ms) // 1000) * 1000
        return Reading(whole_s, self.monotonic_s(), self.monotonic_s(), resolution_ms=1000.0)

    def sleep(self, seconds: float) -> None:
        self.true_s += seconds
        self.slept_s += seconds


@pytest.fixture
def machine() -> Machine:
    return Machine()


def test_before_anything_is_known_it_is_this_machines(machine: Machine) -> None:
    clock = machine.clock
    assert clock.now_ms() == round(START_MS)
    assert clock.snapshot() == {
        "offset_ms": None,
        "uncertainty_ms": None,
        "age_s": None,
        "jumps": 0,
        "last_jump_ms": 0.0,
        "alert": "",
    }


async def test_the_middle_of_the_round_trip(machine: Machine) -> None:
    machine.exchange_set_ms = -300.0
    await machine.clock.measure()
    assert machine.clock.offset_ms == pytest.approx(300, abs=1)
    assert machine.clock.uncertainty_ms == pytest.approx(10.5, abs=0.01)
    assert machine.clock.now_ms() == pytest.approx(machine.exchange_ms, abs=1)
    machine.true_s += 100
    assert machine.clock.uncertainty_ms == pytest.approx(20.5, abs=0.01), "what a crystal may drift"
    assert machine.clock.age_s == pytest.approx(100, abs=0.1)


async def test_the_shortest_round_trip_counts(machine: Machine) -> None:
    """A slow, lopsided one after it changes nothing."""
    await machine.clock.measure()
    good = machine.clock.offset_ms
    machine.rtt_s, machine.share = 2.0, 1.0
    await machine.clock.measure()
    assert machine.clock.offset_ms == pytest.approx(good, abs=1)
    machine.true_s += 20_000  # until the good one is older than the bad one is wide
    machine.rtt_s, machine.share = 0.1, 0.5
    await machine.clock.measure()
    assert machine.clock.age_s == pytest.approx(0.05, abs=0.01)


@given(
    st.lists(
        st.tuples(st.floats(0.001, 3.0), st.floats(0.0, 1.0), st.floats(0.0, 2_000.0)),
        min_size=1,
        max_size=20,
    ),
    st.floats(-5_000.0, 5_000.0),
    st.floats(-90.0, 90.0),
)
def test_the_truth_is_within_what_is_stated(
    trips: list[tuple[float, float, float]], offset_ms: float, drift_ppm: float
) -> None:
    """Whatever the way there and back, with a crystal that goes wrong by less than 100 ppm."""
    machine = Machine()

    async def live() -> None:
        for rtt_s, share, pause_s in trips:
            machine.rtt_s, machine.share = rtt_s, share
            machine.exchange_set_ms = offset_ms + machine.true_s * drift_ppm / 1000
            await machine.clock.measure()
            machine.true_s += pause_s
            machine.exchange_set_ms = offset_ms + machine.true_s * drift_ppm / 1000
            error_ms = abs(machine.clock.now_ms() - machine.exchange_ms)
            assert machine.clock.uncertainty_ms is not None
            assert error_ms <= machine.clock.uncertainty_ms + 1.5 + rtt_s * 0.2

    asyncio.run(live())


async def test_a_crystal_beyond_belief_is_outside(machine: Machine) -> None:
    """The control: what is stated can be wrong."""
    await machine.clock.measure()
    machine.true_s += 1_000
    machine.exchange_set_ms = 1_000 * 5.0
    assert machine.clock.uncertainty_ms is not None
    assert abs(machine.clock.now_ms() - machine.exchange_ms) > machine.clock.uncertainty_ms


async def test_the_date_of_any_answer_is_better_than_nothing(machine: Machine) -> None:
    machine.exchange_set_ms = 40_000.0
    machine.true_s += 0.7
    machine.clock.saw_date(machine.date())
    assert machine.clock.uncertainty_ms == pytest.approx(500, abs=1)
    assert machine.clock.now_ms() == pytest.approx(machine.exchange_ms, abs=501)
    await machine.clock.measure()
    machine.clock.saw_date(machine.date())
    assert machine.clock.uncertainty_ms == pytest.approx(10.5, abs=0.1), "and never in the way of a reading"


async def test_a_date_that_contradicts_calls_for_a_reading(machine: Machine) -> None:
    running = await started(machine)
    machine.clock.saw_date(machine.date())
    await passes(machine, 5)
    assert machine.asked == 1, "the control: one that agrees does not"
    machine.exchange_set_ms = 4_000.0
    machine.clock.saw_date(machine.date())
    await passes(machine, 1)
    assert machine.asked == 2
    assert machine.clock.offset_ms == pytest.approx(-4_000, abs=1), "and what it contradicts is forgotten"
    running.cancel()


@pytest.mark.parametrize("counts_sleep", [True, False])
async def test_a_wall_clock_that_is_set_is_noticed(counts_sleep: bool, caplog: pytest.LogCaptureFixture) -> None:
    machine = Machine(counts_sleep=counts_sleep)
    running = await started(machine)
    machine.wall_set_ms = 7_000.0
    assert machine.clock.now_ms() == pytest.approx(machine.exchange_ms, abs=7_001 if not counts_sleep else 1)
    assert machine.clock.snapshot()["jumps"] == 1
    assert machine.clock.last_jump_ms == pytest.approx(7_000)
    assert "jumped by 7000 ms" in caplog.text
    await passes(machine, 1)
    assert machine.asked == 2
    assert machine.clock.now_ms() == pytest.approx(machine.exchange_ms, abs=1)
    assert machine.clock.offset_ms == pytest.approx(7_000, abs=1)
    running.cancel()


@pytest.mark.parametrize("counts_sleep", [True, False])
async def test_a_machine_that_slept_knows_the_time(counts_sleep: bool) -> None:
    machine = Machine(counts_sleep=counts_sleep)
    running = await started(machine)
    machine.sleep(3_600)
    assert machine.clock.now_ms() == pytest.approx(machine.exchange_ms, abs=1)
    assert machine.clock.jumps == 1
    await passes(machine, 1)
    assert machine.asked == 2
    running.cancel()


async def test_slewing_is_no_jump(machine: Machine) -> None:
    for _ in range(100):
        machine.true_s += 1
        machine.wall_set_ms += 0.5
        machine.clock.now_ms()
    assert machine.clock.jumps == 0


async def test_an_alert_says_what_to_do_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    machine = Machine()
    machine.exchange_set_ms = 499.0
    await machine.clock.measure()
    assert machine.clock.alert == ""
    machine = Machine()
    machine.exchange_set_ms = -1_270.0
    for _ in range(3):
        await machine.clock.measure()
    assert "1.27 s ahead of the exchange's" in machine.clock.alert
    assert "timedatectl" in machine.clock.alert and "chronyc" in machine.clock.alert
    assert caplog.text.count("ahead of the exchange's") == 1
    machine = Machine()
    machine.exchange_set_ms = 600.0
    machine.rtt_s = 3.0
    await machine.clock.measure()
    assert machine.clock.alert == "", "what may be right is no alert"


async def test_it_is_asked_seldom(machine: Machine) -> None:
    """Three readings at first, then one in five minutes: 13 weight in the first hour."""
    running = await started(machine)
    for _ in range(3_600):
        await passes(machine, 1)
    assert 13 <= machine.asked <= 15
    running.cancel()


async def test_an_exchange_that_does_not_answer_is_asked_again(machine: Machine) -> None:
    machine.fault = ExchangeUnreachable("nothing answers")
    running = await started(machine)
    await passes(machine, 29)
    assert machine.asked == 1
    await passes(machine, 2)
    assert machine.asked == 2
    machine.fault = None
    for _ in range(31):
        await passes(machine, 1)
    assert machine.clock.uncertainty_ms is not None
    assert not running.done()
    running.cancel()


async def started(machine: Machine) -> asyncio.Task[None]:
    """The clock's own loop, which has looked once. Its seconds pass by `passes`."""
    running = asyncio.create_task(machine.clock.run())
    await passes(machine, 0)
    return running


async def passes(machine: Machine, seconds: float) -> None:
    machine.true_s += seconds
    for _ in range(4):
        await asyncio.sleep(0)


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """The loop looks at each turn of the event loop."""
    if "door" not in request.fixturenames:
        monkeypatch.setattr(clock_module, "_LOOK_S", 0.0)


async def test_the_doors_clock_is_read_over_the_wire(door: Door, exchange: ScriptedExchange) -> None:
    exchange.answers["/api/v3/time"] = {"serverTime": 1_600_000_000_000}
    await door.clock.measure()
    assert door.clock.now_ms() == pytest.approx(1_600_000_000_000, abs=2_000)
    assert "ahead of the exchange's" in door.clock.alert
    assert door.counters()["by_endpoint"]["GET /api/v3/time"]["sent"] == 1


async def test_the_doors_clock_hears_every_answer(door: Door, exchange: ScriptedExchange) -> None:
    assert door.clock.offset_ms is None
    await door.rest.depth("BTCUSDT")
    known: dict[str, Any] = door.clock.snapshot()
    assert abs(known["offset_ms"]) <= known["uncertainty_ms"], "this machine wrote the date itself"
    running = asyncio.create_task(door.clock.run())
    exchange.answers["/api/v3/time"] = {"serverTime": 1_600_000_000_000}
    await until(lambda: exchange.asked("/api/v3/time"))
    running.cancel()
