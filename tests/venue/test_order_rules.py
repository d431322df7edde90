"""What Binance's documentation refuses is refused in its codes and words: filters, funds, ids, counts, restrictions."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from quantlab.venue.errors import VenueError
from quantlab.venue.order_count import OrderCount

from .trading import Desk

LIMIT = {"type": "LIMIT", "timeInForce": "GTC", "price": "100", "quantity": "1"}


def code(desk: Desk, **params: object) -> int | str:
    """The error of an order: its code, or the filter that failed; 0 where it was taken."""
    try:
        desk.order(**params)  # type: ignore[arg-type]
    except VenueError as error:
        return error.message.removeprefix("Filter failure: ") if "Filter failure" in error.message else error.code
    return 0


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, 0),
        ({"price": "100.001"}, "PRICE_FILTER"),
        ({"price": "1000000.01"}, "PRICE_FILTER"),
        ({"price": "501"}, "PERCENT_PRICE_BY_SIDE"),
        ({"quantity": "1.0001"}, "LOT_SIZE"),
        ({"quantity": "0.00001"}, "LOT_SIZE"),
        ({"quantity": "0.049"}, "NOTIONAL"),
        ({"quantity": "0.05"}, 0),
        ({"quantity": "1.000000001"}, -1111),
        ({"quantity": "451"}, -2010),
        ({"quantity": "1e3"}, -1100),
        ({"timeInForce": "DAY"}, -1115),
        ({"stopPrice": "90"}, -1106),
        ({"icebergQty": "0.5"}, 0),
        ({"icebergQty": "0.009"}, "ICEBERG_PARTS"),
        ({"icebergQty": "0.5", "timeInForce": "IOC"}, -1106),
        ({"newClientOrderId": "a.b"}, -1100),
        ({"newClientOrderId": "x" * 37}, -1100),
        ({"newOrderRespType": "ALL"}, -1130),
        ({"strategyType": "7"}, -1134),
        ({"pegPriceType": "PRIMARY_PEG"}, -1013),
        ({"type": "MARKET", "price": None, "timeInForce": None}, 0),
        ({"type": "MARKET", "price": None, "timeInForce": None, "quantity": "0.04"}, "NOTIONAL"),
        ({"type": "MARKET", "price": None, "timeInForce": None, "quoteOrderQty": "50"}, -1128),
        ({"type": "MARKET", "price": None, "timeInForce": None, "quantity": "10000.001"}, "MARKET_LOT_SIZE"),
        ({"type": "STOP_LOSS", "price": None, "timeInForce": None, "trailingDelta": "100"}, -1013),
    ],
)
def test_what_an_order_must_pass(changes: dict[str, Any], expected: int | str) -> None:
    params = {name: value for name, value in {**LIMIT, **changes}.items() if value is not None}
    assert code(Desk(), **params) == expected


def test_a_symbol_that_does_not_trade() -> None:
    desk = Desk()
    row = desk.market.exchange_info["symbols"][0]
    row["orderTypes"] = ["LIMIT"]
    with pytest.raises(VenueError, match="Market orders are not supported for this symbol"):
        desk.order(quantity="1")
    row["status"] = "BREAK"
    with pytest.raises(VenueError, match="Market is closed"):
        desk.order(**LIMIT)


def test_no_more_orders_than_a_symbol_has_room_for() -> None:
    desk = Desk(USDT="1000", AAA="1")
    stop = {"side": "SELL", "type": "STOP_LOSS", "quantity": "0.06", "stopPrice": "90"}
    assert [code(desk, **stop) for _ in range(6)] == [0] * 5 + ["MAX_NUM_ALGO_ORDERS"]
    desk.market.exchange_info["exchangeFilters"].append(
        {"filterType": "EXCHANGE_MAX_NUM_ORDERS", "maxNumOrders": 6}
    )  # fmt: skip
    small = {**LIMIT, "quantity": "0.06"}
    assert [code(desk, **small) for _ in range(2)] == [0, "EXCHANGE_MAX_NUM_ORDERS"]
    assert code(desk, **{**small, "timeInForce": "IOC"}) == 0, "that one never rests"


def test_what_is_locked_cannot_be_spent_again() -> None:
    desk = Desk(USDT="250")
    assert code(desk, **LIMIT) == code(desk, **LIMIT) == 0
    assert code(desk, **LIMIT) == code(desk, quantity="1") == -2010
    assert code(desk, side="SELL", quantity="0.1") == -2010
    assert desk.balance("USDT") == ("50.00000000", "200.00000000")
    desk.ask("DELETE", "openOrders", symbol="AAAUSDT")
    assert desk.balance("USDT") == ("250.00000000", "0.00000000")
    assert code(desk, quantity="1") == 0


def test_a_client_id_is_taken_while_its_order_is_open() -> None:
    desk = Desk()
    first = desk.limit("BUY", "99", "1", newClientOrderId="mine")
    assert code(desk, **{**LIMIT, "newClientOrderId": "mine"}) == -2010
    desk.cancel(first)
    second = desk.limit("BUY", "99", "1", newClientOrderId="mine")
    by_name = {"symbol": "AAAUSDT", "origClientOrderId": "mine"}
    assert desk.ask("GET", "order", **by_name)["orderId"] == second["orderId"]
    assert desk.ask("DELETE", "order", newClientOrderId="done", **by_name)["clientOrderId"] == "done"
    with pytest.raises(VenueError) as error:
        desk.ask("GET", "order", **by_name | {"orderId": first["orderId"], "origClientOrderId": "other"})
    assert error.value.code == -2039


def test_what_an_order_answers() -> None:
    desk = Desk(USDT="1000", AAA="1")
    named = {"symbol", "orderId", "orderListId", "clientOrderId", "transactTime"}
    assert set(desk.order(quantity="0.1", newOrderRespType="ACK")) == named
    assert "fills" not in desk.order(quantity="0.1", newOrderRespType="RESULT")
    assert len(desk.order(quantity="0.1", newOrderRespType="FULL")["fills"]) == 1
    bare = {"symbol": "AAAUSDT", "side": "BUY", "quantity": "0.1"}
    assert "fills" in desk.ask("POST", "order", type="MARKET", **bare)
    assert set(desk.ask("POST", "order", type="LIMIT_MAKER", price="99", **bare)) == named
    assert desk.ask("POST", "order/test", type="MARKET", **bare) == {}
    assert len(desk.account.orders.all) == 5


def test_cancelling_under_a_condition() -> None:
    desk = Desk()
    rests = desk.limit("BUY", "100.1", "3")
    with pytest.raises(VenueError, match="cancel restrictions") as error:
        desk.cancel(rests, cancelRestrictions="ONLY_NEW")
    assert error.value.code == -2011
    with pytest.raises(VenueError) as error:
        desk.cancel(rests, cancelRestrictions="NEVER")
    assert error.value.code == -1145
    assert desk.cancel(rests, cancelRestrictions="ONLY_PARTIALLY_FILLED")["executedQty"] == "1.00000000"


@pytest.mark.parametrize(
    ("mode", "cancel", "price", "status", "results"),
    [
        ("STOP_ON_FAILURE", "1", "99", 200, ("SUCCESS", "SUCCESS")),
        ("STOP_ON_FAILURE", "9", "99", 400, ("FAILURE", "NOT_ATTEMPTED")),
        ("STOP_ON_FAILURE", "1", "100.1", 409, ("SUCCESS", "FAILURE")),
        ("ALLOW_FAILURE", "9", "99", 409, ("FAILURE", "SUCCESS")),
        ("ALLOW_FAILURE", "9", "100.1", 400, ("FAILURE", "FAILURE")),
    ],
)
def test_one_order_in_the_place_of_another(
    mode: str, cancel: str, price: str, status: int, results: tuple[str, str]
) -> None:
    desk = Desk()
    desk.limit("BUY", "98", "1")
    asked = {
        "symbol": "AAAUSDT", "side": "BUY", "type": "LIMIT_MAKER", "quantity": "1", "price": price,
        "cancelReplaceMode": mode, "cancelOrderId": cancel,
    }  # fmt: skip
    if status == 200:
        answer = desk.ask("POST", "order/cancelReplace", **asked)
    else:
        with pytest.raises(VenueError) as error:
            desk.ask("POST", "order/cancelReplace", **asked)
        assert (error.value.status, error.value.code) == (status, -2022 if "SUCCESS" not in results else -2021)
        answer = error.value.body["data"]
    assert (answer["cancelResult"], answer["newOrderResult"]) == results


def test_queries_page_as_documented() -> None:
    desk = Desk()
    for _ in range(5):
        desk.order(quantity="0.1")
        desk.market.now_ms += 3_600_000

    def ids(path: str, **params: object) -> list[int]:
        rows = desk.ask("GET", path, symbol="AAAUSDT", **params)
        return [row["orderId"] for row in rows]

    start = desk.market.start_ms
    assert ids("allOrders", limit=2) == ids("myTrades", limit=2) == [4, 5], "the newest"
    assert ids("allOrders", orderId=2, limit=2) == ids("myTrades", fromId=2, limit=2) == [2, 3]
    assert ids("allOrders", startTime=start + 3_600_000, endTime=start + 3 * 3_600_000) == [2, 3]
    assert ids("myTrades", orderId=3) == [3]
    for params, expected in (
        ({"startTime": start, "endTime": start + 86_400_001}, -1127),
        ({"orderId": 1, "startTime": start}, -1128),
    ):
        with pytest.raises(VenueError) as error:
            ids("myTrades", **params)
        assert error.value.code == expected


def test_the_unfilled_count_forgives_what_trades() -> None:
    now = [1_000_000.0]
    rows = [
        {"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": 2},
        {"rateLimitType": "ORDERS", "interval": "DAY", "intervalNum": 1, "limit": 5},
        {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 1},
    ]
    count = OrderCount(rows, lambda: now[0])
    count.take(1)
    count.take(1)
    with pytest.raises(VenueError) as error:
        count.take(1)
    assert (error.value.status, error.value.code, error.value.headers) == (429, -1015, {"Retry-After": "10"})
    count.filled()
    count.take(1)
    now[0] += 10
    count.take(2)
    assert [row["count"] for row in count.rows] == [2, 4]
    now[0] += 10
    with pytest.raises(VenueError, match="5 orders per 1 DAY"):
        count.take(2)


def test_a_market_stop_that_cannot_be_paid_any_more_expires() -> None:
    desk = Desk(USDT="101")
    placed = desk.order("BUY", "STOP_LOSS", stopPrice="101", quantity="1")
    desk.market.book("AAAUSDT", [("120", "1")], [("121", "1")])
    desk.trade("121", "1")
    done = desk.query(placed)
    assert (done["status"], done["expiryReason"]) == ("EXPIRED", "REJECTED")
    assert desk.account.balances.free("USDT") == Decimal(101)
