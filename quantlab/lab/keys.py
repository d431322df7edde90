"""Keys in a notebook: the inventory, what each permission means, the audit, the drill. Nothing here shows a secret.

Everything but the audit works without the vault's password.
"""

from __future__ import annotations

import html
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import polars as pl

from quantlab.environment import scrubbed
from quantlab.model import NotFound, QuantlabError
from quantlab.model.errors import error_of_exit_code
from quantlab.report.table import Column, Table, number, text
from quantlab.settings import Settings

if TYPE_CHECKING:
    from quantlab.vault import Vault

_SOURCE = "the vault's inventory, read without a password"
_TIME = pl.Datetime("us", "UTC")
_Schema = dict[str, "pl.DataType | type[pl.DataType]"]
_KEYS: _Schema = {
    "label": pl.String,
    "environment": pl.String,
    "fingerprint": pl.String,
    "type": pl.String,
    "state": pl.String,
    "why": pl.String,
    "permissions": pl.List(pl.String),
    "ip_restricted": pl.Boolean,
    "address": pl.String,
    "created": _TIME,
    "last_rotated": _TIME,
    "last_audited": _TIME,
    "last_opened": _TIME,
    "last_opened_by": pl.String,
    "notes": pl.String,
}
_USERS: _Schema = {
    "label": pl.String,
    "fingerprint": pl.String,
    "program": pl.String,
    "machine": pl.String,
    "purpose": pl.String,
    "first": _TIME,
    "last": _TIME,
    "times": pl.Int64,
}
_AUDITS: _Schema = {
    "label": pl.String,
    "fingerprint": pl.String,
    "audit": pl.String,
    "state": pl.String,
    "permissions": pl.List(pl.String),
    "ip_restricted": pl.Boolean,
    "why": pl.String,
}
_EVENTS: _Schema = {"time": _TIME, "what": pl.String, "detail": pl.String}
_STEPS: _Schema = {"step": pl.String, "who": pl.String, "seconds": pl.Float64}
#: How long a rehearsal may take, its own run's start included.
_DRILL_S = 180.0


def keys(settings: Settings) -> Table:
    """See `Workbench.keys`."""
    from quantlab.vault.inventory import inventory

    rows = []
    for entry in inventory(settings.home):
        user = entry["used_by"][0] if entry["used_by"] else None
        rows.append(
            {name: entry.get(name) for name in _KEYS}
            | {name: _moment(entry[name]) for name in ("created", "last_rotated", "last_audited")}
            | {"why": entry["state_why"], "last_opened": _moment(user["last"]) if user else None}
            | {"last_opened_by": f"{user['program']} on {user['machine']}" if user else None}
        )
    columns = [
        text("label", "label"),
        text("environment", "environment"),
        text("fingerprint", "fingerprint"),
        text("type", "type"),
        text("state", "state"),
        text("why", "why", wrap=True),
        Column("permissions", "permissions", ", ".join, number=False, wrap=True),
        Column("ip_restricted", "bound to addresses", _yes_or_no, number=False),
        _time("created", "created"),
        _time("last_rotated", "rotated"),
        _time("last_audited", "audited"),
        _time("last_opened", "last opened"),
        text("last_opened_by", "by"),
        text("notes", "notes", wrap=True),
    ]
    told = [
        column for column in columns if column.name not in ("why", "notes") or any(row[column.name] for row in rows)
    ]
    caption = "times in UTC" if rows else "no key in the vault: paper trading needs none"
    return Table(pl.DataFrame(rows, schema=_KEYS), told, source=_SOURCE, caption=caption)


def key_users(settings: Settings, label: str | None = None) -> Table:
    """See `Workbench.key_users`."""
    from quantlab.vault.inventory import inventory

    rows = [
        {"label": entry["label"], "fingerprint": entry["fingerprint"]}
        | {name: use[name] for name in ("program", "machine", "purpose", "times")}
        | {name: _moment(use[name]) for name in ("first", "last")}
        for entry in inventory(settings.home)
        if label in (None, entry["label"], entry["fingerprint"])
        for use in entry["used_by"]
    ]
    columns = (
        text("label", "key"),
        text("fingerprint", "fingerprint"),
        text("program", "program"),
        text("machine", "machine"),
        text("purpose", "purpose", wrap=True),
        _time("first", "first"),
        _time("last", "last"),
        number("times", "times", 0),
    )
    caption = "times in UTC" if rows else "nobody has opened a key"
    frame = pl.DataFrame(rows, schema=_USERS).sort("last", descending=True)
    return Table(frame, columns, source=_SOURCE, caption=caption)


