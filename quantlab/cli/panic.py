"""`quantlab panic`: a key may be in the wrong hands. What stops a thief is said first, the rest follows."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

from quantlab.ledger.keys import KeyRow
from quantlab.settings import Settings
from quantlab.vault.inventory import inventory

Say = Callable[[str], object]
#: Where a key is deleted, by its environment. Keys of a main account cannot be deleted by API.
#: Source: Binance support, "How to delete an API key", and the spot testnet's page, checked 2026-11-23.
PLACES = {
    "mainnet": "https://www.binance.com/en/my/settings/api-management",
    "testnet": "https://testnet.binance.vision/",
    "replay": "the venue that was started here",
}


def panic(chosen: Settings, labels: list[str] | None, say: Say) -> dict[str, Any]:
    """Say where to delete the key; then revoke it here, erase its secret, and halt what uses it. Needs no password.

    `labels` None means all keys; `say` gets each line at once. Without a vault it still says what to do. Raises
    NotFound for a label that is not there.
    """
    from quantlab.cli.custody import tell_engine
    from quantlab.vault import NoVault, revoke

    began = time.monotonic()
    entries = [entry for entry in inventory(chosen.home) if _is_meant(entry, labels)]
    for environment in sorted({entry["environment"] for entry in entries} or {"mainnet"}):
        names = [
            f'"{entry["label"]}" ({entry["fingerprint"]})' for entry in entries if entry["environment"] == environment
        ]
        say(f"DELETE THE KEY NOW: {PLACES[environment]}" + (f"  {', '.join(names)}" if names else ""))
    say("Only deleting it there stops who has a copy. What follows happens here meanwhile.")
    try:
        revoked: list[KeyRow] = revoke(chosen.home, labels, "panic")
    except NoVault:
        revoked = []
        say("there is no vault here, so nothing to revoke; a pair in .env is yours to remove")
    engine = tell_engine(chosen.home)
    for row in revoked:
        say(f'key "{row.label}" ({row.fingerprint}) is revoked, its secret is erased here')
    if engine:
        say(engine)
    users = [
        f"{use['program']} on {use['machine']}, last {use['last']} for {use['purpose']}"
        for entry in entries
        for use in entry["used_by"]
    ]
    for line in users:
        say(f"it was opened by: {line}")
    for line in AFTERWARDS:
        say(line)
    return {
        "revoked": [{"label": row.label, "fingerprint": row.fingerprint} for row in revoked],
        "delete_at": {entry["fingerprint"]: PLACES[entry["environment"]] for entry in entries},
        "opened_by": users,
        "engine": engine,
        "seconds": round(time.monotonic() - began, 3),
    }


AFTERWARDS = (
    "Then: look at orders, trades and withdrawals of the account; change its password and log other devices out.",
    "Then: make a new key, bound to this machine's address, and type `quantlab vault rotate LABEL`.",
    "Then: `quantlab vault sweep` looks for where the old one may have leaked.",
)


def _is_meant(entry: dict[str, Any], labels: list[str] | None) -> bool:
    """Whether a key of the inventory may be the one: those that still sign, unless a fingerprint names another."""
    if labels is None or entry["label"] in labels:
        return entry["state"] in ("active", "locked")
    return entry["fingerprint"] in labels


def aloud(line: str) -> None:
    """On standard error: the address comes first even where the result is asked for as JSON."""
    print(line, file=sys.stderr, flush=True)
