"""`quantlab verify`: does a run stand up to being done again?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from quantlab.cli.runs import home_of
from quantlab.model import Fill, NotFound


def verify(run_id: str | None, *, egress_only: bool) -> dict[str, Any]:
    """Check the egress log of a run, and unless `egress_only` replay its input log and compare fill by fill.

    Returns {"run_id", "ok", "fills", "replayed", "first_difference", "accounts_ok", "egress_ok", "egress"}; the last is
    what `egress.look` found.
    """
    from quantlab.cli.egress import look
    from quantlab.ledger import Ledger

    home, reports = home_of(run_id)
    with Ledger.open(home, create=False) as ledger:
        run_id = run_id or ledger.latest_run_id()
        found = look(ledger, run_id, reports)
        egress_ok = found["ok"]
        result: dict[str, Any] = {"run_id": run_id, "ok": egress_ok, "egress_ok": egress_ok, "egress": found}
        if egress_only:
            return result
        row = ledger.run(run_id)
        fills = ledger.fill_rows(run_id)
    result |= _replayed(home, run_id, row.fleet_toml, row.seed, fills, is_live=row.execution == "live")
    result["ok"] = egress_ok and result["accounts_ok"] and result["first_difference"] is None
    return result


def _replayed(
    home: Path, run_id: str, fleet_toml: str, seed: int, fills: list[Fill], *, is_live: bool
) -> dict[str, Any]:
    from quantlab.fleet.recorder import recording_path
    from quantlab.fleet.replay import replay
    from quantlab.fleet.spec import parse_fleet
    from quantlab.ledger import fills_sha256
    from quantlab.paper import check_accounts
    from quantlab.recording import Recording

    path = recording_path(home, run_id)
    if not path.exists():
        raise NotFound(f'run "{run_id}" kept no input log at {path}: it cannot be replayed')
    if recording_path(home, run_id, 1).exists():
        raise NotFound(f'run "{run_id}" went on without its input log: only what one log gives can be replayed')
    recording = Recording(path)
    folder = Path(recording.header.get("fleet_folder", home))
    fleet = parse_fleet(fleet_toml, path=folder / "fleet.toml")
    live: Any = None
    if is_live:
        from quantlab.live import Retold as live
    engine, journal = replay(path, fleet, seed=seed, live=live)
    again = sorted(journal.fills, key=lambda fill: (fill.time_ms, fill.bot, fill.number))
    difference = next((i for i, (a, b) in enumerate(zip(fills, again, strict=False)) if a != b), None)
    if difference is None and len(fills) != len(again):
        difference = min(len(fills), len(again))
    verdict = check_accounts([bot.account for bot in engine.bots], fills, engine.instruments)
    return {
        "fills": len(fills),
        "replayed": len(again),
        "fills_sha256": fills_sha256(fills),
        "replayed_sha256": fills_sha256(again),
        "first_difference": difference,
        "accounts_ok": verdict.ok,
    }


def print_verdict(result: dict[str, Any]) -> None:
    from quantlab.cli.egress import print_look

    print(f"run {result['run_id']}")
    if "fills" in result:
        same = result["first_difference"] is None
        words = "the same" if same else "DIFFERENT"
        print(f"  fills     {result['fills']} in the ledger, {result['replayed']} replayed: {words}")
        print(f"  accounts  {'both sums agree' if result['accounts_ok'] else 'DO NOT AGREE'}")
    print_look(result["egress"])
    print("verified" if result["ok"] else "NOT VERIFIED")
