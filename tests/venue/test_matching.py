"""Orders meet the market as Binance's documentation says: takers walk the displayed book, what rests is filled by
later trades behind its queue, stops are set off by the last price; and the money moves with every fill."""

from __future__ import annotations

import pytest

from quantlab.venue.errors import VenueError

from .trading import Desk


def refused(desk: Desk, **params: object) -> tuple[int, str]:
    with pytest.raises(VenueError) as error:
        desk.order(**params)  # type: ignore[arg-type]
    return error.value.code, error.value.message


def test_a_market_order_walks_the_levels() -> None:
    desk = Desk()
    bought = desk.order(quantity="2")
    assert [(fill["price"], fill["qty"]) for fill in bought["fills"]] == [
        ("100.10000000", "1.00000000"), ("100.20000000", "1.00000000"),
    ]  # fmt: skip
    assert (bought["status"], bought["cummulativeQuoteQty"]) == ("FILLED", "200.30000000")
    assert desk.balance("AAA") == ("1.99800000", "0.00000000"), "a thousandth is the commission"
    assert desk.balance("USDT") == ("44799.70000000", "0.00000000")
    assert desk.order(quantity="2")["fills"][0]["price"] == "100.10000000", "the market did not move by it"


def test_what_the_book_does_not_hold_expires() -> None:
    desk = Desk()
    bought = desk.order(quantity="5")
    assert (bought["status"], bought["executedQty"], bought["expiryReason"]) == (
        "EXPIRED", "3.00000000", "INSUFFICIENT_LIQUIDITY",
    )  # fmt: skip
    desk.market.book("AAAUSDT", [], [])
    nothing = desk.order("SELL", quantity="1")
    assert (nothing["status"], nothing["executedQty"], nothing["fills"]) == ("EXPIRED", "0.00000000", [])
    assert refused(desk, quoteOrderQty="100") == (
        -2010, "Order book liquidity is less than symbol minimum quantity.",
    )  # fmt: skip


def test_an_amount_of_quote_is_spent_in_whole_steps() -> None:
    desk = Desk()
    bought = desk.order(quoteOrderQty="150")
    assert bought["executedQty"] == "1.49800000", "1 at 100.1, then (150 - 100.1) / 100.2 in steps of 0.001"
    assert (bought["status"], bought["origQuoteOrderQty"]) == ("FILLED", "150.00000000")


def test_a_limit_takes_what_it_may_and_rests() -> None:
    desk = Desk()
    rests = desk.limit("BUY", "100.1", "3")
    assert (rests["status"], rests["executedQty"]) == ("PARTIALLY_FILLED", "1.00000000")
    assert desk.balance("USDT") == ("44699.70000000", "200.20000000")
    desk.market.book("AAAUSDT", [("99.9", "1")], [("100.3", "1")])
    assert desk.query(rests)["status"] == "PARTIALLY_FILLED"
    desk.trade("100.05", "0.5")
    assert (desk.query(rests)["status"], desk.balance("USDT")) == ("FILLED", ("44699.70000000", "0.00000000"))
    trade = desk.ask("GET", "myTrades", symbol="AAAUSDT")[-1]
    assert (trade["price"], trade["qty"], trade["isMaker"]) == ("100.10000000", "2.00000000", True)


def test_the_queue_is_served_first() -> None:
    desk = Desk()
    rests = desk.limit("BUY", "99.9", "2")
    desk.trade("99.9", "0.6")
    assert desk.query(rests)["executedQty"] == "0.00000000", "1 was displayed when it came"
    desk.trade("99.9", "5", sold=False)
    assert desk.query(rests)["executedQty"] == "0.00000000", "that taker bought"
    desk.trade("99.9", "0.9")
    assert (desk.query(rests)["executedQty"], desk.query(rests)["status"]) == ("0.50000000", "PARTIALLY_FILLED")
    desk.trade("99.89", "0.001")
    assert desk.query(rests)["status"] == "FILLED", "the market went through its price"


def test_a_book_that_comes_to_an_order_fills_it() -> None:
    desk = Desk(AAA="1")
    rests = desk.limit("SELL", "101", "1")
    assert desk.balance("AAA") == ("0.00000000", "1.00000000")
    desk.market.book("AAAUSDT", [("101.5", "1")], [("101.6", "1")])
    desk.account.advance()
    assert (desk.query(rests)["cummulativeQuoteQty"], desk.balance("USDT")[0]) == ("101.00000000", "100.89900000")


@pytest.mark.parametrize(
    ("force", "quantity", "status", "executed"),
    [
        ("IOC", "2", "EXPIRED", "1.00000000"),
        ("IOC", "1", "FILLED", "1.00000000"),
        ("FOK", "2", "EXPIRED", "0.00000000"),
        ("FOK", "1", "FILLED", "1.00000000"),
    ],
)
def test_what_must_not_rest_expires(force: str, quantity: str, status: str, executed: str) -> None:
    desk = Desk()
    placed = desk.limit("BUY", "100.1", quantity, timeInForce=force)
    assert (placed["status"], placed["executedQty"]) == (status, executed)
    assert desk.ask("GET", "openOrders") == []
    assert desk.balance("USDT")[1] == "0.00000000"


def test_a_maker_order_takes_nothing() -> None:
    desk = Desk()
    maker = {"type": "LIMIT_MAKER", "quantity": "1"}
    assert refused(desk, price="100.1", **maker) == (-2010, "Order would immediately match and take.")
    assert desk.order(price="100", **maker)["status"] == "NEW"
    assert len(desk.account.orders.all) == 1


