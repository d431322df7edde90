"""A vault's header: how one password opens it. The password's key wraps a random data key, which seals the documents.

So a stronger derivation costs one row, and a changed password gets a data key of its own.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import msgspec

from quantlab.ledger.keys import VaultRow
from quantlab.redact import register_secret
from quantlab.vault.errors import Tampered, WrongPassword
from quantlab.vault.kdf import Parameters
from quantlab.vault.sealing import Sealer


@dataclass(frozen=True, slots=True)
class Unlocked:
    """A header and the data key it held."""

    row: VaultRow
    data: Sealer


def make_header(
    password: str, data: Sealer, *, vault_id: str, epoch: int, parameters: Parameters, now_ms: int
) -> VaultRow:
    """A header that opens `data` with `password`. Its manifest is still empty. Costs one key derivation."""
    register_secret(password)
    derived = Sealer(parameters.derive(password))
    return VaultRow(
        epoch=epoch,
        vault_id=vault_id,
        state="current",
        kdf=parameters.kdf,
        iterations=parameters.iterations,
        salt=parameters.salt,
        verifier=derived.seal(_claims(vault_id, epoch, parameters)),
        wrapped_key=derived.wrap(data),
        manifest="",
        generation=0,
        created_ms=now_ms,
        changed_ms=now_ms,
    )


def unlock(row: VaultRow, password: str) -> Unlocked:
    """Open a header. Costs one key derivation.

    Raises WrongPassword, said before anything is decrypted, and Tampered for parameters below the floor or a header
    whose parts do not belong together.
    """
    register_secret(password)  # a wrong one, too: it may be right elsewhere
    parameters = Parameters(row.iterations, row.salt, row.kdf)
    derived = Sealer(parameters.derive(password))
    try:
        claims = derived.open(row.verifier, "the vault's header")
    except Tampered:
        raise WrongPassword("this is not the vault's password") from None
    if claims != _claims(row.vault_id, row.epoch, parameters):
        raise Tampered("the vault's header was changed outside quantlab: restore the vault from a backup")
    return Unlocked(row, derived.unwrap(row.wrapped_key, "the vault's header"))


def rewrapped(opened: Unlocked, password: str, parameters: Parameters) -> VaultRow:
    """The same header under new parameters. Costs one key derivation."""
    row = opened.row
    made = make_header(
        password, opened.data, vault_id=row.vault_id, epoch=row.epoch, parameters=parameters, now_ms=row.created_ms
    )
    return msgspec.structs.replace(
        row,
        kdf=made.kdf,
        iterations=made.iterations,
        salt=made.salt,
        verifier=made.verifier,
        wrapped_key=made.wrapped_key,
    )


def digest(row: VaultRow) -> str:
    """What the anchor keeps of a header, so that a changed one is told from a wrong password."""
    parts = (row.vault_id, row.kdf, str(row.iterations), row.salt.hex(), row.verifier, row.wrapped_key)
    return hashlib.sha256("\n".join(parts).encode(errors="surrogateescape")).hexdigest()[:32]


def _claims(vault_id: str, epoch: int, parameters: Parameters) -> dict[str, object]:
    return {
        "vault_id": vault_id,
        "epoch": epoch,
        "kdf": parameters.kdf,
        "iterations": parameters.iterations,
        "salt": parameters.salt.hex(),
    }
