"""A wall inside the engine's process: Python code in it connects nowhere but where a guarded session is connecting.

`guard` decides what its own sessions let out. This keeps everything else in the process from having a session at all:
a plain ccxt client, `requests`, `urllib` or a bare socket in a strategy's file. It is an audit hook (PEP 578): the
interpreter calls it before each `connect`, `bind`, `sendto` and name lookup, and it cannot be removed.

It stands against libraries and mistakes. Code that means harm, in this process, can reach into this module and empty
the hook: against that stands the kernel (`seal`).

A connection is granted by three things together: the code runs inside a guarded session's `connect` (a context
variable), the address is one that this session's resolver gave, and the port is the one it was asked for.

What it does not bind: C code with sockets of its own (libcurl, a Polars scan of an `https` path, `ctypes`), and child
processes. `walled` covers the one such library that the engine itself uses, uvloop. Against all others stands the
kernel: `seal`.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NoReturn, TypeVar, cast

from quantlab.model.errors import Refused

Loop = TypeVar("Loop", bound=asyncio.AbstractEventLoop)

_log = logging.getLogger(__name__)

#: What the guarded session that is connecting just now, in this task, may connect to: (numeric address, port).
_OPEN: ContextVar[set[tuple[str, int]] | None] = ContextVar("open", default=None)
#: Names that guarded sessions of this process may resolve. Their lookups run in threads, which have no context.
_NAMES: set[str] = set()
_standing = False


def stand() -> None:
    """Put the wall up, for the rest of this process's life. For a process that only trades on paper."""
    global _standing
    if not _standing:
        _standing = True
        sys.addaudithook(_look)


@contextmanager
def opened(addresses: set[tuple[str, int]]) -> Iterator[None]:
    """For as long as this lasts, in this task, `addresses` may be connected to."""
    token = _OPEN.set(addresses)
    try:
        yield
    finally:
        _OPEN.reset(token)


def may_resolve(name: str) -> None:
    """From now on `name` may be looked up in this process."""
    _NAMES.add(name)


def is_numeric(host: str) -> bool:
    """Whether `host` is an address already, which nobody has to resolve."""
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


def walled(loop_class: type[Loop]) -> type[Loop]:
    """`loop_class` without those of its methods that resolve, connect or bind in C, past the interpreter's hooks."""

    class Walled(loop_class):  # type: ignore[valid-type,misc]
        async def getaddrinfo(self, host: Any, port: Any, **options: Any) -> Any:
            _look_at_name(host)
            return await super().getaddrinfo(host, port, **options)

        async def create_connection(self, factory: Any, host: Any = None, port: Any = None, **options: Any) -> Any:
            if host is not None or port is not None:
                _refuse("connect to", f"{host}:{port}")
            return await super().create_connection(factory, **options)

        async def create_server(self, factory: Any, host: Any = None, port: Any = None, **options: Any) -> Any:
            if host is not None or port is not None:
                _refuse("bind to", f"{host}:{port}")
            return await super().create_server(factory, **options)

        async def create_datagram_endpoint(self, factory: Any, *addresses: Any, **options: Any) -> Any:
            if any(addresses) or options.get("local_addr") or options.get("remote_addr"):
                _refuse("send to", "an address by UDP")
            return await super().create_datagram_endpoint(factory, **options)

    return cast("type[Loop]", Walled)


def _look(event: str, arguments: tuple[Any, ...]) -> None:
    """The hook. It is called for each import and each opened file too: other events cost one look-up."""
    check = _CHECKS.get(event)
    if check is not None:
        check(*arguments)


def _look_at_connect(sock: socket.socket, address: Any) -> None:
    if sock.family == socket.AF_UNIX:
        return
    granted = _OPEN.get()
    if granted is None or not isinstance(address, tuple) or address[:2] not in granted:
        _refuse("connect to", _shown(address))


def _look_at_bind(sock: socket.socket, address: Any) -> None:
    local = isinstance(address, tuple) and is_numeric(address[0]) and ipaddress.ip_address(address[0]).is_loopback
    if sock.family != socket.AF_UNIX and not local:  # libraries try out whether there is IPv6
        _refuse("bind to", _shown(address))


def _look_at_send(sock: socket.socket, address: Any) -> None:
    if address is not None and sock.family != socket.AF_UNIX:
        _refuse("send to", _shown(address))


def _look_at_name(host: Any, *rest: Any) -> None:
    name = host.decode("ascii", "replace") if isinstance(host, bytes) else host
    if name and name not in _NAMES and not is_numeric(str(name)):
        _refuse("look up", str(name))


_CHECKS: dict[str, Callable[..., None]] = {
    "socket.connect": _look_at_connect,
    "socket.bind": _look_at_bind,
    "socket.sendto": _look_at_send,
    "socket.sendmsg": _look_at_send,
    "socket.getaddrinfo": _look_at_name,
    "socket.gethostbyname": _look_at_name,
    "socket.gethostbyaddr": _look_at_name,
}


def _shown(address: Any) -> str:
    return ":".join(map(str, address[:2])) if isinstance(address, tuple) else repr(address)


def _refuse(what: str, where: str) -> NoReturn:
    """Say so in the log too: who asked may keep the error to himself."""
    _log.warning("refused before the socket: something in this process would %s %s", what, where)
    raise Refused(
        f"this process does not {what} {where}: a paper run speaks to its exchange through the door and to nobody else"
    )
