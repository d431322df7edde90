"""A run that is taken up again goes on where it was: in the same market, with its halts, its pause and its stops."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from quantlab.fleet.assembly import make_engine
from quantlab.fleet.engine import Engine
from quantlab.fleet.plan import RunPlan
from quantlab.fleet.recovery import past_of, restore
from quantlab.fleet.replay import MemoryJournal
from quantlab.fleet.spec import FleetSpec
from quantlab.ledger import Ledger
from quantlab.model import OrderType
from quantlab.model.timeframe import DAY_MS
from quantlab.settings import load_settings
from tests.fleet.test_engine import instrument


def run_cli(root: Path, fleet: Path, hours: str) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "QUANTLAB_MARKET": "replay",
        "QUANTLAB_ROOT": str(root),
        "QUANTLAB_HOME": str(root / "h"),
    }
    command = [sys.executable, "-m", "quantlab", "run", "--foreground", "--no-report", "--json", "--run-id", "r"]
    command += ["--fleet", str(fleet), "--hours", hours]
    return subprocess.run(command, env=environment, cwd=root, capture_output=True, text=True, timeout=60)


def test_a_replay_goes_on_behind_what_it_has_traded(tmp_path: Path, fleet: FleetSpec) -> None:
    """The venue of its own starts where the run was: no minute is traded twice, no time runs back."""
    first = run_cli(tmp_path, tmp_path / "fleet.toml", "0.2")
    assert first.returncode == 0, first.stderr
    with Ledger.open(tmp_path / "h") as ledger:
        before = ledger.fill_rows("r")
    second = run_cli(tmp_path, tmp_path / "fleet.toml", "0.4")
    assert second.returncode == 0, second.stderr
    assert json.loads(second.stdout)["accounting_ok"]
    with Ledger.open(tmp_path / "h") as ledger:
        after = ledger.fill_rows("r")
        equity = ledger.equity("r", bot=0)["time_ms"].to_list()
    new = [fill for fill in after if fill not in before]
    assert len(after) - len(before) == len(new) > 3
    assert min(fill.time_ms for fill in new) >= max(fill.time_ms for fill in before)
    assert equity == sorted(set(equity))


def test_another_market_or_an_earlier_time_is_refused(
    tmp_path: Path, run_fleet: Callable[..., dict[str, Any]], fleet: FleetSpec
) -> None:
    home = tmp_path / "home"
    run_fleet("r", minutes=10, home=home)
    with pytest.raises(Exception, match="trade the same market twice"):
        run_fleet("r", minutes=20, home=home)  # a new venue begins at the beginning
    with Ledger.open(home / ".quantlab") as ledger:
        assert ledger.run("r").state == "finished"


@pytest.fixture
def resumed(tmp_path: Path, run_fleet: Callable[..., dict[str, Any]], fleet: FleetSpec) -> Callable[..., Engine]:
    """Runs the fleet for some minutes, lets the ledger be changed, and restores an engine from it."""

    def make(change: Callable[[Ledger], None] = lambda ledger: None, minutes: float = 9) -> Engine:
        home = tmp_path / "home"
        run_fleet("r", minutes=minutes, home=home)
        settings = load_settings(home, environ={})
        with Ledger.open(home / ".quantlab") as ledger:
            change(ledger)
            past = past_of(ledger, RunPlan(run_id="r", fleet=fleet, settings=settings))
        assert past is not None
        instruments = {symbol: instrument(symbol) for symbol in fleet.symbols}
        engine = make_engine(fleet, instruments, MemoryJournal(), seed=1, start_ms=past.start_ms)
        restore(engine, past, MemoryJournal())
        assert engine.now_ms == past.last_ms
        return engine

    return make


def add_event(ledger: Ledger, kind: str, bot: int | None, detail: dict[str, Any]) -> None:
    ledger._connection.execute(
        "INSERT INTO events (run_id, time_ms, wall_ms, kind, bot, detail) VALUES ('r', 1, 1, ?, ?, ?)",
        (kind, bot, json.dumps(detail)),
    )


def test_halts_and_the_pause_stay(resumed: Callable[..., Engine]) -> None:
    def change(ledger: Ledger) -> None:
        add_event(ledger, "bot state", 0, {"from": "ACTIVE", "to": "HALTED", "cause": "kill switch"})
        add_event(ledger, "bot state", 1, {"from": "ACTIVE", "to": "HALTED", "cause": "loss of 11 % today"})
        add_event(ledger, "bot state", 1, {"from": "HALTED", "to": "ACTIVE", "cause": "a new UTC day began"})
        add_event(ledger, "command pause", None, {})

    engine = resumed(change)
    assert [bot.gate.state for bot in engine.bots] == ["HALTED", "ACTIVE", "ACTIVE"]
    assert engine.desk.paused


@pytest.mark.parametrize("until_next_day", [True, False])
def test_a_halt_by_the_day_s_loss_ends_with_the_day(resumed: Callable[..., Engine], until_next_day: bool) -> None:
    detail = {"from": "ACTIVE", "to": "HALTED", "cause": "loss of 11 % today", "until_next_day": until_next_day}
    engine = resumed(lambda ledger: add_event(ledger, "bot state", 1, detail))
    bot = engine.bots[1]
    engine.desk.check_limits(bot, engine.now_ms + 1)
    assert bot.gate.state == "HALTED"
    bot.gate.mark(bot.last_equity, engine.now_ms + DAY_MS)
    assert bot.gate.state == ("ACTIVE" if until_next_day else "HALTED")


def test_nothing_is_marked_at_zero_before_a_book_is_there(resumed: Callable[..., Engine]) -> None:
    engine = resumed()
    equities = [bot.last_equity for bot in engine.bots]
    for bot in engine.bots:
        engine.desk.check_limits(bot, engine.now_ms)
        assert bot.gate.state == "ACTIVE"
    for bot, before in zip(engine.bots, equities, strict=True):
        assert abs(bot.last_equity - before) < Decimal(5)


def test_a_position_gets_its_stop_back_once_its_book_is_whole(resumed: Callable[..., Engine]) -> None:
    engine = resumed(minutes=8)
    eth = engine.bots[1]
    assert not engine.desk.is_flat(eth)
    assert engine.broker.open_orders(1) == []
    average = eth.account.position.average_price
    bid, ask = (f"{average - 1:.2f}", f"{average + 1:.2f}")
    snapshot = {"lastUpdateId": 10, "bids": [[bid, "50"]], "asks": [[ask, "50"]]}
    engine.answer("depth:ETHUSDT", json.dumps(snapshot).encode())
    assert {order.type for order in engine.broker.open_orders(1)} == {OrderType.STOP_LOSS, OrderType.TAKE_PROFIT}
