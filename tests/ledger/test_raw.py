"""Promise: looking into the bytes of a database that is in use, as an erasure, a sweep or a pre-flight does, loses
nothing of what was committed, whatever other processes do meanwhile."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from quantlab.ledger.database import connect, prepare
from quantlab.ledger.keys import KeyStore
from quantlab.ledger.raw import Raw, is_databases
from quantlab.vault.sweep import Place, sweep

ANOTHER = """
import sys
from pathlib import Path
from quantlab.ledger.database import connect
connection = connect(Path(sys.argv[1]))
connection.execute("INSERT INTO t VALUES (2)")
connection.close()
"""


def visit(path: Path) -> None:
    """Another process adds a row and goes."""
    subprocess.run([sys.executable, "-c", ANOTHER, str(path)], check=True, timeout=60)


def files(path: Path) -> list[str]:
    return sorted(file.name.removeprefix(path.name) for file in path.parent.glob(f"{path.name}*"))


def rows_after(path: Path, look: Callable[[Path], object]) -> int:
    """How many of 3 committed rows are there after this process has looked into its files."""
    connection = connect(path)
    connection.execute("CREATE TABLE t (x)")
    connection.execute("INSERT INTO t VALUES (1)")
    look(path)
    visit(path)
    connection.execute("INSERT INTO t VALUES (3)")
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    fresh = connect(path)
    count: int = fresh.execute("SELECT count(*) FROM t").fetchone()[0]
    fresh.close()
    connection.close()
    return count


def by_raw(path: Path) -> None:
    for name in files(path):
        Raw(path.with_name(path.name + name)).read()


def by_sweep(path: Path) -> None:
    places = [Place("database", path.with_name(path.name + name), name) for name in files(path)]
    assert len(places) == 3 and not sweep({"a secret": "nobody-has-this"}, places).notes


def by_erasure(path: Path) -> None:
    with KeyStore.open(path.parent) as store:
        assert store.scrub(["gAAAAAB-a-token-of-nobody"])


@pytest.mark.parametrize("look", [by_raw, by_sweep, by_erasure])
def test_nothing_is_lost(tmp_path: Path, look: Callable[[Path], object]) -> None:
    assert rows_after(prepare(tmp_path, create=True), look) == 3


def test_the_control_a_plain_look_loses_the_log(tmp_path: Path) -> None:
    path = prepare(tmp_path, create=True)
    connection = connect(path)
    connection.execute("CREATE TABLE t (x)")
    path.read_bytes()
    visit(path)
    assert files(path) == [""], "the other process took this connection for gone"

    def go_on() -> None:
        connection.execute("INSERT INTO t VALUES (1)")
        connect(path).execute("SELECT count(*) FROM t")

    with pytest.raises(sqlite3.Error):
        go_on()
    connection.close()


def test_it_reads_what_is_there_now(tmp_path: Path) -> None:
    path = tmp_path / "x.sqlite"
    path.write_bytes(b"one")
    assert Raw(path).read() == b"one"
    path.write_bytes(b"two, longer")
    raw = Raw(path)
    assert raw.read(3) == b"two" and raw.read() == b", longer" and raw.read(5) == b""
    other = tmp_path / "other"
    other.write_bytes(b"another file")
    other.replace(path)
    assert Raw(path).read() == b"another file"
    path.unlink()
    with pytest.raises(FileNotFoundError):
        Raw(path)
    with pytest.raises(OSError, match="not a file"):
        Raw(tmp_path)


def test_a_databases_files_are_known_by_name() -> None:
    for name in ("quantlab.sqlite", "quantlab.sqlite-wal", "quantlab.sqlite-shm", "history.sqlite3", "my.db-journal"):
        assert is_databases(Path(name))
    for name in ("quantlab.sqlite.bak", "sqlite", "db.txt", "quantlab.qlog"):
        assert not is_databases(Path(name))
