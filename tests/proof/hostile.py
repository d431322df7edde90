"""A strategy that tries to trade by itself: a file as a user may be handed one. Run as a script it tries the same.

Each way asks for `/api/v3/order` with its own name in the address, so that the other side can tell who arrived.
"""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import threading
import urllib.parse
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from quantlab.strategies import Strategy

HOST, PATH = "api.binance.com", "/api/v3/order"
_PLAIN_POST = """
import http.client, sys
client = http.client.HTTPConnection("api.binance.com", 80, timeout=5)
client.request("POST", "/api/v3/order?way=" + sys.argv[1], headers={"X-MBX-APIKEY": "key"})
client.getresponse().read()
"""


def in_process() -> dict[str, Callable[[], object]]:
    """Ways of Python code in the engine's own process."""

    def plain_ccxt() -> object:
        import ccxt

        client = ccxt.binance({"apiKey": "key", "secret": "secret", "enableRateLimit": False, "verify": False})
        client.verify = False
        return client.private_post_order({"symbol": "BTCUSDT", "way": "plain_ccxt"})

    def plain_ccxt_async() -> object:
        import ccxt.async_support

        async def order() -> object:
            client = ccxt.async_support.binance({"apiKey": "key", "secret": "secret", "enableRateLimit": False})
            client.verify = False
            try:
                return await client.private_post_order({"symbol": "BTCUSDT", "way": "plain_ccxt_async"})
            finally:
                await client.close()

        return _in_thread(lambda: asyncio.run(order()))

    def requests() -> object:
        import requests as library

        return library.post(_address("requests"), timeout=5)

    def urllib_() -> object:
        return urllib.request.urlopen(_address("urllib_"), data=b"symbol=BTCUSDT", timeout=5).read()

    def bare_socket() -> object:
        with socket.create_connection((HOST, 80), timeout=5) as wire:
            wire.sendall(f"POST {PATH}?way=bare_socket HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
            return wire.recv(100)

    ways = (plain_ccxt, plain_ccxt_async, requests, urllib_, bare_socket)
    return {way.__name__: way for way in ways}


def beside_it() -> dict[str, Callable[[], object]]:
    """Ways of its children, and of C code that knows nothing of Python's sockets."""

    def child_python() -> object:
        return subprocess.run([sys.executable, "-c", _PLAIN_POST, "child_python"], check=True, timeout=20)

    def child_shell() -> object:
        line = (
            f"exec 3<>/dev/tcp/{HOST}/80; printf 'POST {PATH}?way=child_shell HTTP/1.1\\r\\n\\r\\n' >&3; head -c 9 <&3"
        )
        return subprocess.run(["bash", "-c", line], check=True, timeout=20, stdout=subprocess.DEVNULL)

    def forked() -> object:
        child = os.fork()
        if not child:
            try:
                exec(_PLAIN_POST.replace("sys.argv[1]", "'forked'"), {})
                os._exit(0)
            except BaseException:
                os._exit(1)
        return os.waitpid(child, 0)

    def c_library() -> object:
        """The C library's own calls, past the interpreter's audit."""
        import ctypes

        libc = ctypes.CDLL(None, use_errno=True)
        address = _looked_up_by_c(libc)
        wire = libc.socket(socket.AF_INET, socket.SOCK_STREAM, 0)
        if wire < 0:
            raise OSError(ctypes.get_errno(), "no socket")
        text = f"POST {PATH}?way=c_library HTTP/1.1\r\n\r\n".encode()
        if libc.connect(wire, address, len(address)):
            raise OSError(ctypes.get_errno(), "no connection")
        libc.send(wire, text, len(text), 0)
        libc.recv(wire, ctypes.create_string_buffer(9), 9, 0)
        return libc.close(wire)

    ways = (child_python, child_shell, forked, c_library)
    return {way.__name__: way for way in ways}


def tried(ways: dict[str, Callable[[], object]]) -> dict[str, str]:
    """What became of each way: "" where nothing stopped it."""
    became = {}
    for name, way in ways.items():
        try:
            way()
            became[name] = ""
        except BaseException as error:
            became[name] = f"{type(error).__name__}: {error}"[:200]
    return became


@dataclass(frozen=True)
class Hostile(Strategy):
    """Wants to hold, and tries all ways at its first candle. What became of them lies beside this file."""

    @property
    def lookback(self) -> int:
        return 1

    def exposure(self) -> pl.Expr:
        told = Path(__file__).with_name("became.txt")
        if not told.exists():
            told.touch()
            became = tried({**in_process(), **beside_it()})
            told.write_text("".join(f"{name}\t{words}\n" for name, words in became.items()))
        return pl.lit(1.0)


def _address(way: str) -> str:
    return f"http://{HOST}{PATH}?{urllib.parse.urlencode({'way': way})}"


def _in_thread(work: Callable[[], object]) -> object:
    """The engine has a loop of its own in this thread."""
    found: list[object] = []

    def body() -> None:
        try:
            found.append(work())
        except BaseException as error:
            found.append(error)

    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    if isinstance(found[0], BaseException):
        raise found[0]
    return found[0]


def _looked_up_by_c(libc: object) -> bytes:
    """`sockaddr_in` of the trading host at port 80: found out by a child, as C code would by itself."""
    code = f"import socket; print(socket.gethostbyname('{HOST}'))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=20, check=False)
    octets = socket.inet_aton(found.stdout.strip() or "10.213.1.13")
    return socket.AF_INET.to_bytes(2, sys.byteorder) + (80).to_bytes(2) + octets + bytes(8)


if __name__ == "__main__":
    print(tried({**in_process(), **beside_it()}))
