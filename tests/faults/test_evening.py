"""Minutes of market with faults: books, candles and accounts are right, and the check sees when they are not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from quantlab.market import Book
from quantlab.model import DepthUpdate

from .night import play

MINUTE_MS = 60_000
LOST: list[dict[str, Any]] = [{"match": "usdt@depth", "kind": "gap", "after_ms": MINUTE_MS, "every": 40, "times": 10}]


async def test_an_evening(tmp_path: Path) -> None:
    faults = [
        *LOST,
        {"match": "", "kind": "duplicate", "after_ms": 2 * MINUTE_MS, "probability": 0.05, "until_ms": 3 * MINUTE_MS},
        {"match": "", "kind": "disconnect", "after_ms": 3 * MINUTE_MS},
        {"match": "/api/v3/depth", "kind": "truncate", "after_ms": 3 * MINUTE_MS, "times": 2},
        {"match": "@depth", "kind": "reorder", "after_ms": 3 * MINUTE_MS, "every": 50, "times": 5},
        {"match": "", "kind": "server_shutdown", "after_ms": 4 * MINUTE_MS, "close_after_ms": MINUTE_MS},
    ]
    night = await play(tmp_path, faults, hours=0.1)
    engine, seen = night.session._engine, night.seen
    assert [row for row in night.faults if not row["struck"]] == []
    assert seen.wrong == []
    assert seen.books["equal"] > 0.9 * seen.books.total()
    assert [symbol for symbol, book in engine.books.items() if not book.in_sync] == []
    assert night.summary["accounting_ok"]
    assert night.requests["order_requests"] == 0


async def test_the_check_sees_a_book_that_missed_something(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: without gap detection books are wrong, and are found to be."""
    apply = Book.apply

    def credulous(self: Book, update: DepthUpdate) -> None:
        if self.in_sync and update.first_update_id > self._depth_id + 1:
            self._depth_id = update.first_update_id - 1
        apply(self, update)

    monkeypatch.setattr(Book, "apply", credulous)
    night = await play(tmp_path, LOST, hours=0.05)
    assert any("book" in words for words in night.seen.wrong)
