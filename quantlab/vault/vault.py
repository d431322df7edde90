"""The vault of one home: keys sealed in the ledger's database, opened by a password.

`Vault.open` verifies everything before it hands anything out, so a vault that opens is whole. Each change is one
transaction that seals the changed documents anew and raises the generation; the anchor outside follows.
"""

from __future__ import annotations

import os
import platform
import re
import secrets
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from quantlab.ledger.keys import KeyRow, KeyStore, UseRow, VaultRow
from quantlab.model.errors import ConfigurationError, NotFound, QuantlabError, Refused
from quantlab.model.protocols import Signer
from quantlab.vault.anchor import read_anchor
from quantlab.vault.binding import check_headers, seal_key
from quantlab.vault.credentials import Credential
from quantlab.vault.errors import NoVault, RolledBack, Tampered, WrongPassword
from quantlab.vault.header import Unlocked, digest, make_header, rewrapped, unlock
from quantlab.vault.kdf import DEFAULT_ITERATIONS, Parameters
from quantlab.vault.locked import open_store
from quantlab.vault.password import check_strength
from quantlab.vault.rows import Environment, Seen, after_audit, check_label, check_words, find_key, in_state
from quantlab.vault.sealed import Sealed, wall_ms
from quantlab.vault.sealing import Sealer

VENUE = "binance"


