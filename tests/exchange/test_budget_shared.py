"""The processes of a user share one budget by a file: holds outlive their owner, urgency and stops reach everybody, and
no damage to the file makes room that is not there."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from quantlab.exchange.config import HOSTS, DoorConfig
from quantlab.exchange.weight import shared_state
from quantlab.exchange.weight.budget import Budget, Priority
from quantlab.exchange.weight.shared_state import SharedState, shared_budget, state_path, store_for
from quantlab.exchange.weight.store import Busy, OwnState
from quantlab.exchange.weight.window import LOST_MARGIN_S, Process, Row, State, WeightRule
from quantlab.model import ExchangeError, ExchangeUnreachable

from .scripted import config_for, until

LIMIT = 100
TIMEOUT_S = 30.0
RULE = WeightRule(LIMIT, TIMEOUT_S)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def budgets(path: Path) -> Iterator[list[Budget]]:
    """Two budgets on one file: as far as they know, of two processes."""
    made = [budget_at(path), budget_at(path)]
    yield made
    for budget in made:
        budget.close()


def budget_at(path: Path, limit: int = LIMIT, window_s: float = 60.0) -> Budget:
    return Budget(limit, timeout_s=TIMEOUT_S, window_s=window_s, open_store=lambda rule: SharedState(path, rule))


def soon(seconds: float = 5.0) -> float:
    return time.monotonic() + seconds


def used_at(path: Path, rule: WeightRule = RULE) -> int:
    store = SharedState(path, rule)
    try:
        return rule.used(store.lock(), time.monotonic())
    finally:
        store.unlock()
        store.close()


async def test_two_processes_have_one_budget(budgets: list[Budget]) -> None:
    one, other = budgets
    one.answered(await one.take(60, "a", soon()))
    await other.take(30, "b", soon())
    assert one.snapshot()["used"] == other.snapshot()["used"] == 90
    assert one.snapshot()["processes"] == 2
    with pytest.raises(ExchangeUnreachable, match="no room"):
        await one.take(20, "c", soon(0.05))
    assert (one.peak_weight, other.peak_weight) == (60, 30)


async def test_with_a_file_each_they_would_have_two(tmp_path: Path) -> None:
    """The control."""
    one, other = budget_at(tmp_path / "one"), budget_at(tmp_path / "other")
    for budget in (one, other):
        await budget.take(90, "a", soon())
        budget.close()


async def test_what_one_gives_back_another_takes(budgets: list[Budget]) -> None:
    one, other = budgets
    held = await one.take(90, "a", soon())
    waiting = asyncio.create_task(other.take(90, "b", soon()))
    await asyncio.sleep(0.02)
    assert not waiting.done()
    one.returned(held)
    async with asyncio.timeout(5):
        await waiting


async def test_the_more_urgent_goes_first_whoever_asks(path: Path) -> None:
    budgets = [budget_at(path, 10, window_s=0.3) for _ in range(4)]
    order: list[str] = []
    held = await budgets[0].take(10, "full", soon())

    async def ask(budget: Budget, priority: Priority) -> None:
        mine = await budget.take(10, priority.name, soon(20), priority=priority)
        order.append(priority.name)
        budget.answered(mine)

    asks = [asyncio.create_task(ask(*one)) for one in zip(budgets, reversed(Priority), strict=True)]
    await asyncio.sleep(0.05)
    budgets[0].answered(held)
    async with asyncio.timeout(20):
        await asyncio.gather(*asks)
    assert order == [priority.name for priority in Priority]
    for budget in budgets:
        budget.close()


async def test_many_callers_of_one_process_do_not_starve_one_of_another(path: Path) -> None:
    crowd, single = budget_at(path, 20, window_s=0.1), budget_at(path, 20, window_s=0.1)
    order: list[str] = []

    async def ask(budget: Budget, caller: str) -> None:
        while True:
            held = await budget.take(1, caller, soon(20), caller=caller)
            order.append(caller)
            budget.answered(held)

    asks = [asyncio.create_task(ask(crowd, f"bot {number}")) for number in range(44)]
    asks.append(asyncio.create_task(ask(single, "single")))
    await until(lambda: len(order) >= 270)
    for task in asks:
        task.cancel()
    await asyncio.gather(*asks, return_exceptions=True)
    counts = {caller: order[:270].count(caller) for caller in {*order}}
    assert len(counts) == 45
    assert 2 <= counts["single"] <= 24, "an equal share is 6"
    crowd.close()
    single.close()


async def test_a_waiter_whose_process_died_does_not_hold_up_the_line(path: Path) -> None:
    store = SharedState(path, RULE)
    state = store.lock()
    row = Row(int(Priority.SAFETY), 1, 0.0, 0.0, LIMIT, 1, LIMIT)
    state.processes[7] = Process(time.monotonic(), LIMIT, rows=[row])
    store.unlock()
    store.close()
    budget = budget_at(path)
    with pytest.raises(ExchangeUnreachable):  # while it may live, it comes first
        await budget.take(10, "a", soon(0.1))
    async with asyncio.timeout(5):
        await budget.take(10, "a", soon())
    budget.close()


async def test_a_stop_is_for_all_and_says_until_when(budgets: list[Budget]) -> None:
    one, other = budgets
    one.stop(3600.0, ExchangeError("banned", status=418, code=-1003))
    with pytest.raises(ExchangeError, match=r"banned; nothing is asked from this address until .* UTC") as caught:
        await other.take(1, "a", soon(), priority=Priority.SAFETY)
    assert caught.value.status == 418
    fresh = budget_at(one_path(one))
    with pytest.raises(ExchangeError, match="banned"):
        await fresh.take(1, "a", soon())
    fresh.close()


def one_path(budget: Budget) -> Path:
    assert isinstance(budget._store, SharedState)
    return budget._store._path


_TAKER = """
import asyncio, sys, time
from pathlib import Path
from quantlab.exchange.weight.budget import Budget
from quantlab.exchange.weight.shared_state import SharedState

