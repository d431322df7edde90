"""Promise: the vault's tables give back what was put in or refuse in one line, a change is whole or not there, and only
one process changes the vault at a time."""

from __future__ import annotations

import multiprocessing
import sqlite3
import stat
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from quantlab.ledger import Ledger, keys
from quantlab.ledger.keys import BackupRow, CustodyRow, KeyRow, KeyStore, StatementRow, UseRow, VaultRow, holds_keys
from quantlab.model import NotFound, QuantlabError, Refused

HEADER = VaultRow(
    epoch=1,
    vault_id="0123456789abcdef",
    state="current",
    kdf="k",
    iterations=600_000,
    salt=b"\x00\xff" * 8,
    verifier="v",
    wrapped_key="w",
    manifest="m",
    generation=3,
    created_ms=1,
    changed_ms=2,
)
KEY = KeyRow(
    id=1,
    label="Paper Trading",
    venue="binance",
    environment="mainnet",
    fingerprint="f" * 16,
    type="hmac",
    generation=1,
    state="active",
    state_why="",
    state_ms=1,
    created_ms=1,
    permissions=("reading", "spot trading"),
    ip_restricted=True,
    notes="n",
)
USE = UseRow(key_id=1, opened_ms=1, machine="m", pid=2, program="p", purpose="q")
BACKUP = BackupRow(path="/b", epoch=1, generation=3, sha256="0", made_ms=1)
STATEMENT = StatementRow(name="2fa", stated_ms=1, machine="m")


@pytest.fixture
def store(tmp_path: Path) -> Any:
    with KeyStore.open(tmp_path, create=True) as store:
        yield store


def sql(store: KeyStore, statement: str, *values: object) -> None:
    with closing(sqlite3.connect(store.path, isolation_level=None)) as connection:
        connection.execute(statement, values)


def filled(store: KeyStore) -> None:
    with store.transaction():
        for row in (HEADER, KEY, USE, BACKUP, STATEMENT):
            store.put(row)
        store.put_document(1, 1, "token")
        store.log(5, "key added", "Paper Trading", why="drill", number=1)


def test_rows_come_back_as_they_went_in(store: KeyStore) -> None:
    filled(store)
    assert store.headers() == [HEADER] and store.key_rows() == [KEY] and store.uses() == [USE]
    assert store.backups() == [BACKUP] and store.statements() == [STATEMENT]
    assert store.events() == [
        CustodyRow(wall_ms=5, kind="key added", label="Paper Trading", detail='{"why":"drill","number":1}')
    ]
    assert store.documents(1) == {1: "token"} and store.documents(2) == {}
    for permissions, restricted in (((), False), (None, None), (("x",), True)):
        row = msgspec.structs.replace(KEY, permissions=permissions, ip_restricted=restricted)
        with store.transaction():
            store.put(row)
        assert store.key_rows() == [row]


def test_the_files_are_owner_only(store: KeyStore) -> None:
    filled(store)
    names = {path.name: stat.S_IMODE(path.stat().st_mode) for path in store.path.parent.iterdir()}
    assert "quantlab.sqlite-wal" in names
    assert set(names.values()) == {0o600}, names


def test_a_row_that_is_put_again_keeps_what_hangs_on_it(store: KeyStore) -> None:
    filled(store)
    with store.transaction():
        store.put(msgspec.structs.replace(KEY, state="locked"))
        store.put(msgspec.structs.replace(HEADER, generation=4))
    assert store.documents(1) == {1: "token"} and store.uses() == [USE]
    assert store.key_rows()[0].state == "locked" and store.headers()[0].generation == 4


def test_the_current_header_comes_first(store: KeyStore) -> None:
    with store.transaction():
        store.put(msgspec.structs.replace(HEADER, epoch=1, state="pending"))
        store.put(msgspec.structs.replace(HEADER, epoch=2))
    assert [header.state for header in store.headers()] == ["current", "pending"]


def test_a_label_has_one_key_and_a_key_one_row(store: KeyStore) -> None:
    filled(store)
    for twin in (
        msgspec.structs.replace(KEY, id=2, fingerprint="e" * 16),
        msgspec.structs.replace(KEY, id=2, label="Other"),
    ):
        with pytest.raises(QuantlabError, match="UNIQUE"), store.transaction():
            store.put(twin)
    with store.transaction():
        store.put(msgspec.structs.replace(KEY, state="replaced"))
        store.put(msgspec.structs.replace(KEY, id=2, fingerprint="e" * 16))
    assert [row.state for row in store.key_rows()] == ["replaced", "active"]


# -- changes --------------------------------------------------------------------------------------------------------


def test_a_change_is_whole_or_not_there(store: KeyStore) -> None:
    def change(then: Callable[[], object]) -> None:
        with store.transaction():
            store.put(HEADER)
            then()

    with pytest.raises(ZeroDivisionError):
        change(lambda: 1 / 0)
    assert store.headers() == []
    with pytest.raises(QuantlabError, match="FOREIGN KEY"):
        change(lambda: store.put_document(99, 1, "token"))
    assert store.headers() == []
    filled(store)
    with store.transaction():
        store.drop_documents([1])
        store.drop_epoch(1)
    assert store.headers() == [] and store.documents(1) == {} and store.key_rows() == [KEY]


