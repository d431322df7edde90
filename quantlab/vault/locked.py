"""What needs no password: whether there is a vault, and revoking keys in an emergency."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from quantlab.ledger.keys import KeyRow, KeyStore
from quantlab.model.errors import NotFound
from quantlab.vault.anchor import raise_anchor
from quantlab.vault.errors import NoVault
from quantlab.vault.rows import find_key, in_state


def open_store(home: Path) -> KeyStore:
    """The tables of `home`. Raises NoVault without a database."""
    try:
        return KeyStore.open(home)
    except NotFound:
        raise NoVault("there is no vault here yet: `quantlab vault init` makes one") from None


def has_vault(home: Path) -> bool:
    """Whether `home` has a vault. Needs no password."""
    try:
        with open_store(home) as store:
            return bool(store.headers())
    except NoVault:
        return False


def revoke(home: Path, labels: Sequence[str] | None, why: str) -> list[KeyRow]:
    """Mark keys as revoked and erase their secrets; all of them when `labels` is None. Needs no password: who can
    write the database could delete it anyway, and in an emergency nobody should have to look for one.

    Returns the rows that were revoked. Raises NotFound for a label that is not there, NoVault without a vault; Refused
    or QuantlabError when the anchor beside the vault refuses, after the secrets were erased.
    """
    now_ms = time.time_ns() // 1_000_000
    with open_store(home) as store:
        headers = store.headers()
        if not headers:
            raise NoVault("there is no vault here: nothing to revoke")
        with store.transaction():
            rows = store.key_rows()
            wanted = [find_key(rows, label) for label in labels] if labels is not None else rows
            chosen = [row for row in wanted if row.holds_secret]
            tokens = [store.documents(header.epoch) for header in headers]
            removed = [token for found in tokens for key_id, token in found.items() if key_id in {r.id for r in chosen}]
            chosen = [in_state(row, "revoked", why, now_ms) for row in chosen]
            for row in chosen:
                store.put(row)
                store.log(now_ms, "key revoked", row.label, fingerprint=row.fingerprint, why=why)
            store.drop_documents([row.id for row in chosen])
        # Those that were revoked before, too: that revocation may have been cut short before it came to this line.
        gone = [row for row in wanted if row.state == "revoked"] + chosen
        try:
            raise_anchor(headers[0].vault_id, revoked=tuple(row.fingerprint for row in gone))
        finally:
            store.scrub(removed)
    return chosen
