"""The egress log counts each method for itself, and what could have moved money as such, whoever sends it."""

from __future__ import annotations

from typing import Any

from quantlab.exchange.egress import EgressLog

HOST, TEST_ORDER, TIME = "testnet.binance.vision", "/api/v3/order", "/api/v3/time"


def test_each_method_is_an_endpoint_of_its_own() -> None:
    rows: list[dict[str, Any]] = []
    log = EgressLog(rows.append)
    log.asked(TEST_ORDER, method="POST")
    log.sent(HOST, TEST_ORDER, 1, 200, "signed", method="POST")
    log.asked(TEST_ORDER, method="DELETE")
    log.sent(HOST, TEST_ORDER, 1, 200, "signed", method="DELETE")
    log.asked(TIME)
    log.sent(HOST, TIME, 1, 200, "")
    log.asked(TIME, "kept")
    log.unreachable(HOST, TEST_ORDER, "nobody there", method="POST")
    counters = log.counters()
    assert counters["by_endpoint"] == {
        f"DELETE {TEST_ORDER}": {"asked": 1, "sent": 1, "shared": 0, "kept": 0, "weight": 1},
        f"GET {TIME}": {"asked": 2, "sent": 1, "shared": 0, "kept": 1, "weight": 1},
        f"POST {TEST_ORDER}": {"asked": 1, "sent": 1, "shared": 0, "kept": 0, "weight": 1},
    }
    assert [(row["method"], row["verdict"]) for row in rows] == [
        ("POST", "sent"),
        ("DELETE", "sent"),
        ("GET", "sent"),
        ("POST", "unreachable"),
    ]


def test_an_order_that_left_is_counted_by_its_method_or_its_path() -> None:
    log = EgressLog(lambda row: None)
    log.sent(HOST, TIME, 1, 200, "")
    log.unreachable(HOST, TEST_ORDER, "", method="POST")
    assert log.counters()["order_requests"] == 0, "control: a read is none, and what never left is none"
    log.sent(HOST, TEST_ORDER, 1, 200, "", method="POST")
    log.sent(HOST, TIME, 1, 200, "", method="POST")
    log.sent(HOST, TEST_ORDER, 1, 200, "")
    assert log.counters()["order_requests"] == 3
