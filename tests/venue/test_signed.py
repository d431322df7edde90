"""Only a known key with a right signature and a fresh timestamp is let in; orders are accepted plainly."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator, Callable
from typing import Any
from urllib.parse import urlencode

import aiohttp
import pytest
from yarl import URL

from quantlab.venue import Venue

from .plain import START_MS, order

KEY, SECRET = "k" * 64, "a secret of the test"


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def sign(payload: str, secret: str = SECRET) -> str:
    return hmac.new(secret.encode(), payload.encode(), hashlib.sha256).hexdigest()


@pytest.fixture
async def venue(serve: Callable[..., Any]) -> Venue:
    served: Venue = await serve(keys={KEY: SECRET})
    return served


class Client:
    """Signs as the documentation says; `key` and `secret` may be wrong."""

    def __init__(self, http: aiohttp.ClientSession) -> None:
        self.http = http

    async def ask(
        self, method: str, path: str, params: dict[str, str] | None = None, key: str = KEY, secret: str = SECRET
    ) -> tuple[int, Any]:
        query = urlencode({"timestamp": now_ms(), **(params or {})})
        return await self.send(method, path, f"{query}&signature={sign(query, secret)}", key=key)

    async def send(self, method: str, path: str, query: str, body: str = "", key: str | None = KEY) -> tuple[int, Any]:
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        if key is not None:
            headers["X-MBX-APIKEY"] = key
        url = URL(f"{path}?{query}" if query else path, encoded=True)
        async with self.http.request(method, url, data=body or None, headers=headers) as answer:
            return answer.status, await answer.json()


@pytest.fixture
async def client(venue: Venue) -> AsyncIterator[Client]:
    async with aiohttp.ClientSession(venue.url) as http:
        yield Client(http)


async def test_an_account_behind_a_right_signature(client: Client) -> None:
    status, answer = await client.ask("GET", "/api/v3/account")
    assert status == 200
    assert answer["balances"][0]["asset"] == "USDT"
    status, answer = await client.ask("GET", "/api/v3/account/commission", {"symbol": "AAAUSDT"})
    assert answer["standardCommission"]["taker"] == "0.00100000"


async def test_who_is_not_let_in(client: Client) -> None:
    path = "/api/v3/account"
    assert (await client.ask("GET", path))[0] == 200, "the control"
    assert await client.ask("GET", path, key="short") == (401, {"code": -2014, "msg": "API-key format invalid."})
    assert (await client.send("GET", path, f"timestamp={now_ms()}&signature=x", key=None))[1]["code"] == -2014
    status, answer = await client.ask("GET", path, key="u" * 64)
    assert (status, answer["code"]) == (401, -2015)
    status, answer = await client.ask("GET", path, secret="another")
    assert (status, answer["code"]) == (400, -1022)
    assert (await client.send("GET", path, "signature=x"))[1]["code"] == -1102
    assert (await client.send("GET", path, f"timestamp={now_ms()}"))[1]["code"] == -1102
    assert (await client.ask("GET", path, {"timestamp": "soon"}))[1]["code"] == -1100
    assert (await client.ask("GET", path, {"extra": "1"}))[1]["code"] == -1104


async def test_a_timestamp_is_fresh(client: Client) -> None:
    async def code(**params: str | int) -> int:
        _, answer = await client.ask("GET", "/api/v3/account", {name: str(value) for name, value in params.items()})
        return int(answer.get("code", 0))

    assert await code(timestamp=now_ms()) == 0
    assert await code(timestamp=now_ms() - 20_000) == -1021
    assert await code(timestamp=now_ms() - 20_000, recvWindow=50_000) == 0
    assert await code(timestamp=now_ms() + 20_000) == -1021
    assert await code(recvWindow=60_001) == -1131
    assert await code(recvWindow="long") == -1100


async def test_signatures_cover_the_bytes_that_were_sent(client: Client) -> None:
    """Query and body joined without an "&", percent-encoded, as the documentation's third example has it."""
    path, name = "/api/v3/order/test", "a%2Db%5Fc"
    query = "symbol=AAAUSDT&side=SELL&type=MARKET"
    body = f"quantity=1&newClientOrderId={name}&timestamp={now_ms()}"
    right, joined, decoded = sign(query + body), sign(f"{query}&{body}"), sign(query + body.replace(name, "a-b_c"))
    assert await client.send("POST", path, query, f"{body}&signature={right}") == (200, {})
    for wrong in (joined, decoded):
        assert (await client.send("POST", path, query, f"{body}&signature={wrong}"))[1]["code"] == -1022
    first = f"signature={sign(f'{query}&{body}')}&{query}&{body}"
    assert await client.send("POST", path, first) == (200, {}), "it may stand anywhere"


