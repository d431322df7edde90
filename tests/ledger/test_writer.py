"""Promise: the one writer never hangs its caller, never half-writes, and says in one line why it stopped."""

from __future__ import annotations

import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from quantlab.ledger import Ledger, LedgerWriter, RunRow
from quantlab.model import Order, OrderStatus, OrderType, QuantlabError, Receipt, Side

from .rows import BOT, RUN, fill, receipt

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def journal(ledger: Ledger) -> Iterator[LedgerWriter]:
    journal = LedgerWriter(ledger.path, "r")
    yield journal
    with suppress(QuantlabError):  # where a test broke it, what it says is the test's matter
        journal.close()


def test_tickets_grow_and_waiting_for_one_waits_for_all_before_it(journal: LedgerWriter, ledger: Ledger) -> None:
    tickets = [journal.fill(fill(number), receipt(number)) for number in range(1, 51)]
    assert tickets == sorted(set(tickets))
    journal.wait(tickets[-1])
    assert journal.committed >= tickets[-1]
    journal.wait(tickets[0])
    assert len(ledger.fill_rows("r")) == len(ledger.receipts("r")) == 50


def test_nothing_to_write_is_nothing_to_wait_for(journal: LedgerWriter) -> None:
    journal.wait(journal.equity([]))
    journal.wait(journal.marks([]))
    journal.wait(0)
    with pytest.raises(ValueError, match="never given"):
        journal.wait(journal.event(1, "x", None, {}) + 1)


def test_several_threads_wait_at_once(journal: LedgerWriter, ledger: Ledger) -> None:
    def write(first: int) -> None:
        for number in range(first, first + 25):
            journal.wait(journal.fill(fill(number), receipt(number)))

    threads = [threading.Thread(target=write, args=(1 + 25 * index,)) for index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(row.number for row in ledger.fill_rows("r")) == list(range(1, 101))


def test_a_row_that_cannot_be_written_stops_the_writer_and_takes_its_group_along(
    journal: LedgerWriter, ledger: Ledger
) -> None:
    journal.wait(journal.event(1, "before", None, {}))
    journal.fill(fill(1), receipt(1))
    with pytest.raises(QuantlabError, match="cannot be written"):
        journal.wait(journal.event(2**70, "too late for SQLite", None, {}))
    assert ledger.events("r")["kind"].to_list() == ["before"]
    assert ledger.fill_rows("r") in ([], [fill(1)])  # committed before the bad row came, or rolled back with it
    for call in (lambda: journal.event(1, "after", None, {}), journal.close):
        with pytest.raises(QuantlabError, match="cannot be written") as raised:
            call()
        assert "\n" not in str(raised.value)


def test_rows_of_a_run_that_is_not_there_are_refused(ledger: Ledger) -> None:
    journal = LedgerWriter(ledger.path, "absent")
    with pytest.raises(QuantlabError, match="FOREIGN KEY"):
        journal.wait(journal.fill(fill(1), receipt(1)))
    with pytest.raises(QuantlabError):
        journal.close()


def test_after_closing_nothing_is_taken_and_closing_twice_is_fine(journal: LedgerWriter, ledger: Ledger) -> None:
    journal.event(1, "queued", None, {})
    journal.close()
    journal.close()
    assert ledger.events("r")["kind"].to_list() == ["queued"]
    with pytest.raises(QuantlabError, match="is closed"):
        journal.event(1, "late", None, {})


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
from quantlab.ledger import LedgerWriter
from quantlab.model import QuantlabError
from tests.ledger.rows import fill, receipt
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, 600_000))
journal, number, acknowledged = LedgerWriter(Path(sys.argv[1]), "r"), 0, 0
try:
    while number < 20_000:
        number += 1
        ticket = journal.fill(fill(number), receipt(number))
        if number % 5 == 0:
            journal.wait(ticket)
            acknowledged = number
except QuantlabError as error:
    print(acknowledged)
    print(error)
