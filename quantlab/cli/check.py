"""`quantlab verify`: does a run stand up to being done again?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from quantlab.cli.runs import home_of
from quantlab.model import Fill, Instrument, NotFound, Order, Receipt


@dataclass(frozen=True)
class Told:
    """What the ledger tells of a run's fills."""

    fills: list[Fill]
    receipts: list[Receipt]
    orders: list[Order]

    def unexplained(self, instruments: Mapping[str, Instrument]) -> str | None:
        """The first fill that its receipt alone does not give to the last digit, and why."""
        from quantlab.paper import difference

        orders = {(order.bot, order.number): order for order in self.orders}
        receipts = {(receipt.bot, receipt.fill_number): receipt for receipt in self.receipts}
        for fill in sorted(self.fills, key=_when):
            receipt = receipts.get((fill.bot, fill.number))
            if receipt is None:
                return f"bot {fill.bot}, fill {fill.number}: it has no receipt"
            wrong = difference(fill, receipt, orders[fill.bot, fill.order_number], instruments[fill.symbol])
            if wrong is not None:
                return wrong
        return None

    def differs(self, fills: Sequence[Fill], receipts: Sequence[Receipt]) -> str | None:
        """The first fill, or receipt, that a replay gives otherwise, and in what; None where all are the same."""
        mine, again = ({(fill.bot, fill.number): fill for fill in each} for each in (self.fills, fills))
        wrong = [fill for key, fill in (again | mine).items() if mine.get(key) != again.get(key)]
        if wrong:
            which = min(wrong, key=_when)
            told, replayed = (each.get((which.bot, which.number)) for each in (mine, again))
            where = f"bot {which.bot}, fill {which.number} at {_utc(which.time_ms)}"
            if replayed is None or told is None:
                return f"{where}: only the {'ledger' if replayed is None else 'replay'} has it"
            return f"{where}: {_unlike(told, replayed)}"
        known = {(receipt.bot, receipt.fill_number): receipt for receipt in receipts}
        for receipt in self.receipts:
            other = known.get((receipt.bot, receipt.fill_number))
            if receipt != other:
                words = "the replay has none" if other is None else _unlike(receipt, other)
                return f"bot {receipt.bot}, receipt of fill {receipt.fill_number}: {words}"
        return None


def _when(fill: Fill) -> tuple[int, int, int]:
    return fill.time_ms, fill.bot, fill.number


def _utc(time_ms: int) -> str:
    return f"{datetime.fromtimestamp(time_ms / 1000, UTC):%Y-%m-%d %H:%M:%S.%f}"[:-3]


def _unlike(told: Fill | Receipt, replayed: Fill | Receipt) -> str:
    pairs = ((name, getattr(told, name), getattr(replayed, name)) for name in told.__struct_fields__)
    return "; ".join(f"{name} {mine}, replayed {again}" for name, mine, again in pairs if mine != again)


def verify(run_id: str | None, *, egress_only: bool) -> dict[str, Any]:
    """Check the egress log of a run, and unless `egress_only` its fills: each by its receipt alone, all of them by a
    replay of the input log.

    Returns {"run_id", "ok", "fills", "replayed", "first_difference", "accounts_ok", "egress_ok", "egress"}: of the
    first fill that differs, in words, which it is and what both say; and what `egress.look` found.
    """
    from quantlab.cli.egress import look
    from quantlab.ledger import Ledger, fills_sha256

    home, reports = home_of(run_id)
    with Ledger.open(home, create=False) as ledger:
        run_id = run_id or ledger.latest_run_id()
        found = look(ledger, run_id, reports)
        egress_ok = found["ok"]
        result: dict[str, Any] = {"run_id": run_id, "ok": egress_ok, "egress_ok": egress_ok, "egress": found}
        if egress_only:
            return result
        row = ledger.run(run_id)
        told = Told(ledger.fill_rows(run_id), ledger.receipts(run_id), ledger.order_rows(run_id))
    result |= _replayed(home, run_id, row.fleet_toml, row.seed, told, is_live=row.execution == "live")
    result["ok"] = egress_ok and result["accounts_ok"] and result["first_difference"] is None
    if row.state in ("finished", "stopped"):
        with Ledger.open(home, create=False) as ledger:
            ledger.note_verdict(run_id, ok=result["ok"], fills_sha256=fills_sha256(told.fills))
    return result


def _replayed(home: Path, run_id: str, fleet_toml: str, seed: int, told: Told, *, is_live: bool) -> dict[str, Any]:
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
    difference = None if is_live else told.unexplained(engine.instruments)
    difference = difference or told.differs(journal.fills, journal.receipts)
    verdict = check_accounts([bot.account for bot in engine.bots], told.fills, engine.instruments)
    return {
        "fills": len(told.fills),
        "replayed": len(journal.fills),
        "fills_sha256": fills_sha256(told.fills),
        "replayed_sha256": fills_sha256(journal.fills),
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
        if not same:
            print(f"            {result['first_difference']}")
        print(f"  accounts  {'both sums agree' if result['accounts_ok'] else 'DO NOT AGREE'}")
    print_look(result["egress"])
    print("verified" if result["ok"] else "NOT VERIFIED")
