"""Promise: `quantlab verify` names the first fill that the ledger tells otherwise than its receipt or the log does."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from quantlab.cli.check import verify
from quantlab.ledger import database_path


@pytest.fixture
def home(tmp_path: Path, run_fleet: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "root"
    assert run_fleet("run", minutes=8, home=root)["fills"] > 5
    monkeypatch.setenv("QUANTLAB_ROOT", str(root))
    monkeypatch.setenv("QUANTLAB_HOME", str(root / ".quantlab"))
    return root / ".quantlab"


def do(home: Path, sql: str) -> None:
    with sqlite3.connect(database_path(home)) as connection:
        connection.execute(sql)
    connection.close()


def receipt_with(home: Path, **fields: Any) -> None:
    """Change the receipt of the second bot's third fill."""
    with sqlite3.connect(database_path(home)) as connection:
        (body,) = connection.execute("SELECT body FROM receipts WHERE bot = 1 AND fill_number = 3").fetchone()
        changed = json.dumps(json.loads(body) | fields, separators=(",", ":"))
        connection.execute("UPDATE receipts SET body = ? WHERE bot = 1 AND fill_number = 3", (changed,))
    connection.close()


def test_a_run_as_it_was_written(home: Path) -> None:
    result = verify("run", egress_only=False)
    assert result["ok"] and result["first_difference"] is None
    assert result["fills"] == result["replayed"] > 5


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("UPDATE fills SET price = '1.5' WHERE bot = 1 AND number = 3", "bot 1, fill 3: price 1.5, replayed "),
        ("UPDATE fills SET fee = '0' WHERE bot = 0 AND number = 2", "bot 0, fill 2: fee 0, replayed "),
        ("DELETE FROM receipts WHERE bot = 1 AND fill_number = 3", "bot 1, fill 3: it has no receipt"),
    ],
)
def test_a_fill_that_its_receipt_does_not_give(home: Path, sql: str, words: str) -> None:
    do(home, sql)
    result = verify("run", egress_only=False)
    assert not result["ok"]
    assert result["first_difference"].startswith(words)


def test_a_fill_that_the_log_does_not_give(home: Path) -> None:
    """Its receipt agrees with it: only the replay knows."""
    do(home, "UPDATE fills SET time_ms = time_ms + 1 WHERE bot = 1 AND number = 3")
    words = verify("run", egress_only=False)["first_difference"]
    assert words.startswith("bot 1, fill 3 at 20") and "time_ms " in words and ", replayed " in words
    do(home, "DELETE FROM fills WHERE bot = 1 AND number = (SELECT MAX(number) FROM fills WHERE bot = 1)")
    do(home, "UPDATE fills SET time_ms = time_ms - 1 WHERE bot = 1 AND number = 3")
    assert verify("run", egress_only=False)["first_difference"].endswith("only the replay has it")


def test_a_receipt_that_the_log_does_not_give(home: Path) -> None:
    receipt_with(home, queue_ahead="7", latency_ms=1)
    words = verify("run", egress_only=False)["first_difference"]
    assert words.startswith("bot 1, receipt of fill 3: queue_ahead 7, replayed 0; latency_ms 1, replayed ")
