"""The vault's tables: rows in, rows out. It knows nothing of passwords and sees sealed documents only.

Every change is one transaction under the vault's own lock, and what a change removes is overwritten: `secure_delete`
zeroes freed bytes in the database, `scrub` empties the write-ahead log, where old pages would stay readable.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec

from quantlab.ledger.database import connect, database_path, prepare, words
from quantlab.ledger.raw import Raw
from quantlab.model import QuantlabError, Refused

KeyState = Literal["active", "locked", "replaced", "revoked"]
#: States in which a key still has its secret.
HOLDING = ("active", "locked")

#: How long another process may take over its change of the vault.
_LOCK_WAIT_S = 30.0
#: How long one that reads an old state may keep the log from being emptied; the next change tries again.
_SCRUB_WAIT_MS = 1_000
_CHUNK = 1 << 20
#: Of a token that must be gone, pieces of this length are looked for, one every so many bytes.
_PIECE, _STRIDE = 96, 1024


class VaultRow(msgspec.Struct, frozen=True, kw_only=True):
    """How one epoch's password opens the vault. Tokens are Fernet's, as text."""

    epoch: int
    vault_id: str
    state: Literal["current", "pending"]
    kdf: str
    iterations: int
    salt: bytes
    verifier: str
    wrapped_key: str
    handover: str | None = None
    manifest: str
    generation: int
    created_ms: int
    changed_ms: int


class KeyRow(msgspec.Struct, frozen=True, kw_only=True):
    """What may be known of a key without the password. Times are UTC ms."""

    id: int
    label: str
    venue: str
    environment: str
    fingerprint: str
    type: str
    generation: int
    state: KeyState
    state_why: str
    state_ms: int
    created_ms: int
    rotated_ms: int | None = None
    audited_ms: int | None = None
    audit: str | None = None
    permissions: tuple[str, ...] | None = None
    ip_restricted: bool | None = None
    address: str | None = None
    notes: str = ""

    @property
    def holds_secret(self) -> bool:
        return self.state in HOLDING


class UseRow(msgspec.Struct, frozen=True, kw_only=True):
    """One opening of a key: by which process of which machine, and what for."""

    key_id: int
    opened_ms: int
    machine: str
    pid: int
    program: str
    purpose: str


class BackupRow(msgspec.Struct, frozen=True, kw_only=True):
    """A copy of the vault that was made, and the password epoch that opens it."""

    path: str
    epoch: int
    generation: int
    sha256: str
    made_ms: int


class CustodyRow(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened to the keys."""

    wall_ms: int
    kind: str
    label: str | None
    detail: str


class StatementRow(msgspec.Struct, frozen=True, kw_only=True):
    """Something that only the user can know, and when it was stated."""

    name: str
    stated_ms: int
    machine: str


Row = TypeVar("Row", VaultRow, KeyRow, UseRow, BackupRow, CustodyRow, StatementRow)
_TABLES: dict[type, str] = {
    VaultRow: "vault",
    KeyRow: "keys",
    UseRow: "key_uses",
    BackupRow: "vault_backups",
    CustodyRow: "custody",
    StatementRow: "statements",
}


