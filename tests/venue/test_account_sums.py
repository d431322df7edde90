"""Whatever is sent and whatever the market does: no balance is below zero, what is locked is what open orders need,
fills add up to what was executed, money is neither made nor lost, and the events tell the same story."""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantlab.venue import matching
from quantlab.venue.errors import VenueError

from .trading import Desk

PRICES = [f"{cents / 100:.2f}" for cents in range(9_900, 10_101, 10)]
prices, quantities = st.sampled_from(PRICES), st.sampled_from(["0.06", "0.5", "1", "2.5"])
sides = st.sampled_from(["BUY", "SELL"])
orders = st.fixed_dictionaries(
    {
        "side": sides,
        "type": st.sampled_from(["MARKET", "LIMIT", "LIMIT_MAKER", "STOP_LOSS", "STOP_LOSS_LIMIT", "TAKE_PROFIT"]),
        "price": prices,
        "stopPrice": prices,
        "quantity": quantities,
        "timeInForce": st.sampled_from(["GTC", "IOC", "FOK"]),
    }
)
pairs = st.tuples(st.just("pair"), sides, quantities, st.sampled_from(["99.00", "99.50"]))
trades = st.tuples(st.just("trade"), prices, quantities, st.booleans())
books = st.tuples(st.just("book"), st.integers(0, len(PRICES) - 3), quantities)
cancels = st.tuples(st.just("cancel"), st.integers(0, 30))
steps = st.lists(st.one_of(orders, orders, pairs, trades, trades, books, cancels), max_size=25)

_TAKES = {
    "MARKET": ("quantity",),
    "LIMIT": ("price", "quantity", "timeInForce"),
    "LIMIT_MAKER": ("price", "quantity"),
    "STOP_LOSS": ("stopPrice", "quantity"),
    "TAKE_PROFIT": ("stopPrice", "quantity"),
    "STOP_LOSS_LIMIT": ("price", "stopPrice", "quantity", "timeInForce"),
}


def take(desk: Desk, step: Any) -> None:
    """One step of a test; what is refused changes nothing."""
    before = desk.account.told()
    try:
        match step:
            case {"type": kind}:
                desk.order(step["side"], kind, **{name: step[name] for name in _TAKES[kind]})
            case "pair", side, quantity, low:
                stop, limit = {"Type": "STOP_LOSS"}, {"Type": "LIMIT_MAKER"}
                above, below = (stop, limit) if side == "BUY" else (limit, stop)
                legs = [("above", above, "100.90"), ("below", below, low)]
                sent = {
                    f"{leg}{name}": value
                    for leg, own, price in legs
                    for name, value in (*own.items(), ("Price" if own is limit else "StopPrice", price))
                }
                desk.ask("POST", "orderList/oco", symbol="AAAUSDT", side=side, quantity=quantity, **sent)
            case "trade", price, quantity, sold:
                desk.trade(price, quantity, sold=sold)
            case "book", at, quantity:
                desk.market.book("AAAUSDT", [(PRICES[at], quantity)], [(PRICES[at + 2], quantity)])
                desk.account.advance()
            case "cancel", number:
                desk.ask("DELETE", "order", symbol="AAAUSDT", orderId=number)
    except VenueError:
        assert desk.account.told() == before


def check(desk: Desk, start: dict[str, str]) -> None:
    told = desk.account.told()
    rows = {row["asset"]: (Decimal(row["free"]), Decimal(row["locked"])) for row in told["balances"]}
    assert all(part >= 0 for row in rows.values() for part in row)
    needs: dict[tuple[str, int], list[Decimal]] = defaultdict(list)
    for row in told["orders"]:
        fills = [trade for trade in told["trades"] if trade["orderId"] == row["orderId"]]
        assert sum(Decimal(fill["qty"]) for fill in fills) == Decimal(row["executedQty"])
        assert sum(Decimal(fill["quoteQty"]) for fill in fills) == Decimal(row["cummulativeQuoteQty"])
        assert (row["status"] == "FILLED") == (row["executedQty"] == row["origQty"])
        if row["status"] in ("NEW", "PARTIALLY_FILLED"):
            left = Decimal(row["origQty"]) - Decimal(row["executedQty"])
            asset = "USDT" if row["side"] == "BUY" else "AAA"
            price = Decimal(row["price"]) or Decimal(row["stopPrice"])
            group = row["orderListId"] if row["orderListId"] >= 0 else -row["orderId"]
            needs[asset, group].append(left * price if asset == "USDT" else left)
    for asset in ("USDT", "AAA"):
        needed = sum((max(amounts) for (of, _), amounts in needs.items() if of == asset), Decimal(0))
        assert rows[asset][1] == needed, "what is locked is what open orders need, a list's dearest leg counting"
    held = {asset: Decimal(amount) for asset, amount in start.items()}
    for trade in told["trades"]:
        sign = 1 if trade["isBuyer"] else -1
        held["AAA"] += sign * Decimal(trade["qty"])
        held["USDT"] -= sign * Decimal(trade["quoteQty"])
        held[trade["commissionAsset"]] -= Decimal(trade["commission"])
    assert {asset: sum(rows[asset]) for asset in held} == held


def retold(events: list[dict[str, Any]]) -> tuple[dict[int, tuple[str, str]], dict[str, tuple[str, str]]]:
    """What a client that only listens knows: each order's state and executed quantity, each asset's balance."""
    states: dict[int, tuple[str, str]] = {}
    balances: dict[str, tuple[str, str]] = {}
    filled: dict[int, Decimal] = defaultdict(Decimal)
    for event in events:
        if event["e"] == "executionReport":
            filled[event["i"]] += Decimal(event["l"])
            assert filled[event["i"]] == Decimal(event["z"])
            states[event["i"]] = (event["X"], event["z"])
        elif event["e"] == "outboundAccountPosition":
            balances |= {row["a"]: (row["f"], row["l"]) for row in event["B"]}
    return states, balances


@settings(max_examples=150, deadline=None)
@given(steps)
def test_the_sums_hold(taken: list[Any]) -> None:
    start = {"USDT": "400", "AAA": "4"}
    desk = Desk(**start)
    for step in taken:
        take(desk, step)
        check(desk, start)
    states, balances = retold(desk.events)
    told = desk.account.told()
    assert states == {row["orderId"]: (row["status"], row["executedQty"]) for row in told["orders"]}
    now = {row["asset"]: (row["free"], row["locked"]) for row in told["balances"]}
    assert balances.items() <= now.items()


@settings(max_examples=30, deadline=None)
@given(steps)
def test_the_same_steps_end_the_same(taken: list[Any]) -> None:
    def played() -> tuple[Any, Any]:
        desk = Desk(USDT="400", AAA="4")
        for step in taken:
            take(desk, step)
        return desk.account.told(), desk.events

    assert played() == played()


def test_a_wrong_sum_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: an account that forgets to unlock, and a walk that takes more than is there, are found out."""
    start = {"USDT": "400", "AAA": "4"}
    desk = Desk(**start)
    desk.limit("BUY", "99", "1")
    check(desk, start)
    desk.account.balances.lock("USDT", Decimal(1))
    with pytest.raises(AssertionError):
        check(desk, start)
    desk = Desk(**start)
    monkeypatch.setattr(matching, "walk", lambda side, quantity, levels, limit=None: [(levels[0][0], quantity / 2)])
    desk.order(quantity="1")
    desk.account.orders.all[0].executed += 1
    with pytest.raises(AssertionError):
        check(desk, start)
