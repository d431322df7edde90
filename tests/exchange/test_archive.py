"""The archive's session asks for monthly files of candles and for nothing else, and what it cannot read it tries
again."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiohttp import web

from quantlab.exchange import archive
from quantlab.exchange.archive import Archive, month_path
from quantlab.model import ConfigurationError, ExchangeUnreachable, MalformedMessage, Refused

from .scripted import ScriptedExchange, raw

PATH = month_path("BTCUSDT", "1m", 2024, 1)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive.Backoff, "pause_s", lambda _: 0.01)


async def asked(exchange: ScriptedExchange, path: str = PATH, rows: list[Any] | None = None) -> bytes | None:
    async with Archive(exchange.url, 5.0, (rows if rows is not None else []).append) as opened:
        return await opened.read(path)


async def test_a_file_as_it_is(exchange: ScriptedExchange) -> None:
    assert PATH == "/data/spot/monthly/klines/BTCUSDT/1m/BTCUSDT-1m-2024-01.zip"
    exchange.answers[PATH] = raw(b"PK" + bytes(100_000))
    rows: list[dict[str, Any]] = []
    assert await asked(exchange, rows=rows) == b"PK" + bytes(100_000)
    assert [(row["path"], row["status"], row["verdict"]) for row in rows] == [(PATH, 200, "sent")]
    assert not {"Authorization", "Cookie", "X-MBX-APIKEY"} & exchange.requests[0].headers.keys()


async def test_a_month_that_is_not_there(exchange: ScriptedExchange) -> None:
    exchange.answers[PATH] = raw(b"<Error>", status=404)
    assert await asked(exchange) is None
    assert len(exchange.requests) == 1


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_what_passes_is_tried_again(exchange: ScriptedExchange, status: int) -> None:
    exchange.answers[PATH] = [raw(b"", status=status), raw(b"", status=status), raw(b"zip")]
    assert await asked(exchange) == b"zip"
    exchange.answers[PATH] = raw(b"", status=status)
    with pytest.raises(ExchangeUnreachable, match=str(status)):
        await asked(exchange)
    assert len(exchange.requests) == 6


async def test_what_stays_is_not(exchange: ScriptedExchange) -> None:
    exchange.answers[PATH] = raw(b"", status=403)
    with pytest.raises(ExchangeUnreachable, match="403"):
        await asked(exchange)
    assert len(exchange.requests) == 1


async def test_a_connection_that_breaks_half_way(exchange: ScriptedExchange) -> None:
    async def cut(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"Content-Length": "1000"})
        await answer.prepare(request)
        await answer.write(b"half")
        assert request.transport is not None
        request.transport.close()
        return answer

    exchange.answers[PATH] = cut
    rows: list[dict[str, Any]] = []
    with pytest.raises(ExchangeUnreachable, match=r"did not send BTCUSDT-1m-2024-01\.zip"):
        await asked(exchange, rows=rows)
    assert len(exchange.requests) == 3 == len(rows)


async def test_silence_ends(exchange: ScriptedExchange) -> None:
    async def never(request: web.Request) -> web.Response:
        await asyncio.sleep(60)
        return web.Response()

    exchange.answers[PATH] = never
    async with Archive(exchange.url, 0.2) as opened:
        with pytest.raises(ExchangeUnreachable):
            await opened.read(PATH)


async def test_a_file_without_an_end_is_not_read(exchange: ScriptedExchange, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MOST_BYTES", 1_000)
    exchange.answers[PATH] = raw(bytes(5_000))
    with pytest.raises(MalformedMessage):
        await asked(exchange)


async def test_a_redirect_is_not_followed(exchange: ScriptedExchange) -> None:
    exchange.answers[PATH] = web.Response(status=302, headers={"Location": f"{exchange.url}/api/v3/order"})
    with pytest.raises(Refused, match="redirect"):
        await asked(exchange)
    assert len(exchange.requests) == 1


@pytest.mark.parametrize(
    "path",
    [
        "/api/v3/order",
        "/data/spot/monthly/klines/BTCUSDT/1m/ETHUSDT-1m-2024-01.zip",
        "/data/spot/monthly/klines/BTCUSDT/1m/BTCUSDT-1m-2024-13.zip",
        "/data/spot/monthly/klines/BTCUSDT/1m/BTCUSDT-1m-2024-01.zip.exe",
        "/data/spot/monthly/klines/../BTCUSDT-1m-2024-01.zip",
        "/data/spot/monthly/trades/BTCUSDT/BTCUSDT-trades-2024-01.zip",
        "/data/futures/um/monthly/klines/BTCUSDT/1m/BTCUSDT-1m-2024-01.zip",
    ],
)
async def test_nothing_else_leaves(exchange: ScriptedExchange, path: str) -> None:
    rows: list[dict[str, Any]] = []
    with pytest.raises(Refused, match="not a monthly file"):
        await asked(exchange, path, rows)
    assert exchange.requests == [] and [row["verdict"] for row in rows] == ["refused"]


@pytest.mark.parametrize(
    "address",
    [
        "http://data.binance.vision",
        "https://data.binance.vision.example.com",
        "https://user@data.binance.vision",
        "https://data.binance.vision/other",
        "https://data.binance.vision:8443",
        "http://192.168.1.5:8000",
        "nonsense",
        "",
    ],
)
def test_other_addresses_are_refused(address: str) -> None:
    with pytest.raises(ConfigurationError, match=r"data\.binance\.vision"):
        Archive(address, 1.0)


def test_binances_own_is_not() -> None:
    assert Archive("https://data.binance.vision/", 1.0)
