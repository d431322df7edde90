"""Promise: an exchange is asked and listened to as a run would, for less than 300 weight, and what it does wrong is
found. Each fault of the venue below goes unnoticed without its check."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from quantlab.exchange import DoorConfig
from quantlab.model import ExchangeUnreachable
from quantlab.selftest import Examination, Finding, compare, examine
from quantlab.venue.market import open_market
from quantlab.venue.server import Venue

SYMBOLS = ["BTCUSDT", "ETHUSDT"]


async def examined(faults: Sequence[dict[str, Any]] = ()) -> tuple[Examination, list[dict[str, Any]], Venue]:
    rows: list[dict[str, Any]] = []
    async with Venue(open_market(None, seed=7, hours=0.5, symbols=SYMBOLS), speed=60.0) as venue:
        venue.faults.set(list(faults))
        config = DoorConfig(
            market="replay", rest_url=venue.url, stream_url=venue.url.replace("http", "ws", 1), timeout_s=5.0
        )
        return await examine(config, SYMBOLS, listen_s=2.5, egress=rows.append), rows, venue


async def failing(faults: Sequence[dict[str, Any]]) -> list[Finding]:
    """The findings that fail, beside a reference without faults."""
    reference, _, _ = await examined()
    found, _, _ = await examined(faults)
    assert not [row for row in compare(reference, reference) if row.verdict == "fails"], "the control"
    return [row for row in compare(found, reference) if row.verdict == "fails"]


async def test_a_venue_agrees_with_itself() -> None:
    found, rows, venue = await examined()
    assert [row for row in compare(found, found) if row.verdict == "fails"] == []
    assert found.books_in_sync == SYMBOLS
    assert found.quotes_compared > 0 and found.quotes_differing == 0
    assert all(found.frames.values())
    assert not [asked for asked in found.asked.values() if asked.fault]
    counted = [asked for asked in found.asked.values() if asked.counted is not None]
    assert len(counted) >= 5 and all(asked.counted == asked.weight for asked in counted)
    assert found.weight < 300
    asked = [row for row in venue.log.report(0)["requests"] if row["kind"] == "rest"]
    assert sum(row["weight"] for row in asked) == found.weight
    assert {row["method"] for row in asked} == {"GET"} and not [row for row in asked if row["signed"] or row["key"]]
    assert len([row for row in rows if row["method"] == "GET" and row["path"] != "/stream"]) == len(asked)


@pytest.mark.parametrize(("kind", "words"), [("truncate", "not the JSON"), ("html", "web page")])
async def test_an_answer_that_cannot_be_read_fails(kind: str, words: str) -> None:
    (row,) = await failing([{"match": "/api/v3/klines", "kind": kind}])
    assert row.what.startswith("/api/v3/klines")
    assert words in row.found


async def test_frames_that_cannot_be_read_fail() -> None:
    rows = await failing([{"match": "btcusdt@bookTicker", "kind": "off_grid"}])
    assert rows and all("tick size" in row.found for row in rows)


async def test_a_book_that_misses_an_update_is_not_called_right() -> None:
    """A gap makes the book stale: it is compared with nothing, and named as not whole."""
    found, _, _ = await examined([{"match": "btcusdt@depth", "kind": "gap", "every": 2}])
    assert found.quotes_differing == 0
    assert "BTCUSDT" not in found.books_in_sync


async def test_nobody_there_is_one_line() -> None:
    config = DoorConfig(market="replay", rest_url="http://127.0.0.1:9", stream_url="ws://127.0.0.1:9")
    with pytest.raises(ExchangeUnreachable):
        await examine(config, SYMBOLS, egress=lambda row: None)
