"""What an unlocked vault holds in memory, and how one change of it is made.

Each change is one transaction on a state that was read and checked inside it; then it is read back and checked again,
the anchor outside follows, and what was removed is erased from the files.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Self

import msgspec

from quantlab.ledger.keys import KeyRow, KeyStore, VaultRow
from quantlab.model.errors import QuantlabError
from quantlab.vault.anchor import raise_anchor, read_anchor
from quantlab.vault.binding import check_all, check_headers, seal_key, seal_manifest
from quantlab.vault.credentials import Credential
from quantlab.vault.errors import Tampered
from quantlab.vault.header import digest
from quantlab.vault.sealing import Sealer


class Sealed:
    """The rows, their credentials, and the keys that seal them. `rows`, `generation` and `vault_id` may be read; all
    else is for `Vault`."""

    def __init__(self, store: KeyStore, epochs: dict[int, Sealer]) -> None:
        self._store = store
        self._epochs = epochs
        self._credentials: dict[int, Credential] = {}
        self._headers: list[VaultRow] = []
        self._pending: str | None = None  # the verifier of the header whose change of password is ours to finish
        self._clean = True  # nothing that was removed is left in the files
        self.rows: tuple[KeyRow, ...] = ()
        self.generation = 0
        self.vault_id = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Forget the keys. Python cannot overwrite its strings: what was in memory may stay until it is reused."""
        self._epochs.clear()
        self._credentials.clear()
        self._store.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.vault_id}, generation {self.generation}, {len(self._credentials)} keys)"

    def __reduce__(self) -> str:
        raise TypeError("a vault is not pickled")

    @contextmanager
    def _changing(self, kind: str, label: str | None = None, **detail: object) -> Iterator[list[str]]:
        """One change: alone, on a state read and checked inside its transaction, erased afterwards what it removed."""
        removed: list[str] = []
        with self._store.alone():
            with self._store.transaction():
                self._load()
                yield removed
                self._store.log(wall_ms(), kind, label, **detail)
            self._after(removed)

    def _drop(self, header: VaultRow) -> list[str]:
        """Forget an epoch. Returns what has to be gone from the files afterwards."""
        tokens = [header.verifier, header.wrapped_key, header.manifest, *self._store.documents(header.epoch).values()]
        self._store.drop_epoch(header.epoch)
        return tokens if header.handover is None else [*tokens, header.handover]

    def _reseal(self, row: KeyRow, removed: list[str]) -> None:
        """Write a row whose secret stays."""
        removed += self._tokens(row.id)
        self._put([(row, self._credentials[row.id])])

    def _put(self, changes: Sequence[tuple[KeyRow, Credential | None]]) -> None:
        """Write rows with their documents (None: the secret goes), and manifests of the next generation."""
        for row, credential in changes:
            self._store.put(row)
            if credential is None:
                self._store.drop_documents([row.id])
            else:
                for epoch, data in self._epochs.items():
                    self._store.put_document(row.id, epoch, seal_key(row, credential, epoch, data))
        revoked = [row.id for row in self._store.key_rows() if not row.holds_secret]
        self._store.drop_documents(revoked)
        headers = [header for header in self._store.headers() if header.epoch in self._epochs]
        tokens = {header.epoch: self._store.documents(header.epoch) for header in headers}
        self._write(headers, self._store.key_rows(), tokens, self.generation + 1)

    def _write(
        self, headers: Sequence[VaultRow], rows: Sequence[KeyRow], tokens: dict[int, dict[int, str]], generation: int
    ) -> None:
        for header in headers:
            numbered = msgspec.structs.replace(header, generation=generation)
            manifest = seal_manifest(numbered, rows, tokens[header.epoch], self._epochs[header.epoch])
            self._store.put(msgspec.structs.replace(numbered, manifest=manifest))

    def _after(self, removed: Sequence[str] = ()) -> None:
        """After a commit: read it back and check it, move the anchor, erase what was removed."""
        self._load()
        try:
            self._remember()
        finally:
            self._clean = self._store.scrub(removed)

    def _remember(self) -> None:
        raise_anchor(self.vault_id, self.generation, tuple(digest(row) for row in self._headers))

    def _load(self) -> None:
        """Read everything anew and check that it belongs together."""
        known = read_anchor(self.vault_id)  # before the rows: what is read after it is not older
        with self._store.snapshot():
            headers, rows = self._store.headers(), self._store.key_rows()
            tokens = {header.epoch: self._store.documents(header.epoch) for header in headers}
        if not headers:
            raise Tampered("the vault's header was removed outside quantlab: restore the vault from a backup")
        check_headers(headers)
        epochs = {header.epoch: self._epochs[header.epoch] for header in headers if header.epoch in self._epochs}
        if not epochs:
            raise QuantlabError("the vault's password was changed meanwhile: open it again with the new one")
        current, pending = headers[0], headers[-1]
        if pending.handover is not None and current.epoch in epochs:
            # While the password is being changed who has the old one works with both, so that no change is missed.
            epochs[pending.epoch] = epochs[current.epoch].unwrap(pending.handover, "the vault's header")
        ours = [header for header in headers if header.epoch in epochs]
        for header in ours:
            credentials = check_all(header, rows, tokens[header.epoch], epochs[header.epoch], known)
        self._credentials, self._epochs, self._headers = credentials, epochs, headers
        self.rows, self.generation = tuple(rows), ours[0].generation

    def _tokens(self, key_id: int) -> list[str]:
        return [tokens[key_id] for epoch in self._epochs if key_id in (tokens := self._store.documents(epoch))]


def wall_ms() -> int:
    """The wall clock, UTC ms."""
    return time.time_ns() // 1_000_000
