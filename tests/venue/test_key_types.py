"""A signature is checked as Binance checks it, for all three types of key, over the bytes as sent: those made by
openssl and those of Binance's documentation are right, and one changed bit of payload, signature or key is wrong."""

from __future__ import annotations

import base64
import hashlib
import hmac
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest

from quantlab.model import ConfigurationError
from quantlab.venue import Venue
from quantlab.venue.keyfile import key_of
from quantlab.venue.signatures import hmac_sha256, public_key

from .signing import OpensslKey, Sign, ask, now_ms, openssl_hmac, signed_query

SECRET = "only the test knows it"
API_KEYS = {"hmac": "H" * 64, "ed25519": "E" * 64, "rsa": "R" * 64}


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, OpensslKey]:
    folder = tmp_path_factory.mktemp("keys")
    return {kind: OpensslKey(folder, kind) for kind in ("ed25519", "rsa")}


@pytest.fixture
def signs(pairs: dict[str, OpensslKey]) -> dict[str, Sign]:
    return {"hmac": openssl_hmac(SECRET), **{kind: pair.sign for kind, pair in pairs.items()}}


@pytest.fixture
async def http(serve: Callable[..., Any], pairs: dict[str, OpensslKey]) -> AsyncIterator[aiohttp.ClientSession]:
    venue: Venue = await serve()
    venue.keys.add(key_of({"api_key": API_KEYS["hmac"], "secret": SECRET}))
    for kind, pair in pairs.items():
        venue.keys.add(key_of({"api_key": API_KEYS[kind], "public_key": pair.public_pem}))
    async with aiohttp.ClientSession(venue.url) as session:
        yield session


@pytest.mark.parametrize("kind", API_KEYS)
async def test_what_openssl_signed_is_let_in(kind: str, signs: dict[str, Sign], http: aiohttp.ClientSession) -> None:
    status, answer = await ask(http, API_KEYS[kind], signed_query(signs[kind]))
    assert (status, answer["accountType"]) == (200, "SPOT")
    for other in API_KEYS:
        if other != kind:
            assert (await ask(http, API_KEYS[kind], signed_query(signs[other])))[1]["code"] == -1022


@pytest.mark.parametrize("kind", API_KEYS)
async def test_the_bytes_as_sent_are_signed(kind: str, signs: dict[str, Sign], http: aiohttp.ClientSession) -> None:
    """Query and body joined without an "&", percent-encoded; the signature itself percent-encoded where it needs it."""
    query = "symbol=AAAUSDT&side=SELL&type=MARKET"
    body = f"quantity=1&newClientOrderId=a%2Db%5Fc&timestamp={now_ms()}"

    async def send(payload: str) -> tuple[int, Any]:
        headers = {"X-MBX-APIKEY": API_KEYS[kind], "Content-Type": "application/x-www-form-urlencoded"}
        data = f"{body}&signature={quote(signs[kind](payload), safe='')}"
        async with http.post(f"/api/v3/order/test?{query}", data=data, headers=headers) as answer:
            return answer.status, await answer.json()

    assert await send(query + body) == (200, {})
    for wrong in (f"{query}&{body}", query + body.replace("%2D", "-"), query + body.replace("%5F", "%5f")):
        assert (await send(wrong))[1]["code"] == -1022


async def test_bytes_that_are_no_text_are_signed_too(http: aiohttp.ClientSession) -> None:
    """What the venue understands of a body is not what is signed: that is its bytes."""
    body = b"symbol=AAAUSDT&side=SELL&type=MARKET&quantity=1&newClientOrderId=\xff&timestamp=%d" % now_ms()

    async def send(signed: bytes) -> int:
        headers = {"X-MBX-APIKEY": API_KEYS["hmac"], "Content-Type": "application/x-www-form-urlencoded"}
        signature = hmac.new(SECRET.encode(), signed, hashlib.sha256).hexdigest().encode()
        async with http.post("/api/v3/order/test", data=body + b"&signature=" + signature, headers=headers) as answer:
            return int((await answer.json())["code"])

    assert await send(body) == -1100, "the signature was right, the name is not"
    assert await send(body.decode("utf-8", "replace").encode()) == -1022


@pytest.mark.parametrize("kind", API_KEYS)
async def test_case_matters_for_base64_only(kind: str, signs: dict[str, Sign], http: aiohttp.ClientSession) -> None:
    query = f"timestamp={now_ms()}"
    signature = signs[kind](query)
    assert (await ask(http, API_KEYS[kind], f"{query}&signature={quote(signature, safe='')}"))[0] == 200
    swapped = quote(signature.swapcase(), safe="")
    status, answer = await ask(http, API_KEYS[kind], f"{query}&signature={swapped}")
    assert (status == 200) if kind == "hmac" else (answer["code"] == -1022)