class KeyDetail:
    """One key, all that is known of it but its secret: `.entry` (a dict), `.users` and `.history` (tables)."""

    def __init__(self, settings: Settings, label: str) -> None:
        from quantlab.vault.inventory import history, inventory

        entries = [entry for entry in inventory(settings.home) if label in (entry["label"], entry["fingerprint"])]
        if not entries:
            raise NotFound(f'no key "{label}" in the vault: lab.keys() shows them')
        self.entry: dict[str, Any] = entries[0]
        self.users = key_users(settings, self.entry["fingerprint"])
        events = [event for event in history(settings.home) if event["label"] == self.entry["label"]]
        rows = [
            {"time": _moment(event["time"]), "what": event["kind"], "detail": _detail(event["detail"])}
            for event in events
        ]
        self.history = Table(
            pl.DataFrame(rows, schema=_EVENTS),
            (_time("time", "time"), text("what", "what"), text("detail", "detail", wrap=True)),
            source=_SOURCE,
            caption="times in UTC, oldest first; the history goes by label",
        )

    def __repr__(self) -> str:
        facts = "\n".join(f"{name}: {value}" for name, value in self._facts().items())
        return f"{facts}\n\n{self.users!r}\n\n{self.history!r}"

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td style='text-align:left;color:#6e7781'>{html.escape(name)}</td>"
            f"<td style='text-align:left'>{html.escape(value)}</td></tr>"
            for name, value in self._facts().items()
        )
        return f"<table>{rows}</table>{self.users._repr_html_()}{self.history._repr_html_()}"

    def _facts(self) -> dict[str, str]:
        plain = {name: value for name, value in self.entry.items() if name != "used_by" and value not in (None, "", [])}
        return {
            name.replace("_", " "): ", ".join(value) if isinstance(value, list) else str(value)
            for name, value in plain.items()
        }


def vault_state(settings: Settings) -> Table:
    """See `Workbench.vault`."""
    from quantlab.vault import NoVault
    from quantlab.vault.inventory import inventory, utc
    from quantlab.vault.locked import open_store
    from quantlab.vault.password import find_password

    try:
        with open_store(settings.home) as store:
            headers = store.headers()
    except NoVault:
        headers = []
    found = find_password(settings)
    facts = {"vault": "none yet: paper trading needs none"}
    if headers:
        entries = inventory(settings.home)
        counts = {state: sum(entry["state"] == state for entry in entries) for state in ("active", "locked")}
        facts = {
            "vault": headers[0].vault_id,
            "made": str(utc(headers[0].created_ms)),
            "key derivation": f"{headers[0].kdf}, {headers[0].iterations:,} iterations",
            "generation": f"{headers[0].generation} (every change raises it)",
            "keys": f"{counts['active']} active, {counts['locked']} locked, {len(entries)} ever",
        }
    facts["password"] = f"found in {found.where}" if found else "kept nowhere here: you are asked for it"
    facts["this machine's address"] = (
        f"asked of {settings.address_url}" if settings.address_url else "not watched: QUANTLAB_ADDRESS_URL is not set"
    )
    frame = pl.DataFrame({"what": list(facts), "state": list(facts.values())})
    return Table(frame, (text("what", ""), text("state", "", wrap=True)), source="no password was needed to read this")


def permissions(settings: Settings) -> Table:
    """See `Workbench.permissions`."""
    from quantlab.vault.inventory import inventory
    from quantlab.vault.permissions import ADDRESSES, FORBIDDEN, OPTIONAL, READING, TRADING

    rows = [(READING, "needed", "balances, orders and trades are read")]
    rows.append((ADDRESSES, "needed", "without it the key works from every address: who copies it can use it anywhere"))
    thief = "a thief cannot take money out, and can lose it: by trading against himself in a thin market"
    rows += [(name, "may be", thief if name == TRADING else words) for name, words in OPTIONAL.items()]
    rows += [(name, "REFUSED", f"{allowed}: {so}") for name, (allowed, so) in FORBIDDEN.items()]
    held = [entry for entry in inventory(settings.home) if entry["state"] in ("active", "locked")]

    def have(name: str) -> str:
        return ", ".join(entry["label"] for entry in held if name in _told(entry))

    frame = pl.DataFrame(
        [(name, rule, words, have(name)) for name, rule, words in rows],
        schema=["permission", "rule", "meaning", "keys"],
        orient="row",
    )
    columns = (
        text("permission", "permission"),
        text("rule", "rule"),
        text("meaning", "what it means", wrap=True),
        text("keys", "your keys that have it", wrap=True),
    )
    caption = "what is missing, unknown or of another type is refused as well: what cannot be excluded is not allowed"
    return Table(
        frame, columns, source="Binance wallet docs, API key permission; your keys as last audited", caption=caption
    )


