"""Promise: what left is counted as what it was, by host, method and path, and a count without its rows is named."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantlab.report import traffic


def egress(*rows: tuple[str, str, str, int, int]) -> pl.DataFrame:
    names = ("method", "path", "verdict", "weight", "wall_ms")
    return pl.DataFrame(rows, schema=names, orient="row").with_columns(host=pl.lit("h"), status=pl.lit(200))


READS = (
    ("GET", "/api/v3/klines", "sent", 2, 0),
    ("GET", "/stream", "sent", 0, 5),
    ("SUBSCRIBE", "/stream", "sent", 0, 6),
    ("POST", "/api/v3/order", "refused", 0, 7),
    ("GET", "/api/v3/time", "unreachable", 0, 8),
)


def test_reads_alone_are_counted_as_reads() -> None:
    counts = traffic.egress_counts(egress(*READS))
    assert counts == (2, 1, 0, 0, 1)


@pytest.mark.parametrize(
    ("row", "others"),
    [
        (("POST", "/api/v3/order", "sent", 1, 9), 1),
        (("DELETE", "/api/v3/openOrders", "sent", 1, 9), 1),
        (("order.place", "/stream", "sent", 0, 9), 1),
        (("GET", "/api/v3/openOrders", "sent", 6, 9), 0),
    ],
)
def test_an_order_that_left_is_seen(row: tuple[str, str, str, int, int], others: int) -> None:
    counts = traffic.egress_counts(egress(*READS, row))
    assert counts.orders == 1
    assert counts.others == others


@given(st.lists(st.tuples(st.integers(0, 200_000), st.integers(1, 40)), min_size=1, max_size=60))
def test_the_weight_curve_is_the_sum_of_the_last_60_s(requests: list[tuple[int, int]]) -> None:
    curve = traffic.weight_curve(egress(*(("GET", "/p", "sent", weight, ms) for ms, weight in requests)))
    for ms, held in curve.iter_rows():
        assert held == sum(weight for at, weight in requests if ms - 60_000 < at <= ms)


def test_no_requests_give_an_empty_curve() -> None:
    assert traffic.weight_curve(egress(*READS[2:])).is_empty()


def test_an_endpoint_shows_what_was_asked_and_what_left() -> None:
    rows = egress(
        ("GET", "/p", "sent", 2, 0),
        ("GET", "/p", "sent", 2, 1),
        ("GET", "/p", "unreachable", 0, 2),
        ("POST", "/p", "refused", 0, 3),
    ).with_columns(status=pl.Series([200, 429, 0, 0]))
    counters = {"GET /p": {"asked": 9, "sent": 2, "shared": 4, "kept": 3, "weight": 4}}
    table = traffic.endpoint_table(rows, counters)
    names = ("method", "asked", "sent", "shared", "kept", "weight", "refused", "unreachable", "statuses")
    assert table.select(names).rows() == [
        ("GET", 9, 2, 4, 3, 4, 0, 1, "200 ×1, 429 ×1"),
        ("POST", None, 0, None, None, 0, 1, 0, ""),
    ]


def test_the_counters_go_to_the_host_that_was_sent_most() -> None:
    rows = egress(*(("GET", "/p", "sent", 1, ms) for ms in range(3)))
    rows = rows.with_columns(host=pl.Series(["signed", "door", "door"]))
    counters = {"GET /p": {"asked": 5, "sent": 2, "shared": 3, "kept": 0, "weight": 2}}
    asked = dict(traffic.endpoint_table(rows, counters).select("host", "asked").iter_rows())
    assert asked == {"door": 5, "signed": None}


def test_what_was_counted_and_not_logged_is_named() -> None:
    rows = egress(*READS)
    counters = {"GET /api/v3/klines": {"asked": 1, "sent": 1, "shared": 0, "kept": 0, "weight": 2}}
    assert traffic.missing_rows(rows, counters) == []
    assert traffic.missing_rows(egress(*READS, READS[0]), counters) == [], "signed reads are in the log alone"
    for wrong in ({"sent": 2}, {"weight": 3}):
        (line,) = traffic.missing_rows(rows, {"GET /api/v3/klines": counters["GET /api/v3/klines"] | wrong})
        assert line.startswith("GET /api/v3/klines: ")
    assert traffic.missing_rows(rows, {"POST /api/v3/order": counters["GET /api/v3/klines"]})


@given(st.lists(st.tuples(st.integers(0, 200_000), st.integers(1, 40)), max_size=40))
def test_the_peak_is_the_highest_60_s(requests: list[tuple[int, int]]) -> None:
    rows = egress(*(("GET", "/p", "sent", weight, ms) for ms, weight in requests)) if requests else egress(READS[3])
    by_hand = [sum(weight for at, weight in requests if ms - 60_000 < at <= ms) for ms, _ in requests]
    assert traffic.peak_weight(rows) == max(by_hand, default=0)
