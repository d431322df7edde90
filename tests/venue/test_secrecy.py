"""Neither a signature nor an API key nor a secret stands in the venue's log, its answers or its console, wherever a
client puts it; a fingerprint tells who asked. The control: a harmless value in the same place is kept."""

from __future__ import annotations

import asyncio
import hashlib
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import aiohttp
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from quantlab.model import Refused
from quantlab.venue import Venue
from quantlab.venue.child import VenueChild
from quantlab.venue.log import RequestLog
from quantlab.venue.masking import MASK, fingerprint, masked

from .plain import START_MS
from .signing import ask, now_ms, openssl_hmac, signed_query

KEY = "Aa0" * 21 + "K"
SECRET = "Zz9" * 21 + "S"
BASE64 = "mZ+/q" * 17 + "A=="
CANARIES = (KEY, SECRET, BASE64, quote(BASE64, safe=""))
BOTH = {"apiKey": KEY, "signature": BASE64}


def escaped(text: str) -> str:
    return "".join(f"\\u{ord(letter):04x}" for letter in text)


#: A frame or query by where the canaries stand in it, each with the word "harmless", which stays.
TEXTS = {
    "frame": json.dumps({"id": "harmless", "params": BOTH}),
    "frame, spaced": json.dumps({"id": "harmless", "params": BOTH}, indent=3).replace(":", " : "),
    "escaped names": f'{{"id":"harmless","{escaped("apiKey")}":"{KEY}","{escaped("signature")}":"{BASE64}"}}',
    "escaped values": f'{{"id":"harmless","apiKey":"{escaped(KEY)}","signature":"{escaped(BASE64)}"}}',
    "cut off": f'{{"id":"harmless","apiKey":"{KEY}","signature":"{BASE64}',
    "a quote too many": f'"{{"id":"harmless","apiKey":"{KEY}","signature":"{BASE64}"}}',
    "list": f'{{"id":"harmless","signature":["{BASE64}"]}}',
    "bare": f'{{"id":"harmless","signature":{BASE64}}}',
    "other names": json.dumps({"id": "harmless", "secret": BASE64, "api_key": SECRET, "X-MBX-APIKEY": KEY}),
    "no name": json.dumps(["harmless", KEY, SECRET]),
    "key as a method": json.dumps({"method": KEY, "id": "harmless"}),
    "query": f"id=harmless&apiKey={KEY}&signature={quote(BASE64, safe='')}",
    "query, not encoded": f"signature={BASE64}&id=harmless",
    "query, name encoded": f"id=harmless&%73ignature={BASE64}&api%4Bey={KEY}",
    "query, capitals": f"id=harmless&Signature={BASE64}&X-MBX-APIKEY={KEY}&SECRET={BASE64}",
    "query, no name": f"harmless&{KEY}",
    "path": f"/harmless/signature={BASE64}",
    "path, key": f"/harmless/{KEY}/{SECRET}",
    "trace": f"harmless: b'X-MBX-APIKEY: {KEY}\\x00'",
}


@pytest.mark.parametrize("name", TEXTS)
def test_wherever_it_stands(name: str) -> None:
    assert any(canary in TEXTS[name] or "escaped" in name for canary in CANARIES)
    shown = masked(TEXTS[name])
    assert "harmless" in shown
    for canary in (*CANARIES, escaped(KEY), escaped(BASE64)):
        assert canary not in shown
    log = RequestLog(lambda: START_MS)
    log.add("rest", "GET", TEXTS[name], query=TEXTS[name])
    log.add_frame("/ws-api/v3", TEXTS[name])
    told = json.dumps(log.report())
    assert "harmless" in told and not any(canary in told for canary in CANARIES)


def test_what_is_shown_instead() -> None:
    shown = json.loads(masked(TEXTS["frame"]))
    assert shown == {"id": "harmless", "params": {"apiKey": fingerprint(KEY), "signature": MASK}}
    assert masked(f"a=1&signature=x&apiKey={KEY}") == f"a=1&signature={MASK}&apiKey={fingerprint(KEY)}"
    log = RequestLog(lambda: START_MS)
    for name in ("frame", "frame, spaced", "escaped names", "escaped values"):
        log.add_frame("/ws-api/v3", TEXTS[name])
    assert {(line["signed"], line["has_key"], line["key"]) for line in log.lines()} == {(True, True, fingerprint(KEY))}
    assert fingerprint(KEY) == hashlib.sha256(KEY.encode()).hexdigest()[:16]


_WORDS = st.sampled_from(["symbol", "a", "é", '"', "\\", ":", " ", "=", "&", "?", "/", "{", "}", ",", "%41"])


@given(st.lists(_WORDS, max_size=40).map("".join))
def test_other_text_is_kept(text: str) -> None:
    assert masked(text) == text


@given(st.lists(_WORDS, max_size=20).map("".join), st.lists(_WORDS, max_size=20).map("".join))
def test_a_secret_in_any_company_is_masked(before: str, after: str) -> None:
    for secret in (f'"apiKey":"{KEY}"', f'"signature":"{BASE64}"', f"&signature={BASE64}&", f"&apiKey={KEY}&"):
        shown = masked(before + secret + after)
        assert KEY not in shown and BASE64 not in shown