"""


def test_a_full_disk_is_one_line_and_what_was_acknowledged_is_there(ledger: Ledger) -> None:
    """Files may grow to 600 KB: the write-ahead log or the database meets the limit."""
    command = [sys.executable, "-c", FULL_DISK, str(ledger.path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    acknowledged, words = done.stdout.splitlines()
    assert "cannot be written" in words and "free disk space" in words and not done.stderr
    numbers = [row.number for row in ledger.fill_rows("r")]
    assert numbers == list(range(1, len(numbers) + 1)) and len(numbers) >= int(acknowledged) > 50
    with LedgerWriter(ledger.path, "r") as journal:  # there is space again: the run goes on
        journal.wait(journal.fill(fill(len(numbers) + 1), receipt(len(numbers) + 1)))
    assert len(ledger.receipts("r")) == len(numbers) + 1


def test_a_run_that_cannot_begin_leaves_no_half_of_itself(ledger: Ledger) -> None:
    with pytest.raises(QuantlabError, match='"r" is in the ledger already'):
        ledger.begin_run(RUN, [BOT])
    limits, old = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        with pytest.raises(QuantlabError, match="free disk space"):
            ledger.begin_run(_named("s"), [BOT])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, old)
    assert ledger.run_ids() == ["r"]
    ledger.begin_run(_named("s"), [BOT])
    assert ledger.run_ids() == ["s", "r"] and ledger.bots("s").height == 1


def test_state_progress_and_end_of_a_run(journal: LedgerWriter, ledger: Ledger) -> None:
    journal.run_state("running")
    assert (ledger.run("r").state, ledger.run("r").finished_ms) == ("running", None)
    journal.progress(120_000, 60_000)
    journal.progress(180_000, 60_000)  # within the same second: not written
    journal.wait(journal.event(1, "x", None, {}))
    assert (ledger.run("r").engine_from_ms, ledger.run("r").engine_time_ms) == (60_000, 120_000)
    journal.run_state("failed", "no disk")
    row = ledger.run("r")
    assert (row.state, row.error) == ("failed", "no disk") and row.finished_ms
    journal.finish({"fills": 3, "fees_usdt": "0.10", "net_pnl_usdt": "-1.5"}, "finished")
    assert ledger.run("r").summary == {"fills": 3, "fees_usdt": "0.10", "net_pnl_usdt": "-1.5"}
    assert ledger.runs().select("run_id", "state", "fills", "net_pnl_usdt").row(0) == ("r", "finished", 3, -1.5)


AMOUNTS = st.decimals(allow_nan=False, allow_infinity=False, min_value="-1e15", max_value="1e15", places=12)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(AMOUNTS, AMOUNTS, st.none() | AMOUNTS, st.text(max_size=30)), min_size=1, max_size=20))
def test_orders_and_receipts_come_back_to_the_last_digit(
    ledger: Ledger, rows: list[tuple[Decimal, Decimal, Decimal | None, str]]
) -> None:
    first = len(ledger.order_rows("r")) + 1
    orders = [
        Order(
            bot=0, number=number, symbol="BTCUSDT", side=Side.BUY, type=OrderType.LIMIT, quantity=quantity,
            price=price, stop_price=stop, created_ms=number, reason=reason, status=OrderStatus.NEW,
        )
        for number, (quantity, price, stop, reason) in enumerate(rows, first)
    ]  # fmt: skip
    receipts = [_receipt(order) for order in orders]
    with LedgerWriter(ledger.path, "r") as journal:
        for order, why in zip(orders, receipts, strict=True):
            journal.order(order)
            journal.fill(fill(order.number), why)
    assert ledger.order_rows("r")[first - 1 :] == orders
    assert ledger.receipts("r")[first - 1 :] == receipts


def _receipt(order: Order) -> Receipt:
    return msgspec.structs.replace(
        receipt(order.number), levels=((order.price or Decimal(0), order.quantity),), decision_bid=order.stop_price
    )


def _named(run_id: str) -> RunRow:
    return msgspec.structs.replace(RUN, run_id=run_id, created_ms=2)
