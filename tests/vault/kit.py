"""Keys to test with, an unlocking that costs nothing, and a way to change a vault's database behind its back."""

from __future__ import annotations

import base64
import functools
import hashlib
import os
import random
import shutil
import sqlite3
import string
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from quantlab.ledger import database, keys
from quantlab.ledger.database import database_path
from quantlab.ledger.raw import Raw, is_databases
from quantlab.vault import Credential, Seen
from quantlab.vault.kdf import Parameters

PASSWORD = "Mk7-quartz-VIOLET-93"
NEW_PASSWORD = "Zt4-basalt-ORANGE-58"
PAYLOAD = b"symbol=BTCUSDT&timestamp=1700000000000"
PASSED = Seen("passed", 1_700_000_000_000, ("reading", "spot trading"), True, "203.0.113.7")


def letters(seed: object) -> str:
    """64 letters and digits, the same for the same seed."""
    return "".join(random.Random(f"letters {seed}").choices(string.ascii_letters + string.digits, k=64))


def pair(seed: object) -> Credential:
    """An HMAC pair, the same for the same seed."""
    return Credential.parse(letters(f"{seed} key"), letters(f"{seed} secret"))


@functools.cache
def ed25519_pem(seed: object) -> str:
    private = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(f"ed25519 {seed}".encode()).digest())
    return private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


@functools.cache
def rsa_pem(seed: object, bits: int = 2048) -> str:
    private = generate_private_key(65537, bits)
    return private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def ed25519_pair(seed: object) -> Credential:
    return Credential.parse(letters(f"{seed} key"), ed25519_pem(seed))


def rsa_pair(seed: object, bits: int = 2048) -> Credential:
    return Credential.parse(letters(f"{seed} key"), rsa_pem(seed, bits))


def quick_derive(parameters: Parameters, password: str) -> bytes:
    """A derivation like the vault's, checks and all, but for its price."""
    parameters.check()
    told = f"{parameters.kdf} {parameters.iterations} {parameters.salt.hex()} "
    raw = hashlib.sha256(told.encode() + password.encode()).digest()
    return base64.urlsafe_b64encode(raw)


def quick_disk(patch: pytest.MonkeyPatch) -> None:
    """A disk that is not waited for, for tests in which no power fails."""

    def connect(path: Path) -> sqlite3.Connection:
        connection = database.connect(path)
        connection.execute("PRAGMA synchronous=OFF")
        return connection

    patch.setattr(keys, "connect", connect)
    patch.setattr(os, "fsync", lambda _: None)


def state_of(home: Path) -> Path:
    """Where the anchors of the vault in `home` lie while `anchored(home)` is entered."""
    return home.parent / f"{home.name}-state"


@contextmanager
def anchored(home: Path) -> Iterator[None]:
    """The machine's memory of `home`'s vault lies beside it, so that both are copied or forgotten at will."""
    before = os.environ.get("XDG_STATE_HOME")
    os.environ["XDG_STATE_HOME"] = str(state_of(home))
    try:
        yield
    finally:
        if before is None:
            del os.environ["XDG_STATE_HOME"]
        else:
            os.environ["XDG_STATE_HOME"] = before


def copied(home: Path, target: Path, *, anchor: bool = True) -> Path:
    """A copy of a closed home (and of the anchor beside it) at `target`."""
    for old, new in ((home, target), (state_of(home), state_of(target))):
        shutil.rmtree(new, ignore_errors=True)
        if old.exists() and (old == home or anchor):
            shutil.copytree(old, new)
    return target


@contextmanager
def raw(home: Path) -> Iterator[sqlite3.Connection]:
    """The database as anybody who can write the file sees it: no foreign keys, no locks of ours."""
    with closing(sqlite3.connect(database_path(home), isolation_level=None)) as connection:
        yield connection


def sql(home: Path, statement: str, *values: object) -> list[tuple[object, ...]]:
    """Run one statement behind the vault's back."""
    with raw(home) as connection:
        return connection.execute(statement, values).fetchall()


def stands_in(home: Path, *needles: str | bytes) -> list[str]:
    """The files of the database (and its logs) in which one of `needles`, or 64 bytes of it, stands, read as bytes."""
    whole = [needle.encode() if isinstance(needle, str) else needle for needle in needles]
    wanted = [needle[start : start + 64] for needle in whole for start in range(0, max(1, len(needle) - 63), 200)]
    files = sorted(path for path in home.iterdir() if path.is_file())
    return [path.name for path in files if any(needle in content_of(path) for needle in wanted)]


def content_of(path: Path) -> bytes:
    """A file's bytes; a database's without giving up the locks that a connection of this process has on it."""
    return Raw(path).read() if is_databases(path) else path.read_bytes()