def audit(settings: Settings, label: str | None = None) -> Table:
    """See `Workbench.audit`."""
    from quantlab.exchange.custody import Custodian
    from quantlab.ledger.database import database_path
    from quantlab.ledger.keys import KeyStore

    rows: list[dict[str, Any]] = []
    if label is not None or (database_path(settings.home).exists() and _holds_any(KeyStore.open(settings.home))):
        custodian = Custodian(settings)
        with unlocked(settings) as vault:
            chosen = [vault.key(label)] if label else [row for row in vault.rows if row.holds_secret]
            for row in chosen:
                now, seen = custodian.audit_key(vault, row.fingerprint)
                why = "; ".join(seen.refusals) or seen.detail
                rows.append(
                    {"label": now.label, "fingerprint": now.fingerprint, "audit": seen.status, "state": now.state}
                    | {"permissions": list(seen.permissions or ()), "ip_restricted": seen.ip_restricted, "why": why}
                )
    columns = (
        text("label", "key"),
        text("fingerprint", "fingerprint"),
        text("audit", "audit"),
        text("state", "state now"),
        Column("permissions", "permissions", ", ".join, number=False, wrap=True),
        Column("ip_restricted", "bound to addresses", _yes_or_no, number=False),
        text("why", "why", wrap=True),
    )
    caption = "only whether a key is bound to addresses can be read, not to which" if rows else "no key to audit"
    return Table(
        pl.DataFrame(rows, schema=_AUDITS), columns, source="asked of the key's own exchange now", caption=caption
    )


def drill(settings: Settings) -> Table:
    """See `Workbench.drill`."""
    done = subprocess.run(
        [sys.executable, "-m", "quantlab", "panic", "--drill", "--json"],
        cwd=settings.root,
        env=scrubbed(os.environ),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_DRILL_S,
        start_new_session=True,  # a cell's interrupt would leave its engine behind
        check=False,
    )
    try:
        result = json.loads(done.stdout)
    except ValueError:
        lines = done.stderr.strip().splitlines()
        words = lines[-1].removeprefix("quantlab: ") if lines else "the drill ended without a word"
        raise error_of_exit_code(done.returncode, words) from None
    return drill_table(result)


def drill_table(result: dict[str, Any]) -> Table:
    """The stopwatch's result as a table: step, whose part it is, seconds."""
    frame = pl.DataFrame([{name: step[name] for name in _STEPS} for step in result["steps"]], schema=_STEPS)
    failed = [name for name, held in result.get("checks", {}).items() if not held]
    passed = "passed" if result["ok"] else "NOT PASSED"
    caption = f"{passed}; did not hold: {', '.join(failed)}" if failed else passed
    return Table(
        frame,
        (text("step", "step", wrap=True), text("who", "whose part"), number("seconds", "seconds")),
        source="rehearsed on a replay venue, with keys made for it; yours were not touched",
        caption=caption,
        total={"step": "the machine's part", "who": "machine", "seconds": float(result["machine_seconds"])},
    )


def unlocked(settings: Settings) -> Vault:
    """The vault, opened with the password that this machine keeps, else with one asked for. An error comes without the
    frames below: a verbose traceback prints their variables."""
    try:
        return _unlock(settings)
    except QuantlabError as error:
        raise error.with_traceback(None) from None


def _unlock(settings: Settings) -> Vault:
    from quantlab.lab.asking import ask, someone_is_there
    from quantlab.vault import Vault, has_vault
    from quantlab.vault.opening import open_vault
    from quantlab.vault.password import find_password

    if find_password(settings) is not None or not has_vault(settings.home) or not someone_is_there():
        return open_vault(settings)
    return Vault.open(settings.home, ask("Vault password: "))


def _holds_any(store: Any) -> bool:
    with store:
        return any(row.holds_secret for row in store.key_rows())


def _told(entry: dict[str, Any]) -> Sequence[str]:
    from quantlab.vault.permissions import ADDRESSES

    return [*(entry["permissions"] or ()), *([ADDRESSES] if entry["ip_restricted"] else ())]


def _detail(encoded: str) -> str:
    """An event's detail, which is JSON, in words."""
    detail = json.loads(encoded)
    words = {name: ", ".join(map(str, value)) if isinstance(value, list) else value for name, value in detail.items()}
    return "; ".join(f"{name}: {value}" for name, value in words.items() if value not in (None, ""))


def _moment(iso: str | None) -> datetime | None:
    return None if iso is None else datetime.fromisoformat(iso)


def _time(name: str, title: str) -> Column:
    return Column(name, title, lambda moment: f"{moment:%Y-%m-%d %H:%M}", number=False)


def _yes_or_no(value: bool) -> str:
    return "yes" if value else "NO"
