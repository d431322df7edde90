"""Promise: whatever is done to one row of the egress log, a look at its chain finds it: a field changed, a row taken
out, put in, moved, or cut off at the end. Writers, one after another or side by side, go on with one chain."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from quantlab.ledger import Ledger, LedgerWriter, chain
from quantlab.ledger.chain import GENESIS, End, Row, check, link

from .rows import BOT, RUN

ROOT = Path(__file__).resolve().parents[2]
OLD = Row("r", None, 1, "GET", "h", "/api/v3/time", 1, 200, "sent", "")


def entry(number: int, **fields: Any) -> dict[str, Any]:
    known = {"method": "GET", "host": "h", "path": "/api/v3/klines", "weight": 2, "status": 200, "verdict": "sent"}
    return {"wall_ms": 1_000 + number, "detail": f"symbol=BTCUSDT&limit={number}", **known, **fields}


def chained(count: int, before: int = 0) -> list[Row]:
    """A log as it is written: `before` rows without a chain, then `count` with one."""
    rows, head = [OLD] * before, GENESIS
    for row in rows:
        head = link(head, row)
    for number in range(1, count + 1):
        row = Row("r", number, number, "GET", "h", "/api/v3/klines", 2, 200, "sent", f"limit={number}")
        head = link(head, row)
        rows.append(row._replace(chain=head))
    return rows


def rows_in(ledger: Ledger, run_id: str | None) -> list[Row]:
    return chain.rows_of(ledger._connection, run_id)


def end_of(rows: list[Row]) -> End:
    return End(sum(row.seq is not None for row in rows), check(rows).head)


# -- pure: any one mutation -------------------------------------------------------------------------------------------


@st.composite
def mutated(draw: st.DrawFn) -> tuple[list[Row], list[Row]]:
    """A log, and the same log after one thing was done to it."""
    rows = chained(draw(st.integers(1, 6)), draw(st.integers(0, 2)))
    deed = draw(st.sampled_from(("field", "field", "delete", "insert", "copy", "truncate", "swap")))
    place = draw(st.integers(0, len(rows) - 1))
    after = list(rows)
    if deed == "field":
        name = draw(st.sampled_from(Row._fields))
        anything = st.none() | st.integers(-5, 5) | st.text(max_size=3) | st.binary(max_size=3) | st.floats()
        old = getattr(rows[place], name)
        new = draw(anything.filter(lambda value: type(value) is not type(old) or value != old))
        after[place] = rows[place]._replace(**{name: new})
    elif deed == "delete":
        del after[place]
    elif deed == "insert":
        strange = rows[place]._replace(seq=draw(st.none() | st.integers(0, 7)), chain=draw(st.none() | st.just("00")))
        after.insert(draw(st.integers(0, len(rows))), strange._replace(detail="was never sent"))
    elif deed == "copy":
        after.insert(draw(st.integers(0, len(rows))), rows[place])
    elif deed == "truncate":
        del after[place:]
    else:
        other = draw(st.integers(0, len(rows) - 1))
        after[place], after[other] = after[other], after[place]
    assume(after != rows)
    return rows, after


@settings(max_examples=600, deadline=None)
@given(mutated())
def test_any_one_mutation_is_found(case: tuple[list[Row], list[Row]]) -> None:
    rows, after = case
    assert check(rows, end_of(rows), closed=True).problem == "", "control: as it was written nothing is wrong"
    assert check(after, end_of(rows), closed=True).problem


@pytest.mark.parametrize("field", [name for name in Row._fields if name not in ("seq", "chain")])
def test_without_the_links_a_changed_field_would_not_be_seen(field: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control of the property: it is the comparison of links that finds a changed field."""
    rows = chained(3)
    sealed = end_of(rows)
    changed = [rows[0], rows[1]._replace(**{field: "other"}), rows[2]]
    assert "row 2 was changed" in check(changed, sealed, closed=True).problem
    monkeypatch.setattr(chain, "follows", lambda previous, row: True)
    assert check(changed, sealed, closed=True).problem == ""


