"""The inventory: which key is where, what it may do, and who opened it, so that one can revoke quickly.

It needs no password and shows no secret. Times are UTC, ISO 8601 to the second.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from quantlab.ledger.keys import KeyRow, UseRow
from quantlab.vault.errors import NoVault
from quantlab.vault.locked import open_store


def inventory(home: Path) -> list[dict[str, Any]]:
    """One entry a key, the ones in use first, as plain values that JSON takes.

    Keys of an entry: label, venue, environment, fingerprint, type, state, state_why, state_since, generation, created,
    last_rotated, last_audited, audit, permissions, ip_restricted, address, notes, used_by. `used_by` lists, newest
    first, the machines and programs that opened it: machine, program, purpose, first, last, times, last_pid. Empty
    without a vault.
    """
    try:
        with open_store(home) as store, store.snapshot():
            rows, uses = store.key_rows(), store.uses()
    except NoVault:
        return []
    ordered = sorted(rows, key=lambda row: (not row.holds_secret, row.environment, row.label, -row.id))
    return [_entry(row, [use for use in uses if use.key_id == row.id]) for row in ordered]


def history(home: Path) -> list[dict[str, Any]]:
    """What happened to the keys, oldest first: time, kind, label, detail (JSON text)."""
    try:
        with open_store(home) as store:
            events = store.events()
    except NoVault:
        return []
    return [
        {"time": utc(event.wall_ms), "kind": event.kind, "label": event.label, "detail": event.detail}
        for event in events
    ]


def utc(wall_ms: int | None) -> str | None:
    """UTC ms as people read it."""
    return None if wall_ms is None else datetime.fromtimestamp(wall_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _entry(row: KeyRow, uses: Sequence[UseRow]) -> dict[str, Any]:
    return {
        "label": row.label,
        "venue": row.venue,
        "environment": row.environment,
        "fingerprint": row.fingerprint,
        "type": row.type,
        "state": row.state,
        "state_why": row.state_why,
        "state_since": utc(row.state_ms),
        "generation": row.generation,
        "created": utc(row.created_ms),
        "last_rotated": utc(row.rotated_ms),
        "last_audited": utc(row.audited_ms),
        "audit": row.audit,
        "permissions": None if row.permissions is None else list(row.permissions),
        "ip_restricted": row.ip_restricted,
        "address": row.address,
        "notes": row.notes,
        "used_by": _users(uses),
    }


def _users(uses: Sequence[UseRow]) -> list[dict[str, Any]]:
    by_user: dict[tuple[str, str, str], list[UseRow]] = {}
    for use in uses:
        by_user.setdefault((use.machine, use.program, use.purpose), []).append(use)
    found = sorted(by_user.items(), key=lambda item: -item[1][-1].opened_ms)
    return [
        {
            "machine": machine,
            "program": program,
            "purpose": purpose,
            "first": utc(those[0].opened_ms),
            "last": utc(those[-1].opened_ms),
            "times": len(those),
            "last_pid": those[-1].pid,
        }
        for (machine, program, purpose), those in found
    ]