async def test_what_was_asked_is_logged_without_secrets(serve: Callable[..., Any]) -> None:
    venue: Venue = await serve(keys={KEY: SECRET})
    sign = openssl_hmac(SECRET)
    answers = []
    async with aiohttp.ClientSession(venue.url) as http:
        signed = signed_query(sign)
        signatures = [signed.rpartition("=")[2]]
        assert (await ask(http, KEY, signed))[0] == 200
        harmless = signed_query(sign, harmless="1")
        signatures.append(harmless.rpartition("=")[2])
        for query in (harmless, f"{signed}0", f"{signed}&signature={BASE64}", f"x={KEY}"):
            answers.append(await ask(http, KEY, query))
        answers.append(await ask(http, KEY, "", f"/api/v3/{KEY}"))
        answers.append(await ask(http, KEY, "", f"/api/v3/order&signature={quote(BASE64, safe='')}", "POST"))
        async with http.get(f"/stream?streams=a@trade/{KEY}@trade", headers={"X-MBX-APIKEY": KEY}) as answer:
            answers.append((answer.status, await answer.text()))
        async with http.ws_connect(f"/ws?apiKey={KEY}", headers={"X-MBX-APIKEY": KEY}) as socket:
            await socket.send_str(TEXTS["key as a method"])
            answers.append((0, await socket.receive_json(timeout=5)))
        async with http.ws_connect("/ws-api/v3") as socket:
            params = {"apiKey": KEY, "timestamp": now_ms()}
            signatures.append(sign(f"apiKey={KEY}&timestamp={params['timestamp']}"))
            for method in ("account.status", KEY, "order.place"):
                frame = {"id": 1, "method": method, "params": {**params, "signature": signatures[-1]}}
                await socket.send_json(frame)
                answers.append((0, await socket.receive_json(timeout=5)))
        assert answers[-3][1]["status"] == 200
        async with http.get("/__venue__/requests") as answer:
            told = await answer.text()
    lines = json.loads(told)["requests"]
    assert {line["key"] for line in lines if line["kind"] == "rest"} == {fingerprint(KEY)}
    assert [line["key"] for line in lines if "ws-api" in line["path"]] == ["", *[fingerprint(KEY)] * 3]
    assert "harmless=1" in told
    for secret in (*CANARIES, *signatures):
        assert secret not in told and secret not in json.dumps(answers)


BROKEN = {
    "header value": b"GET /api/v3/account HTTP/1.1\r\nHost: x\r\nX-MBX-APIKEY: KEY\x00\r\n\r\n",
    "header name": b"GET /api/v3/account HTTP/1.1\r\nHost: x\r\nX-MBX-APIKEY KEY\r\n\r\n",
    "status line": b"GET /api/v3/account?signature=KEY KEY HTTP/1.1\r\nHost: x\r\n\r\n",
    "query": b"GET /api/v3/account?apiKey=KEY&x=\xff HTTP/1.1\r\nHost: x\r\n\r\n",
    "too long": b"GET /api/v3/account?signature=" + b"KEY" * 300 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    "chunk": b"POST /api/v3/order HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nsignature=KEY\r\n",
    "method": b"KEY\r\n\r\n",
}


def test_a_venue_with_keys_says_nothing_of_them(tmp_path: Path) -> None:
    """As a process: its console and its answers to requests that are no HTTP, which aiohttp would quote."""
    keys = tmp_path / "keys.json"
    keys.write_text(json.dumps([{"api_key": KEY, "secret": SECRET}]))
    keys.chmod(0o644)
    with pytest.raises(Refused, match=r"others can read .*keys\.json"), VenueChild(keys=keys):
        pass
    keys.chmod(0o600)
    ready = tmp_path / "ready.json"
    command = [sys.executable, "-m", "quantlab", "venue", "--port", "0", "--hours", "0.02", "--end-with-parent"]
    command += ["--ready-file", str(ready), "--keys", str(keys)]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    while not ready.exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    url = json.loads(ready.read_text())["url"]
    asyncio.run(_signed_requests(url))
    answers = asyncio.run(_broken_requests(url))
    out, _ = process.communicate(timeout=10)
    assert process.returncode == 0
    assert out.startswith("generated market"), out
    assert all(b" 400 " in answers[name] for name in BROKEN), answers
    for secret in (*CANARIES, KEY[:30]):
        assert secret not in out and secret not in ready.read_text()
        assert all(secret.encode() not in answer for answer in answers.values())


async def test_a_plain_server_would_quote_them(caplog: pytest.LogCaptureFixture) -> None:
    """The control of the test above."""

    async def answer(request: web.BaseRequest) -> web.Response:
        return web.Response()

    runner = web.ServerRunner(web.Server(answer))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    answers = await _broken_requests("http://127.0.0.1:{1}".format(*runner.addresses[0]))
    await runner.cleanup()
    assert sum(KEY[:30].encode() in answer for answer in answers.values()) >= 4
    assert KEY in caplog.text


async def _signed_requests(url: str) -> None:
    async with aiohttp.ClientSession(url) as http:
        assert (await ask(http, KEY, signed_query(openssl_hmac(SECRET))))[0] == 200, "the file's key is known"
        assert (await ask(http, KEY, signed_query(openssl_hmac("another"))))[1]["code"] == -1022


async def _broken_requests(url: str) -> dict[str, bytes]:
    """What is answered to each of BROKEN."""
    where = urlsplit(url)
    answers = {}
    for name, request in BROKEN.items():
        reader, writer = await asyncio.open_connection(where.hostname, where.port)
        writer.write(request.replace(b"KEY", KEY.encode()))
        answers[name] = await asyncio.wait_for(reader.read(10_000), 5)
        writer.close()
    return answers
