"""Why a paper run and the backtest of the same bot made different money.

Both are lists of fills of one bot over one span. Fills of one candle and side belong together. What is in both differs
by price, fee and size; what is in one only is a missed fill where the other had asked for it too, and else a signal
that only one of them had. From there on, until both are flat again, what is in one only follows from the first of it
and is counted with it.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

import polars as pl

#: (candle, side): the number of the candle since 1970, and 1 for a buy, -1 for a sale.
Place = tuple[int, int]


class Drift(NamedTuple):
    """Paper less backtest, in quote units: `total` is the sum of the six causes. `size` is what orders of another size
    made, which follows from the others; `rest` is what marking and fees in base leave. And how many fills are in both,
    and in one only."""

    total: float
    signal: float
    missed: float
    price: float
    fee: float
    size: float
    rest: float
    both: int
    paper_only: int
    backtest_only: int


class _Done(NamedTuple):
    """All fills of one place together: base units, mean price, fee in quote units."""

    quantity: float
    price: float
    fee: float


def drift_of(
    paper: pl.DataFrame,
    tested: pl.DataFrame,
    *,
    asked_on_paper: Collection[Place],
    asked_in_test: Collection[Place],
    mark: float,
    paper_pnl: float,
    tested_pnl: float,
    dust: float,
) -> Drift:
    """`paper` and `tested` have the columns candle (its number since 1970), side (1 or -1), price, quantity (base
    units) and fee (quote units). The `asked_*` are the places of orders, filled or not; `mark` is the last bid, `dust`
    the quantity below which a position is none."""
    one, other = _together(paper), _together(tested)
    causes = {"signal": 0.0, "missed": 0.0, "price": 0.0, "fee": 0.0, "size": 0.0}
    held = [0.0, 0.0]
    both = paper_only = tested_only = 0
    since = ""
    for place in sorted(one.keys() | other.keys(), key=lambda each: (each[0], each[1])):
        side, mine, theirs = place[1], one.get(place), other.get(place)
        if mine is not None and theirs is not None:
            both += 1
            share = mine.quantity / theirs.quantity
            causes["price"] += side * mine.quantity * (theirs.price - mine.price)
            causes["fee"] -= mine.fee - theirs.fee * share
            causes["size"] += (share - 1.0) * _worth(theirs, side, mark)
        elif mine is not None:
            paper_only += 1
            since = since or ("missed" if place in asked_in_test else "signal")
            causes[since] += _worth(mine, side, mark)
        elif theirs is not None:
            tested_only += 1
            since = since or ("missed" if place in asked_on_paper else "signal")
            causes[since] -= _worth(theirs, side, mark)
        held[0] += side * mine.quantity if mine else 0.0
        held[1] += side * theirs.quantity if theirs else 0.0
        if max(map(abs, held)) < dust:
            since = ""
    total = paper_pnl - tested_pnl
    return Drift(
        total=total, **causes, rest=total - sum(causes.values()), both=both, paper_only=paper_only,
        backtest_only=tested_only,
    )  # fmt: skip


def _together(fills: pl.DataFrame) -> dict[Place, _Done]:
    sums = fills.group_by("candle", "side").agg(
        pl.col("quantity").sum(), quote=(pl.col("price") * pl.col("quantity")).sum(), fee=pl.col("fee").sum()
    )
    return {
        (candle, side): _Done(quantity, quote / quantity, fee)
        for candle, side, quantity, quote, fee in sums.select("candle", "side", "quantity", "quote", "fee").iter_rows()
    }


def _worth(done: _Done, side: int, mark: float) -> float:
    """What a fill made by the end: its quantity at the last price, less what it paid."""
    return side * done.quantity * (mark - done.price) - done.fee
