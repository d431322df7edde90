"""No way to a wire that the import contracts cannot see: submodules, openers of asyncio, modules loaded by name."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "quantlab"

#: Where docs/design.md has a wire.
WIRED = ("exchange/", "venue/", "server/", "fleet/control.py")
_MODULES = {"urllib.request", "http.client", "xmlrpc.client", "multiprocessing.connection", "multiprocessing.managers"}
_MODULES |= {"socket", "_socket", "aiohttp", "httpx", "requests", "urllib3", "websockets", "picows", "zmq", "tornado"}
_OPENERS = {"open_connection", "open_unix_connection", "create_connection", "create_unix_connection", "start_server"}
_OPENERS |= {"create_datagram_endpoint", "create_server", "create_unix_server", "start_unix_server", "sock_connect"}
_LOADERS = {"import_module", "__import__", "find_spec"}


def ways_out(source: str) -> Iterator[str]:
    """Names in `source` that open a wire or load what does."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                yield from (name.name for name in names if name.name in _MODULES)
            case ast.ImportFrom(module=str(module), names=names):
                yield from (f"{module}.{n.name}" for n in names if {module, f"{module}.{n.name}"} & _MODULES)
                yield from (f"{module}.{n.name}" for n in names if n.name in _OPENERS)
            case ast.Attribute(attr=attr) if attr in _OPENERS:
                yield attr
            case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name), args=[ast.Constant(value=str(what)), *_]):
                if name in _LOADERS and (what in _MODULES or what.partition(".")[0] in _MODULES):
                    yield what


def test_only_the_rooms_with_a_wire_open_one() -> None:
    found = {
        place: names
        for file in sorted(PACKAGE.rglob("*.py"))
        if not (place := file.relative_to(PACKAGE).as_posix()).startswith(WIRED)
        and (names := sorted(ways_out(file.read_text("utf-8"))))
    }
    assert found == {}


@pytest.mark.parametrize(
    "source",
    [
        "import urllib.request",
        "from urllib import request",
        "from urllib.request import urlopen",
        "import http.client as h",
        "from asyncio import open_connection",
        "async def f(): await asyncio.open_connection('127.0.0.1', 1)",
        "async def f(loop): await loop.create_connection(print)",
        "importlib.import_module('socket')",
        "__import__('aiohttp.client')",
        "def f():\n    import socket",
    ],
)
def test_a_planted_way_out_is_seen(source: str) -> None:
    assert list(ways_out(source))


def test_harmless_neighbours_are_not() -> None:
    assert not list(ways_out("from urllib.parse import quote\nimport asyncio\nimportlib.import_module('json')"))


def test_the_places_with_a_wire_exist_and_use_it() -> None:
    """A path that no longer exists would allow nothing and say nothing."""
    for place in WIRED:
        files = [PACKAGE / place] if place.endswith(".py") else sorted((PACKAGE / place).rglob("*.py"))
        assert any(list(ways_out(file.read_text("utf-8"))) for file in files), place
