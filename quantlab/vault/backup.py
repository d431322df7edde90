"""Copies of the vault, and the way back.

A backup holds the sealed documents as they are: it opens with the password of its day and no other. Restoring is a
rollback, so it says what would change, and what comes back is locked until it is audited.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from quantlab.ledger.keys import BackupRow, KeyRow, KeyStore, VaultRow
from quantlab.model.errors import ConfigurationError, NotFound, QuantlabError, Refused
from quantlab.vault.anchor import Anchor, raise_anchor, read_anchor
from quantlab.vault.binding import check_all, seal_key, seal_manifest
from quantlab.vault.errors import NoVault, Tampered
from quantlab.vault.header import digest, unlock
from quantlab.vault.locked import open_store
from quantlab.vault.rows import in_state

_LARGEST = 64 << 20


class Backup(msgspec.Struct, frozen=True, kw_only=True):
    """What a backup file holds: one epoch of the vault, sealed."""

    format: Literal["quantlab vault 1"] = "quantlab vault 1"
    made_ms: int
    header: VaultRow
    keys: tuple[KeyRow, ...]
    documents: dict[str, str]


@dataclass(frozen=True, slots=True)
class Rollback:
    """What restoring would do: the generations, and the labels that would go and come."""

    generation_now: int
    generation_then: int
    made_ms: int
    labels_then: tuple[str, ...]
    #: In the vault now and not in the backup, or there with another key: their secrets would be gone.
    lost: tuple[str, ...]


def backup(home: Path, path: Path) -> BackupRow:
    """Write the sealed vault to `path`, owner-only, never over a file. It is listed in the vault, so that a change of
    password can say which copies still open with the old one. Needs no password.

    Raises NoVault, ConfigurationError when the file is there already, QuantlabError while the password is changed.
    """
    with open_store(home) as store:
        with store.snapshot():
            headers = store.headers()
            if not headers:
                raise NoVault("there is no vault here yet: `quantlab vault init` makes one")
            if len(headers) > 1:
                raise QuantlabError(
                    "the password is being changed: `quantlab vault audit --offline` with "
                    "the new one finishes it, `quantlab vault passwd` with the old one begins anew"
                )
            header = headers[0]
            documents = {str(key_id): token for key_id, token in store.documents(header.epoch).items()}
            made_ms = time.time_ns() // 1_000_000
            content = msgspec.json.encode(
                Backup(made_ms=made_ms, header=header, keys=tuple(store.key_rows()), documents=documents)
            )
        _write_new(path, content)
        row = BackupRow(
            path=str(path.resolve()),
            epoch=header.epoch,
            generation=header.generation,
            sha256=hashlib.sha256(content).hexdigest(),
            made_ms=made_ms,
        )
        with store.alone(), store.transaction():
            store.put(row)
            store.log(made_ms, "backup made", None, path=row.path, generation=row.generation)
    return row


def read_backup(path: Path) -> Backup:
    """Raises NotFound, Refused when others can read it, Tampered when it is not what `backup` wrote."""
    try:
        state = path.stat()
        if state.st_size > _LARGEST:
            raise Tampered(f"{path} is no backup of a vault: it is too large")
        content = path.read_bytes()
    except FileNotFoundError:
        raise NotFound(f"no backup at {path}") from None
    except OSError as error:
        raise QuantlabError(f"{path} cannot be read: {error.strerror}") from None
    if state.st_mode & 0o077:
        raise Refused(f"others can read {path}: type `chmod 600 {path}`")
    try:
        return msgspec.json.decode(content, type=Backup)
    except msgspec.DecodeError:
        raise Tampered(f"{path} is no backup of a vault, or it was cut: take another copy") from None


def rollback(home: Path, taken: Backup) -> Rollback:
    """What restoring `taken` would change. Needs no password."""
    try:
        with open_store(home) as store:
            headers, rows = store.headers(), store.key_rows()
    except NoVault:
        headers, rows = [], []
    then = {row.fingerprint: row.label for row in taken.keys if row.holds_secret}
    return Rollback(
        generation_now=max((header.generation for header in headers), default=0),
        generation_then=taken.header.generation,
        made_ms=taken.made_ms,
        labels_then=tuple(then.values()),
        lost=tuple(row.label for row in rows if row.holds_secret and row.fingerprint not in then),
    )


def restore(home: Path, taken: Backup, password: str) -> list[KeyRow]:
    """Put the vault back as it was in `taken`, under the password of that day. Every key is locked until it is audited;
    keys that this machine saw revoked stay so. The generation goes up, never back.

    Returns the rows of the keys that hold a secret. Raises WrongPassword, Tampered; then nothing was changed.
    """
    opened = unlock(taken.header, password)
    tokens = {int(key_id): token for key_id, token in taken.documents.items() if key_id.isdigit()}
    credentials = check_all(taken.header, taken.keys, tokens, opened.data, Anchor())
    known = read_anchor(taken.header.vault_id)
    now_ms = time.time_ns() // 1_000_000
    with KeyStore.open(home, create=True) as store, store.alone():
        with store.transaction():
            before = store.headers()
            removed = [token for header in before for token in store.documents(header.epoch).values()]
            generation = max([known.generation, taken.header.generation, *(row.generation for row in before)]) + 1
            gone = {row.fingerprint for row in store.key_rows() if row.state == "revoked"} | set(known.revoked)
            rows = [_restored(row, gone, now_ms) for row in taken.keys]
            uses = store.uses()
            old_ids = {row.id: row.fingerprint for row in store.key_rows()}
            store.clear()
            header = msgspec.structs.replace(taken.header, generation=generation, changed_ms=now_ms)
            sealed: dict[int, str] = {}
            for row in rows:
                store.put(row)
                if row.holds_secret:
                    sealed[row.id] = seal_key(row, credentials[row.id], header.epoch, opened.data)
                    store.put_document(row.id, header.epoch, sealed[row.id])
            store.put(msgspec.structs.replace(header, manifest=seal_manifest(header, rows, sealed, opened.data)))
            ids = {row.fingerprint: row.id for row in rows}
            for use in uses:  # the record of use outlives the rollback
                if (fingerprint := old_ids.get(use.key_id)) in ids:
                    store.put(msgspec.structs.replace(use, key_id=ids[str(fingerprint)]))
            store.log(now_ms, "backup restored", None, then=taken.header.generation, now=generation)
        check_all(store.headers()[0], store.key_rows(), store.documents(header.epoch), opened.data, known)
        raise_anchor(header.vault_id, generation, (digest(header),), tuple(gone))
        store.scrub(removed)
    return [row for row in rows if row.holds_secret]


def known_backups(home: Path) -> Sequence[BackupRow]:
    """The copies that were made of this vault, oldest first."""
    with open_store(home) as store:
        return store.backups()


def _restored(row: KeyRow, gone: set[str], now_ms: int) -> KeyRow:
    if not row.holds_secret:
        return row
    if row.fingerprint in gone:
        return in_state(row, "revoked", "revoked on this machine before the backup was restored", now_ms)
    return in_state(row, "locked", "restored from a backup: audit before use", now_ms)


def _write_new(path: Path, content: bytes) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise ConfigurationError(f"{path} is there already: give another name") from None
    except OSError as error:
        raise QuantlabError(f"{path} cannot be written: {error.strerror}") from None
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        path.unlink(missing_ok=True)
        raise
