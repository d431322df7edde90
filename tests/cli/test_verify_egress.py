"""Promise: `quantlab verify --egress` finds what was done to a run's egress log or to a copy of its summary, names it,
exits 1, and counts what the report counts."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from quantlab.cli.check import verify
from quantlab.ledger import Ledger, LedgerWriter, database_path
from quantlab.report import open_run, sections

from ..report.sample import START_MS, request, write_run


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home whose ledger has the finished run "run", with `summary.json` in its folder of reports."""
    for name in [name for name in os.environ if name.startswith(("QUANTLAB_", "BINANCE_", "API_", "VAULT_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("QUANTLAB_ROOT", str(tmp_path))
    home = tmp_path / ".quantlab"
    write_run(home, "run", minutes=3, bots=2)
    with Ledger.open(home) as ledger:
        summary = ledger.run("run").summary
    folder = tmp_path / "reports" / "run"
    folder.mkdir(parents=True)
    (folder / "summary.json").write_text(json.dumps(summary))
    return home


def found(home: Path) -> dict[str, Any]:
    result: dict[str, Any] = verify("run", egress_only=True)["egress"]
    return result


def do(home: Path, sql: str) -> None:
    with sqlite3.connect(database_path(home)) as connection:
        connection.execute(sql)
    connection.close()


def test_a_log_as_it_was_written(home: Path) -> None:
    result = verify("run", egress_only=True)
    assert result["ok"] is result["egress_ok"] is True
    egress = result["egress"]
    assert egress["problems"] == [] and egress["chain"]["sealed"]
    assert (egress["chain"]["rows"], egress["sent"], egress["weight"], egress["peak_weight_60s"]) == (5, 5, 40, 40)
    run = open_run("run", home)
    assert egress["endpoints"] == sections.request_section(run).frame.to_dicts(), "what the report shows"
    assert egress["chain"]["head"] == run.requests["egress_head"]


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("UPDATE egress SET verdict = 'unreachable' WHERE seq = 3", "row 3 was changed"),
        ("UPDATE egress SET detail = CAST(x'ff' AS TEXT) WHERE seq = 3", "row 3 was changed"),
        ("UPDATE egress SET weight = 'much' WHERE seq = 3", "row 3 was changed"),
        ("DELETE FROM egress WHERE seq = 3", "row 3 was taken out"),
        ("DELETE FROM egress WHERE seq = 5", "rows 5 to 5 were cut off"),
        ("DELETE FROM egress", "rows 1 to 5 were cut off"),
        ("UPDATE egress SET run_id = NULL WHERE seq = 5", "rows 5 to 5 were cut off"),
    ],
)
def test_what_was_done_to_the_log_is_named(home: Path, sql: str, words: str) -> None:
    do(home, sql)
    egress = found(home)
    assert not egress["ok"] and words in egress["problems"][0]


def test_the_ledgers_own_summary_and_the_one_beside_the_report_are_both_asked(home: Path) -> None:
    """Who cuts the log and mends the ledger's summary is found by the file, and the other way round."""
    do(home, "DELETE FROM egress WHERE seq = 5")
    with Ledger.open(home) as ledger:
        end = ledger.egress_end("run")
    do(
        home,
        "UPDATE runs SET summary = json_set(summary, '$.requests.egress_rows', 4, '$.requests.egress_head', "
        f"'{end.head}', '$.requests.by_endpoint', json('{{}}'))",
    )
    assert found(home)["problems"] == ["summary.json: rows 5 to 5 were cut off: the summary counts 5"]
    (home.parent / "reports" / "run" / "summary.json").unlink()
    assert found(home)["ok"], "control, and what a chain without a secret cannot show: every copy was changed"


def test_a_counted_request_without_a_row_is_named(home: Path) -> None:
    do(home, "UPDATE runs SET summary = json_set(summary, '$.requests.by_endpoint.\"GET /api/v3/klines\".sent', 3)")
    (problem,) = found(home)["problems"]
    assert problem == "GET /api/v3/klines: 3 sent with weight 10 were counted, the log has 2 with 10"


def test_rows_of_no_run_have_a_chain_too(home: Path) -> None:
    with Ledger.open(home) as ledger:
        for _ in range(3):
            ledger.log_egress(request("/api/v3/time", weight=1, wall_ms=START_MS))
    assert found(home)["outside"]["rows"] == 3 and found(home)["ok"]
    do(home, "DELETE FROM egress WHERE run_id IS NULL AND seq = 1")
    assert "rows of no run: row 1 was taken out" in found(home)["problems"][0]


def test_an_order_of_a_paper_run_is_a_problem_and_one_of_a_live_run_is_none(home: Path) -> None:
    with LedgerWriter(database_path(home), "run") as journal:
        journal.run_state("running")
        journal.egress(request("/api/v3/order", weight=1, wall_ms=START_MS, method="POST"))
    assert found(home)["problems"] == ["1 requests were not GET: a paper run sends none"]
    do(home, "UPDATE runs SET execution = 'live'")
    assert found(home)["ok"]


def test_the_command_exits_1_and_says_it_in_json_too(home: Path) -> None:
    def command(*more: str) -> subprocess.CompletedProcess[str]:
        arguments = [sys.executable, "-m", "quantlab", "verify", "--egress", "run", *more]
        return subprocess.run(arguments, cwd=home.parent, capture_output=True, text=True, timeout=60)

    done = command()
    assert done.returncode == 0 and "verified" in done.stdout
    assert "GET 127.0.0.1/api/v3/klines" in done.stdout and "chain     5 rows, last link" in done.stdout
    do(home, "UPDATE egress SET path = '/api/v3/ping' WHERE seq = 2")
    done = command("--json")
    assert done.returncode == 1
    result = json.loads(done.stdout)
    assert not result["ok"] and "row 2 was changed" in result["egress"]["problems"][0]
    done = command()
    assert "WRONG     row 2 was changed" in done.stdout and "NOT VERIFIED" in done.stdout
