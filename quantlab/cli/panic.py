"""`quantlab panic`: a key may be in the wrong hands. What stops a thief is said first, the rest follows."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any, TypeVar

from quantlab.ledger.keys import KeyRow
from quantlab.model import QuantlabError
from quantlab.settings import Settings, find_root, load_settings
from quantlab.vault.inventory import inventory

Say = Callable[[str], object]
Found = TypeVar("Found")
#: Where a key is deleted, by its environment. Keys of a main account cannot be deleted by API.
#: Source: Binance support, "How to delete an API key", and the spot testnet's page, checked 2026-11-23.
PLACES = {
    "mainnet": "https://www.binance.com/en/my/settings/api-management",
    "testnet": "https://testnet.binance.vision/",
    "replay": "the venue that was started here",
}


def panic(labels: list[str] | None, say: Say, chosen: Settings | None = None) -> dict[str, Any]:
    """Say where to delete the key, before anything that could fail; then revoke it here, erase its secret, and halt
    what uses it. Needs no password.

    `labels` None means all keys; `say` gets each line at once; `chosen` are the settings (default: read here, and
    without sound ones the home is looked for all the same). Whatever fails is said and does not stop the rest; it is
    raised at the end.
    """
    from quantlab.cli.custody import tell_engine
    from quantlab.vault import NoVault, revoke

    began = time.monotonic()
    say(f"DELETE THE KEY NOW: {PLACES['mainnet']}  (a testnet key: {PLACES['testnet']})")
    say("Only deleting it there stops who has a copy. What follows happens here meanwhile.")
    troubles: list[Exception] = []

    def tried(work: Callable[[], Found], otherwise: Found) -> Found:
        try:
            return work()
        except NoVault:
            say("there is no vault here, so nothing to revoke; a pair in .env is yours to remove")
        except (QuantlabError, OSError) as error:
            troubles.append(error)
            say(f"NOT DONE: {error}")
        return otherwise

    home = chosen.home if chosen is not None else tried(lambda: load_settings().home, find_root() / ".quantlab")
    nothing: list[dict[str, Any]] = []
    entries = [entry for entry in tried(lambda: inventory(home), nothing) if _is_meant(entry, labels)]
    for entry in entries:
        say(f'delete "{entry["label"]}" ({entry["fingerprint"]}) at {PLACES[entry["environment"]]}')
    revoked: list[KeyRow] = tried(lambda: revoke(home, labels, "panic"), [])
    for row in revoked:
        say(f'key "{row.label}" ({row.fingerprint}) is revoked, its secret is erased here')
    engine = tried(lambda: tell_engine(home), "")
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
    if troubles:
        raise troubles[0]
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
