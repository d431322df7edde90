"""How a sealed process reaches the exchange: it asks a gate, which connects for it to two addresses and no others.

A sealed process cannot make a TCP socket (`seccomp`). Before it is sealed its parent starts a `Gate`: a tiny process
that was told the host and port of the exchange, and hands over connections to them (`gatekeeper`). So the wall knows
*hosts*, by name, and not only ports, as a rule in the kernel would: the kernel sees no names. The sealed process does
TLS itself and checks the certificate against the host's name, as ever; the gate reads no byte and holds no key.

A connection that was handed over stays what it is: leading it elsewhere would need `connect`, which is refused.
"""

from __future__ import annotations

import asyncio
import errno
import json
import socket
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from types import TracebackType
from typing import Any

from yarl import URL

from quantlab.model.errors import QuantlabError, Refused

_PROGRAM = Path(__file__).with_name("gatekeeper.py")
_START_S = 10.0
#: A numeric address is only ever loopback (`DoorConfig` sees to it): there a connection stands at once or never.
_AT_ONCE_S = 2.0
_MOST_BYTES = 4096


class Gate:
    """The owner's side: `with Gate(urls) as gate` runs the process; hand `gate.descriptor` to the one to be sealed.

    It ends when every holder of that descriptor has, or with this block. Raises QuantlabError when it does not start.
    """

    def __init__(self, urls: Iterable[URL]) -> None:
        self._addresses = sorted({f"{url.raw_host}:{url.port}" for url in urls})
        self.descriptor = -1

    def __enter__(self) -> Gate:
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.descriptor = self._channel.fileno()
        command = [sys.executable, "-I", "-S", str(_PROGRAM), str(theirs.fileno()), *self._addresses]
        with theirs:
            self._process = subprocess.Popen(
                command,
                env={},
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C is for the engine: the gate ends with it
            )
        self._channel.settimeout(_START_S)
        try:
            ready = self._channel.recv(16) == b"ready"
        except TimeoutError:
            ready = False
        self._channel.settimeout(None)
        if not ready:
            self.__exit__(None, None, None)
            raise QuantlabError("the gate of the sealed run did not start: run it again, or without --sealed")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._channel.close()
        try:
            self._process.wait(2)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class HandedOver(socket.socket):
    """A connection that stands already: who connects it finds it done."""

    def connect(self, address: Any) -> None:
        """Nothing is left to do."""


class GateKeys:
    """The sealed side: asks the gate at the other end of `descriptor` for connections."""

    def __init__(self, descriptor: int) -> None:
        self._channel = socket.socket(fileno=descriptor)
        self._channel.set_inheritable(False)

    def close(self) -> None:
        """Give the gate up: it ends when nobody holds it."""
        self._channel.close()

    async def resolve(self, host: str, port: int) -> str:
        """Have the gate resolve and connect; returns the address it is connected to. The connection, or why there is
        none, waits for `connection` in this task. Raises what a resolver raises (`socket.gaierror`), and Refused."""
        reply = self._ask(host, port)
        try:
            await _readable(reply)
            peer, found = _received(reply)
        finally:
            reply.close()
        if isinstance(found, socket.gaierror):
            raise found
        waiting = _WAITING.get()
        if waiting is None:
            raise Refused("a connection through the gate belongs to a request of a guarded session")
        waiting.append(found)
        return peer

    def connection(self, address: tuple[Any, ...]) -> socket.socket:
        """aiohttp's `socket_factory`: the connection that waits in this task. For a numeric address nobody was asked
        to resolve; the gate is asked here. Raises OSError where it has none."""
        waiting = _WAITING.get()
        if waiting:
            found = waiting.pop()
        else:
            host, port = address[4][:2]
            with self._ask(host, port) as reply:
                reply.settimeout(_AT_ONCE_S)
                found = _received(reply)[1]
        if isinstance(found, OSError):
            raise found
        return found

    def _ask(self, host: str, port: int) -> socket.socket:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            with theirs:
                socket.send_fds(self._channel, [f"{host}:{port}".encode("ascii", "replace")], [theirs.fileno()])
        except OSError:
            ours.close()
            raise _gone() from None
        return ours


#: Connections, or faults, that the gate gave for the request that is connecting in this task.
_WAITING: ContextVar[list[socket.socket | OSError] | None] = ContextVar("waiting", default=None)
_keys: GateKeys | None = None


def use(descriptor: int) -> None:
    """From now on every guarded session of this process goes through the gate at `descriptor`."""
    global _keys
    _keys = GateKeys(descriptor)


def keys() -> GateKeys | None:
    """The gate of this process; None where it is not sealed."""
    return _keys


@contextmanager
def handing_over() -> Iterator[None]:
    """Around one request's connecting: what the gate gave for it, and it did not take, is closed at the end."""
    waiting: list[socket.socket | OSError] = []
    token = _WAITING.set(waiting)
    try:
        yield
    finally:
        _WAITING.reset(token)
        for found in waiting:
            if isinstance(found, socket.socket):
                found.close()


def _received(reply: socket.socket) -> tuple[str, socket.socket | OSError]:
    """The gate's answer: the other side's address, and the connection or what kept it from standing."""
    line, descriptors, _, _ = socket.recv_fds(reply, _MOST_BYTES, 1)
    if not line:
        raise _gone()
    words = json.loads(line)
    if descriptors:
        return words["peer"], HandedOver(fileno=descriptors[0])
    if words["fault"] == "refused":
        raise Refused(f"the gate of this sealed run refuses: {words['text']}")
    kind = socket.gaierror if words["fault"] == "resolve" else OSError
    return "0.0.0.0", kind(words["errno"] or errno.EHOSTUNREACH, words["text"])  # noqa: S104 - nothing is bound


class GateGone(ConnectionResetError):
    """Nobody opens connections for this sealed process any more."""


def _gone() -> GateGone:
    return GateGone(errno.ECONNRESET, "the gate of this sealed run has ended: start the run again")


async def _readable(sock: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()

    def tell() -> None:
        if not ready.done():
            ready.set_result(None)

    loop.add_reader(sock.fileno(), tell)
    try:
        await ready
    finally:
        loop.remove_reader(sock.fileno())
