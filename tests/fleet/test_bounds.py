"""Promise: the fleets beside a run see its signals and its market, change nothing of it, and differ in their fills."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from quantlab.fleet.assembly import make_engine
from quantlab.fleet.engine import Engine
from quantlab.fleet.recorder import recording_path
from quantlab.fleet.replay import MemoryJournal, replay
from quantlab.fleet.spec import FleetSpec
from quantlab.ledger import Ledger
from quantlab.paper import Assumptions, DrawnLatency, FixedLatency, MeasuredLatency, QueueModel
from tests.fleet.test_engine import START_MS, Exchange, connect, depth, instrument, trade


class Kept(MemoryJournal):
    """Keeps the bounds, too."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[tuple[int, int, float, float]] = []

    def bounds(self, rows: Any) -> int:
        self.rows += rows
        return 0


def make(fleet: FleetSpec, **assumed: Any) -> tuple[Engine, Kept]:
    journal = Kept()
    fleet = replace(fleet, paper=replace(fleet.paper, **assumed))
    instruments = {symbol: instrument(symbol) for symbol in fleet.symbols}
    return make_engine(fleet, instruments, journal, seed=1, rest=Exchange()), journal  # type: ignore[arg-type]


def test_what_bounds_assume() -> None:
    usual = Assumptions(queue=QueueModel.PROPORTIONAL)
    high, low = usual.optimistic(), usual.pessimistic()
    assert (high.queue, low.queue) == (QueueModel.OPTIMISTIC, QueueModel.PESSIMISTIC)
    assert high.fees.rate(maker=False) == Decimal("0.00075") and low.fees.rate(maker=False) == Decimal("0.001")
    assert isinstance(high.latency, FixedLatency) and isinstance(low.latency, FixedLatency)
    expected = DrawnLatency()
    assert high.latency == FixedLatency(expected.order_ms(0.05), expected.response_ms(0.05))
    assert high.latency.order < expected.order_ms(0.5) < low.latency.order
    measured = Assumptions(round_trips_ms=(80.0, 100.0), bnb_discount=True)
    assert isinstance(measured.terms().latency, MeasuredLatency)
    assert measured.pessimistic().fees.rate(maker=True) == Decimal("0.001"), "whatever the run itself pays"


async def test_the_optimist_is_filled_at_the_front_of_the_queue(fleet: FleetSpec) -> None:
    """A maker's quote rests behind 51 lots: one lot trades, and only the optimist has it."""
    engine, journal = make(fleet)
    await connect(engine)
    for n in range(1, 4):
        engine.frame(depth("XRPUSDT", 100 + n, 100 + n, START_MS + n * 2_000))
    own, optimist, pessimist = engine.crews
    (order,) = own.broker.open_orders(2)
    assert [crew.broker.open_orders(2)[0].price for crew in (optimist, pessimist)] == [order.price] * 2
    engine.frame(trade("XRPUSDT", START_MS + 8_000, price=str(order.price)))
    assert not journal.fills and not pessimist.bots[2].account.quantity
    assert optimist.bots[2].account.quantity > 0
    engine.finish("test")
    at_end = {number: (high, low) for at, number, high, low in journal.rows if at == engine.now_ms}
    assert at_end[2][0] != at_end[2][1] == 1000
    assert at_end[-1] == (sum(at_end[n][0] for n in range(3)), sum(at_end[n][1] for n in range(3)))


async def test_all_three_obey_commands(fleet: FleetSpec) -> None:
    engine, _ = make(fleet)
    await connect(engine)
    engine.command("kill", {"bot": "eth"})
    assert [[str(bot.gate.state) for bot in crew.bots] for crew in engine.crews] == [["ACTIVE", "HALTED", "ACTIVE"]] * 3
    engine.command("pause", {})
    assert all(crew.desk.paused for crew in engine.crews)


@pytest.mark.parametrize("bounds", [True, False])
def test_a_run_is_the_same_with_and_without_them(
    bounds: bool, tmp_path: Path, fleet: FleetSpec, run_fleet: Callable[..., dict[str, Any]]
) -> None:
    summary = run_fleet("run", minutes=15)
    home = tmp_path / "run" / ".quantlab"
    other = replace(fleet, paper=replace(fleet.paper, bounds=bounds))
    engine, journal = replay(recording_path(home, "run"), other, seed=1)
    with Ledger.open(home, create=False) as ledger:
        written, rows = ledger.fill_rows("run"), ledger.bounds("run")
    assert sorted(journal.fills, key=lambda fill: (fill.time_ms, fill.bot, fill.number)) == written
    assert (engine.bounds is not None) is bounds
    assert set(summary["bounds"]) == {"optimistic_net_pnl_usdt", "pessimistic_net_pnl_usdt"}
    last = rows.filter(rows["bot"] == -1)[-1]
    assert float(summary["bounds"]["optimistic_net_pnl_usdt"]) == pytest.approx(last["optimistic"][0] - 3_000)
    assert json.dumps(summary["bounds"])
