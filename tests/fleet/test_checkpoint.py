"""Promise: an engine that is taken up from a checkpoint goes on as one that ran over the whole log; and what is not of
this log, this fleet, this code, or not whole, is not taken up."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from quantlab.fleet import checkpoint, rejoin
from quantlab.fleet.assembly import make_engine
from quantlab.fleet.checkpoint import Checkpoint, checkpoint_path, load, save
from quantlab.fleet.engine import Engine
from quantlab.fleet.plan import RunPlan
from quantlab.fleet.recorder import recording_path
from quantlab.fleet.replay import MemoryJournal, consumed, replay
from quantlab.fleet.session import Session
from quantlab.fleet.spec import FleetSpec
from quantlab.ledger import Ledger
from quantlab.model import instruments_from_exchange_info
from quantlab.recording import Entry, Position, Recording
from quantlab.settings import load_settings
from quantlab.venue.child import VenueChild


@pytest.fixture
def log(tmp_path: Path, run_fleet: Callable[..., dict[str, Any]]) -> Path:
    run_fleet("run", minutes=12)
    return recording_path(tmp_path / "run" / ".quantlab", "run")


def fresh(log: Path, fleet: FleetSpec, journal: MemoryJournal) -> Any:
    first = next(iter(Recording(log)))
    return make_engine(fleet, instruments_from_exchange_info(first.payload), journal, seed=1)


def run_to(log: Path, fleet: FleetSpec, count: int) -> tuple[Any, MemoryJournal]:
    """An engine that has consumed the first `count` entries."""
    journal = MemoryJournal()
    engine = fresh(log, fleet, journal)
    for _ in consumed(engine, islice(iter(Recording(log)), 1, count)):
        pass
    return engine, journal


@pytest.mark.parametrize("share", [0.01, 0.2, 0.5, 0.77, 0.999])
def test_from_anywhere_it_goes_on_as_the_whole_log_does(
    share: float, log: Path, fleet: FleetSpec, tmp_path: Path
) -> None:
    whole, told = replay(log, fleet, seed=1)
    total = sum(1 for _ in Recording(log))
    at = int(total * share)
    engine, before = run_to(log, fleet, at)
    path = tmp_path / "state"
    save(path, Checkpoint(engine, Position(0, at), 7), before, run="r")
    assert path.stat().st_mode & 0o777 == 0o600
    after = MemoryJournal()
    kept = load(path, fresh(log, fleet, after), after, run="r")
    assert kept is not None and (kept.position, kept.calls) == (Position(0, at), 7)
    for _ in consumed(kept.engine, islice(iter(Recording(log)), at, None)):
        pass
    assert before.fills + after.fills == told.fills
    assert before.receipts + after.receipts == told.receipts
    assert before.events + after.events == told.events
    assert kept.engine.bounds == whole.bounds
    assert [bot.status(bot.gate.state) for bot in kept.engine.bots] == [
        bot.status(bot.gate.state) for bot in whole.bots
    ]


def test_one_that_cannot_be_trusted_is_not_taken_up(
    log: Path, fleet: FleetSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, journal = run_to(log, fleet, 500)
    path = tmp_path / "state"
    save(path, Checkpoint(engine, Position(0, 500), 7), journal, run="r")

    def taken(run: str = "r") -> bool:
        return load(path, fresh(log, fleet, journal), journal, run=run) is not None

    assert taken(), "the control"
    assert not taken("another log")
    path.chmod(0o640)
    assert not taken()
    path.chmod(0o600)
    whole = path.read_bytes()
    for damaged in (whole[:-1], whole[: len(whole) // 2], b"", whole[:-9] + b"x" + whole[-8:], b"x" + whole):
        path.write_bytes(damaged)
        assert not taken()
    path.write_bytes(whole)
    assert taken()
    monkeypatch.setattr(checkpoint, "code_fingerprint", lambda: "other code")
    assert not taken()
    path.unlink()
    assert not taken()


@pytest.fixture
def go_on(tmp_path: Path, fleet: FleetSpec) -> Iterator[Callable[[float], dict[str, Any]]]:
    """Runs the fleet to so many minutes of one market, each time where it was."""
    with VenueChild(hours=1, seed=3) as venue:
        settings = load_settings(tmp_path, environ={"QUANTLAB_MARKET": "replay", "QUANTLAB_VENUE_URL": venue.url})

        def run(minutes: float) -> dict[str, Any]:
            length_ms = int(minutes * 60_000)
            plan = RunPlan(
                run_id="run", fleet=fleet, settings=settings, length_ms=length_ms, reports=tmp_path / "reports"
            )
            return asyncio.run(Session(plan).run())

        yield run


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[Entry]:
    """What is read of a log again."""
    entries: list[Entry] = []

    def told(engine: Engine, log: Iterable[Entry]) -> Iterator[Entry]:
        for entry in consumed(engine, log):
            entries.append(entry)
            yield entry

    monkeypatch.setattr(rejoin, "consumed", told)
    return entries


def test_a_run_that_goes_on_reads_only_what_came_since(
    tmp_path: Path, fleet: FleetSpec, go_on: Callable[[float], dict[str, Any]], read: list[Entry]
) -> None:
    go_on(6)
    log = recording_path(tmp_path / ".quantlab", "run")
    total = sum(1 for _ in Recording(log))
    assert go_on(9)["accounting_ok"]
    assert read == [], "it had ended with a checkpoint"
    checkpoint_path(log).unlink()
    assert go_on(12)["accounting_ok"]
    assert len(read) > total, "the control: without one it reads the whole log"
    with Ledger.open(tmp_path / ".quantlab", create=False) as ledger:
        kinds = ledger.events("run")["kind"].to_list()
        fills = ledger.fill_rows("run")
    assert kinds.count("resumed") == 2 and "log not taken up" not in kinds
    _, again = replay(log, fleet, seed=1)
    assert sorted(again.fills, key=lambda fill: (fill.time_ms, fill.bot, fill.number)) == fills


def test_one_that_is_ahead_of_the_ledger_is_passed_over(
    tmp_path: Path, go_on: Callable[[float], dict[str, Any]], read: list[Entry]
) -> None:
    """Rows that the ledger lost would be missing: the whole log makes them good."""
    go_on(6)
    path = checkpoint_path(recording_path(tmp_path / ".quantlab", "run"))
    magic, head, body = path.read_bytes().split(b"\n", 2)
    told = json.loads(head)
    path.write_bytes(b"\n".join((magic, json.dumps(told | {"calls": told["calls"] + 1}).encode(), body)))
    assert go_on(8)["accounting_ok"]
    assert read


def test_one_that_does_not_agree_with_the_ledger_gives_way_to_the_log(
    tmp_path: Path, go_on: Callable[[float], dict[str, Any]], read: list[Entry]
) -> None:
    """A checkpoint says that fewer calls were made than were: what it would do next is not what the ledger has."""
    go_on(6)
    path = checkpoint_path(recording_path(tmp_path / ".quantlab", "run"))
    magic, head, body = path.read_bytes().split(b"\n", 2)
    told = json.loads(head)
    path.write_bytes(b"\n".join((magic, json.dumps(told | {"calls": told["calls"] - 3}).encode(), body)))
    assert go_on(8)["accounting_ok"]
    assert read, "the log ends before the ledger does"
