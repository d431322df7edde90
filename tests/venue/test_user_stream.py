"""The account's events reach whoever subscribed, in the documented form and in order, for every type of key; a session
is logged on with Ed25519 only; an answer may be lost or late, and the events still tell what happened."""

from __future__ import annotations

import hashlib
import hmac
import itertools
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from quantlab.venue import Venue
from quantlab.venue.keyfile import key_of

from .plain import order
from .signing import OpensslKey, Sign, ask, now_ms, signed_query
from .trading import HandMarket

HMAC_KEY, ED_KEY = "H" * 64, "E" * 64
SUBSCRIBE = "userDataStream.subscribe.signature"


def hmac_sign(payload: str) -> str:
    return hmac.new(b"secret of the test", payload.encode(), hashlib.sha256).hexdigest()


class Line:
    """A connection to the WebSocket API; events that come while an answer is awaited are kept."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket, self.kept = socket, list[dict[str, Any]]()
        self._numbers = itertools.count(1)

    async def ask(self, method: str, **params: object) -> dict[str, Any]:
        number = next(self._numbers)
        await self.socket.send_json({"id": number, "method": method, "params": params})
        while True:
            told: dict[str, Any] = await self.socket.receive_json(timeout=5)
            if "event" not in told:
                assert told["id"] in (number, None)
                return told
            self.kept.append(told)

    async def signed(self, method: str, api_key: str, sign: Sign, **params: object) -> dict[str, Any]:
        sent = {**params, "apiKey": api_key, "timestamp": now_ms()}
        payload = "&".join(f"{name}={sent[name]}" for name in sorted(sent))
        return await self.ask(method, **sent, signature=sign(payload))

    async def events(self, count: int) -> list[dict[str, Any]]:
        while len(self.kept) < count:
            self.kept.append(await self.socket.receive_json(timeout=5))
        found, self.kept = self.kept[:count], self.kept[count:]
        return [told["event"] for told in found]


@pytest.fixture
async def venue(serve: Callable[..., Any]) -> Venue:
    served: Venue = await serve(HandMarket())
    served.keys.add(key_of({"api_key": HMAC_KEY, "secret": "secret of the test"}))
    return served


@pytest.fixture
async def http(venue: Venue) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(venue.url) as session:
        yield session


@pytest.fixture
async def line(http: aiohttp.ClientSession) -> AsyncIterator[Line]:
    async with http.ws_connect("/ws-api/v3") as socket:
        yield Line(socket)


@pytest.fixture
def ed25519(venue: Venue, tmp_path: Path) -> OpensslKey:
    pair = OpensslKey(tmp_path, "ed25519")
    venue.keys.add(key_of({"api_key": ED_KEY, "public_key": pair.public_pem}))
    return pair


async def place(http: aiohttp.ClientSession, **changes: str) -> tuple[int, Any]:
    return await ask(http, HMAC_KEY, signed_query(hmac_sign, **order(**changes)), "/api/v3/order", "POST")


async def test_an_order_over_rest_is_told_on_the_stream(http: aiohttp.ClientSession, line: Line) -> None:
    assert (await line.signed(SUBSCRIBE, HMAC_KEY, hmac_sign))["result"] == {"subscriptionId": 0}
    status, placed = await place(http, quantity="2", newClientOrderId="mine")
    assert (status, placed["status"]) == (200, "FILLED")
    new, *rest = await line.events(5)
    assert [event["e"] for event in rest] == ["executionReport", "outboundAccountPosition"] * 2
    assert (new["x"], new["X"], new["c"], new["i"], new["t"]) == ("NEW", "NEW", "mine", placed["orderId"], -1)
    first, last = rest[0], rest[2]
    assert (first["x"], first["X"], first["l"], first["L"], first["Y"]) == (
        "TRADE", "PARTIALLY_FILLED", "1.00000000", "100.10000000", "100.10000000",
    )  # fmt: skip
    assert (last["X"], last["z"], last["n"], last["N"]) == ("FILLED", "2.00000000", "0.00100000", "AAA")
    assert [fill["tradeId"] for fill in placed["fills"]] == [first["t"], last["t"]]
    assert rest[3]["B"] == [
        {"a": "AAA", "f": "1.99800000", "l": "0.00000000"}, {"a": "USDT", "f": "44799.70000000", "l": "0.00000000"},
    ]  # fmt: skip


async def test_what_rests_is_told_as_the_market_moves(http: aiohttp.ClientSession, line: Line, venue: Venue) -> None:
    await line.signed(SUBSCRIBE, HMAC_KEY, hmac_sign)
    _, placed = await place(http, type="LIMIT", timeInForce="GTC", price="99")
    new, position = await line.events(2)
    assert (new["w"], new["W"], position["B"][0]["l"]) == (True, placed["workingTime"], "99.00000000")
    venue.market.trade("98.9", "1")  # type: ignore[attr-defined]
    venue.account.advance()
    trade, _ = await line.events(2)
    assert (trade["X"], trade["m"], trade["T"]) == ("FILLED", True, venue.market.now_ms)


async def test_a_cancellation_has_an_id_of_its_own(http: aiohttp.ClientSession, line: Line) -> None:
    await line.signed(SUBSCRIBE, HMAC_KEY, hmac_sign)
    await place(http, type="LIMIT", timeInForce="GTC", price="99", newClientOrderId="mine")
    named = signed_query(hmac_sign, symbol="AAAUSDT", origClientOrderId="mine", newClientOrderId="undo")
    _, cancelled = await ask(http, HMAC_KEY, named, "/api/v3/order", "DELETE")
    assert (cancelled["origClientOrderId"], cancelled["clientOrderId"]) == ("mine", "undo")
    report = (await line.events(4))[2]
    assert (report["x"], report["X"], report["c"], report["C"], report["w"]) == (
        "CANCELED", "CANCELED", "undo", "mine", False,
    )  # fmt: skip


async def test_one_subscription_at_a_time(line: Line) -> None:
    assert (await line.ask("userDataStream.unsubscribe"))["error"]["code"] == -2036
    await line.signed(SUBSCRIBE, HMAC_KEY, hmac_sign)
    assert (await line.signed(SUBSCRIBE, HMAC_KEY, hmac_sign))["error"]["code"] == -2035
    assert (await line.ask("session.subscriptions"))["result"] == [{"subscriptionId": 0}]
    assert (await line.ask("session.status"))["result"]["userDataStream"] is True
    assert (await line.ask("userDataStream.unsubscribe", subscriptionId=0))["result"] == {}
    assert [event["e"] for event in await line.events(1)] == ["eventStreamTerminated"]
    assert (await line.signed(SUBSCRIBE, HMAC_KEY, hmac_sign))["result"] == {"subscriptionId": 1}
    assert (await line.signed(SUBSCRIBE, HMAC_KEY, lambda payload: "00"))["error"]["code"] == -1022


async def test_a_session_that_is_logged_on(
    http: aiohttp.ClientSession, line: Line, venue: Venue, ed25519: OpensslKey
) -> None:
    assert (await line.ask("userDataStream.subscribe"))["error"]["code"] == -2015
    assert (await line.signed("session.logon", HMAC_KEY, hmac_sign))["error"]["code"] == -1020
    assert (await line.ask("account.status", timestamp=now_ms()))["error"]["code"] == -2014
    on = (await line.signed("session.logon", ED_KEY, ed25519.sign))["result"]
    assert (on["apiKey"], on["userDataStream"]) == (ED_KEY, False)
    assert (await line.ask("account.status", timestamp=now_ms()))["status"] == 200
    assert (await line.ask("account.status"))["error"]["code"] == -1102
    assert (await line.ask("userDataStream.subscribe"))["result"] == {"subscriptionId": 0}
    assert (await line.ask("order.place", **order(), timestamp=now_ms()))["result"]["status"] == "FILLED"
    assert len(await line.events(3)) == 3
    assert (await line.ask("session.logout"))["result"]["apiKey"] is None
    assert [event["e"] for event in await line.events(1)] == ["eventStreamTerminated"]
    assert (await line.ask("account.status", timestamp=now_ms()))["error"]["code"] == -2014


async def test_a_key_that_is_deleted_ends_its_session(line: Line, venue: Venue, ed25519: OpensslKey) -> None:
    await line.signed("session.logon", ED_KEY, ed25519.sign)
    assert (await line.ask("account.status", timestamp=now_ms()))["status"] == 200
    venue.keys.remove(next(key.fingerprint for key in venue.keys if key.api_key == ED_KEY))
    refused = await line.ask("account.status", timestamp=now_ms())
    assert (refused["id"], refused["status"], refused["error"]["code"]) == (None, 401, -2015)
    assert (await line.ask("session.status"))["result"]["apiKey"] is None


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "drop"},
        {"kind": "status", "code": -1006, "processed": True},
        {"kind": "status", "code": -1007, "processed": True},
        {"kind": "status", "status": 502, "body": "<html>", "processed": True},
    ],
)
async def test_an_order_whose_answer_is_lost(
    http: aiohttp.ClientSession, line: Line, venue: Venue, fault: dict[str, Any]
) -> None:
    await line.signed(SUBSCRIBE, HMAC_KEY, hmac_sign)
    venue.faults.set([{"match": "/api/v3/order", "times": 1, **fault}])
    try:
        status = (await place(http, newClientOrderId="mine"))[0]
    except (aiohttp.ClientError, ValueError):  # no answer, or none that can be read
        status = 0
    assert status != 200
    assert [event["e"] for event in await line.events(3)][:2] == ["executionReport", "executionReport"]
    named = signed_query(hmac_sign, symbol="AAAUSDT", origClientOrderId="mine")
    assert (await ask(http, HMAC_KEY, named, "/api/v3/order"))[1]["status"] == "FILLED"


async def test_an_order_that_was_never_taken(http: aiohttp.ClientSession, line: Line, venue: Venue) -> None:
    """The control: the same answer, and nothing was done."""
    venue.faults.set([{"match": "/api/v3/order", "times": 1, "kind": "status", "code": -1007, "processed": False}])
    assert (await place(http, newClientOrderId="mine"))[0] == 504
    named = signed_query(hmac_sign, symbol="AAAUSDT", origClientOrderId="mine")
    assert (await ask(http, HMAC_KEY, named, "/api/v3/order"))[1]["code"] == -2013


async def test_a_late_answer_comes_after_its_events(line: Line, venue: Venue) -> None:
    await line.signed(SUBSCRIBE, HMAC_KEY, hmac_sign)
    await line.signed("order.place", HMAC_KEY, hmac_sign, **order())
    assert line.kept == [], "the answer came first"
    await line.events(3)
    venue.faults.set([{"match": "order.place", "kind": "latency", "ms": 50, "times": 1}])
    await line.signed("order.place", HMAC_KEY, hmac_sign, **order())
    assert len(line.kept) == 3


@pytest.mark.parametrize(("kind", "told"), [("gap", 2), ("duplicate", 4)])
async def test_events_are_lost_and_doubled(
    http: aiohttp.ClientSession, line: Line, venue: Venue, kind: str, told: int
) -> None:
    await line.signed(SUBSCRIBE, HMAC_KEY, hmac_sign)
    venue.faults.set([{"match": "userData@executionReport", "kind": kind, "times": 1}])
    await place(http)
    found = await line.events(told)
    assert [event["x"] for event in found if event["e"] == "executionReport"] == (
        ["TRADE"] if kind == "gap" else ["NEW", "NEW", "TRADE"]
    )


async def test_a_stream_that_is_cut(http: aiohttp.ClientSession, line: Line, venue: Venue) -> None:
    await line.signed(SUBSCRIBE, HMAC_KEY, hmac_sign)
    venue.faults.set([{"match": "userData@", "kind": "disconnect"}])
    assert (await place(http))[0] == 200
    assert (await line.socket.receive(timeout=5)).type in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.CLOSE)


async def test_the_order_count_is_told_where_orders_are_placed(http: aiohttp.ClientSession, line: Line) -> None:
    limit = order(type="LIMIT", timeInForce="GTC", price="99")
    headers = {"X-MBX-APIKEY": HMAC_KEY}
    async with http.post(f"/api/v3/order?{signed_query(hmac_sign, **limit)}", headers=headers) as answer:
        assert answer.headers["X-MBX-ORDER-COUNT-10S"] == answer.headers["X-MBX-ORDER-COUNT-1D"] == "1"
    async with http.get(f"/api/v3/openOrders?{signed_query(hmac_sign)}", headers=headers) as answer:
        assert not [name for name in answer.headers if "ORDER-COUNT" in name.upper()]
    placed = await line.signed("order.place", HMAC_KEY, hmac_sign, **limit)
    assert [row["rateLimitType"] for row in placed["rateLimits"]] == ["ORDERS", "ORDERS", "REQUEST_WEIGHT"]
    counts = await line.signed("account.rateLimits.orders", HMAC_KEY, hmac_sign)
    assert [row["count"] for row in counts["result"]][1] == 2
    assert "rateLimits" not in await line.ask("time", returnRateLimits=False)


async def test_the_account_as_the_venue_tells_it(http: aiohttp.ClientSession) -> None:
    await place(http)
    async with http.get("/__venue__/account") as answer:
        told = await answer.json()
    assert (len(told["orders"]), len(told["trades"])) == (1, 1)
    async with http.post("/__venue__/account", json={"balances": {"AAA": "5", "USDT": "0"}}) as answer:
        rows = {row["asset"]: row["free"] for row in (await answer.json())["balances"]}
    assert (rows["AAA"], rows["USDT"]) == ("5.00000000", "0.00000000")
    async with http.post("/__venue__/account", json={"balances": {"AAA": 5}}) as answer:
        assert answer.status == 400
