"""Signatures made by the openssl command, and a client that sends them."""

from __future__ import annotations

import base64
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import aiohttp
import pytest
from yarl import URL

Sign = Callable[[str], str]

#: How each key is made: `openssl genpkey` with these.
_MADE_BY = {
    "ed25519": ["-algorithm", "ed25519"],
    "rsa": ["-algorithm", "rsa", "-pkeyopt", "rsa_keygen_bits:2048"],
}


class OpensslKey:
    """A key pair of the openssl command in `folder`; `public_pem` is its public half, `sign` gives base64."""

    def __init__(self, folder: Path, kind: str) -> None:
        if shutil.which("openssl") is None:
            pytest.skip("signatures are compared with the openssl command's, which is not installed")
        self.kind, self._private = kind, folder / f"{kind}.pem"
        _run("genpkey", *_MADE_BY[kind], "-out", str(self._private))
        self.private_pem = self._private.read_text()
        self.public_pem = _run("pkey", "-in", str(self._private), "-pubout").decode()

    def sign(self, payload: str) -> str:
        """As the documentation's own examples do it."""
        message = self._private.with_suffix(".payload")  # -rawin wants a file: an Ed25519 message is read twice
        message.write_text(payload)
        if self.kind == "rsa":
            made = _run("dgst", "-sha256", "-sign", str(self._private), str(message))
        else:
            made = _run("pkeyutl", "-sign", "-inkey", str(self._private), "-rawin", "-in", str(message))
        return base64.b64encode(made).decode()


def openssl_hmac(secret: str) -> Sign:
    """Signs with `openssl dgst -hmac`."""

    def sign(payload: str) -> str:
        done = subprocess.run(
            ["openssl", "dgst", "-sha256", "-hmac", secret], input=payload.encode(), capture_output=True, check=True
        )
        return done.stdout.decode().split()[-1]

    return sign


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def signed_query(sign: Sign, **params: object) -> str:
    query = urlencode({"timestamp": now_ms(), **params})
    return f"{query}&signature={quote(sign(query), safe='')}"


async def ask(
    http: aiohttp.ClientSession, api_key: str, query: str, path: str = "/api/v3/account", method: str = "GET"
) -> tuple[int, Any]:
    """Status and answer of a request whose query is sent as it is."""
    url = URL(f"{path}?{query}", encoded=True)
    async with http.request(method, url, headers={"X-MBX-APIKEY": api_key}) as answer:
        return answer.status, await answer.json()


def _run(*arguments: str) -> bytes:
    return subprocess.run(["openssl", *arguments], capture_output=True, check=True).stdout