class Vault(Sealed):
    """An unlocked vault. Use it as a context manager; nothing secret is in its `repr`."""

    # -- opening ----------------------------------------------------------------------------------------------------

    @classmethod
    def create(cls, home: Path, password: str, *, iterations: int = DEFAULT_ITERATIONS) -> Vault:
        """Make an empty vault in `home`, and its database where there is none.

        Raises Refused for a weak password and when there is a vault already; ConfigurationError below the floor of
        iterations.
        """
        check_strength(password)
        parameters = Parameters.fresh(iterations)
        try:
            parameters.check()
        except Tampered:
            raise ConfigurationError(f"{iterations} iterations are too few or too many: take 600000") from None
        data = Sealer.fresh()
        now_ms = wall_ms()
        header = make_header(
            password, data, vault_id=secrets.token_hex(8), epoch=1, parameters=parameters, now_ms=now_ms
        )
        store = KeyStore.open(home, create=True)
        try:
            vault = cls(store, {1: data})
            vault.vault_id = header.vault_id
            with store.alone(), store.transaction():
                if store.headers():
                    raise Refused("there is a vault here already: `quantlab vault list` shows it")
                if store.key_rows():
                    raise Tampered("there are keys here whose vault was removed: restore the vault from a backup")
                vault._write([header], (), {1: {}}, 1)
                store.log(now_ms, "vault made")
            vault._after()
            return vault
        except BaseException:
            store.close()
            raise

    @classmethod
    def open(cls, home: Path, password: str) -> Vault:
        """Unlock the vault of `home` and check all that is in it. Costs one key derivation (two while the password is
        being changed) and some milliseconds. A change of password that was cut short is finished, an old vault's
        iterations are raised.

        Raises NoVault, WrongPassword, Tampered, RolledBack, each naming what is wrong.
        """
        store = open_store(home)
        try:
            headers = store.headers()
            if not headers and store.key_rows():
                raise Tampered("the vault's header was removed outside quantlab: restore the vault from a backup")
            if not headers:
                raise NoVault("there is no vault here yet: `quantlab vault init` makes one")
            check_headers(headers)
            opened = _unlock_any(headers, password)
            vault = cls(store, {opened.row.epoch: opened.data})
            vault.vault_id = opened.row.vault_id
            vault._load()
            if opened.row.state == "pending":
                vault._pending = opened.row.verifier
                vault.finish_password_change()
            elif opened.row.iterations < DEFAULT_ITERATIONS:
                vault._raise_parameters(opened, password)
            else:  # what a change that was cut short may have left undone
                vault._remember()
                vault._clean = store.scrub(wait_ms=0)
            return vault
        except BaseException:
            store.close()
            raise

    # -- looking ----------------------------------------------------------------------------------------------------

    def key(self, label: str) -> KeyRow:
        """The key that has this label (or this fingerprint) now; else the newest that had it. Raises NotFound."""
        return find_key(self.rows, label)

    def keys_of(self, environment: str) -> list[KeyRow]:
        """The keys of an environment that hold a secret: active or locked."""
        return [row for row in self.rows if row.environment == environment and row.holds_secret]

    def holds(self, row: KeyRow, credential: Credential) -> bool:
        """Whether `row` holds exactly this pair."""
        return self._credentials.get(row.id) == credential

    def signer(self, label: str, purpose: str, *, audited: bool = True) -> Signer:
        """What signs with a key; the use is on disk before it is handed out. `audited=False` is for the audit itself.

        What other processes did meanwhile counts: a lock, a revocation, a rotation. Raises Refused for a key that is
        locked, NotFound for one that was revoked or replaced.
        """
        with self._store.transaction():
            self._load()
            row = self._holding(label)
            if row.state == "locked" and audited:
                raise Refused(f'key "{row.label}" is locked: {row.state_why}. `quantlab vault audit` tries it again')
            use = UseRow(
                key_id=row.id,
                opened_ms=wall_ms(),
                machine=platform.node(),
                pid=os.getpid(),
                program=_program(),
                purpose=purpose,
            )
            self._store.put(use)
        return self._credentials[row.id].signer()

    def secrets(self) -> dict[str, str]:
        """Every secret, under a name that may be shown: for the sweep, which looks where they should not be."""
        names = {row.id: row.label for row in self.rows}
        found = {}
        for key_id, credential in self._credentials.items():
            found[f'API key of "{names[key_id]}"'] = credential.api_key
            found[f'secret of "{names[key_id]}"'] = credential.secret
        return found

    # -- changing ---------------------------------------------------------------------------------------------------

    def add(
        self, label: str, credential: Credential, environment: Environment, *, seen: Seen | None = None, notes: str = ""
    ) -> KeyRow:
        """Take a key in. Without an audit that passed (`seen`) it is locked until there is one.

        Returns its row once it is on disk, read back and decrypted. Raises Refused when the label or the key is known
        already.
        """
        check_label(label)
        with self._changing("key added", label, environment=environment, fingerprint=credential.fingerprint):
            self._check_new(label, credential)
            now_ms = wall_ms()
            row = after_audit(self._new_row(label, credential, environment, 1, now_ms, notes), seen)
            self._put([(row, credential)])
        return self._read_back(row, credential)

    def rotate(self, label: str, credential: Credential, *, seen: Seen | None = None) -> KeyRow:
        """Put a new pair in the place of a key. The old row is kept, marked replaced; its secret is erased.

        Raises Refused when the new key is one that the vault knows already, NotFound for an unknown label.
        """
        old = self.key(label)
        with self._changing("key rotated", old.label, old=old.fingerprint, new=credential.fingerprint) as removed:
            old = self.key(label)
            self._check_new(None if old.holds_secret else old.label, credential)
            now_ms = wall_ms()
            row = after_audit(
                self._new_row(old.label, credential, old.environment, old.generation + 1, now_ms, old.notes), seen
            )
            row = msgspec.structs.replace(row, created_ms=old.created_ms, rotated_ms=now_ms)
            changes: list[tuple[KeyRow, Credential | None]] = [(row, credential)]
            if old.holds_secret:
                removed += self._tokens(old.id)
                gone = in_state(old, "replaced", f"by {credential.fingerprint}", now_ms)
                changes.insert(0, (gone, None))
            self._put(changes)
        return self._read_back(row, credential)

    def record_audit(self, label: str, seen: Seen) -> KeyRow:
        """Keep what an audit found. Refusals lock the key; an audit that passed unlocks it, unless the key was locked
        after the audit looked."""
        with self._changing(
            "key audited", self.key(label).label, status=seen.status, refusals=seen.refusals
        ) as removed:
            old = self._holding(label)
            row = after_audit(old, seen)
            if row.state == "active" and old.state == "locked" and seen.checked_ms < old.state_ms:
                row = old
            self._reseal(row, removed)
        return self.key(row.fingerprint)

    def lock(self, label: str, why: str) -> KeyRow:
        """Keep a key from being used until an audit passes."""
        with self._changing("key locked", self.key(label).label, why=why) as removed:
            old = self._holding(label)
            self._reseal(in_state(old, "locked", why, wall_ms()), removed)
        return self.key(old.fingerprint)

    def note(self, label: str, notes: str) -> None:
        """Change the words that the user keeps with a key. Raises Refused when they look like a secret."""
        check_words("notes", notes)
        with self._store.alone(), self._store.transaction():
            self._load()
            self._store.put(msgspec.structs.replace(self.key(label), notes=notes))
        self._load()

    # -- the password -----------------------------------------------------------------------------------------------

    @contextmanager
    def alone(self) -> Iterator[None]:
        """No other process changes the vault inside, so that both phases and what lies between them are one; reading
        and revoking go on. Raises QuantlabError when another does so for 30 s."""
        with self._store.alone():
            yield

    def begin_password_change(self, password: str) -> None:
        """First phase: the vault opens with the old and with the new password, each with a data key of its own.

        Between the phases the new password is written to where it lives. `finish_password_change` ends it, or the next
        opening with the new password. Raises Refused for a weak password.
        """
        check_strength(password)
        current = next(row for row in self._store.headers() if row.state == "current")
        data = Sealer.fresh()
        header = make_header(
            password,
            data,
            vault_id=self.vault_id,
            epoch=current.epoch + 1,
            parameters=Parameters.fresh(),
            now_ms=wall_ms(),
        )
        with self._changing("password change begun") as removed:
            for old in self._headers[1:]:  # one that was cut short
                removed += self._drop(old)
            handover = self._epochs[current.epoch].wrap(data)
            self._store.put(msgspec.structs.replace(header, state="pending", handover=handover))
            self._epochs[header.epoch] = data
            holding = [(row, self._credentials[row.id]) for row in self.rows if row.holds_secret]
            for row, credential in holding:
                self._store.put_document(row.id, header.epoch, seal_key(row, credential, header.epoch, data))
            self._put([])
        self._pending = header.verifier

    def abandon_password_change(self) -> None:
        """Undo the first phase, where the new password could not be written down: the old one opens, as before."""
        with self._changing("password change abandoned") as removed:
            for pending in self._headers[1:]:
                removed += self._drop(pending)
                self._epochs.pop(pending.epoch, None)
            self._put([])
        self._pending = None

    def finish_password_change(self) -> bool:
        """Second phase: the old password opens nothing any more, and its bytes are in neither database nor log.

        Returns False when another process reads the old state just now, so that the log still holds it: the next
        change of the vault empties it. Does nothing when no change is under way. Raises Refused when another process
        has begun a change of its own since: its new password counts.
        """
        if len(self._store.headers()) == 1:
            self._clean = self._clean or self._store.scrub()
            return self._clean
        with self._changing("password changed") as removed:
            if len(self._headers) > 1:
                old, new = self._headers
                if self._pending not in (None, new.verifier):
                    raise Refused("another change of the password was begun meanwhile: nothing was finished here")
                removed += [*self._drop(old), new.handover or ""]
                self._store.put(msgspec.structs.replace(new, state="current", handover=None, changed_ms=wall_ms()))
                self._put([])
        self._pending = None
        return self._clean

    def _raise_parameters(self, opened: Unlocked, password: str) -> None:
        """Give an old vault's header today's iterations and a new salt."""
        row = rewrapped(opened, password, Parameters.fresh())
        detail: dict[str, object] = {"before": opened.row.iterations, "now": row.iterations}
        with self._changing("iterations raised", None, **detail) as removed:
            now = next((now for now in self._headers if now.epoch == row.epoch), None)
            if now is not None and now.salt == opened.row.salt:
                removed += [now.verifier, now.wrapped_key]
                self._store.put(msgspec.structs.replace(row, manifest=now.manifest, generation=now.generation))
                self._put([])

    def _check_new(self, label: str | None, credential: Credential) -> None:
        if credential.fingerprint in read_anchor(self.vault_id).revoked:
            raise Refused(f"this key ({credential.fingerprint}) was revoked on this machine: make a new one at Binance")
        for row in self.rows:
            if row.fingerprint == credential.fingerprint:
                raise Refused(
                    f'this key ({row.fingerprint}) is known already as "{row.label}" ({row.environment}, {row.state}): '
                    "one key has one label"
                )
            if row.label == label and row.holds_secret:
                raise Refused(
                    f'label "{label}" has a key already: `quantlab vault rotate` puts a new pair in its place'
                )

    def _new_row(
        self, label: str, credential: Credential, environment: str, generation: int, now_ms: int, notes: str
    ) -> KeyRow:
        check_words("notes", notes)
        return KeyRow(
            id=max((row.id for row in self.rows), default=0) + 1,
            label=label,
            venue=VENUE,
            environment=environment,
            fingerprint=credential.fingerprint,
            type=credential.type,
            generation=generation,
            state="locked",
            state_why="not audited yet",
            state_ms=now_ms,
            created_ms=now_ms,
            notes=notes,
        )

    def _holding(self, label: str) -> KeyRow:
        row = self.key(label)
        if not row.holds_secret:
            raise NotFound(f'key "{row.label}" was {row.state}: its secret is gone')
        return row

    def _read_back(self, row: KeyRow, credential: Credential) -> KeyRow:
        found = self.key(row.fingerprint)
        if not self.holds(found, credential):  # `_after` decrypted it from the database
            raise QuantlabError(f'key "{row.label}" did not come back from the database as it went in: add it again')
        return found


def _unlock_any(headers: Sequence[VaultRow], password: str) -> Unlocked:
    """The header that the password opens, the current one first."""
    known = read_anchor(headers[0].vault_id)
    for header in headers:
        try:
            return unlock(header, password)
        except WrongPassword:
            continue
    newest = max(header.generation for header in headers)
    if newest < known.generation:
        raise RolledBack(
            f"this vault is of generation {newest}, this machine has seen {known.generation}: an old copy was put back "
            "(its password may be an older one too). `quantlab vault restore` takes a backup in"
        )
    seen = any(digest(header) in known.headers for header in headers)
    if known.headers and not seen and newest == known.generation:  # a newer one, an honest crash may have left behind
        raise Tampered("the vault's header was changed outside quantlab: restore the vault from a backup")
    raise WrongPassword("this is not the vault's password: nothing was decrypted. VAULT_PASSWORD in .env, or type it")


def _program() -> str:
    """The command, without its arguments: those may be anything."""
    verb = next((word for word in sys.argv[1:2] if re.fullmatch(r"[a-z]{2,16}", word)), "")
    return f"{Path(sys.argv[0]).name} {verb}".strip()
