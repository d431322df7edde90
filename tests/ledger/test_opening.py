"""Promise: the database opens whole or not at all, after any crash and beside any other process."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from quantlab.ledger import Ledger
from quantlab.ledger.database import HEAD, database_path
from quantlab.model import QuantlabError

from .rows import BOT, RUN, fill

ROOT = Path(__file__).resolve().parents[2]

#: Dies, or finds the disk full, at the n-th table of the first migration.
DYING = """
import os, resource, signal, sys
from pathlib import Path
from quantlab.ledger import Ledger, database
from quantlab.model import QuantlabError
connect, seen = database.connect, 0
def traced(path):
    connection = connect(path)
    def count(sql):
        global seen
        seen += "CREATE TABLE" in sql
        if seen == 4:
            os.kill(os.getpid(), signal.SIGKILL)
    if sys.argv[2] == "killed":
        connection.set_trace_callback(count)
    return connection
database.connect = traced
if sys.argv[2] == "full":
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
try:
    Ledger.open(Path(sys.argv[1]))
except QuantlabError as error:
    print(error)
"""


def opened_elsewhere(home: Path, fate: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", DYING, str(home), fate]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)


def test_a_first_start_that_was_killed_half_way_is_made_good_by_the_next(tmp_path: Path) -> None:
    assert opened_elsewhere(tmp_path, "killed").returncode == -signal.SIGKILL
    with Ledger.open(tmp_path) as ledger:
        ledger.begin_run(RUN, [BOT])
        assert ledger.run_ids() == ["r"]


def test_a_first_start_on_a_full_disk_is_one_line(tmp_path: Path) -> None:
    done = opened_elsewhere(tmp_path, "full")
    assert done.returncode == 0 and not done.stderr
    assert "disk" in done.stdout and done.stdout.count("\n") == 1
    Ledger.open(tmp_path).close()
    assert opened_elsewhere(tmp_path, "control").stdout == ""


def test_a_database_of_a_newer_quantlab_is_refused(tmp_path: Path) -> None:
    Ledger.open(tmp_path).close()
    _sql(tmp_path, "UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(QuantlabError, match="newer quantlab"):
        Ledger.open(tmp_path)
    _sql(tmp_path, f"UPDATE alembic_version SET version_num = '{HEAD}'")
    Ledger.open(tmp_path).close()


def test_a_damaged_database_is_refused(tmp_path: Path) -> None:
    with Ledger.open(tmp_path) as ledger:
        ledger.begin_run(RUN, [BOT])
    path = database_path(tmp_path)
    raw = bytearray(path.read_bytes())
    raw[: len(raw) // 2] = os.urandom(len(raw) // 2)
    path.write_bytes(raw)
    with pytest.raises(QuantlabError, match="restore it from a backup"):
        Ledger.open(tmp_path)


def test_at_the_newest_schema_alembic_is_not_loaded(tmp_path: Path) -> None:
    Ledger.open(tmp_path).close()
    code = (
        "import sys, pathlib; from quantlab.ledger import Ledger; Ledger.open(pathlib.Path(sys.argv[1]));"
        "print('alembic' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.strip() == "False", done.stderr
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "new")], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.strip() == "True", "control: a new database is migrated"


def test_the_keys_of_the_tables_hold_without_the_writer(ledger: Ledger) -> None:
    home = ledger.path.parent
    insert = (
        "INSERT INTO fills (run_id, bot, number, order_number, symbol, side, price, quantity, fee, fee_asset, "
        "fee_quote, maker, time_ms) VALUES ('{run}', 0, {number}, 1, 'BTCUSDT', 'BUY', '1', '1', '0', 'BTC', '0', 0, 1)"
    )
    _sql(home, insert.format(run="r", number=1))
    with pytest.raises(sqlite3.IntegrityError, match="UNIQUE"):
        _sql(home, insert.format(run="r", number=1))
    with pytest.raises(sqlite3.IntegrityError, match="FOREIGN KEY"):
        _sql(home, insert.format(run="absent", number=2))
    assert [row.number for row in ledger.fill_rows("r")] == [fill(1).number]


def _sql(home: Path, sql: str) -> None:
    connection = sqlite3.connect(database_path(home))
    try:
        connection.execute("PRAGMA foreign_keys=ON")
        with connection:
            connection.execute(sql)
    finally:
        connection.close()
