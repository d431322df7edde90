"""Taking up a run where its ledger ends. A crash and a normal stop are the same thing here.

What is on disk is what happened. Accounts are folded from the fills; orders that were open are cancelled as unknown,
because what the market did meanwhile was not seen; missed closes are not traded: the exposure is judged anew at the
next one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal

from quantlab.fleet.engine import Engine
from quantlab.fleet.spec import FleetSpec
from quantlab.ledger import Ledger
from quantlab.model import Fill, Journal, Order, Refused


@dataclass(frozen=True)
class Past:
    """What the ledger knows of a run that is taken up again; empty for a new one."""

    start_ms: int = 0
    last_ms: int = 0
    fills: list[Fill] = field(default_factory=list)
    orders: list[Order] = field(default_factory=list)
    peaks: dict[int, float] = field(default_factory=dict)
    parts: int = 0


def past_of(ledger: Ledger, run_id: str, fleet: FleetSpec, seed: int) -> Past | None:
    """The past of `run_id`, None when it is new. Raises Refused when the fleet file or the seed is not the one it was
    started with: its accounts would not be its own."""
    if run_id not in ledger.run_ids():
        return None
    row = ledger.run(run_id)
    if row.fleet_sha256 != fleet.sha256 or row.seed != seed:
        changed = "fleet file" if row.fleet_sha256 != fleet.sha256 else "seed"
        raise Refused(f'run "{run_id}" was started with another {changed}: give the run a new --run-id')
    return Past(
        start_ms=row.engine_from_ms or 0,
        last_ms=row.engine_time_ms or 0,
        fills=ledger.fill_rows(run_id),
        orders=ledger.order_rows(run_id),
        peaks=ledger.equity_peaks(run_id),
        parts=1 + sum(1 for kind in ledger.events(run_id)["kind"] if kind == "resumed"),
    )


def restore(engine: Engine, past: Past, journal: Journal) -> None:
    """Bring accounts and counters to where the ledger ends, and cancel what was open."""
    open_orders = [order for order in past.orders if not order.status.is_final]
    engine.broker.restore(past.fills, open_orders, past.last_ms)
    for order in past.orders:
        engine.bots[order.bot].orders = max(engine.bots[order.bot].orders, order.number)
    for fill in past.fills:
        bot = engine.bots[fill.bot]
        bot.fills += 1
        bot.last_fill_ms = fill.time_ms
    for bot in engine.bots:
        peak = Decimal(str(past.peaks.get(bot.index, bot.account.capital)))
        bot.mark(peak)
        bot.gate.restore(peak_equity=peak)
        # What it holds is what it acted upon; the next close says whether that is still wanted.
        bot.acted = 1.0 if bot.account.quantity > 0 else 0.0
        bot.note = "resumed: waiting for its next close"
    journal.wait(
        journal.event(past.last_ms, "resumed", None, {"fills": len(past.fills), "cancelled": len(open_orders)})
    )
