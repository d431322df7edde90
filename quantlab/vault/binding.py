"""What ties the vault's pieces together: each sealed document to its row, all of them to the header's manifest.

A document repeats its row, so a row or token that was swapped, relabelled or put back is told by name. The manifest,
sealed too, lists the documents of one generation, so none can be added, dropped or exchanged for an older one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, cast

import msgspec

from quantlab.ledger.keys import KeyRow, VaultRow
from quantlab.redact import register_secret
from quantlab.vault.anchor import Anchor
from quantlab.vault.credentials import Credential, KeyType, fingerprint
from quantlab.vault.errors import RolledBack, Tampered
from quantlab.vault.sealing import Sealer

_VERSION = 1
_UNBOUND = {"notes"}  # free words of the user


def seal_key(row: KeyRow, credential: Credential, epoch: int, data: Sealer) -> str:
    """The document of one key."""
    return data.seal(
        {
            "version": _VERSION,
            "epoch": epoch,
            "row": _bound(row),
            "api_key": credential.api_key,
            "secret": credential.secret,
        }
    )


def open_key(row: KeyRow, token: str, epoch: int, data: Sealer) -> Credential:
    """The credential of `row`. Raises Tampered naming the key and what does not agree."""
    what = f'the sealed document of key "{row.label}"'
    document = data.open(token, what)
    for name in ("api_key", "secret"):  # from here on a traceback with locals would hold them
        register_secret(str(document.get(name, "")))
    if document.get("version") != _VERSION or document.get("epoch") != epoch:
        raise Tampered(f"{what} is of another version of the vault: restore the vault from a backup")
    sealed = document.get("row", {})
    for name, value in _bound(row).items():
        if sealed.get(name) != value:
            raise Tampered(
                f'key "{row.label}": its row says {name} {value!r}, its sealed document {sealed.get(name)!r}: the row '
                "was changed or swapped outside quantlab, restore the vault from a backup"
            )
    api_key, secret = document.get("api_key"), document.get("secret")
    if not isinstance(api_key, str) or not isinstance(secret, str) or fingerprint(api_key) != row.fingerprint:
        raise Tampered(f"{what} holds another key: restore the vault from a backup")
    return Credential.known(api_key, secret, cast(KeyType, row.type))


def check_headers(headers: Sequence[VaultRow]) -> None:
    """Raise Tampered unless there is one current header, and beside it at most the one that is to follow it.

    Looks at what anybody could write, so that nothing else makes the reader derive keys without end; the manifests
    say whether it is true.
    """
    states = [header.state for header in headers]
    current, pending = headers[0], headers[-1]
    if states == ["current"] and current.handover is None:
        return
    followed = pending.epoch == current.epoch + 1 and pending.vault_id == current.vault_id
    if states == ["current", "pending"] and followed and current.handover is None and pending.handover is not None:
        return
    raise Tampered("the vault's headers do not belong together: restore the vault from a backup")


def seal_manifest(header: VaultRow, rows: Sequence[KeyRow], tokens: Mapping[int, str], data: Sealer) -> str:
    """The manifest of a generation: what its header says, which keys hold a secret, each document's digest.

    Raises Tampered for a key without a document: something else writes the database, too.
    """
    holding = [row for row in rows if row.holds_secret]
    for row in holding:
        if row.id not in tokens:
            raise Tampered(f'key "{row.label}" has lost its sealed document: restore the vault from a backup')
    listed = {str(row.id): [row.label, _digest(tokens[row.id])] for row in holding}
    return data.seal({"version": _VERSION, **_claims(header), "keys": listed})


def check_all(
    header: VaultRow, rows: Sequence[KeyRow], tokens: Mapping[int, str], data: Sealer, known: Anchor
) -> dict[int, Credential]:
    """The credentials of all keys that hold one, by id, when everything belongs together.

    A key that the manifest lists and the row calls revoked was revoked without the password: that is obeyed. Raises
    RolledBack for a vault older than `known`, Tampered naming what was changed otherwise.
    """
    manifest = data.open(header.manifest, "the vault's manifest")
    for name, value in _claims(header).items():
        if manifest.get(name) != value:
            raise Tampered(
                f"the vault's header says {name} {value!r}, its manifest {manifest.get(name)!r}: one of them was "
                "changed or put back outside quantlab, restore the vault from a backup"
            )
    if header.generation < known.generation:
        raise RolledBack(
            f"this vault is of generation {header.generation}, this machine has seen {known.generation}: an old copy "
            "was put back. `quantlab vault restore` takes a backup in; find out who did this"
        )
    listed: dict[str, list[str]] = manifest.get("keys", {})
    states = {row.id: row.state for row in rows}
    for key_id, (label, _) in listed.items():
        if states.get(int(key_id)) not in ("active", "locked", "revoked"):
            raise Tampered(f'key "{label}" was removed outside quantlab: restore the vault from a backup')
    found = {}
    for row in rows:
        if not row.holds_secret:
            continue
        if row.fingerprint in known.revoked:
            raise RolledBack(
                f'key "{row.label}" ({row.fingerprint}) was revoked on this machine, the vault calls it {row.state}: '
                "an old copy was put back. `quantlab vault restore` takes a backup in"
            )
        token = tokens.get(row.id)
        if str(row.id) not in listed or token is None or listed[str(row.id)][1] != _digest(token):
            raise Tampered(
                f'key "{row.label}" is not the one that quantlab sealed last: its row or document was added, dropped '
                "or put back; restore the vault from a backup"
            )
        found[row.id] = open_key(row, token, header.epoch, data)
    return found


def _claims(header: VaultRow) -> dict[str, Any]:
    """What the manifest repeats of its header. The rest binds itself: the verifier to the password, the data key to
    both."""
    return {name: getattr(header, name) for name in ("vault_id", "epoch", "state", "generation")}


def _bound(row: KeyRow) -> dict[str, Any]:
    """What the document repeats of its row, as JSON gives it back."""
    bound: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(row))
    return {name: value for name, value in bound.items() if name not in _UNBOUND}


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode(errors="surrogateescape")).hexdigest()