@pytest.mark.parametrize(
    ("order", "words"),
    [
        ((1, 3, 4), "row 2 was taken out: row 3 stands there"),
        ((1, 3, 2, 4), "row 2 is not in its place: row 3 stands there"),
        ((1, 2, 2, 3, 4), "after row 2 a row was put in"),
        ((1, 2), "rows 3 to 4 were cut off: the summary counts 4"),
        ((), "rows 1 to 4 were cut off"),
    ],
)
def test_the_first_row_that_is_wrong_is_named(order: tuple[int, ...], words: str) -> None:
    rows = chained(4)
    assert words in check([rows[number - 1] for number in order], end_of(rows), closed=True).problem


def test_a_log_written_anew_disagrees_with_the_summary() -> None:
    """Who rewrites a row and every link after it has a whole chain, but not the summary's last link."""
    rows, anew, head = chained(4), [], GENESIS
    for row in rows:
        row = row._replace(verdict="unreachable") if row.seq == 2 else row
        head = link(head, row)
        anew.append(row._replace(chain=head))
    assert check(anew).problem == "", "what no chain can show without something to hold it against"
    assert "written anew" in check(anew, end_of(rows)).problem


def test_rows_may_follow_a_summary_only_while_the_run_goes_on() -> None:
    rows = chained(4)
    assert check(rows, end_of(rows[:3])).problem == ""
    assert "rows 4 to 4 were added" in check(rows, end_of(rows[:3]), closed=True).problem


def test_rows_before_the_chain_are_held_by_its_first_link() -> None:
    rows = chained(2, before=2)
    verdict = check(rows)
    assert (verdict.rows, verdict.before_chain, verdict.problem) == (2, 2, "")
    for wrong in (rows[1:], [OLD, *rows], [OLD._replace(weight=9), *rows[1:]]):
        assert "row 1, or one from before the chain, was changed" in check(wrong).problem
    alone = check([OLD, OLD])
    assert (alone.rows, alone.before_chain, alone.problem) == (0, 2, ""), "of these nothing can be said"


# -- in the database --------------------------------------------------------------------------------------------------


def test_a_run_that_is_taken_up_again_goes_on_with_its_chain(ledger: Ledger) -> None:
    for part in range(3):
        with LedgerWriter(ledger.path, "r") as journal:
            journal.egress(entry(2 * part))
            journal.wait(journal.egress(entry(2 * part + 1)))
    verdict = check(rows_in(ledger, "r"), ledger.egress_end("r"), closed=True)
    assert (verdict.rows, verdict.problem) == (6, "")
    assert verdict.head == ledger.egress_end("r").head != GENESIS


def test_each_run_has_its_own_chain_and_no_run_another(ledger: Ledger) -> None:
    with LedgerWriter(ledger.path, "r") as journal:
        journal.wait(journal.egress(entry(1)))
        ledger.log_egress(entry(1))
        journal.egress(entry(2))
    for run_id, rows in (("r", 2), (None, 1)):
        verdict = check(rows_in(ledger, run_id))
        assert (verdict.rows, verdict.problem) == (rows, "")
    assert rows_in(ledger, None)[0].chain != rows_in(ledger, "r")[0].chain


def test_processes_that_write_side_by_side_make_one_chain(ledger: Ledger) -> None:
    program = (
        "import sys\nfrom pathlib import Path\nfrom quantlab.ledger import Ledger, LedgerWriter\n"
        "from tests.ledger.test_chain import entry\n"
        "with Ledger.open(Path(sys.argv[1])) as ledger, LedgerWriter(ledger.path, None) as journal:\n"
        "    for number in range(40):\n"
        "        ledger.log_egress(entry(number)) if number % 2 else journal.wait(journal.egress(entry(number)))\n"
    )
    command = [sys.executable, "-c", program, str(ledger.path.parent)]
    for process in [subprocess.Popen(command, cwd=ROOT) for _ in range(3)]:
        assert process.wait(60) == 0
    verdict = check(rows_in(ledger, None))
    assert (verdict.rows, verdict.problem) == (120, "")


