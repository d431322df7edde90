"""`guarded_session` is the only place of the room that makes a client, and ccxt is only loaded when it is needed."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import quantlab.exchange

ROOM = Path(quantlab.exchange.__file__).parent
#: What opens a way out: sessions, connectors, sockets, other client libraries.
MAKERS = {
    "ClientSession",
    "TCPConnector",
    "UnixConnector",
    "request",
    "open_connection",
    "create_connection",
    "create_datagram_endpoint",
    "sock_connect",
    "urlopen",
    "HTTPConnection",
    "HTTPSConnection",
}
LIBRARIES = {"socket", "ssl", "http", "urllib.request", "requests", "httpx", "websockets", "picows", "urllib3"}


def ways_out(source: str) -> list[str]:
    """Names of what this source makes or imports that could open a connection."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            called = node.func
            name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
            found += [name] if name in MAKERS else []
        elif isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if alias.name in LIBRARIES]
        elif isinstance(node, ast.ImportFrom):
            found += [node.module] if node.module in LIBRARIES else []
    return found


def test_only_the_guard_makes_a_client() -> None:
    found = {path.relative_to(ROOM).as_posix(): ways_out(path.read_text()) for path in ROOM.rglob("*.py")}
    assert found.pop("guard.py") == ["socket", "ClientSession"], "one session; `socket` for the resolver's types"
    assert found.pop("walls/gatekeeper.py") == ["socket", "create_connection"], "a process of its own: two addresses"
    assert found.pop("walls/gate.py") == ["socket"], "takes connections over"
    assert found.pop("walls/seal.py") == ["socket"], "tries whether the kernel refuses"
    assert found.pop("walls/wall.py") == ["socket", "create_connection", "create_datagram_endpoint"], "refuses them"
    assert {name: ways for name, ways in found.items() if ways} == {}


def test_the_search_finds_a_second_way_out() -> None:
    """The control."""
    assert ways_out("import aiohttp\nsession = aiohttp.ClientSession()") == ["ClientSession"]
    assert ways_out("from urllib.request import urlopen\nurlopen('http://x')") == ["urllib.request", "urlopen"]


def test_ccxt_is_loaded_when_it_is_needed() -> None:
    code = "import sys, quantlab.exchange; print('ccxt' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "False"