class KeyStore:
    """The vault's side of the database of one home. Use it as a context manager."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._connection = connect(path)
        self._connection.execute("PRAGMA secure_delete=ON")
        self._lock: int | None = None

    @classmethod
    def open(cls, home: Path, *, create: bool = False) -> KeyStore:
        """Open (or make) the database of `home`. Raises NotFound, Refused, QuantlabError as the ledger does."""
        return cls(prepare(home, create=create))

    def __enter__(self) -> KeyStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._connection.close()

    # -- reading ----------------------------------------------------------------------------------------------------

    def headers(self) -> list[VaultRow]:
        """The vault's epochs, the current one first; empty without a vault."""
        return self._rows(VaultRow, "ORDER BY state, epoch")

    def key_rows(self) -> list[KeyRow]:
        """All keys there ever were, oldest first."""
        return self._rows(KeyRow, "ORDER BY id")

    def documents(self, epoch: int) -> dict[int, str]:
        """Sealed documents by key id."""
        rows = self._read("SELECT key_id, token FROM key_documents WHERE epoch = ?", (epoch,))
        if any(type(key_id) is not int or type(token) is not str for key_id, token in rows):
            raise Refused("a row of the table key_documents is not what quantlab wrote: restore it from a backup")
        return dict(rows)

    def uses(self) -> list[UseRow]:
        return self._rows(UseRow, "ORDER BY id")

    def backups(self) -> list[BackupRow]:
        return self._rows(BackupRow, "ORDER BY made_ms")

    def events(self) -> list[CustodyRow]:
        return self._rows(CustodyRow, "ORDER BY id")

    def statements(self) -> list[StatementRow]:
        return self._rows(StatementRow, "ORDER BY name")

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """All reads inside see the same moment. Inside a transaction they do anyway."""
        if self._connection.in_transaction:
            yield
            return
        self._connection.execute("BEGIN")
        try:
            yield
        finally:
            self._connection.execute("ROLLBACK")

    # -- writing ----------------------------------------------------------------------------------------------------

    @contextmanager
    def alone(self) -> Iterator[None]:
        """No other process changes the vault inside. Nests. Raises QuantlabError when one holds it for 30 s."""
        if self._lock is not None:
            yield
            return
        descriptor = os.open(self.path.parent / "vault.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if not _locked(descriptor):
                raise QuantlabError("another process changes the vault just now: try again when it is done")
            self._lock = descriptor
            yield
        finally:
            self._lock = None
            os.close(descriptor)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All of it or nothing, on disk when it returns. Raises QuantlabError when the disk refuses."""
        connection = self._connection
        try:
            connection.execute("BEGIN IMMEDIATE")
            yield
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            raise QuantlabError(
                f"{self.path} cannot be written ({words(error)}): free disk space, then try again"
            ) from error
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")

    def put(self, row: Row) -> None:
        """Insert a row, or replace the one with the same key."""
        table = _TABLES[type(row)]
        values = msgspec.structs.asdict(row)
        if isinstance(row, KeyRow) and row.permissions is not None:
            values["permissions"] = msgspec.json.encode(row.permissions).decode()
        names, marks = ", ".join(values), ", ".join("?" * len(values))
        key = {VaultRow: "epoch", KeyRow: "id", BackupRow: "path", StatementRow: "name"}.get(type(row))
        # Not REPLACE: that deletes first, and a key's documents and uses would go with it.
        update = ", ".join(f"{name} = excluded.{name}" for name in values if name != key)
        conflict = f" ON CONFLICT({key}) DO UPDATE SET {update}" if key else ""
        self._connection.execute(f"INSERT INTO {table} ({names}) VALUES ({marks}){conflict}", tuple(values.values()))

    def put_document(self, key_id: int, epoch: int, token: str) -> None:
        self._connection.execute(
            "INSERT INTO key_documents (key_id, epoch, token) VALUES (?, ?, ?) "
            "ON CONFLICT(key_id, epoch) DO UPDATE SET token = excluded.token",
            (key_id, epoch, token),
        )

    def drop_documents(self, key_ids: Iterable[int]) -> None:
        self._connection.executemany("DELETE FROM key_documents WHERE key_id = ?", [(key_id,) for key_id in key_ids])

    def drop_epoch(self, epoch: int) -> None:
        """Forget how an epoch's password opens the vault, and what it sealed."""
        self._connection.execute("DELETE FROM key_documents WHERE epoch = ?", (epoch,))
        self._connection.execute("DELETE FROM vault WHERE epoch = ?", (epoch,))

    def clear(self) -> None:
        """Take out the vault with its keys, before a backup is restored over it. History and statements stay."""
        for table in ("key_documents", "key_uses", "keys", "vault"):
            self._connection.execute(f"DELETE FROM {table}")

    def log(self, wall_ms: int, kind: str, label: str | None = None, **detail: Any) -> None:
        """Remember what happened to the keys. `detail` never holds a secret."""
        self.put(CustodyRow(wall_ms=wall_ms, kind=kind, label=label, detail=msgspec.json.encode(detail).decode()))

    def scrub(self, removed: Iterable[str] = (), *, wait_ms: int = _SCRUB_WAIT_MS) -> bool:
        """Make sure that `removed` (old tokens) stand neither in the database nor in its write-ahead log.

        Returns False when another process reads an old state just now, so that the log cannot be emptied: the next
        change of the vault tries again.
        """
        needles = [piece for token in removed for piece in _pieces(token)]
        files = [self.path, Path(f"{self.path}-wal")]
        patience_ms = self._read("PRAGMA busy_timeout")[0][0]
        self._read(f"PRAGMA busy_timeout={wait_ms}")
        try:
            if self._read("PRAGMA wal_checkpoint(TRUNCATE)")[0][0]:
                return False
            if not needles or not any(_holds(file, needles) for file in files):
                return True
            self._connection.execute("VACUUM")  # bytes that a page kept when its cells moved
            self._read("PRAGMA wal_checkpoint(TRUNCATE)")
        except (sqlite3.Error, Refused):  # a process that writes; what was changed is safe, only not yet erased
            return False
        finally:
            self._read(f"PRAGMA busy_timeout={patience_ms}")
        return not any(_holds(file, needles) for file in files)

    # -- rows -------------------------------------------------------------------------------------------------------

    def _rows(self, kind: type[Row], order: str) -> list[Row]:
        names = kind.__struct_fields__
        rows = self._read(f"SELECT {', '.join(names)} FROM {_TABLES[kind]} {order}")
        return [_row(kind, dict(zip(names, row, strict=True))) for row in rows]

    def _read(self, statement: str, values: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        try:
            return self._connection.execute(statement, values).fetchall()
        except sqlite3.Error as error:
            raise Refused(f"the vault cannot be read ({words(error)}): restore {self.path} from a backup") from error


def _row(kind: type[Row], values: Mapping[str, Any]) -> Row:
    """A row, its columns' types checked: SQLite itself keeps whatever was written."""
    plain = dict(values)
    try:
        if kind is KeyRow and plain["permissions"] is not None:
            plain["permissions"] = msgspec.json.decode(plain["permissions"])
        if kind is KeyRow and plain["ip_restricted"] in (0, 1):
            plain["ip_restricted"] = bool(plain["ip_restricted"])
        row = msgspec.convert(plain, kind, builtin_types=(bytes,))
        if isinstance(row, KeyRow) and not row.label.isprintable():
            raise msgspec.ValidationError("its label cannot be shown")
        return row
    except (msgspec.MsgspecError, UnicodeDecodeError, TypeError, RecursionError) as error:
        which = next((f" {plain[name]!r}" for name in ("label", "name") if isinstance(plain.get(name), str)), "")
        raise Refused(
            f"a row of the table {_TABLES[kind]}{which} is not what quantlab wrote ({words(error)}): restore it from a "
            "backup"
        ) from None


def _locked(descriptor: int) -> bool:
    deadline = time.monotonic() + _LOCK_WAIT_S
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)


def _pieces(token: str) -> list[bytes]:
    """Parts of a token to look for: a long one lies on several pages, and of a freed one a part may have stayed."""
    starts = [*range(0, len(token), _STRIDE), max(0, len(token) - _PIECE)]
    return [token[start : start + _PIECE].encode() for start in starts if len(token) - start >= _PIECE]


def _holds(file: Path, needles: list[bytes]) -> bool:
    """Whether one of `needles` stands in `file`, read in pieces that overlap."""
    overlap = max((len(needle) for needle in needles), default=1) - 1
    try:
        raw = Raw(file)
    except FileNotFoundError:
        return False
    tail = b""
    while chunk := raw.read(_CHUNK):
        window = tail + chunk
        if any(needle in window for needle in needles):
            return True
        tail = window[-overlap:] if overlap else b""
    return False


def holds_keys(home: Path, environment: str) -> bool:
    """Whether the vault of `home` holds a secret for `environment`: for whoever does not want to load it to know."""
    if not database_path(home).exists():
        return False
    with KeyStore.open(home) as store:
        return any(row.environment == environment and row.holds_secret for row in store.key_rows())
