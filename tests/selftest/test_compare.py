"""Promise: what differs between an exchange and the reference is named, field by field, and what quantlab could not
read, or a book that is wrong, fails."""

from __future__ import annotations

from quantlab.selftest import Examination, Finding, compare
from quantlab.selftest.examine import Asked
from quantlab.selftest.shapes import shape_of


def examination(**changes: object) -> Examination:
    found = Examination(
        "exchange:443",
        asked={"/api/v3/time": Asked(1, counted=1, shape=shape_of({"serverTime": 1}))},
        streams={"trade": shape_of({"stream": "btcusdt@trade", "data": {"p": "1.5"}})},
        frames={"btcusdt@trade": 3},
        quotes_compared=5,
        clock={"offset_ms": 1.0, "uncertainty_ms": 1.0, "alert": ""},
        weight=131,
    )
    for name, value in changes.items():
        setattr(found, name, value)
    return found


def worst(found: Examination) -> list[Finding]:
    return [row for row in compare(found, examination()) if row.verdict != "pass"]


def test_the_same_differs_in_nothing() -> None:
    assert worst(examination()) == []


def test_fields_are_named() -> None:
    asked = {"/api/v3/time": Asked(1, counted=1, shape=shape_of({"serverTime": "1", "zone": "UTC"}))}
    assert [row[1:] for row in worst(examination(asked=asked))] == [
        ("/api/v3/time: serverTime", "integer", "decimal text"),
        ("/api/v3/time: zone", "no such field", "text"),
    ]
    gone = {"/api/v3/time": Asked(1, counted=1, shape=shape_of({}))}
    assert ("/api/v3/time: serverTime", "integer", "no such field") in [
        row[1:] for row in worst(examination(asked=gone))
    ]


def test_what_quantlab_would_be_wrong_about_fails() -> None:
    for found in (
        examination(asked={"/api/v3/time": Asked(1, fault="quantlab cannot read it: no")}),
        examination(stream_faults=["stream frame: no"]),
        examination(quotes_differing=1),
        examination(order_requests=1),
    ):
        assert [row.verdict for row in worst(found)] == ["fails"]


def test_what_is_to_be_looked_at() -> None:
    for found in (
        examination(asked={"/api/v3/time": Asked(1, counted=2, shape=shape_of({"serverTime": 1}))}),
        examination(frames={"btcusdt@trade": 0}),
        examination(quotes_compared=0),
        examination(clock={"offset_ms": 900.0, "uncertainty_ms": 1.0, "alert": "set it"}),
        examination(weight=301),
    ):
        assert [row.verdict for row in worst(found)] == ["look"]


def test_a_weight_that_cannot_be_told_is_no_difference() -> None:
    asked = {"/api/v3/time": Asked(1, counted=None, shape=shape_of({"serverTime": 1}))}
    assert worst(examination(asked=asked)) == []


def test_shapes_name_places_kinds_and_types() -> None:
    value = {
        "filters": [{"filterType": "LOT_SIZE", "stepSize": "0.1"}, {"filterType": "NOTIONAL", "applyToMarket": True}],
        "rows": [[1, "2.5", None], [1, "text", 2.0]],
        "bids": [["1.0", "2.0"]],
        "none": [],
    }
    assert shape_of(value) == {
        "(all)": "object",
        "bids": "list",
        "bids[]": "list",
        "bids[][price, quantity]": "decimal text",
        "filters": "list",
        "filters[LOT_SIZE]": "object",
        "filters[LOT_SIZE].filterType": "text",
        "filters[LOT_SIZE].stepSize": "decimal text",
        "filters[NOTIONAL]": "object",
        "filters[NOTIONAL].applyToMarket": "boolean",
        "filters[NOTIONAL].filterType": "text",
        "none": "list",
        "rows": "list",
        "rows[]": "list",
        "rows[][0]": "integer",
        "rows[][1]": "decimal text or text",
        "rows[][2]": "null or number",
    }
