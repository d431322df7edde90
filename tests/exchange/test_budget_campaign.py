"""The budget in the exchange's own log: at most 1,200 weight in any 60 s, and nearly all of it where there is work.

45 and 450 bots, in one and in four processes, a mix of endpoints, a cold start, and a storm in which all are cut off
and ask anew; with several processes one is killed and comes back. ccxt's own throttle is measured beside it.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from quantlab.exchange.weight.budget import Budget
from quantlab.exchange.weight.shared_state import SharedState
from quantlab.exchange.weight.store import OwnState
from quantlab.venue import Venue
from quantlab.venue.child import VenueChild
from quantlab.venue.market import open_market

from .budget_askers import SYMBOLS, Asker, Use, start, use_of

LIMIT = 1200
#: Two whole windows and a bit: what was spent at the start can come back twice.
LASTS_S, STORM_S, KILLED_S = 135.0, 75.0, 95.0


@contextmanager
def asking(count: int, starting: Asker) -> Iterator[list[subprocess.Popen[bytes]]]:
    """`count` processes that ask, to be ended."""
    askers = [starting(seed) for seed in range(count)]
    try:
        yield askers
    finally:
        for asker in askers:
            asker.kill()
            asker.wait()


async def test_in_a_window_of_one_second() -> None:
    """The same in short: two processes of 45 bots, 300 weight in any second."""
    limit, window_s = 300, 1.0
    async with Venue(open_market(None, seed=7, hours=0.5, symbols=list(SYMBOLS)), weight_limit=10**6) as venue:
        starting = partial(start, "door", venue.url, 45, limit=limit, window_s=window_s, storm_s=1.5 * window_s)
        with asking(2, starting):
            lines: list[dict[str, Any]] = []
            async with asyncio.timeout(60):
                while not lines or lines[-1]["wall_ms"] < lines[0]["wall_ms"] + 3250:
                    await asyncio.sleep(0.1)
                    lines = venue.log.lines()
        use = use_of(lines, limit, window_s)
    assert 0.9 * limit < use.peak <= limit
    assert 2 * limit < sum(line["weight"] for line in lines)


def rows_of(venue: VenueChild) -> list[dict[str, Any]]:
    with urllib.request.urlopen(f"{venue.url}/__venue__/requests", timeout=30) as answer:
        rows: list[dict[str, Any]] = json.load(answer)["requests"]
    return rows


def measured(kind: str, bots: int, processes: int) -> Use:
    """What the log of a venue of its own says of `processes` with `bots` in all."""
    with VenueChild(hours=1.0) as venue:
        starting = partial(start, kind, venue.url, bots // processes, storm_s=STORM_S)
        with asking(processes, starting) as askers:
            time.sleep(KILLED_S)
            if processes > 1:
                askers[0].kill()
                askers[0].wait()
                askers.append(starting(processes))
            time.sleep(LASTS_S - KILLED_S)
        return use_of(rows_of(venue), LIMIT)


@pytest.mark.campaign
@pytest.mark.timeout(400)
@pytest.mark.parametrize("processes", [1, 4])
@pytest.mark.parametrize("bots", [45, 450])
def test_the_exchanges_log(bots: int, processes: int, capsys: pytest.CaptureFixture[str]) -> None:
    ours = measured("door", bots, processes)
    with capsys.disabled():
        print(f"\n{bots} bots, {processes} processes: {ours}")
    assert ours.peak <= LIMIT
    assert ours.share >= 0.97


@pytest.mark.campaign
@pytest.mark.timeout(400)
@pytest.mark.parametrize("processes", [1, 4])
def test_ccxts_own_throttle_beside_it(processes: int, capsys: pytest.CaptureFixture[str]) -> None:
    """The control, and the reason for a budget of our own."""
    theirs = measured("ccxt", 45, processes)
    with capsys.disabled():
        print(f"\nccxt's throttle, 45 bots, {processes} processes: {theirs}")
    assert theirs.peak > LIMIT


@pytest.mark.campaign
@pytest.mark.parametrize("kept", ["by itself", "in the file"])
async def test_what_a_leave_costs(kept: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where nobody waits: `take` and `answered` together, with a minute's answers spread over the minute."""
    open_store = {"by itself": OwnState, "in the file": lambda rule: SharedState(tmp_path / "state", rule)}[kept]
    budget = Budget(6000, timeout_s=30.0, open_store=open_store)
    now = time.monotonic()
    state = budget._locked()
    for number in range(240):
        state.spent.add(now + 5 + number * 0.25, 1, 0.25)
    budget._unlock()
    began, count = time.perf_counter(), 2000
    for _ in range(count):
        budget.answered(await budget.take(1, "a", now + 60.0), 5, 1_700_000_030_000)
    with capsys.disabled():
        print(f"\nthe state kept {kept}: {(time.perf_counter() - began) / count * 1e6:.0f} µs for take and answer")
    budget.close()
