"""However a signed read fails, neither key nor signature is in what a caller may print, log or keep: the error with all
its causes, contexts, notes and locals, log records of every level, warnings, and the egress log."""

from __future__ import annotations

import asyncio
import base64
import gc
import logging
import traceback
import warnings
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest
from aiohttp import web
from yarl import URL

from quantlab.exchange import keyed as keyed_module
from quantlab.exchange.audit import audit
from quantlab.exchange.failure import retry as retry_module
from quantlab.exchange.keyed import KeyedReader
from quantlab.exchange.signed_rules import ACCOUNT, RESTRICTIONS, TIME

from .keys import API_KEY, OddSigner, PlainSigner
from .scripted import ScriptedExchange, config_for, raw, serving

SIGNATURE = OddSigner().sign(b"")


def told(text: str) -> list[str]:
    """The forms of key and signature that `text` holds."""
    forms: dict[str, str] = {}
    for name, value in (("key", API_KEY), ("signature", SIGNATURE)):
        forms |= {
            name: value,
            f"{name}, encoded": quote(value, safe=""),
            f"{name}, base64": base64.b64encode(value.encode()).decode().rstrip("="),
            f"{name}, hex": value.encode().hex(),
            f"half of the {name}": value[: len(value) // 2],
        }
    return [name for name, form in forms.items() if form in text] + ["address"] * ("signature=" in text)


def everything(error: BaseException) -> str:
    """All that an error shows: itself, its attributes, and its frames with locals; so for each cause and context."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    parts = []
    while waiting:
        one = waiting.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        waiting += [one.__cause__, one.__context__, *getattr(one, "exceptions", ())]
        told_by = traceback.TracebackException.from_exception(one, capture_locals=True)
        parts += [repr(one), str(one.args), str(vars(one)), *told_by.format(chain=True)]
    return "\n".join(parts)


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry_module, "_FIRST_S", 0.02)


# ---- what the other side may do: each gives back what it was sent


def _echo(request: web.Request) -> str:
    return f"{request.raw_path} {dict(request.headers)}".replace('"', "'")


def _answering(status: int, form: str = '{{"code":-2015,"msg":"{0}"}}', **headers: str) -> Any:
    async def answer(request: web.Request) -> web.Response:
        return raw(form.format(_echo(request)), status=status, **headers)

    return answer


async def _never(request: web.Request) -> web.Response:
    await asyncio.sleep(60)
    return web.Response()


async def _drop(request: web.Request) -> web.Response:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def _half(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Length": "1000"})
    await response.prepare(request)
    await response.write(_echo(request).encode())
    assert request.transport is not None
    request.transport.close()
    return response


async def _redirect(request: web.Request) -> web.Response:
    return web.Response(status=302, headers={"Location": f"http://127.0.0.1:1{request.raw_path}"})


async def _not_gzip(request: web.Request) -> web.Response:
    return raw(_echo(request), Content_Encoding="gzip")


FAULTS: dict[str, Callable[[web.Request], Any]] = {
    "-2015": _answering(401),
    "-1021": _answering(400, '{{"code":-1021,"msg":"{0}"}}'),
    "200 with a code": _answering(200, '{{"code":-1022,"msg":"{0}"}}'),
    "500": _answering(500, '{{"code":-1000,"msg":"{0}"}}'),
    "502 of a proxy": _answering(502, "<html>{0}</html>"),
    "403": _answering(403, "<html>{0}</html>"),
    "404": _answering(404, "{0}"),
    "451": _answering(451),
    "429": _answering(429, Retry_After="30"),
    "418": _answering(418, Retry_After="30"),
    "a page": _answering(200, "{0}"),
    "a text": _answering(200, '"{0}'),
    "too deep": _answering(200, '{{"msg":' + "[" * 90_000 + '"{0}"'),
    "too long": _answering(200, '{{"a":"{0}' + "x" * 5_000_000 + '"}}'),
    "silence": _never,
    "drop": _drop,
    "half": _half,
    "redirect": _redirect,
    "not gzip": _not_gzip,
}


@asynccontextmanager
async def speaking(words: str) -> AsyncIterator[str]:
    """A server that answers the clock as HTTP has it and everything else with `words`; "{0}" is what it was sent."""

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = (await reader.readuntil(b"\r\n\r\n")).decode()
        body = '{"serverTime":1600000000000}'
        clock = f"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n{body}"
        line = " ".join(request.split())
        writer.write((clock if TIME in line else words.format(line)).encode())
        writer.close()

    server = await asyncio.start_server(speak, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


async def caught(call: Callable[[], Any]) -> BaseException:
    """What `call` raises. No secret is in this frame or its callers', so that locals show ours alone."""
    try:
        await call()
    except BaseException as error:
        return error
    raise AssertionError("it did not fail: nothing is shown")


async def swept(url: str, caplog: pytest.LogCaptureFixture, signer: Any = None, cancel_s: float | None = None) -> str:
    """All that is told of one failed read and one audit at `url`."""
    caplog.set_level(logging.DEBUG)
    asyncio.get_running_loop().set_debug(True)
    rows: list[dict[str, Any]] = []
    config = config_for(url, timeout_s=0.3, total_s=0.5)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        async with KeyedReader(config, signer or OddSigner(), rows.append) as reader:
            if cancel_s is None:
                errors = [await caught(reader.restrictions), await caught(reader.account)]
            else:
                reading = asyncio.create_task(caught(reader.restrictions))
                await asyncio.sleep(cancel_s)
                reading.cancel()
                errors = [await reading]
        found = None
        if cancel_s is None:
            found = await audit(config, signer or OddSigner(), environment="replay", egress=rows.append)
            assert found.status in ("rejected", "unreachable")
        gc.collect()
    assert rows, "something left, or was tried"
    parts = [everything(error) for error in errors] + [repr(found), repr(rows), repr(reader), repr(vars(reader))]
    ours = [record for record in caplog.records if record.name != "aiohttp.access"]  # the other side's own log
    parts += [record.getMessage() + str(record.exc_text) + str(record.args) for record in ours]
    parts += [str(warning.message) for warning in warned]
    return "\n".join(parts)


@pytest.mark.parametrize("name", FAULTS)
async def test_nothing_is_told(name: str, exchange: ScriptedExchange, caplog: pytest.LogCaptureFixture) -> None:
    exchange.answers |= {TIME: {"serverTime": 1_600_000_000_000}, RESTRICTIONS: FAULTS[name], ACCOUNT: FAULTS[name]}
    assert told(await swept(exchange.url, caplog)) == []
    signed = [seen for seen in exchange.requests if "signature=" in seen.target]
    assert signed and all(told(f"{seen.target} {seen.headers}") for seen in signed), "it did leave"


@pytest.mark.parametrize(
    "words",
    [
        "HTTP/1.1 abc {0}\r\n\r\n",
        "{0}\r\n\r\n",
        "HTTP/1.1 200 OK\r\n{0}\r\n\r\n",
        "HTTP/1.1 200 {0}\r\nContent-Length: {0}\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{0}\r\n",
        "HTTP/1.1 400 {0}\r\nContent-Length: 0\r\n\r\n",
        "",
    ],
)
async def test_nothing_is_told_of_what_is_no_http(words: str, caplog: pytest.LogCaptureFixture) -> None:
    async with speaking(words) as url:
        assert told(await swept(url, caplog)) == []


async def test_nothing_is_told_where_nobody_listens(
    exchange: ScriptedExchange, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(exchange.handle) as address:
        gone = f"http://{address}"
    assert told(await swept(gone, caplog)) == []


async def test_nothing_is_told_of_a_cancelled_read(
    exchange: ScriptedExchange, caplog: pytest.LogCaptureFixture
) -> None:
    exchange.answers |= {TIME: {"serverTime": 1_600_000_000_000}, RESTRICTIONS: _never}
    assert told(await swept(exchange.url, caplog, cancel_s=0.1)) == []
    assert any("signature=" in seen.target for seen in exchange.requests), "it was under way"


async def test_nothing_is_told_of_a_key_that_is_no_header(
    exchange: ScriptedExchange, caplog: pytest.LogCaptureFixture
) -> None:
    exchange.answers[TIME] = {"serverTime": 1_600_000_000_000}
    for broken in (f"{API_KEY}\r\nX-Other: 1", f"{API_KEY}\x00", f"{API_KEY}\u20ac"):
        signer = PlainSigner(api_key=broken)
        exchange.answers[RESTRICTIONS] = exchange.answers[ACCOUNT] = _answering(401)
        assert told(await swept(exchange.url, caplog, signer)) == []


async def test_nothing_is_told_when_the_guard_refuses(
    exchange: ScriptedExchange, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    exchange.answers[TIME] = {"serverTime": 1_600_000_000_000}
    original = KeyedReader._signature

    def unruly(self: KeyedReader, *arguments: Any) -> tuple[dict[str, str], str]:
        headers, query = original(self, *arguments)
        return headers, f"{query}&side=BUY"

    monkeypatch.setattr(KeyedReader, "_signature", unruly)
    assert told(await swept(exchange.url, caplog)) == []
    assert exchange.asked(RESTRICTIONS) == exchange.asked(ACCOUNT) == 0


async def test_nothing_is_told_when_the_log_is_full(exchange: ScriptedExchange) -> None:
    exchange.answers |= {TIME: {"serverTime": 1_600_000_000_000}, RESTRICTIONS: _drop}

    def full(row: dict[str, Any]) -> None:
        if row["path"] == RESTRICTIONS:
            raise OSError("disk full")

    async with KeyedReader(config_for(exchange.url, timeout_s=0.3), OddSigner(), full) as reader:
        error = await caught(reader.restrictions)
    assert isinstance(error, OSError)
    assert told(everything(error)) == []


# ---- the controls: the sweep finds what careless code tells


async def test_a_careless_client_tells(exchange: ScriptedExchange) -> None:
    exchange.answers[ACCOUNT] = _answering(401)

    async def careless() -> None:
        url = URL(f"{exchange.url}{ACCOUNT}?signature={quote(SIGNATURE, safe='')}", encoded=True)
        async with aiohttp.ClientSession(raise_for_status=True) as session:
            await session.get(url, headers={"X-MBX-APIKEY": API_KEY})

    found = told(everything(await caught(careless)))
    assert "address" in found and "signature, encoded" in found and "key" in found


async def test_without_the_cleaning_it_is_told(
    exchange: ScriptedExchange, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keyed_module, "_clean", lambda failure, what, secrets: failure)
    exchange.answers |= {TIME: {"serverTime": 1_600_000_000_000}}
    exchange.answers |= {RESTRICTIONS: FAULTS["-2015"], ACCOUNT: FAULTS["redirect"]}
    assert "address" in told(await swept(exchange.url, caplog))