async def main():
    budget = Budget(100, timeout_s=30.0, open_store=lambda rule: SharedState(Path(sys.argv[1]), rule))
    budget.answered(await budget.take(40, "a", time.monotonic() + 5))
    await budget.take(50, "b", time.monotonic() + 5)
    print("taken", flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


@pytest.fixture
def killed_owner(path: Path) -> None:
    """It spent 40 and was killed before the answer to another 50 came."""
    with subprocess.Popen([sys.executable, "-c", _TAKER, str(path)], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None and child.stdout.readline() == b"taken\n"
        child.send_signal(signal.SIGKILL)


@pytest.mark.usefixtures("killed_owner")
async def test_what_was_held_outlives_a_killed_owner(path: Path) -> None:
    assert used_at(path) == 90
    budget = budget_at(path)
    with pytest.raises(ExchangeUnreachable):
        await budget.take(20, "a", soon(0.05))
    state = budget._locked()
    budget._unlock()
    (until,) = (until for _, until in state.flying.values())
    left_s = until - time.monotonic()
    assert TIMEOUT_S + LOST_MARGIN_S + 60.0 - 30.0 < left_s <= TIMEOUT_S + LOST_MARGIN_S + 60.0
    assert RULE.used(state, until) == 0, "it returns by time"
    budget.close()


_LOOPER = """
import asyncio, os, random, sys, time
from pathlib import Path
from quantlab.exchange.weight.budget import Budget
from quantlab.exchange.weight.shared_state import SharedState

async def main():
    rng = random.Random(int(sys.argv[2]))
    budget = Budget(60, timeout_s=0.1, window_s=0.3, open_store=lambda rule: SharedState(Path(sys.argv[1]), rule))

    async def bot(name):
        while True:
            weight = rng.randint(1, 6)
            held = await budget.take(weight, name, time.monotonic() + 20, caller=name)
            os.write(1, f"{time.monotonic()} {weight}\\n".encode())
            budget.answered(held)

    await asyncio.gather(*(bot(str(number)) for number in range(8)))

asyncio.run(main())
"""


def test_no_kill_makes_room(path: Path, tmp_path: Path) -> None:
    """Three processes that ask without end; one after another is killed wherever it is, and another comes."""
    sent = (tmp_path / "sent").open("ab")

    def begun(seed: int) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-c", _LOOPER, str(path), str(seed)], stdout=sent)

    askers = [begun(seed) for seed in range(3)]
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and sent.tell() < 300:
        time.sleep(0.05)
        sent.seek(0, os.SEEK_END)
    for seed in range(3, 6):
        time.sleep(0.4)
        askers[seed - 3].kill()
        askers.append(begun(seed))
    time.sleep(1.0)
    for asker in askers:
        asker.kill()
        asker.wait()
    sent.close()
    lines = [line.split() for line in (tmp_path / "sent").read_text().splitlines()]
    rows = sorted((float(at), int(weight)) for at, weight in lines)
    heaviest = max(sum(weight for other, weight in rows if at <= other < at + 0.3) for at, _ in rows)
    assert 40 < heaviest <= 60
    assert sum(weight for _, weight in rows) > 200


def filled(path: Path, weight: int = 40) -> None:
    store = SharedState(path, RULE)
    RULE.answered(store.lock(), 1, weight, time.monotonic())
    store.unlock()
    store.close()


@given(data=st.data())
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_file_that_was_damaged_makes_no_room(path: Path, data: st.DataObject) -> None:
    """Any byte changed, or the file cut anywhere, or something else in its place."""
    path.unlink(missing_ok=True)
    filled(path)
    whole = path.read_bytes()
    kind = data.draw(st.sampled_from(["flip", "cut", "other"]))
    if kind == "flip":
        at = data.draw(st.integers(0, len(whole) - 1))
        broken = bytearray(whole)
        broken[at] ^= data.draw(st.integers(1, 255))
        found = bytes(broken)
    elif kind == "cut":
        found = whole[: data.draw(st.integers(1, len(whole) - 1))]
    else:
        found = data.draw(st.binary(min_size=1, max_size=300))
    path.write_bytes(found)
    is_generation = found[8:16] != whole[8:16] and found[:8] + found[16:] == whole[:8] + whole[16:]
    assert used_at(path) == (40 if is_generation else LIMIT)
    assert used_at(path) == (40 if is_generation else LIMIT), "and it is said once, and written down"


def test_a_damaged_file_is_said(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path.write_bytes(b"something else altogether, and longer than a header")
    with caplog.at_level(logging.WARNING):
        assert used_at(path) == LIMIT
        assert used_at(path) == LIMIT
    assert caplog.text.count("cannot be read: the whole weight of this address is held for 95 s") == 1


def test_a_file_that_is_whole_is_believed(path: Path) -> None:
    """The control."""
    filled(path)
    assert used_at(path) == 40


def test_another_boot_holds_what_was_held(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    filled(path)
    monkeypatch.setattr(shared_state, "_boot", lambda: "another")
    store = SharedState(path, RULE)
    state = store.lock()
    assert RULE.used(state, time.monotonic() + 90.0) == 40
    assert RULE.used(state, time.monotonic() + 96.0) == 0
    store.unlock()
    store.close()


def test_a_clock_that_went_back_holds_what_was_held(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.monotonic()
    filled(path)
    monkeypatch.setattr(time, "monotonic", lambda: now - 1000.0)
    assert used_at(path) == 40
    monkeypatch.setattr(time, "monotonic", lambda: now - 1000.0 + 96.0)
    assert used_at(path) == 0


async def test_a_file_that_is_removed_in_use_takes_nothing_along(path: Path, budgets: list[Budget]) -> None:
    one, other = budgets
    one.answered(await one.take(60, "a", soon()))
    os.unlink(path)
    newcomer = budget_at(path)
    newcomer.answered(await newcomer.take(30, "b", soon()))
    assert one.snapshot()["used"] == 90
    assert other.snapshot()["used"] >= 90
    assert newcomer.snapshot()["used"] >= 90
    newcomer.close()


async def test_a_file_that_is_emptied_in_use_takes_nothing_along(path: Path, budgets: list[Budget]) -> None:
    one, _ = budgets
    one.answered(await one.take(60, "a", soon()))
    os.truncate(path, 0)
    assert one.snapshot()["used"] == 60
    assert used_at(path) == 60


async def test_a_process_that_stands_still_with_the_lock_stops_nobodys_loop(path: Path) -> None:
    budget = budget_at(path)
    held = await budget.take(10, "a", soon())
    with path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        budget.answered(held)
        with pytest.raises(ExchangeUnreachable, match="held by another process"):
            await budget.take(10, "b", soon(0.05))
        waiting = asyncio.create_task(budget.take(20, "c", soon()))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        assert budget.snapshot()["limit"] == LIMIT
        fcntl.flock(file, fcntl.LOCK_UN)
    async with asyncio.timeout(5):
        await waiting
    state = budget._locked()
    budget._unlock()
    assert [weight for weight, _ in state.flying.values()] == [20]
    assert state.spent.weights == [10], "what was told meanwhile is not forgotten"
    budget.close()


def test_who_cannot_lock_is_told(path: Path) -> None:
    store = SharedState(path, RULE)
    with path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(Busy):
            store.lock()
    store.lock()
    store.unlock()
    store.close()


def test_the_file_is_the_users_alone(path: Path) -> None:
    filled(path)
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o644)
    assert used_at(path) == 40
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_link_is_not_followed(path: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_bytes(b"precious")
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic"):
        SharedState(path, RULE)
    assert (tmp_path / "elsewhere").read_bytes() == b"precious"


def test_one_file_for_each_exchange_and_user_whatever_the_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def path_of(config: DoorConfig) -> str:
        return str(state_path(config).relative_to(tmp_path / "state"))

    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    mainnet = DoorConfig(market="mainnet", rest_url=HOSTS["mainnet"][0], stream_url=HOSTS["mainnet"][1])
    testnet = DoorConfig(market="testnet", rest_url=HOSTS["testnet"][0], stream_url=HOSTS["testnet"][1])
    assert path_of(mainnet) == "quantlab/weight/mainnet"
    assert path_of(testnet) == "quantlab/weight/testnet"
    assert path_of(config_for("http://127.0.0.1:4711")) == "quantlab/weight/venue-4711"
    assert path_of(config_for("http://127.0.0.1:4712")) == "quantlab/weight/venue-4712"
    monkeypatch.setenv("QUANTLAB_HOME", str(tmp_path / "another"))
    assert path_of(mainnet) == "quantlab/weight/mainnet"


def test_where_no_file_can_be_had_the_budget_is_the_processs_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    with caplog.at_level(logging.WARNING):
        store = store_for(config_for("http://127.0.0.1:4711"), RULE)
    assert isinstance(store, OwnState)
    assert isinstance(store.lock(), State)
    assert "the weight budget is this process's alone" in caplog.text


async def test_where_the_disk_is_full_a_process_goes_on_by_what_it_knows(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    budget = budget_at(path)
    budget.answered(await budget.take(60, "a", soon()))
    monkeypatch.setattr(os, "pwrite", full)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            await budget.take(10, "b", soon())
    assert budget.snapshot()["used"] == 90
    assert caplog.text.count("No space left on device") == 1
    with pytest.raises(ExchangeUnreachable):
        await budget.take(20, "c", soon(0.05))
    budget.close()


async def test_files_of_venues_long_gone_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    folder = tmp_path / "quantlab" / "weight"
    folder.mkdir(parents=True)
    for name, age_s in (("venue-1", 7200), ("venue-2", 60), ("mainnet", 7200)):
        (folder / name).touch()
        os.utime(folder / name, (time.time() - age_s,) * 2)
    budget = shared_budget(config_for("http://127.0.0.1:4711"))
    await budget.take(1, "a", soon())
    assert sorted(found.name for found in folder.iterdir()) == ["mainnet", "venue-2", "venue-4711"]
    budget.close()
