"""What a run amounts to: `summary.json`, from the ledger and the counters of door and engine."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from quantlab.exchange.walls.seal import is_sealed
from quantlab.fleet.engine import Engine
from quantlab.ledger import Ledger, fills_sha256
from quantlab.model import Source
from quantlab.paper import check_accounts


def summarise(
    ledger: Ledger,
    run_id: str,
    source: Source,
    engine: Engine,
    requests: Mapping[str, Any],
    timing: Mapping[str, float],
) -> dict[str, Any]:
    """The summary of a run that has ended. Money and fills come from the ledger alone; `accounting_ok` says whether
    both sums over it, and the engine's own accounts, agree to the last digit. `requests` gets the number of rows in the
    run's egress log and the link of the last: what holds the log to this moment."""
    fills = ledger.fill_rows(run_id)
    capital = {bot.index: bot.account.capital for bot in engine.bots}
    verdict = check_accounts([bot.account for bot in engine.bots], fills, engine.instruments)
    orders = ledger.order_rows(run_id)
    equity = sum((bot.last_equity for bot in engine.bots), Decimal(0))
    whole = sum(capital.values(), Decimal(0))
    traded = {fill.bot for fill in fills}
    streaming = timing["stream_seconds"]
    log = ledger.egress_end(run_id)
    return {
        "run_id": run_id,
        "source": msgspec.to_builtins(source),
        "label": source.label(),
        "bots": len(engine.bots),
        "bots_traded": len(traded),
        "stood_aside": {
            b.spec.name: b.note or "no signal in this window" for b in engine.bots if b.index not in traded
        },
        "orders": len(orders),
        "fills": len(fills),
        "fills_sha256": fills_sha256(fills),
        "fees_usdt": _plain(sum((fill.fee_quote for fill in fills), Decimal(0))),
        "net_pnl_usdt": _plain(equity - whole),
        "bounds": _bounds(engine, whole),
        "accounting_ok": verdict.ok,
        "accounting_problems": list(verdict.problems),
        "requests": {**requests, "egress_rows": log.rows, "egress_head": log.head},
        "sealed": is_sealed(),
        "events": engine.events,
        "events_per_second": round(timing["events"] / streaming) if streaming else 0,
        "wall_seconds": round(timing["wall_seconds"], 3),
        "peak_rss_mb": round(timing["peak_rss_mb"], 1),
        "engine_from_ms": engine.start_ms,
        "engine_to_ms": engine.now_ms,
    }


def status(
    run_id: str,
    source: Source,
    engine: Engine,
    requests: Mapping[str, Any],
    timing: Mapping[str, float],
    state: str,
) -> dict[str, Any]:
    """The run as it stands now: what the control socket answers and the panel shows."""
    streaming = timing["stream_seconds"]
    desk = engine.desk
    progress = None
    if engine.until_ms is not None:
        progress = min(1.0, (engine.now_ms - engine.start_ms) / (engine.until_ms - engine.start_ms))
    return {
        "run_id": run_id,
        "state": state,
        "source": msgspec.to_builtins(source),
        "label": source.label(),
        "engine_time_ms": engine.now_ms,
        "progress": progress,
        "events": engine.events,
        "events_per_second": round(timing["events"] / streaming) if streaming else 0,
        "requests": dict(requests),
        "fleet_state": {"state": str(desk.guard.gate.state), "cause": desk.guard.gate.cause},
        "halted_symbols": dict(desk.guard.volatility.halted),
        "bots": [bot.status(desk.guard.state_of(bot)) | {"flat": desk.is_flat(bot)} for bot in engine.bots],
    }


def write_json(path: Path, value: Any) -> None:
    """Write `value` so that a reader sees the old file or the new one, never half of one."""
    temporary = path.with_suffix(".new")
    temporary.write_bytes(msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n")
    temporary.replace(path)


def _plain(value: Decimal) -> str:
    return f"{value.normalize():f}"


def _bounds(engine: Engine, capital: Decimal) -> dict[str, str] | None:
    """What the fleets beside the run made; None where none sailed."""
    if engine.bounds is None:
        return None
    high, low = (_plain(equity - capital) for equity in engine.bounds)
    return {"optimistic_net_pnl_usdt": high, "pessimistic_net_pnl_usdt": low}
