"""The chain of the egress log: every row holds a hash over itself and over the hash of the row before it.

Each run has a chain, and the rows of no run share one. A row's link is the SHA-256 of the JSON array [the link before,
run id, sequence number, wall_ms, method, host, path, weight, status, verdict, detail]. The first link follows from the
rows that were there before the log was chained, if any; a log that began with the chain starts at `GENESIS`.

What this shows: that no row was changed, taken out, put in or moved, as long as somebody keeps a later link. The run's
summary and report hold the last one with the number of rows, so a log that was cut off or rewritten disagrees with any
copy of them. What it cannot show: there is no secret in it, so whoever may write the database *and* every copy of the
summary can make all of it anew; rows of a run without a summary, and those of no run, can be cut off at the end; a
request in flight when the process is killed leaves no row, nor does a program that passes by the door. The egress guard
is there for that.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from quantlab.redact import redact

#: What the first row of a new log follows.
GENESIS = "0" * 64

_FIELDS = "run_id, seq, wall_ms, method, host, path, weight, status, verdict, detail"
_INSERT = f"INSERT INTO egress ({_FIELDS}, chain) VALUES (?,?,?,?,?,?,?,?,?,?,?)"
_END = "SELECT seq, chain FROM egress WHERE run_id IS ? AND seq IS NOT NULL ORDER BY seq DESC LIMIT 1"


class Row(NamedTuple):
    """A row of the egress log as it is stored. `seq` and `chain` are None in rows from before the chain."""

    run_id: str | None
    seq: int | None
    wall_ms: int
    method: str
    host: str
    path: str
    weight: int
    status: int | None
    verdict: str
    detail: str
    chain: str | None = None


class End(NamedTuple):
    """Where a chain ends: how many rows it has, and the link of the last one."""

    rows: int
    head: str


def append(connection: sqlite3.Connection, run_id: str | None, entries: Iterable[Mapping[str, Any]]) -> None:
    """Write `entries` at the end of the chain of `run_id`.

    The caller holds the database's write lock (BEGIN IMMEDIATE): the end is read anew each time, so that several
    processes, or a run that is taken up again, go on with one chain. What looks like a secret is masked first.
    """
    seq, head = end(connection, run_id)
    for entry in entries:
        seq += 1
        row = Row(
            run_id,
            seq,
            int(entry["wall_ms"]),
            str(entry["method"]),
            str(entry["host"]),
            redact(str(entry["path"])),
            int(entry["weight"]),
            None if entry["status"] is None else int(entry["status"]),
            str(entry["verdict"]),
            redact(str(entry["detail"])),
        )
        head = link(head, row)
        connection.execute(_INSERT, row._replace(chain=head))


def end(connection: sqlite3.Connection, run_id: str | None) -> End:
    """Where the chain of `run_id` ends; a run without a chained row ends at what its first one will follow."""
    found = connection.execute(_END, (run_id,)).fetchone()
    if found is not None:
        return End(*found)
    head = GENESIS
    for row in rows_of(connection, run_id):
        head = link(head, row)
    return End(0, head)


def sealed_by(summary: Mapping[str, Any] | None) -> End | None:
    """Where a run's chain ended when this summary of it was written; None when it does not say."""
    requests = (summary or {}).get("requests", {})
    if "egress_rows" not in requests or "egress_head" not in requests:
        return None
    return End(requests["egress_rows"], requests["egress_head"])


def rows_of(connection: sqlite3.Connection, run_id: str | None) -> list[Row]:
    """All rows of `run_id` in the order in which they were written."""
    with any_text(connection, errors="surrogateescape"):
        found = connection.execute(f"SELECT {_FIELDS}, chain FROM egress WHERE run_id IS ? ORDER BY id", (run_id,))
        return [Row(*row) for row in found]


@contextmanager
def any_text(connection: sqlite3.Connection, *, errors: str) -> Iterator[None]:
    """What was written was UTF-8; what somebody put in its place need not be, and must still be looked at."""
    factory = connection.text_factory
    connection.text_factory = lambda data: data.decode(errors=errors)
    try:
        yield
    finally:
        connection.text_factory = factory


def link(previous: str, row: Row) -> str:
    """The link of `row` after `previous`."""
    text = json.dumps([previous, *row[:-1]], separators=(",", ":"), default=_foreign)
    return hashlib.sha256(text.encode()).hexdigest()


class Verdict(NamedTuple):
    """What a look at a chain found. `problem` names the first row that is not as it was written; "" when none is."""

    rows: int
    before_chain: int
    head: str
    problem: str


def check(rows: Sequence[Row], sealed: End | None = None, *, closed: bool = False) -> Verdict:
    """Look at a log row by row, as `rows_of` gives it.

    `sealed` is what a summary said; without it rows cut off at the end are not seen. `closed`: the run ended with that
    summary, so that nothing may follow it.
    """
    before = next((i for i, row in enumerate(rows) if (row.seq, row.chain) != (None, None)), len(rows))
    head = GENESIS
    for row in rows[:before]:
        head = link(head, row)
    links, coming = [head], {row.seq for row in rows[before:]}
    for number, row in enumerate(rows[before:], start=1):
        coming.discard(row.seq)
        if problem := _fault(links[-1], number, row, coming, before=before):
            return Verdict(number - 1, before, links[-1], f"{problem} ({_words(row)})")
        links.append(str(row.chain))
    problem = "" if sealed is None else _disagreement(sealed, links, closed=closed)
    return Verdict(len(links) - 1, before, links[-1], problem)


def follows(previous: str, row: Row) -> bool:
    """Whether the row's link is the one after `previous`."""
    return link(previous, row) == row.chain


def _fault(previous: str, number: int, row: Row, coming: set[int | None], *, before: int) -> str:
    """What is wrong with the row at place `number` of the chain, or ""."""
    if row.seq is None or row.chain is None:
        return f"after row {number - 1} stands a row without a link"
    if type(row.seq) is not int or row.seq < number:
        return f"after row {number - 1} a row was put in, or its number was changed"
    if row.seq > number:
        gone = f"row {number} is not in its place" if number in coming else f"row {number} was taken out"
        return f"{gone}: row {row.seq} stands there"
    if not follows(previous, row):
        return f"row {number}{', or one from before the chain,' if number == 1 and before else ''} was changed"
    return ""


def _disagreement(sealed: End, links: Sequence[str], *, closed: bool) -> str:
    """How a chain that is whole by itself differs from what a summary said, or ""."""
    rows = len(links) - 1
    if rows < sealed.rows:
        return f"rows {rows + 1} to {sealed.rows} were cut off: the summary counts {sealed.rows}"
    if links[sealed.rows] != sealed.head:
        return f"the log was written anew: row {sealed.rows} has another link than the summary holds"
    if closed and rows > sealed.rows:
        return f"rows {sealed.rows + 1} to {rows} were added: the summary counts {sealed.rows}"
    return ""


def _words(row: Row) -> str:
    return f"{row.method} {row.host}{row.path} at {row.wall_ms}"


def _foreign(value: object) -> dict[str, str]:
    """A type that is never written (bytes), so that it resembles nothing that is."""
    return {type(value).__name__: repr(value)}