async def test_permissions_are_what_a_test_makes_them(client: Client, venue: Venue) -> None:
    path = "/sapi/v1/account/apiRestrictions"
    status, answer = await client.ask("GET", path)
    assert (status, answer["enableWithdrawals"], answer["ipRestrict"]) == (200, False, True)
    venue.account.restrictions["enableWithdrawals"] = True
    assert (await client.ask("GET", path))[1]["enableWithdrawals"] is True


async def test_orders_fill_from_the_book_or_rest(client: Client, venue: Venue) -> None:
    _, bought = await client.ask("POST", "/api/v3/order", order(quantity="2"))
    assert (bought["status"], bought["executedQty"], bought["transactTime"]) == ("FILLED", "2.00000000", START_MS)
    assert bought["fills"][0]["price"] == "100.01000000"
    assert (bought["fills"][0]["commission"], bought["fills"][0]["commissionAsset"]) == ("0.00100000", "AAA")
    _, sold = await client.ask("POST", "/api/v3/order", order(side="SELL"))
    assert (sold["fills"][0]["price"], sold["fills"][0]["commissionAsset"]) == ("99.99000000", "USDT")
    _, spent = await client.ask(
        "POST", "/api/v3/order", {"symbol": "AAAUSDT", "side": "BUY", "type": "MARKET", "quoteOrderQty": "1000"}
    )
    assert (spent["executedQty"], spent["status"]) == ("9.99400000", "FILLED")

    limit = order(type="LIMIT", timeInForce="GTC", price="99", newClientOrderId="mine")
    _, rests = await client.ask("POST", "/api/v3/order", limit)
    assert (rests["status"], rests["fills"]) == ("NEW", [])
    assert (await client.ask("POST", "/api/v3/order", limit))[1]["code"] == -2010, "the id is taken while it is open"
    _, crosses = await client.ask("POST", "/api/v3/order", {**limit, "price": "101", "newClientOrderId": "x"})
    assert crosses["status"] == "FILLED"
    _, gone = await client.ask("POST", "/api/v3/order", {**limit, "timeInForce": "IOC", "newClientOrderId": "y"})
    assert gone["status"] == "EXPIRED"
    maker = order(type="LIMIT_MAKER", price="101")
    assert (await client.ask("POST", "/api/v3/order", maker))[1]["code"] == -2010

    by_name = {"symbol": "AAAUSDT", "origClientOrderId": "mine"}
    assert (await client.ask("GET", "/api/v3/order", by_name))[1]["status"] == "NEW"
    assert len((await client.ask("GET", "/api/v3/openOrders"))[1]) == 1
    assert (await client.ask("DELETE", "/api/v3/order", by_name))[1]["status"] == "CANCELED"
    assert (await client.ask("DELETE", "/api/v3/order", by_name))[1]["code"] == -2011
    assert (await client.ask("GET", "/api/v3/order", {"symbol": "AAAUSDT", "orderId": "99"}))[1]["code"] == -2013
    assert (await client.ask("DELETE", "/api/v3/openOrders", {"symbol": "AAAUSDT"}))[1]["code"] == -2011
    assert len((await client.ask("GET", "/api/v3/allOrders", {"symbol": "AAAUSDT"}))[1]) == 6
    assert len((await client.ask("GET", "/api/v3/myTrades", {"symbol": "AAAUSDT"}))[1]) == 14
    assert venue.log.report()["order_requests"] == sum(line["method"] != "GET" for line in venue.log.lines()) == 11