@pytest.mark.parametrize(
    ("side", "kind", "stop", "reached", "nearly"),
    [
        ("SELL", "STOP_LOSS", "99", "99", "99.01"),
        ("BUY", "STOP_LOSS", "101", "101", "100.99"),
        ("SELL", "TAKE_PROFIT", "101", "101", "100.99"),
        ("BUY", "TAKE_PROFIT", "99", "99", "99.01"),
    ],
)
def test_a_stop_becomes_a_market_order(side: str, kind: str, stop: str, reached: str, nearly: str) -> None:
    desk = Desk(USDT="1000", AAA="2")
    placed = desk.order(side, kind, stopPrice=stop, quantity="1")
    assert (placed["status"], placed["workingTime"]) == ("NEW", -1)
    desk.trade(nearly, "1")
    assert desk.query(placed)["isWorking"] is False
    desk.trade(reached, "1")
    done = desk.query(placed)
    assert (done["status"], done["isWorking"]) == ("FILLED", True)
    assert desk.account.balances.locked("USDT") == desk.account.balances.locked("AAA") == 0
    paid = desk.ask("GET", "myTrades", symbol="AAAUSDT")[0]
    assert (paid["price"], paid["isMaker"]) == ("100.10000000" if side == "BUY" else "99.90000000", False)
    now = {"side": side, "type": kind, "stopPrice": "101" if stop == "99" else "99", "quantity": "1"}
    desk.market.trade("100", "1")
    assert refused(desk, **now) == (-2010, "Order would trigger immediately.")


def test_a_stop_limit_rests_once_it_is_set_off() -> None:
    desk = Desk(AAA="1")
    placed = desk.order("SELL", "STOP_LOSS_LIMIT", stopPrice="99", price="99.95", quantity="1", timeInForce="GTC")
    desk.trade("99", "1")
    assert (desk.query(placed)["status"], desk.query(placed)["isWorking"]) == ("NEW", True)
    assert desk.balance("AAA") == ("0.00000000", "1.00000000")
    desk.trade("99.96", "1", sold=False)
    assert desk.query(placed)["status"] == "FILLED"


def test_a_pair_trades_once() -> None:
    desk = Desk(AAA="1")
    pair = {"aboveType": "LIMIT_MAKER", "abovePrice": "105", "belowType": "STOP_LOSS", "belowStopPrice": "95"}
    asked = {"symbol": "AAAUSDT", "side": "SELL", "quantity": "1", **pair}
    placed = desk.ask("POST", "orderList/oco", **asked)
    assert desk.balance("AAA") == ("0.00000000", "1.00000000"), "one quantity for both"
    with pytest.raises(VenueError, match="insufficient"):
        desk.ask("POST", "orderList/oco", **asked)
    desk.trade("105.01", "1", sold=False)
    above, below = (desk.query(row) for row in placed["orders"])
    assert (above["status"], below["status"], below["expiryReason"]) == ("FILLED", "EXPIRED", "OCO_TRIGGER")
    assert desk.balance("AAA") == ("0.00000000", "0.00000000")
    assert [event["L"] for event in desk.told("listStatus")] == ["EXECUTING", "ALL_DONE"]


def test_a_pair_stops_out_once() -> None:
    desk = Desk(USDT="1000")
    pair = {"aboveType": "STOP_LOSS_LIMIT", "aboveStopPrice": "105", "abovePrice": "106", "aboveTimeInForce": "GTC"}
    both = {"symbol": "AAAUSDT", "side": "BUY", "quantity": "1", **pair, "belowType": "LIMIT_MAKER", "belowPrice": "95"}
    placed = desk.ask("POST", "orderList/oco", **both)
    assert desk.balance("USDT") == ("894.00000000", "106.00000000"), "the dearer leg says how much is locked"
    desk.trade("105", "1", sold=False)
    above, below = (desk.query(row) for row in placed["orders"])
    assert (above["status"], below["status"]) == ("FILLED", "EXPIRED")
    assert desk.balance("USDT") == ("899.90000000", "0.00000000")


def test_a_leg_takes_its_list_with_it() -> None:
    desk = Desk(AAA="1")
    pair = {"aboveType": "LIMIT_MAKER", "abovePrice": "105", "belowType": "STOP_LOSS", "belowStopPrice": "95"}
    placed = desk.ask("POST", "orderList/oco", symbol="AAAUSDT", side="SELL", quantity="1", **pair)
    assert desk.cancel(placed["orders"][1])["status"] == "CANCELED"
    assert [desk.query(row)["status"] for row in placed["orders"]] == ["CANCELED", "CANCELED"]
    assert desk.balance("AAA") == ("1.00000000", "0.00000000")
    assert desk.ask("GET", "orderList", orderListId=1)["listOrderStatus"] == "ALL_DONE"
    upside = {"aboveType": "STOP_LOSS", "aboveStopPrice": "105", "belowType": "LIMIT_MAKER", "belowPrice": "95"}
    with pytest.raises(VenueError, match="must be above") as error:
        desk.ask("POST", "orderList/oco", symbol="AAAUSDT", side="SELL", quantity="1", **upside)
    assert error.value.code == -1166


def test_a_pair_that_is_half_refused_leaves_nothing() -> None:
    desk = Desk(AAA="1")
    desk.limit("SELL", "105", "0.5", newClientOrderId="taken")
    pair = {"aboveType": "LIMIT_MAKER", "abovePrice": "105", "belowType": "STOP_LOSS", "belowStopPrice": "95"}
    with pytest.raises(VenueError, match="Duplicate"):
        desk.ask(
            "POST", "orderList/oco", symbol="AAAUSDT", side="SELL", quantity="0.5", belowClientOrderId="taken", **pair
        )  # fmt: skip
    assert len(desk.ask("GET", "openOrders")) == 1
    assert desk.balance("AAA") == ("0.50000000", "0.50000000")
