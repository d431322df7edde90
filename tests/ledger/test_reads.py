"""Promise: frames have the same columns whether a run did much or nothing, and one hash names what a run did."""

from __future__ import annotations

import hashlib
import random
from decimal import Decimal

import msgspec
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantlab.ledger import Ledger, LedgerWriter, fills_sha256
from quantlab.ledger.hashing import plain
from quantlab.model import NotFound, Order, OrderStatus, OrderType, Side

from .rows import BOT, RUN, fill, receipt

FRAMES = ("bots", "orders", "fills", "equity", "marks", "events", "egress")


def order(number: int, status: OrderStatus) -> Order:
    return Order(
        bot=0, number=number, symbol="BTCUSDT", side=Side.BUY, type=OrderType.MARKET, quantity=Decimal("0.001"),
        created_ms=10 - number, status=status,
    )  # fmt: skip


def request(method: str, verdict: str, weight: int) -> dict[str, object]:
    return {
        "wall_ms": 1, "method": method, "host": "127.0.0.1", "path": "/api/v3/depth", "weight": weight,
        "status": None if verdict == "refused" else 200, "verdict": verdict, "detail": "",
    }  # fmt: skip


def test_an_empty_run_has_the_columns_of_a_full_one(ledger: Ledger) -> None:
    empty = {name: getattr(ledger, name)("r").schema for name in FRAMES}
    with LedgerWriter(ledger.path, "r") as journal:
        journal.order(order(1, OrderStatus.NEW))
        journal.fill(fill(1), receipt(1))
        journal.equity([(60_000, 0, 1.0, 2.0, 3.0)])
        journal.marks([(60_000, "BTCUSDT", 1.0, 2.0)])
        journal.event(1, "stale", 0, {"symbol": "BTCUSDT"})
        journal.egress(request("GET", "sent", 5))
    for name in FRAMES:
        frame = getattr(ledger, name)("r")
        assert frame.height == 1 and frame.schema == empty[name], name
    assert ledger.fills("r")["maker"].to_list() == [False]
    assert ledger.fills("r").schema["price"] == pl.Float64 and ledger.fills("r").schema["time_ms"] == pl.Int64


def test_only_open_orders(ledger: Ledger) -> None:
    with LedgerWriter(ledger.path, "r") as journal:
        for number, status in enumerate(OrderStatus, 1):
            journal.order(order(number, status))
    assert ledger.orders("r").height == len(OrderStatus)
    still_open = ledger.orders("r", open_only=True)["status"].to_list()
    assert {OrderStatus(status) for status in still_open} == {s for s in OrderStatus if not s.is_final}
    assert ledger.orders("r")["created_ms"].is_sorted()


def test_requests_are_counted_by_what_became_of_them(ledger: Ledger) -> None:
    assert ledger.egress_counts("r") == {"sent": 0, "refused": 0, "weight": 0, "sent_not_get": 0}
    with LedgerWriter(ledger.path, "r") as journal:
        journal.egress(request("GET", "sent", 5))
        journal.egress(request("SUBSCRIBE", "sent", 0))
        journal.egress(request("POST", "refused", 1))
    assert ledger.egress_counts("r") == {"sent": 2, "refused": 1, "weight": 5, "sent_not_get": 0}
    with LedgerWriter(ledger.path, "r") as journal:
        journal.egress(request("POST", "sent", 1))
    assert ledger.egress_counts("r")["sent_not_get"] == 1, "control: an order that left is seen"


def test_requests_of_no_run_are_kept_and_counted_for_none(ledger: Ledger) -> None:
    with LedgerWriter(ledger.path, None) as journal:
        journal.egress(request("GET", "sent", 5))
    assert ledger.egress_counts("r")["sent"] == 0 and ledger.egress("r").is_empty()


def test_runs_are_listed_newest_first_and_kept_apart(ledger: Ledger) -> None:
    ledger.begin_run(msgspec.structs.replace(RUN, run_id="later", created_ms=9), [BOT])
    assert ledger.run_ids() == ["later", "r"] and ledger.latest_run_id() == "later"
    with LedgerWriter(ledger.path, "later") as journal:
        journal.fill(fill(1), receipt(1))
    assert (len(ledger.fill_rows("later")), len(ledger.fill_rows("r"))) == (1, 0)
    with pytest.raises(NotFound, match="later, r"):
        ledger.run("sooner")


def test_fills_come_in_order_of_time_bot_and_number(ledger: Ledger) -> None:
    rows = [msgspec.structs.replace(fill(n), bot=b, time_ms=t) for t in (1, 2) for b in (0, 1) for n in (1, 2)]
    for number, row in enumerate(rows):
        rows[number] = msgspec.structs.replace(row, number=row.number + 10 * row.time_ms)
    shuffled = random.Random(1).sample(rows, len(rows))
    with LedgerWriter(ledger.path, "r") as journal:
        for row in shuffled:
            journal.fill(row, msgspec.structs.replace(receipt(row.number), bot=row.bot))
    assert ledger.fill_rows("r") == rows
    assert fills_sha256(shuffled) == fills_sha256(rows)


def test_the_hash_of_fills_is_over_these_bytes() -> None:
    """The format is a contract: other programs compute the same."""
    one = msgspec.structs.replace(fill(1), price=Decimal("100.50"), quantity=Decimal("1E+2"), fee=Decimal("1E-7"))
    two = msgspec.structs.replace(fill(2), side=Side.SELL, fee=Decimal("-0.00"), fee_asset="USDT")
    text = "0,BTCUSDT,BUY,100.5,100,0.0000001,BTC,1001\n0,BTCUSDT,SELL,100.5,0.001,0,USDT,1002\n"
    assert fills_sha256([two, one]) == hashlib.sha256(text.encode()).hexdigest()
    assert fills_sha256([]) == hashlib.sha256(b"").hexdigest()


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value="-1e20", max_value="1e20"))
def test_plain_text_is_exact_and_one_for_each_value(value: Decimal) -> None:
    text = plain(value)
    assert Decimal(text) == value
    assert "e" not in text.lower() and plain(Decimal(text)) == text
    sign, digits, exponent = value.as_tuple()
    assert isinstance(exponent, int)
    assert plain(Decimal((sign, (*digits, 0, 0), exponent - 2))) == text