def test_clearing_takes_the_keys_and_leaves_the_history(store: KeyStore) -> None:
    filled(store)
    with store.transaction():
        store.clear()
    assert store.headers() == store.key_rows() == store.uses() == [] and store.documents(1) == {}
    assert store.events() and store.statements() and store.backups()


def test_all_reads_of_a_snapshot_see_one_moment(store: KeyStore) -> None:
    filled(store)
    with store.snapshot():
        assert store.headers() == [HEADER]
        sql(store, "DELETE FROM keys")
        sql(store, "DELETE FROM vault")
        assert store.key_rows() == [KEY]
    assert store.key_rows() == []
    with store.transaction(), store.snapshot():  # inside a change it sees the change
        store.put(HEADER)
        assert store.headers() == [HEADER]
    assert store.headers() == [HEADER]


def _hold(home: Path, held: Any, release: Any) -> None:
    with KeyStore.open(home) as store, store.alone():
        held.set()
        release.wait(30)


def test_only_one_process_changes_the_vault(store: KeyStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "_LOCK_WAIT_S", 0.05)
    context = multiprocessing.get_context("fork")
    held, release = context.Event(), context.Event()
    child = context.Process(target=_hold, args=(store.path.parent, held, release))
    child.start()
    try:
        assert held.wait(30)
        with pytest.raises(QuantlabError, match="another process changes the vault"), store.alone():
            pass
    finally:
        release.set()
        child.join(30)
    assert child.exitcode == 0
    with store.alone(), store.alone():  # nests
        filled(store)
    assert store.headers() == [HEADER]


# -- what somebody else wrote ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("state", "lost", "Invalid enum value"),
        ("label", b"bytes", "Expected `str`, got `bytes`"),
        ("label", "two\nlines\x1b[2J", r"'two\\nlines\\x1b\[2J' is not what quantlab wrote \(its label cannot"),
        ("id", None, "got `null`"),
        ("created_ms", "soon", "Expected `int`, got `str`"),
        ("created_ms", 1.5, "Expected `int`, got `float`"),
        ("permissions", "[", "not what quantlab wrote"),
        ("permissions", "[1]", "Expected `str`, got `int`"),
        ("permissions", "[" * 50_000, "recursion"),
        ("permissions", 5, "not what quantlab wrote"),
        ("ip_restricted", 7, "Expected `bool"),
        ("notes", b"\xff", "Expected `str`, got `bytes`"),
    ],
)
def test_a_row_of_another_type_is_refused_in_one_line(store: KeyStore, column: str, value: object, words: str) -> None:
    filled(store)
    sql(store, "CREATE TABLE loose AS SELECT * FROM keys")
    sql(store, "DROP TABLE keys")
    sql(store, "ALTER TABLE loose RENAME TO keys")
    assert store.key_rows() == [KEY], "control: the same rows without the table's own guards"
    sql(store, f"UPDATE keys SET {column} = ?", value)
    with pytest.raises(Refused, match=words) as refused:
        store.key_rows()
    assert "table keys" in str(refused.value) and str(refused.value).isprintable()


def test_a_document_of_another_type_is_refused(store: KeyStore) -> None:
    filled(store)
    for value in (b"bytes", 5, "\x00"):
        sql(store, "UPDATE key_documents SET token = ?", value)
        if value == "\x00":
            assert store.documents(1) == {1: "\x00"}, "text is the vault's to judge"
            continue
        if value == 5:
            assert store.documents(1) == {1: "5"}, "SQLite makes it text"
            continue
        with pytest.raises(Refused, match="key_documents is not what quantlab wrote"):
            store.documents(1)


def test_a_table_that_is_gone_is_one_line(store: KeyStore) -> None:
    sql(store, "DROP TABLE vault")
    with pytest.raises(Refused, match="no such table: vault"):
        store.headers()


# -- erasing --------------------------------------------------------------------------------------------------------


def test_erasing_says_whether_it_could(store: KeyStore) -> None:
    token = "t" * 500 + "end"
    filled(store)
    with store.transaction():
        store.put_document(1, 1, token)
    with store.transaction():
        store.drop_documents([1])
    with closing(sqlite3.connect(store.path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM keys").fetchone()
        sql(store, "UPDATE keys SET notes = 'newer'")
        assert store.scrub([token], wait_ms=1) is False
        reader.execute("COMMIT")
        assert store.scrub([token]) is True
        assert Path(f"{store.path}-wal").stat().st_size == 0
    (patience,) = store._connection.execute("PRAGMA busy_timeout").fetchone()
    assert patience == 30_000, "waiting is as it was"


def test_whether_there_are_keys_needs_no_password(tmp_path: Path) -> None:
    assert not holds_keys(tmp_path, "mainnet")
    with pytest.raises(NotFound):
        KeyStore.open(tmp_path)
    with KeyStore.open(tmp_path, create=True) as store:
        assert not holds_keys(tmp_path, "mainnet")
        filled(store)
        assert holds_keys(tmp_path, "mainnet") and not holds_keys(tmp_path, "testnet")
        with store.transaction():
            store.put(msgspec.structs.replace(KEY, state="revoked"))
        assert not holds_keys(tmp_path, "mainnet")


def test_the_ledger_and_the_vault_share_one_database(store: KeyStore) -> None:
    filled(store)
    with Ledger.open(store.path.parent) as ledger:
        assert ledger.run_ids() == []
    assert store.key_rows() == [KEY]
