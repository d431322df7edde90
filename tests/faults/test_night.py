"""A night of Binance at its worst, in minutes: the fleet lives, its books and candles are the venue's own, its accounts
agree, nothing leaks, and no order left."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from quantlab.exchange import config

from .night import NIGHT, Night, play

HOURS = 24.0
#: A dead line is found by the wall clock, of which a night in minutes has little.
SILENCE_S = 12.0
#: Resident memory of fleet and venue together may grow by so much from the second hour to the last. There are a million
#: events of 100 bytes and more: if they were kept it would show.
GROWTH_MB = 30.0


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The door of a replay takes a silent line for dead after seconds, not minutes."""
    monkeypatch.setitem(config._SILENCE_S, "replay", SILENCE_S)


@pytest.mark.campaign
@pytest.mark.timeout(1_800)
async def test_a_night_in_minutes(tmp_path: Path, impatient: None, record_property: Callable[[str, Any], None]) -> None:
    night = await play(tmp_path, NIGHT, hours=HOURS)
    for name, value in _figures(night).items():
        record_property(name, value)
    engine, seen = night.session._engine, night.seen
    assert [row for row in night.faults if not row["struck"]] == [], "each fault happened"
    # the fleet is alive
    assert night.summary["ended"] == "end of run"
    assert night.summary["engine_to_ms"] >= night.summary["engine_from_ms"] + (HOURS - 0.1) * 3_600_000
    assert night.summary["bots_traded"] >= 40
    assert [symbol for symbol, book in engine.books.items() if not book.in_sync] == []
    # its accounts agree, and nothing left that could have moved money
    assert night.summary["accounting_ok"], night.summary["accounting_problems"]
    assert night.requests["order_requests"] == night.requests["signed"] == 0
    assert night.summary["requests"]["peak_weight_60s"] <= 1_200
    # books and candles are the venue's
    assert seen.wrong == []
    assert seen.books["equal"] > 0.99 * seen.books.total()
    assert seen.touches["equal"] > 0.99 * seen.touches.total()
    assert seen.candles > 1_000_000
    # nothing leaks
    hours = {round(hour): used for hour, used in seen.memory}
    assert hours[23] - hours[2] < GROWTH_MB, seen.memory


@pytest.mark.campaign
@pytest.mark.timeout(600)
async def test_the_same_night_twice(tmp_path: Path) -> None:
    """Faults in lock-step strike the same events in every run: the fills are equal, to the last one."""
    nights = [await play(tmp_path / str(number), NIGHT, hours=2.2) for number in range(2)]
    shas = {night.summary["fills_sha256"] for night in nights}
    assert len(shas) == 1
    assert nights[0].summary["fills"] > 50
    silence = {"match": "", "kind": "silence", "after_ms": 3_600_000, "until_ms": 4_800_000}
    silent = await play(tmp_path / "silent", [silence], hours=2.2)
    assert silent.summary["fills_sha256"] not in shas, "the control: a fault that nothing can heal is felt"


def _figures(night: Night) -> dict[str, Any]:
    """What is worth knowing of a night that passed."""
    summary, seen = night.summary, night.seen
    return {
        "wall_s": summary["wall_seconds"],
        "events": summary["events"],
        "fills": summary["fills"],
        "books": dict(seen.books),
        "touches": dict(seen.touches),
        "candles": seen.candles,
        "memory_mb": [round(used) for _, used in seen.memory],
    }
