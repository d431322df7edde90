"""Nothing acknowledged is lost, amounts are exact, and files are their owner's alone."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantlab.ledger import Ledger, LedgerWriter, fills_sha256
from quantlab.ledger.database import HEAD, connect
from quantlab.ledger.schema import metadata
from quantlab.model import NotFound, Order, OrderStatus, OrderType, QuantlabError, Refused, Side

from .rows import BOT, RUN, fill, receipt


def test_what_is_written_is_read_exactly(ledger: Ledger) -> None:
    order = Order(
        bot=0, number=1, symbol="BTCUSDT", side=Side.SELL, type=OrderType.STOP_LOSS, quantity=Decimal("1E-8"),
        stop_price=Decimal("12345678901234.12345678"), created_ms=5, reason="why",
    )  # fmt: skip
    with LedgerWriter(ledger.path, "r") as journal:
        journal.order(order)
        order.status, order.filled = OrderStatus.CANCELED, Decimal("0.5")  # what was queued is a copy
        journal.wait(journal.fill(fill(1), receipt(1)))
        assert ledger.order_rows("r")[0].status is OrderStatus.PENDING
        journal.order(order)
        journal.equity([(60_000, 0, 1.0, 2.0, 3.0), (60_000, -1, 1.0, 2.0, 3.0)])
        journal.marks([(60_000, "BTCUSDT", 1.0, 2.0)])
        journal.event(1, "stale", None, {"symbol": "BTCUSDT"})
    assert ledger.order_rows("r") == [order]
    assert ledger.fill_rows("r") == [fill(1)]
    assert ledger.receipts("r") == [receipt(1)]
    assert ledger.equity("r", bot=-1).height == 1
    assert ledger.marks("r").row(0) == (60_000, "BTCUSDT", 1.0, 2.0)
    assert ledger.fills("r")["price"].to_list() == [100.5]
    assert ledger.run("r").source == RUN.source
    assert ledger.bots("r")["capital"].to_list() == [1000.0]


@settings(max_examples=50)
@given(st.decimals(min_value="1e-12", max_value="1e15", places=12))
def test_a_decimal_keeps_its_last_digit(amount: Decimal) -> None:
    line = fill(1, price=str(amount))
    assert fills_sha256([line]) == fills_sha256([fill(1, price=str(amount.normalize()))])
    assert fills_sha256([line]) != fills_sha256([fill(1, price=str(amount + Decimal("1e-12")))])


def test_a_fill_cannot_be_written_twice(ledger: Ledger) -> None:
    journal = LedgerWriter(ledger.path, "r")
    journal.wait(journal.fill(fill(1), receipt(1)))
    with pytest.raises(QuantlabError, match="cannot be written"):
        journal.wait(journal.fill(fill(1), receipt(1)))
    with pytest.raises(QuantlabError):
        journal.close()
    assert len(ledger.fill_rows("r")) == 1


def test_files_are_owner_only_under_a_loose_umask(tmp_path: Path) -> None:
    old = os.umask(0o022)
    try:
        with Ledger.open(tmp_path / "home") as ledger:
            ledger.begin_run(RUN, [BOT])
            with LedgerWriter(ledger.path, "r") as journal:
                journal.wait(journal.event(1, "x", None, {}))
                modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "home").iterdir()}
    finally:
        os.umask(old)
    assert {"quantlab.sqlite", "quantlab.sqlite-wal", "quantlab.sqlite-shm"} <= modes.keys()
    assert set(modes.values()) == {0o600}
    assert (tmp_path / "home").stat().st_mode & 0o777 == 0o700


def test_a_database_that_others_can_read_is_refused(tmp_path: Path) -> None:
    Ledger.open(tmp_path).close()
    (tmp_path / "quantlab.sqlite").chmod(0o644)
    with pytest.raises(Refused, match="chmod 600"):
        Ledger.open(tmp_path)
    (tmp_path / "quantlab.sqlite").chmod(0o600)
    Ledger.open(tmp_path).close()


def test_no_database_and_no_run(tmp_path: Path, ledger: Ledger) -> None:
    with pytest.raises(NotFound):
        Ledger.open(tmp_path / "empty", create=False)
    assert not (tmp_path / "empty").exists()
    with pytest.raises(NotFound, match="the newest are: r"):
        ledger.run("absent")


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    path = tmp_path / "quantlab.sqlite"
    path.write_bytes(b"not a database, but long enough to look at" * 30)
    path.chmod(0o600)
    with pytest.raises(QuantlabError, match="cannot be opened"):
        Ledger.open(tmp_path)


def test_migrations_give_the_schema_and_commits_are_full(tmp_path: Path) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext
    from sqlalchemy import create_engine

    with Ledger.open(tmp_path) as ledger:
        engine = create_engine("sqlite://", creator=lambda: connect(ledger.path))
        with engine.connect() as connection:
            context = MigrationContext.configure(connection)
            assert context.get_current_revision() == HEAD
            assert compare_metadata(context, metadata) == []
        engine.dispose()
        raw = connect(ledger.path)
        assert raw.execute("PRAGMA synchronous").fetchone() == (2,)
        assert raw.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        raw.close()


KILLED = """
import sys
from pathlib import Path
from tests.ledger.rows import RUN, BOT, fill, receipt
from quantlab.ledger import Ledger, LedgerWriter
ledger = Ledger.open(Path(sys.argv[1]))
if not ledger.run_ids():
    ledger.begin_run(RUN, [BOT])
number = len(ledger.fill_rows("r"))
journal = LedgerWriter(ledger.path, "r")
while True:
    number += 1
    ticket = journal.fill(fill(number), receipt(number))
    if number % 3 == 0:
        journal.wait(ticket)
        print(number, flush=True)
"""


def test_a_killed_writer_loses_nothing_it_acknowledged(tmp_path: Path) -> None:
    root = Path(__file__).resolve().parents[2]
    acknowledged = 0
    for _ in range(5):
        process = subprocess.Popen(
            [sys.executable, "-c", KILLED, str(tmp_path)], stdout=subprocess.PIPE, text=True, cwd=root
        )
        assert process.stdout is not None
        for _ in range(7):
            acknowledged = int(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
        rest, _ = process.communicate()
        acknowledged = int(rest.split()[-1]) if rest.split() else acknowledged
        with Ledger.open(tmp_path) as ledger:
            numbers = [row.number for row in ledger.fill_rows("r")]
        assert numbers == list(range(1, len(numbers) + 1))
        assert len(numbers) >= acknowledged


def test_a_second_process_reads_while_one_writes(ledger: Ledger) -> None:
    with LedgerWriter(ledger.path, "r") as journal:
        journal.wait(journal.fill(fill(1), receipt(1)))
        reader = sqlite3.connect(f"{ledger.path.as_uri()}?mode=ro", uri=True)
        assert reader.execute("SELECT COUNT(*) FROM fills").fetchone() == (1,)
        reader.close()


def test_many_processes_open_a_new_home_at_once(tmp_path: Path) -> None:
    code = "import sys, pathlib; from quantlab.ledger import Ledger; Ledger.open(pathlib.Path(sys.argv[1])).close()"
    processes = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "new")]) for _ in range(4)]
    assert [process.wait(60) for process in processes] == [0, 0, 0, 0]
