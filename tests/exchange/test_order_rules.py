"""What may leave with a key that trades: orders on one exchange, as long as they are armed; no other address, method,
path, parameter or frame. Each refusal stands beside the request that passes."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from yarl import URL

from quantlab.exchange.config import HOSTS, DoorConfig
from quantlab.exchange.rules import SUBSCRIBE_ACCOUNT, looks_like_order
from quantlab.exchange.trading.armed import Armed
from quantlab.exchange.trading.order_rules import ENDPOINTS, OrderRules, weight_of
from quantlab.model import Refused

from .scripted import config_for

BASE = "http://127.0.0.1:8900"
UNTIL_MS = 10_000
HEADERS = {"X-MBX-APIKEY": "K" * 64, "Host": "127.0.0.1:8900"}
STAMPS = "timestamp=1&signature=ab"
PLACE = f"symbol=BTCUSDT&side=BUY&type=MARKET&quantity=1&newClientOrderId=ql-1&{STAMPS}"
GOOD = {
    "POST": f"/api/v3/order?{PLACE}",
    "DELETE": f"/api/v3/order?symbol=BTCUSDT&origClientOrderId=ql-1&{STAMPS}",
    "GET": f"/api/v3/order?symbol=BTCUSDT&orderId=1&{STAMPS}",
}


def rules(now_ms: int = 0) -> OrderRules:
    return OrderRules(Armed(config_for(BASE), "1a2b", Decimal(1), UNTIL_MS), wall_ms=lambda: now_ms)


def fault(method: str, target: str, headers: dict[str, str] | None = None, now_ms: int = 0) -> str | None:
    url = URL(target if "://" in target else BASE + target, encoded=True)
    return rules(now_ms).fault(method, url, HEADERS if headers is None else headers)


@pytest.mark.parametrize("method", GOOD)
def test_what_is_on_the_list_passes(method: str) -> None:
    assert fault(method, GOOD[method]) is None


def test_the_accounts_stream_passes() -> None:
    assert fault("GET", "ws://127.0.0.1:8900/ws-api/v3", {"Upgrade": "websocket"}) is None


@pytest.mark.parametrize(
    ("method", "target", "word"),
    [
        ("PUT", GOOD["POST"], "not on the list"),
        ("POST", GOOD["POST"].replace("/api/v3/order", "/api/v3/orderList/oco"), "not on the list"),
        ("POST", GOOD["POST"].replace("/api/v3/order", "/api/v3/order/cancelReplace"), "not on the list"),
        ("POST", GOOD["POST"].replace("/api/v3/order", "/sapi/v1/capital/withdraw/apply"), "not on the list"),
        ("POST", GOOD["POST"].replace("/api/v3/order", "/sapi/v1/asset/transfer"), "not on the list"),
        ("POST", GOOD["POST"].replace("/api/v3/order", "/api/v3/%6frder"), "not on the list"),
        ("POST", "http://127.0.0.1:8901" + GOOD["POST"], "not the exchange"),
        ("POST", "https://api.binance.com" + GOOD["POST"], "not the exchange"),
        ("POST", "http://me:pw@127.0.0.1:8900" + GOOD["POST"], "credentials"),
        ("POST", GOOD["POST"] + "&address=x", "foreign"),
        ("POST", GOOD["POST"] + "&sideEffectType=MARGIN_BUY", "foreign"),
        ("POST", GOOD["POST"] + "&quantity=2", "twice"),
        ("POST", GOOD["POST"].replace("quantity=1", "quantity="), "empty"),
        ("POST", GOOD["POST"].replace("quantity=1", "quantity=1;2"), "percent-encoded"),
        ("POST", GOOD["POST"].replace("side=BUY", "side=BORROW"), "side"),
        ("POST", GOOD["POST"].replace("type=MARKET", "type=TRAILING"), "type"),
        ("POST", GOOD["POST"].replace("&newClientOrderId=ql-1", ""), "names its"),
        ("POST", GOOD["POST"].replace("&signature=ab", ""), "not signed"),
        ("DELETE", GOOD["DELETE"].replace("&origClientOrderId=ql-1", ""), "which order"),
        ("GET", "ws://127.0.0.1:8900/ws-api/v3?x=1", "no parameters"),
        ("GET", "/stream", "not on the list"),
    ],
)
def test_everything_else_is_refused(method: str, target: str, word: str) -> None:
    assert word in (fault(method, target) or "")


@pytest.mark.parametrize("header", ["Cookie", "Authorization", "X-HTTP-Method-Override"])
def test_no_other_header_leaves(header: str) -> None:
    assert fault("POST", GOOD["POST"], {**HEADERS, header: "x"})
    assert fault("POST", GOOD["POST"], {"Host": "127.0.0.1:8900"}) == "header X-MBX-APIKEY is missing"


def test_after_its_end_an_arming_lets_out_cancels_and_questions_only() -> None:
    assert fault("POST", GOOD["POST"], now_ms=UNTIL_MS - 1) is None
    assert "arming ended" in (fault("POST", GOOD["POST"], now_ms=UNTIL_MS) or "")
    assert fault("DELETE", GOOD["DELETE"], now_ms=UNTIL_MS) is None
    assert fault("GET", GOOD["GET"], now_ms=UNTIL_MS) is None


def subscription(**changes: Any) -> bytes:
    params = {"apiKey": "K", "timestamp": 1, "recvWindow": 5000, "signature": "s"}
    return json.dumps({"id": 1, "method": SUBSCRIBE_ACCOUNT, "params": params} | changes).encode()


def test_the_one_frame_subscribes_to_the_account() -> None:
    assert json.loads(rules().frame(subscription())) == json.loads(subscription())
    assert not looks_like_order(SUBSCRIBE_ACCOUNT, "/stream")


@pytest.mark.parametrize(
    "frame",
    [
        subscription(method="order.place"),
        subscription(method="SUBSCRIBE", params=["btcusdt@trade"]),
        subscription(params={"apiKey": "K", "timestamp": 1, "recvWindow": 1, "signature": "s", "symbol": "BTCUSDT"}),
        subscription(extra=1),
        b"[]",
        b"{",
        b"\xff",
    ],
    ids=["order", "market", "parameters", "field", "list", "half", "bytes"],
)
def test_every_other_frame_is_refused(frame: bytes) -> None:
    with pytest.raises(Refused, match="stream frame refused"):
        rules().frame(frame)


def test_mainnet_is_armed_with_a_paper_record_and_trades_where_market_data_does_not_come_from() -> None:
    rest, stream = HOSTS["mainnet"]
    config = DoorConfig(market="mainnet", rest_url=rest, stream_url=stream)
    with pytest.raises(Refused, match="mainnet without a paper record"):
        Armed(config, "1a2b", Decimal(1), 1)
    rules = OrderRules(Armed(config, "1a2b", Decimal(1), 1, "run x"))
    assert rules.hosts == {"api.binance.com", "ws-api.binance.com"}
    assert "not the exchange of this key" in (rules.fault("POST", URL(f"{rest}/api/v3/order?a=b"), {}) or "")
    withdrawal = URL("https://api.binance.com/sapi/v1/capital/withdraw/apply?coin=BTC")
    assert "not on the list of orders" in (rules.fault("POST", withdrawal, {}) or "")
    rest, stream = HOSTS["testnet"]
    armed = Armed(DoorConfig(market="testnet", rest_url=rest, stream_url=stream), "1a2b", Decimal(1), 1)
    assert OrderRules(armed).hosts == {"testnet.binance.vision", "ws-api.testnet.binance.vision"}


@pytest.mark.parametrize(("capital", "until_ms", "fingerprint"), [("0", 1, "a"), ("1", 0, "a"), ("1", 1, "")])
def test_an_arming_that_allows_nothing_is_none(capital: str, until_ms: int, fingerprint: str) -> None:
    with pytest.raises(Refused, match="allows nothing"):
        Armed(config_for(BASE), fingerprint, Decimal(capital), until_ms)


def test_every_endpoint_has_a_weight() -> None:
    assert all(weight_of(method, path, {}) > 0 for method, path in ENDPOINTS)
    assert weight_of("GET", "/api/v3/openOrders", {}) == 80
    assert weight_of("GET", "/api/v3/myTrades", {"orderId": "1"}) == 5
