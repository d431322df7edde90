"""A home to look at: settings, a vault with a key, and one line of the checklist at a time."""

from __future__ import annotations

import platform
import subprocess
import time
from pathlib import Path
from typing import Any

import msgspec

from quantlab.ledger.keys import KeyStore, StatementRow, UseRow
from quantlab.preflight import Line, Mode
from quantlab.preflight.checklist import CHECKS
from quantlab.preflight.facts import DAY_MS, Facts
from quantlab.preflight.result import line_of
from quantlab.settings import Settings
from quantlab.vault import Credential, Environment, Seen, Vault

from ..vault.kit import PASSWORD

PERMISSIONS = ("enableReading", "enableSpotAndMarginTrading")
#: What `token_urlsafe(32)` makes.
STRONG_TOKEN = "q8Yw3nZs-5LkRt0PvXj2Hf7Gm_Bc9Da4Ue6Ti1Oo8Sd"


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def passed(age_ms: int = 0, **changes: Any) -> Seen:
    """An audit that passed, `age_ms` ago."""
    return Seen("passed", now_ms() - age_ms, **({"permissions": PERMISSIONS, "ip_restricted": True} | changes))


def settings_in(root: Path, **changes: Any) -> Settings:
    return Settings.model_validate({"root": root, "home": root / ".quantlab", "vault_password": PASSWORD} | changes)


def with_key(
    chosen: Settings,
    credential: Credential,
    *,
    label: str = "Paper Trading",
    environment: Environment = "mainnet",
    seen: Seen | None = None,
) -> None:
    """A vault that holds a key; made where there is none."""
    if (chosen.home / "quantlab.sqlite").exists():
        vault = Vault.open(chosen.home, PASSWORD)
    else:
        vault = Vault.create(chosen.home, PASSWORD)
    with vault:
        vault.add(label, credential, environment, seen=seen)


def look(id: str, chosen: Settings, mode: Mode = "paper", *, ask_exchange: bool = False, **given: Any) -> Line:
    """One line of the checklist."""
    facts = Facts(chosen, mode, ask_exchange, **given)
    try:
        return line_of(next(check for check in CHECKS if check.id == id), facts)
    finally:
        facts.close()


def used(chosen: Settings, *, days_ago: float, machine: str | None = None, program: str = "quantlab run") -> None:
    """Put an opening of the first key on record."""
    with KeyStore.open(chosen.home) as store, store.transaction():
        store.put(
            UseRow(
                key_id=1,
                opened_ms=now_ms() - round(days_ago * DAY_MS),
                machine=machine or platform.node(),
                pid=1,
                program=program,
                purpose="permission audit",
            )
        )


def stated(chosen: Settings, name: str, *, days_ago: float) -> None:
    """Put a statement of the user on record."""
    with KeyStore.open(chosen.home, create=True) as store, store.transaction():
        made_ms = now_ms() - round(days_ago * DAY_MS)
        store.put(StatementRow(name=name, stated_ms=made_ms, machine=platform.node()))


def change_key(chosen: Settings, **changes: Any) -> None:
    """Change the first key's row behind the vault's back."""
    with KeyStore.open(chosen.home) as store, store.transaction():
        store.put(msgspec.structs.replace(store.key_rows()[0], **changes))


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=A", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false")
    done = subprocess.run(["git", "-C", str(folder), *identity, *arguments], check=True, capture_output=True, text=True)
    return done.stdout
