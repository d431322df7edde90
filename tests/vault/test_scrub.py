"""Promise: after a rotation, a revocation and a change of the password, what was sealed before stands in neither the
database nor its write-ahead log, read as bytes. Where a reader keeps the log, that is said, and the next change empties
it.
"""

from __future__ import annotations

import itertools
import random
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from quantlab.ledger import Ledger, LedgerWriter, keys
from quantlab.ledger.database import FILE_NAME, connect
from quantlab.ledger.keys import KeyStore
from quantlab.vault import Seen, Vault, revoke

from ..ledger.rows import BOT, RUN, fill, receipt
from .kit import NEW_PASSWORD, PASSED, PASSWORD, pair, rsa_pair, stands_in

Change = Callable[[Path, Vault], object]


def rotate(home: Path, vault: Vault) -> object:
    return vault.rotate("Main", pair("rotated"), seen=PASSED)


def revoke_it(home: Path, vault: Vault) -> object:
    return revoke(home, ["Main"], "drill")


def audit(home: Path, vault: Vault) -> object:
    return vault.record_audit("Main", Seen("passed", 4_000_000_000_000, ("reading",), True))


def change_password(home: Path, vault: Vault) -> object:
    vault.begin_password_change(NEW_PASSWORD)
    return vault.finish_password_change()


def begin_twice(home: Path, vault: Vault) -> object:
    """The first change is cut short: its header, with its password, is gone with the second."""
    vault.begin_password_change(NEW_PASSWORD + "-first")
    removed_later.extend(tokens_of(home))
    vault.begin_password_change(NEW_PASSWORD)
    return vault.finish_password_change()


CHANGES: tuple[Change, ...] = (rotate, revoke_it, audit, change_password, begin_twice)
removed_later: list[str] = []


def tokens_of(home: Path, key_id: int | None = None) -> list[str]:
    """All that is sealed right now (of one key): documents, and what of a header must not outlive it."""
    with closing(sqlite3.connect(home / FILE_NAME)) as connection:
        documents = "SELECT token FROM key_documents" + ("" if key_id is None else f" WHERE key_id = {key_id}")
        found = [row[0] for row in connection.execute(documents)]
        if key_id is None:
            for row in connection.execute("SELECT verifier, wrapped_key, handover FROM vault"):
                found += [token for token in row if token is not None]
        return found


@pytest.fixture
def full(home: Path) -> Iterator[Vault]:
    """A vault with keys of all sizes beside a ledger with rows, open."""
    removed_later.clear()
    with Ledger.open(home) as ledger:
        ledger.begin_run(RUN, [BOT])
    with Vault.open(home, PASSWORD) as vault:
        vault.add("Main", rsa_pair("main", 3072), "mainnet", seen=PASSED)  # its document goes over several pages
        for number in range(6):
            vault.add(f"key {number}", pair(number), "testnet", seen=PASSED)
        yield vault


@contextmanager
def alone(home: Path) -> Iterator[None]:
    yield


@contextmanager
def idle_connection(home: Path) -> Iterator[None]:
    """Another process has the database open, so that SQLite does not delete the log by itself."""
    with closing(connect(home / FILE_NAME)) as other:
        other.execute("SELECT count(*) FROM keys").fetchone()
        yield
        assert (home / f"{FILE_NAME}-wal").exists()


@contextmanager
def running_engine(home: Path) -> Iterator[None]:
    """A run writes its fills meanwhile."""
    done = threading.Event()

    def write() -> None:
        with LedgerWriter(home / FILE_NAME, "r") as journal:
            for number in itertools.count(1):
                journal.wait(journal.fill(fill(number), receipt(number)))
                if done.wait(0.005):
                    return

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
    with Ledger.open(home) as ledger:
        assert ledger.fill_rows("r"), "control: it wrote"


@pytest.mark.parametrize("beside", [alone, idle_connection, running_engine])
@pytest.mark.parametrize("change", CHANGES)
def test_what_was_sealed_before_is_gone(home: Path, full: Vault, change: Change, beside: Callable[..., object]) -> None:
    whole = change in (change_password, begin_twice)
    before = tokens_of(home, None if whole else full.key("Main").id)
    assert before and stands_in(home, *before) == [FILE_NAME], "control: it stands there before"
    with beside(home):  # type: ignore[attr-defined]
        assert change(home, full) is not False
        assert not stands_in(home, *before, *removed_later)
    full.close()
    assert not stands_in(home, *before, *removed_later)


