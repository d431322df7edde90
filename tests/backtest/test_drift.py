"""Promise: what separates a paper run from its backtest is told by cause, and the causes add up."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantlab.backtest.drift import Drift, drift_of

Row = tuple[int, int, float, float, float]
BOTH: list[Row] = [(5, 1, 100.0, 10.0, 1.0), (9, -1, 110.0, 10.0, 1.1)]
SCHEMA = {"candle": pl.Int64, "side": pl.Int64, "price": pl.Float64, "quantity": pl.Float64, "fee": pl.Float64}
MARK = 120.0


def worth(rows: list[Row]) -> float:
    return sum(side * quantity * (MARK - price) - fee for _, side, price, quantity, fee in rows)


def drift(paper: list[Row], tested: list[Row], **options: Any) -> Drift:
    frames = [pl.DataFrame(rows, schema=SCHEMA, orient="row") for rows in (paper, tested)]
    usual: dict[str, Any] = {"asked_on_paper": set(), "asked_in_test": set(), "mark": MARK, "dust": 0.01}
    return drift_of(*frames, paper_pnl=worth(paper), tested_pnl=worth(tested), **{**usual, **options})


def told(found: Drift) -> dict[str, float]:
    names = ("signal", "missed", "price", "fee", "size", "rest")
    return {name: pytest.approx(getattr(found, name), abs=1e-9) for name in names if abs(getattr(found, name)) > 1e-9}


def test_the_same_fills_differ_by_nothing() -> None:
    found = drift(BOTH, BOTH)
    assert told(found) == {} and (found.both, found.paper_only, found.backtest_only) == (2, 0, 0)


def test_a_worse_price_and_a_dearer_fee() -> None:
    found = drift([(5, 1, 100.5, 10.0, 1.0), (9, -1, 110.0, 10.0, 1.6)], BOTH)
    assert told(found) == {"price": -5.0, "fee": -0.5} and found.total == pytest.approx(-5.5)


def test_fills_of_one_order_in_parts() -> None:
    parts = [(5, 1, 99.0, 5.0, 0.5), (5, 1, 101.0, 5.0, 0.5), BOTH[1]]
    assert told(drift(parts, BOTH)) == {}


def test_a_trip_that_only_one_of_them_made() -> None:
    """A buy that the other never asked for is a signal, and the sale that ends it belongs to it."""
    assert told(drift(BOTH, [])) == {"signal": pytest.approx(100 - 2.1)}
    assert told(drift([], BOTH)) == {"signal": pytest.approx(2.1 - 100)}


def test_a_fill_that_was_missed() -> None:
    """Asked for on paper, and not filled; what the backtest made of it is what was missed. The next trip is in both."""
    later: list[Row] = [(20, 1, 90.0, 10.0, 1.0), (25, -1, 95.0, 10.0, 1.0)]
    found = drift(later, BOTH + later, asked_on_paper={(5, 1)})
    assert told(found) == {"missed": pytest.approx(2.1 - 100)}
    assert told(drift(BOTH + later, later, asked_in_test={(5, 1)})) == {"missed": pytest.approx(100 - 2.1)}


def test_smaller_orders_of_a_poorer_account() -> None:
    half = [(candle, side, price, quantity / 2, fee / 2) for candle, side, price, quantity, fee in BOTH]
    assert told(drift(half, BOTH)) == {"size": pytest.approx(-(100 - 2.1) / 2)}


FILLS = st.lists(
    st.tuples(st.integers(0, 30), st.sampled_from([1, -1]), st.floats(50, 200), st.floats(0.1, 20), st.floats(0, 3)),
    max_size=12,
)


@given(FILLS, FILLS)
def test_the_causes_add_up(paper: list[Row], tested: list[Row]) -> None:
    """All of it is explained by the fills: nothing is left where both are marked alike."""
    found = drift(paper, tested)
    parts = found.signal + found.missed + found.price + found.fee + found.size + found.rest
    assert parts == pytest.approx(found.total, abs=1e-6) and found.rest == pytest.approx(0, abs=1e-6)
