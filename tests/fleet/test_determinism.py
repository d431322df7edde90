"""The same log, fleet and seed give the same fills, bit for bit, at any speed of the replay.

Whole path: venue process, sockets, door, engine, ledger; then the recorded input log once more without any of them.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from quantlab.fleet.recorder import recording_path
from quantlab.fleet.replay import replay
from quantlab.fleet.spec import FleetSpec
from quantlab.ledger import Ledger, fills_sha256


def test_speed_changes_nothing_and_the_log_replays_to_the_same_fills(
    tmp_path: Path, fleet: FleetSpec, run_fleet: Callable[..., dict[str, Any]]
) -> None:
    fast = run_fleet("fast", minutes=8)
    paced = run_fleet("paced", minutes=8, speed=60)
    assert fast["fills"] > 20
    assert fast["accounting_ok"] and paced["accounting_ok"]
    assert fast["fills_sha256"] == paced["fills_sha256"]
    assert fast["events"] == paced["events"]

    home = tmp_path / "fast" / ".quantlab"
    path = recording_path(home, "fast")
    engine, journal = replay(path, fleet, seed=1)
    assert fills_sha256(journal.fills) == fast["fills_sha256"]
    assert engine.events == fast["events"]
    with Ledger.open(home, create=False) as ledger:
        assert ledger.fill_rows("fast") == sorted(journal.fills, key=lambda f: (f.time_ms, f.bot, f.number))
        assert len(ledger.receipts("fast")) == len(journal.fills)

    _, other = replay(path, fleet, seed=2)  # the control: another seed draws other latencies
    assert fills_sha256(other.fills) != fast["fills_sha256"]