def test_nothing_that_was_ever_sealed_outlives_its_key(home: Path, full: Vault) -> None:
    """A key's document is sealed anew at each audit and lock: none of them stays after it is revoked."""
    ever: set[str] = set()
    rng = random.Random(3)
    with idle_connection(home):
        for number in range(80):
            ever.update(tokens_of(home))
            label = f"key {rng.randrange(6)}"
            deed = rng.randrange(5)
            if deed == 0:
                full.rotate(label, pair(f"again {number}"), seen=PASSED)
            elif deed == 1:
                full.lock(label, "why " * rng.randrange(40))
            elif deed == 2:
                revoke(home, [label], "drill")
                full.rotate(label, pair(f"anew {number}"), seen=PASSED)
            else:
                full.record_audit(label, Seen("passed", 4_000_000_000_000, ("reading",) * rng.randrange(9), True))
        now = set(tokens_of(home))
        assert len(ever - now) > 60 and not stands_in(home, *(ever - now))
        change_password(home, full)
        revoke(home, None, "drill")
        assert not stands_in(home, *ever, *now)


# -- a reader that looks at an old state ----------------------------------------------------------------------------


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    scrub = KeyStore.scrub
    monkeypatch.setattr(KeyStore, "scrub", lambda store, removed=(), **_: scrub(store, removed, wait_ms=10))


def test_a_reader_that_keeps_the_log_is_told_and_the_next_change_empties_it(
    home: Path, full: Vault, impatient: None
) -> None:
    before = tokens_of(home)
    with closing(connect(home / FILE_NAME)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM keys").fetchone()
        full.begin_password_change(NEW_PASSWORD)
        assert full.finish_password_change() is False
        assert stands_in(home, *before), "control: the reader still sees it"
        assert full.finish_password_change() is False
        reader.execute("COMMIT")
        assert full.finish_password_change() is True, "asked again, it is done"
        assert not stands_in(home, *before)

        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM keys").fetchone()
        between = tokens_of(home, 1)
        full.rotate("Main", pair("rotated"), seen=PASSED)
        assert stands_in(home, *between)
        reader.execute("COMMIT")
        full.lock("key 1", "any change")
        assert not stands_in(home, *between)

        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM keys").fetchone()
        last = tokens_of(home, 2)
        revoke(home, ["key 0"], "drill")
        assert stands_in(home, *last)
        reader.execute("COMMIT")
        Vault.open(home, NEW_PASSWORD).close()  # an opening does it too
        assert not stands_in(home, *last)


def test_a_process_that_writes_does_not_keep_a_change_from_being_made(home: Path, full: Vault) -> None:
    """The log is emptied later, when the writer is done; nothing is refused."""
    scrub, token = KeyStore.scrub, tokens_of(home, 1)
    with closing(connect(home / FILE_NAME)) as writer:

        def begin_first(store: KeyStore, removed: object = (), **_: object) -> bool:
            writer.execute("BEGIN IMMEDIATE")
            writer.execute("UPDATE runs SET engine_time_ms = 5")
            return scrub(store, removed, wait_ms=10)  # type: ignore[arg-type]

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(KeyStore, "scrub", begin_first)
            full.rotate("Main", pair("rotated"), seen=PASSED)
        writer.execute("COMMIT")
    full.lock("key 1", "any change")
    assert not stands_in(home, *token)
    assert full.holds(full.key("Main"), pair("rotated"))


# -- controls: without the guards it would stay ---------------------------------------------------------------------


def test_control_without_the_checkpoint_it_stays_in_the_log(
    home: Path, full: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(KeyStore, "scrub", lambda *_, **__: True)
    full.record_audit("Main", PASSED)
    before = tokens_of(home, 1)
    full.rotate("Main", pair("rotated"), seen=PASSED)
    assert stands_in(home, *before)


def test_control_without_secure_delete_it_stays_in_the_database(
    home: Path, full: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys, "_holds", lambda *_: False)  # nobody looks, so nothing is vacuumed
    full._store._connection.execute("PRAGMA secure_delete=OFF")
    before = tokens_of(home, 1)
    full.rotate("Main", pair("rotated"), seen=PASSED)
    assert stands_in(home, *before) == [FILE_NAME]


def test_bytes_that_the_database_kept_are_vacuumed(home: Path, full: Vault) -> None:
    """Should SQLite leave a piece behind, as without `secure_delete`, looking for it finds it and it is taken away."""
    before = tokens_of(home, 1)
    full._store._connection.execute("PRAGMA secure_delete=OFF")
    with idle_connection(home):
        full.rotate("Main", pair("rotated"), seen=PASSED)
        assert not stands_in(home, *before)
