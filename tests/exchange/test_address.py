"""The machine's public address comes from the one service the user named, over https or from this machine, and is
always an address."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiohttp import web
from yarl import URL

from quantlab.exchange.address import MOST_BYTES, _OnlyThis, public_address
from quantlab.model import ConfigurationError, ExchangeUnreachable, MalformedMessage, Refused

from .scripted import ScriptedExchange, raw, serving


@pytest.mark.parametrize(
    ("body", "address"),
    [
        ("203.0.113.7", "203.0.113.7"),
        (" 203.0.113.7\r\n", "203.0.113.7"),
        ('{"ip":"203.0.113.7"}', "203.0.113.7"),
        ('{"ip": " 2001:DB8::0:1 ", "country": "XX"}', "2001:db8::1"),
        ("203.0.113.7" + " " * (MOST_BYTES - 11), "203.0.113.7"),
    ],
)
async def test_an_address_is_read(exchange: ScriptedExchange, body: str, address: str) -> None:
    exchange.answers["/ip"] = raw(body)
    rows: list[dict[str, Any]] = []
    assert await public_address(f"{exchange.url}/ip?format=json", 2.0, rows.append) == address
    assert [seen.target for seen in exchange.requests] == ["/ip?format=json"]
    assert [(row["path"], row["status"], row["verdict"]) for row in rows] == [("/ip", 200, "sent")]
    assert not {"Authorization", "Cookie", "X-MBX-APIKEY"} & exchange.requests[0].headers.keys()


@pytest.mark.parametrize(
    "body",
    [
        "",
        "localhost",
        "203.0.113.256",
        "203.0.113.7, 203.0.113.8",
        "203.0.113.7/24",
        "fe80::1%<b>",
        "<html>203.0.113.7</html>",
        "{}",
        '{"ip":null}',
        '{"ip":3405803783}',
        '{"ip":["203.0.113.7"]}',
        '{"ip":"203.0.113.7"',
        '["203.0.113.7"]',
        b"\xff\xfe",
        b"\x00",
        "203.0.113.7" + " " * MOST_BYTES,
        "x" * 5_000_000,
    ],
)
async def test_anything_else_is_no_address(exchange: ScriptedExchange, body: str | bytes) -> None:
    exchange.answers["/ip"] = raw(body)
    with pytest.raises(MalformedMessage) as caught:
        await public_address(f"{exchange.url}/ip", 2.0)
    assert "<" not in str(caught.value) and len(str(caught.value)) < 200


@pytest.mark.parametrize("status", [204, 403, 404, 429, 500, 503])
async def test_an_error_is_no_address(exchange: ScriptedExchange, status: int) -> None:
    exchange.answers["/ip"] = raw(b"" if status == 204 else b"203.0.113.7", status=status)
    with pytest.raises(ExchangeUnreachable, match=str(status)):
        await public_address(f"{exchange.url}/ip", 2.0)


async def test_no_answer_is_no_address(exchange: ScriptedExchange) -> None:
    async def never(request: web.Request) -> web.Response:
        await asyncio.sleep(60)
        return web.Response()

    exchange.answers["/ip"] = never
    rows: list[dict[str, Any]] = []
    with pytest.raises(ExchangeUnreachable, match="did not tell"):
        await public_address(f"{exchange.url}/ip", 0.1, rows.append)
    async with serving(exchange.handle) as address:
        gone = f"http://{address}/ip"
    with pytest.raises(ExchangeUnreachable, match="did not tell"):
        await public_address(gone, 1.0, rows.append)
    assert [row["verdict"] for row in rows] == ["sent", "unreachable"]


async def test_a_redirect_is_not_followed(exchange: ScriptedExchange) -> None:
    exchange.answers["/ip"] = web.Response(status=302, headers={"Location": "/other"})
    with pytest.raises(Refused, match="redirect"):
        await public_address(f"{exchange.url}/ip", 2.0)
    assert exchange.asked("/other") == 0


@pytest.mark.parametrize(
    "url",
    [
        "http://address.example/",
        "http://127.0.0.1.example/",
        "http://10.0.0.1/",
        "ftp://127.0.0.1/",
        "ws://127.0.0.1/",
        "file:///etc/hosts",
        "https://user:word@address.example/",
        "https://",
        "https://address.example:port/",
        "https://[::1",
        "127.0.0.1/ip",
        "",
    ],
)
async def test_a_source_that_could_be_anybody_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match="QUANTLAB_ADDRESS_URL"):
        await public_address(url, 1.0)


def test_one_address_may_be_asked_and_no_other() -> None:
    rules = _OnlyThis(URL("https://address.example/ip?a=1"))
    assert rules.fault("GET", URL("https://address.example/ip?a=1"), {"Host": "address.example"}) is None
    assert rules.hosts == {"address.example"}
    for method, url in (
        ("POST", "https://address.example/ip?a=1"),
        ("GET", "https://address.example/ip?a=2"),
        ("GET", "https://address.example/ip"),
        ("GET", "http://address.example/ip?a=1"),
        ("GET", "https://api.binance.com/ip?a=1"),
    ):
        assert rules.fault(method, URL(url), {}) is not None
    assert rules.fault("GET", rules.url, {"X-MBX-APIKEY": "k"}) is not None