async def test_an_order_that_is_none(client: Client) -> None:
    async def code(**changes: str) -> int:
        params = {name: value for name, value in order(**changes).items() if value}
        status, answer = await client.ask("POST", "/api/v3/order", params)
        assert status == 400
        return int(answer["code"])

    assert await code(symbol="ZZZUSDT") == -1121
    assert await code(side="HOLD") == -1117
    assert await code(type="MAYBE") == -1116
    assert await code(quantity="") == -1102
    assert await code(quantity="one") == -1100
    assert await code(quantity="0") == -1013
    assert await code(price="5") == -1106
    assert await code(type="LIMIT", price="5") == -1102
    assert await code(type="LIMIT", price="5", timeInForce="EVER") == -1115


async def test_replaced_and_paired_orders(client: Client) -> None:
    assert (await client.ask("POST", "/api/v3/order", order(quantity="2")))[0] == 200
    resting = order(type="LIMIT", timeInForce="GTC", price="90")
    _, old = await client.ask("POST", "/api/v3/order", resting)
    change = {**resting, "cancelReplaceMode": "STOP_ON_FAILURE", "cancelOrderId": str(old["orderId"])}
    _, both = await client.ask("POST", "/api/v3/order/cancelReplace", change)
    assert both["cancelResponse"]["status"] == "CANCELED"
    assert both["newOrderResponse"]["status"] == "NEW"
    pair = {"aboveType": "LIMIT_MAKER", "abovePrice": "110", "belowType": "STOP_LOSS", "belowStopPrice": "90"}
    _, placed = await client.ask(
        "POST", "/api/v3/orderList/oco", {"symbol": "AAAUSDT", "side": "SELL", "quantity": "1", **pair}
    )
    assert [row["type"] for row in placed["orderReports"]] == ["LIMIT_MAKER", "STOP_LOSS"]
    assert {row["orderListId"] for row in placed["orderReports"]} == {placed["orderListId"]}


async def test_the_socket_api_signs_sorted_parameters(client: Client, venue: Venue) -> None:
    async with client.http.ws_connect("/ws-api/v3") as socket:

        async def ask(method: str, **params: object) -> dict[str, Any]:
            await socket.send_str(json.dumps({"id": "7", "method": method, "params": params}))
            answer: dict[str, Any] = await socket.receive_json(timeout=5)
            assert answer["id"] == "7"
            assert answer["rateLimits"][-1]["count"] > 0
            return answer

        assert (await ask("time"))["result"]["serverTime"] > 0
        assert len((await ask("depth", symbol="AAAUSDT", limit=5))["result"]["bids"]) == 5
        assert (await ask("depth"))["error"]["code"] == -1102
        params = {**order(), "apiKey": KEY, "timestamp": now_ms()}
        payload = "&".join(f"{name}={params[name]}" for name in sorted(params))
        assert (await ask("order.place", **params, signature=sign(payload)))["result"]["status"] == "FILLED"
        assert (await ask("order.place", **params, signature=sign("other")))["error"]["code"] == -1022
        assert (await ask("order.place", **order()))["error"]["code"] == -2014
        assert (await ask("userDataStream.start"))["status"] == 404
        await socket.send_str("no json")
        assert (await socket.receive_json(timeout=5))["error"]["code"] == -1135
    assert venue.log.report()["order_requests"] == 3
    assert len(venue.account.orders.all) == 1
    assert KEY not in json.dumps(venue.log.report())