@pytest.mark.parametrize("kind", API_KEYS)
async def test_the_socket_api_takes_each_type(kind: str, signs: dict[str, Sign], http: aiohttp.ClientSession) -> None:
    params = {"apiKey": API_KEYS[kind], "timestamp": now_ms()}
    signature = signs[kind]("&".join(f"{name}={params[name]}" for name in sorted(params)))
    async with http.ws_connect("/ws-api/v3") as socket:
        await socket.send_json({"id": 1, "method": "account.status", "params": {**params, "signature": signature}})
        assert (await socket.receive_json(timeout=5))["status"] == 200
        later = {**params, "timestamp": now_ms() + 1, "signature": signature}
        await socket.send_json({"id": 2, "method": "account.status", "params": later})
        assert (await socket.receive_json(timeout=5))["error"]["code"] == -1022


def test_every_changed_bit_is_seen(pairs: dict[str, OpensslKey]) -> None:
    payload = b"symbol=AAAUSDT&timestamp=1"
    for pair in pairs.values():
        _, verify = public_key(pair.public_pem)
        signature = base64.b64decode(pair.sign(payload.decode()))
        sent = base64.b64encode(signature).decode()
        assert verify(payload, sent)
        for decorated in (f"{sent}\n", f" {sent}", f"{sent[:9]}-{sent[9:]}", sent.rstrip("="), f"{sent}{sent}"):
            assert not verify(payload, decorated)
        for at in range(len(signature)):
            changed = bytes([*signature[:at], signature[at] ^ 1 << at % 8, *signature[at + 1 :]])
            assert not verify(payload, base64.b64encode(changed).decode())
        for at in range(len(payload)):
            changed = bytes([*payload[:at], payload[at] ^ 1 << at % 8, *payload[at + 1 :]])
            assert not verify(changed, base64.b64encode(signature).decode())


@pytest.mark.parametrize("signature", ["", "=", "x", "A" * 88, "é" * 20, "\ud800", "****", "AA AA", "A" * 100_000])
def test_a_signature_that_is_none(signature: str, pairs: dict[str, OpensslKey]) -> None:
    for verify in (hmac_sha256(SECRET), *(public_key(pair.public_pem)[1] for pair in pairs.values())):
        assert verify(b"timestamp=1", signature) is False


def test_the_documentations_own_example() -> None:
    """Binance spot REST docs, "SIGNED endpoint examples", HMAC: mixed query and body."""
    secret = "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j"
    payload = (
        b"symbol=LTCBTC&side=BUY&type=LIMIT&timeInForce=GTCquantity=1&price=0.1&recvWindow=5000&timestamp=1499827319559"
    )
    signature = "0fd168b8ddb4876a0358a8d14d0c9f3da0e9b20c5d52b2a00fcf7d1c602f9a77"
    assert hmac_sha256(secret)(payload, signature)
    assert hmac_sha256(secret)(payload, signature.upper())
    assert not hmac_sha256(secret)(payload + b"0", signature)


def test_a_public_key_that_is_none(pairs: dict[str, OpensslKey]) -> None:
    assert [public_key(pair.public_pem)[0] for pair in pairs.values()] == ["ed25519", "rsa"]
    weak = subprocess.run(["openssl", "genrsa", "1024"], capture_output=True, check=True).stdout
    weak = subprocess.run(["openssl", "pkey", "-pubout"], input=weak, capture_output=True, check=True).stdout
    curve = ["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"]
    other = subprocess.run(curve, capture_output=True, check=True).stdout
    other = subprocess.run(["openssl", "pkey", "-pubout"], input=other, capture_output=True, check=True).stdout
    for pem, why in (
        (pairs["ed25519"].private_pem, "public half"),
        (pairs["ed25519"].public_pem[:60], "no PEM public key"),
        ("", "no PEM public key"),
        (weak.decode(), "2048 or 4096"),
        (other.decode(), "neither Ed25519 nor RSA"),
    ):
        with pytest.raises(ConfigurationError, match=why) as refused:
            public_key(pem)
        assert refused.value.__suppress_context__ or refused.value.__context__ is None
        assert all(line not in str(refused.value) for line in pem.splitlines() if len(line) > 30)


def test_a_venue_without_such_keys_starts_without_cryptography(tmp_path: Path) -> None:
    code = (
        "import sys, quantlab.venue.server as server, quantlab.venue.keyfile as keyfile\n"
        "keyfile.key_of({'api_key': 'k' * 64, 'secret': 'x'})\n"
        "before = 'cryptography' in sys.modules\n"
        "try: keyfile.key_of({'api_key': 'k' * 64, 'public_key': 'x'})\n"
        "except Exception: pass\n"
        "print(before, 'cryptography' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout.split() == ["False", "True"]