STATEMENTS = {
    "a field": "UPDATE egress SET weight = 1 WHERE seq = 2",
    "a type": "UPDATE egress SET detail = CAST(detail AS BLOB) WHERE seq = 2",
    "no text": "UPDATE egress SET detail = CAST(x'ff' AS TEXT) WHERE seq = 2",
    "the run": "UPDATE egress SET run_id = NULL WHERE seq = 2",
    "the place": "UPDATE egress SET id = 1000 WHERE seq = 2",
    "the link": "UPDATE egress SET chain = NULL WHERE seq = 2",
    "deleted": "DELETE FROM egress WHERE seq = 2",
    "cut off": "DELETE FROM egress WHERE seq > 2",
    "put in": "INSERT INTO egress SELECT 99, run_id, wall_ms, method, host, path, weight, status, verdict, detail, 5, "
    "chain FROM egress WHERE seq = 2",
    "as if from before": "INSERT INTO egress SELECT 0, run_id, wall_ms, method, host, path, weight, status, verdict, "
    "detail, NULL, NULL FROM egress WHERE seq = 2",
    "all as if from before": "UPDATE egress SET seq = NULL, chain = NULL",
}


@pytest.mark.parametrize("deed", STATEMENTS)
def test_what_sql_does_to_the_table_is_found(ledger: Ledger, deed: str) -> None:
    with LedgerWriter(ledger.path, "r") as journal:
        for number in range(4):
            journal.egress(entry(number))
    sealed = ledger.egress_end("r")
    assert check(rows_in(ledger, "r"), sealed, closed=True).problem == ""
    with sqlite3.connect(ledger.path) as connection:
        connection.execute(STATEMENTS[deed])
    connection.close()
    assert check(rows_in(ledger, "r"), sealed, closed=True).problem


def test_what_looks_like_a_secret_is_masked_before_it_is_chained(ledger: Ledger) -> None:
    listen_key = "aB1" * 21 + "z"
    ledger.log_egress(entry(1, path=f"/ws/{listen_key}", verdict="refused"))
    (row,) = rows_in(ledger, None)
    assert listen_key not in row.path
    assert check([row]).problem == ""


def test_a_database_from_before_the_chain_is_taken_along(tmp_path: Path) -> None:
    """As the second migration left it: rows without a link, which the first new row then holds fast."""
    with Ledger.open(tmp_path) as ledger:
        ledger.begin_run(RUN, [BOT])
        path = ledger.path
    with sqlite3.connect(path) as connection:
        connection.executescript(
            "DROP INDEX ix_egress_chain; ALTER TABLE egress DROP COLUMN seq; ALTER TABLE egress DROP COLUMN chain;"
            "ALTER TABLE runs DROP COLUMN journal_calls; DROP TABLE bounds;"
            + "".join(
                f"ALTER TABLE orders DROP COLUMN {name};"
                for name in ("quote_quantity", "trailing_delta", "list_number", "prevented")
            )
            + "CREATE INDEX ix_egress_run_id ON egress (run_id); UPDATE alembic_version SET version_num = '0002';"
            "INSERT INTO egress (run_id, wall_ms, method, host, path, weight, status, verdict, detail) VALUES "
            "('r', 1, 'GET', 'h', '/p', 2, 200, 'sent', ''), (NULL, 1, 'GET', 'h', '/p', 2, 200, 'sent', '');"
        )
    connection.close()
    with Ledger.open(tmp_path) as ledger:
        assert check(rows_in(ledger, "r"))[:2] == (0, 1)
        with LedgerWriter(path, "r") as journal:
            journal.egress(entry(2))
        ledger.log_egress(entry(2))
        for run_id in ("r", None):
            verdict = check(rows_in(ledger, run_id))
            assert (verdict.rows, verdict.before_chain, verdict.problem) == (1, 1, "")
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE egress SET weight = 3 WHERE seq IS NULL")
    connection.close()
    with Ledger.open(tmp_path) as ledger:
        assert "before the chain" in check(rows_in(ledger, "r")).problem
