"""Whether a fleet has shown on paper what it does before it may trade real money: on mainnet prices, long enough, to
the end, and verified; or a person's waiver, which stands in the record of custody."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

from quantlab.ledger.database import database_path
from quantlab.ledger.keys import KeyStore
from quantlab.ledger.rows import RunRow
from quantlab.ledger.store import VERIFIED, Ledger

#: How long a fleet trades on paper before it may trade on mainnet, days of market time.
REHEARSAL_DAYS = 7.0
#: The kind of a waiver in the record of custody.
WAIVED = "paper record waived"

_DAY_MS = 86_400_000


class PaperRecord(NamedTuple):
    """`ok`: the fleet may be armed on mainnet, for the reason in `words`; else `words` say what is missing."""

    ok: bool
    words: str


def paper_record(home: Path, fleet_sha256: str | None, *, days: float = REHEARSAL_DAYS) -> PaperRecord:
    """What the ledger in `home` has of the fleet file with that SHA-256 (None: of any)."""
    if not database_path(home).exists():
        return PaperRecord(False, "no run was made here yet")
    longest, unverified = 0.0, ""
    with Ledger.open(home, create=False) as ledger:
        for run_id in ledger.run_ids():
            run = ledger.run(run_id)
            if fleet_sha256 not in (None, run.fleet_sha256) or not _counts(run):
                continue
            length = ((run.engine_time_ms or 0) - (run.engine_from_ms or 0)) / _DAY_MS
            longest = max(longest, length)
            if length < days:
                continue
            if _is_verified(ledger, run):
                return PaperRecord(True, f'run "{run_id}": {length:.1f} days on mainnet prices, finished and verified')
            unverified = run_id
    if fleet_sha256 is not None and (why := _waiver(home, fleet_sha256)):
        return PaperRecord(True, f"waived: {why}")
    if unverified:
        return PaperRecord(False, f'run "{unverified}" is long enough and not verified: `quantlab verify {unverified}`')
    fleet = "this fleet file" if fleet_sha256 else "any fleet"
    seen = f"the longest finished run of {fleet} on mainnet prices has {longest:.1f} days"
    return PaperRecord(False, f"{seen} of {days:g}")


def _counts(run: RunRow) -> bool:
    finished = run.state == "finished" and run.execution == "paper" and run.source.kind == "mainnet"
    return finished and bool((run.summary or {}).get("accounting_ok"))


def _is_verified(ledger: Ledger, run: RunRow) -> bool:
    """The newest verdict counts, and it must be of the fills that the run ended with."""
    rows = ledger.events(run.run_id)
    verdicts = [json.loads(detail) for kind, detail in rows.select("kind", "detail").iter_rows() if kind == VERIFIED]
    fills = (run.summary or {}).get("fills_sha256")
    return bool(verdicts and fills) and verdicts[-1] == {"ok": True, "fills_sha256": fills}


def _waiver(home: Path, fleet_sha256: str) -> str:
    with KeyStore.open(home) as store:
        found = [json.loads(event.detail) for event in store.events() if event.kind == WAIVED]
    return next((str(each["why"]) for each in reversed(found) if each.get("fleet_sha256") == fleet_sha256), "")
