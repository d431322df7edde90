"""Whatever leaks is seen: an order counts as one however it is written, a read never does, and no key is kept."""

from __future__ import annotations

import json
from typing import Any

import aiohttp
import pytest

from quantlab.venue import Venue
from quantlab.venue.log import RequestLog

from .plain import START_MS, command

PLACE = '{"id":1,"method":"order.place","params":{"symbol":"AAAUSDT","apiKey":"hidden","signature":"s"}}'

ORDERS: dict[str, str | bytes] = {
    "plain": PLACE,
    "with spaces": PLACE.replace(":", " : "),
    "escaped": PLACE.replace("order.place", "\\u006frder.place"),
    "escaped name": PLACE.replace('"method"', '"m\\u0065thod"'),
    "binary": PLACE.encode(),
    "binary and broken": b"\xff" + PLACE.encode(),
    "behind a harmless one": PLACE.replace('"method"', '"method":"SUBSCRIBE","method"'),
    "before a harmless one": PLACE.replace('"params"', '"method":"SUBSCRIBE","params"'),
    "not JSON": "order.place AAAUSDT",
    "list": '{"method":"orderList.place.oco"}',
    "smart": '{"method":"sor.order.place"}',
    "amended": '{"method":"order.amend.keepPriority"}',
    "cancel": '{"method":"openOrders.cancelAll"}',
    "upper case": PLACE.replace("order.place", "ORDER.PLACE"),
}
READS: dict[str, str | bytes] = {
    "subscribe": command("SUBSCRIBE", "aaausdt@trade"),
    "a symbol named so": command("SUBSCRIBE", "orderusdt@trade"),
    "list": command("LIST_SUBSCRIPTIONS"),
    "binary": command("SUBSCRIBE", "aaausdt@trade").encode(),
    "time": '{"id":1,"method":"time"}',
    "status": '{"id":1,"method":"order.status","params":{"signature":"s"}}',
    "noise": "hello",
}


def frame(data: str | bytes) -> dict[str, Any]:
    log = RequestLog(lambda: START_MS)
    log.add_frame("/stream", data)
    return log.lines()[0]


@pytest.mark.parametrize("name", ORDERS)
def test_an_order_in_any_disguise(name: str) -> None:
    assert frame(ORDERS[name])["order"]


@pytest.mark.parametrize("name", READS)
def test_what_is_no_order(name: str) -> None:
    assert not frame(READS[name])["order"]


def test_keys_are_not_kept() -> None:
    for data in (PLACE, PLACE.encode(), PLACE.replace(":", " : ")):
        line = frame(data)
        assert "hidden" not in json.dumps(line)
        assert (line["signed"], line["has_key"]) == (True, True)
    assert len(frame("x" * 100_000)["text"]) < 5_000


async def test_every_way_in_is_logged(http: aiohttp.ClientSession, venue: Venue) -> None:
    """Requests with any method, sockets, and frames on each kind of socket, text and binary."""
    for method in ("GET", "POST", "PUT", "DELETE", "PATCH"):
        async with http.request(method, "/api/v3/order?symbol=AAAUSDT", headers={"X-MBX-APIKEY": "hidden"}):
            pass
    for path in ("/stream", "/ws", "/ws-api/v3"):
        async with http.ws_connect(path) as socket:
            await socket.send_str(PLACE)
            await socket.send_bytes(PLACE.encode())
            await socket.send_str(command("LIST_SUBSCRIPTIONS"))
            for _ in range(3 if path == "/ws-api/v3" else 2):  # market streams do not answer binary messages
                await socket.receive_json(timeout=5)
    report = venue.log.report()
    kinds = [line["kind"] for line in report["requests"]]
    assert (kinds.count("rest"), kinds.count("ws"), kinds.count("frame")) == (5, 3, 9)
    assert report["order_requests"] == 4 + 3 * 2
    assert "hidden" not in json.dumps(report)
    assert all(line["market_ms"] == START_MS for line in report["requests"])


async def test_a_body_too_large_to_read_was_still_asked(http: aiohttp.ClientSession, venue: Venue) -> None:
    async with http.post("/api/v3/order", data=b"x" * (2 << 20)) as answer:
        assert answer.status == 413
    assert venue.log.report()["order_requests"] == 1


async def test_the_log_is_read_from_where_one_was_and_cleared(http: aiohttp.ClientSession) -> None:
    async def numbers(query: str = "") -> list[int]:
        async with http.get(f"/__venue__/requests{query}") as answer:
            return [line["seq"] for line in (await answer.json())["requests"]]

    for _ in range(3):
        await http.get("/api/v3/ping")
    assert await numbers() == [1, 2, 3]
    assert await numbers("?after=2") == [3]
    await http.delete("/__venue__/requests")
    assert await numbers() == []
    await http.get("/api/v3/ping")
    assert await numbers("?after=2") == await numbers() == [4]
    async with http.get("/__venue__/nothing") as answer:
        assert answer.status == 404
    async with http.get("/__venue__/requests?after=x") as answer:
        assert answer.status == 400
