"""Where nothing gets past: the one HTTP and WebSocket session of the package.

Three places are checked, each below everything that a library or a caller can override:

- the *connector*, which each request needs for its connection, whatever middleware, proxy or redirect led there;
- the *writer* of each WebSocket, through which every frame goes, however it was sent;
- the *resolver*, which knows no name but the door's own hosts.

A refusal raises `Refused` before the socket and is written to the egress log. This binds libraries and mistakes, not
code that means harm: Python in the same process can always open a socket of its own. Against that stand that nothing
else in the package makes a client (tested), and `quantlab run --sealed`, where the kernel refuses.
"""

from __future__ import annotations

import socket
from contextvars import ContextVar
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.client_middlewares import ClientHandlerType
from yarl import URL

from quantlab.exchange.egress import EgressLog
from quantlab.exchange.rules import Origins, checked_frame, request_fault
from quantlab.model.errors import Refused

_MAX_CONNECTIONS = 16


class Attempt:
    """Leave to ask once, and what came back. A request without one is refused: its weight was not paid."""

    __slots__ = ("body", "headers", "status", "url")

    def __init__(self) -> None:
        self.url: URL | None = None
        self.status = 0
        self.headers: dict[str, str] = {}
        self.body: bytes | None = None  # None until the whole answer is here

    @property
    def left(self) -> bool:
        """True once a connection stood and the request may have been written."""
        return self.url is not None


#: The attempt that the running task is making.
ATTEMPT: ContextVar[Attempt | None] = ContextVar("attempt", default=None)


class ConnectionDropped(aiohttp.ServerDisconnectedError):
    """aiohttp wants to ask again by itself on a dropped connection: the weight of that has to be paid first."""


def guarded_session(origins: Origins, log: EgressLog, timeout_s: float) -> aiohttp.ClientSession:
    """The session that everything leaves by. Made inside a running loop; the caller closes it."""
    return aiohttp.ClientSession(
        connector=_Connector(origins, log),
        middlewares=(_answer_reader(log),),
        ws_response_class=_web_socket_class(log),
        timeout=aiohttp.ClientTimeout(total=timeout_s),
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
    )


class _Connector(aiohttp.TCPConnector):
    """Gives a connection to a request that may leave, and to no other."""

    def __init__(self, origins: Origins, log: EgressLog) -> None:
        super().__init__(resolver=_Resolver(origins.hosts), limit=_MAX_CONNECTIONS)
        self._origins = origins
        self._egress = log

    async def connect(
        self,
        req: aiohttp.ClientRequest,
        traces: list[Any],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - aiohttp's signature
    ) -> aiohttp.connector.Connection:
        attempt = ATTEMPT.get()
        fault = request_fault(self._origins, req.method, req.url, req.headers) or _transport_fault(req)
        if fault is None and attempt is None:
            fault = "its weight was not paid: ask through the door's `rest` or `feed`"
        elif fault is None and attempt is not None and attempt.url is not None:
            if attempt.url == req.url:
                raise ConnectionDropped()
            fault = "it would follow a redirect"
        if fault is not None or attempt is None:
            self._egress.refused(req.method, req.url.raw_authority, req.url.raw_path, fault or "")
            raise Refused(f"{req.method} {req.url.raw_path} refused: {fault}. Paper trading only reads market data")
        connection = await super().connect(req, traces, timeout)
        attempt.url = req.url
        return connection


class _Resolver(AbstractResolver):
    """Knows the door's own hosts and no other name."""

    def __init__(self, hosts: frozenset[str]) -> None:
        self._hosts = hosts
        self._system = aiohttp.ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        if host not in self._hosts:
            raise Refused(f"the name {host} is not resolved: this door opens to {', '.join(sorted(self._hosts))}")
        return await self._system.resolve(host, port, family)

    async def close(self) -> None:
        await self._system.close()


def _transport_fault(req: aiohttp.ClientRequest) -> str | None:
    if req.proxy is not None:
        return "it would go through a proxy"
    if req.body != b"":
        return "it carries a body"
    if req.ssl is not True or req.server_hostname is not None:
        return "it would change how the exchange's certificate is checked"
    return None


def _answer_reader(log: EgressLog) -> Any:
    """Middleware: the raw answer is kept with its attempt, and a redirect ends here."""

    async def read(req: aiohttp.ClientRequest, handler: ClientHandlerType) -> aiohttp.ClientResponse:
        response = await handler(req)
        attempt = ATTEMPT.get()
        if attempt is None:  # cannot be: the connector asks first
            response.close()
            raise Refused("an answer came to no attempt")
        attempt.status = response.status
        attempt.headers = dict(response.headers)
        if 300 <= response.status < 400:
            response.close()
            log.refused("GET", req.url.raw_authority, req.url.raw_path, f"redirect ({response.status}) not followed")
            raise Refused(f"{req.url.raw_path} was answered with a redirect ({response.status}): not followed")
        if response.status != 101:
            attempt.body = await response.read()
        return response

    return read


def _web_socket_class(log: EgressLog) -> type[aiohttp.ClientWebSocketResponse]:
    class GuardedWebSocket(aiohttp.ClientWebSocketResponse):
        """All of aiohttp's ways to send (`send_str`, `send_bytes`, `send_json`, `send_frame`, `ping`, `close`) write
        through `_writer`: so does this, and what it lets pass is checked."""

        def __init__(self, reader: Any, writer: Any, protocol: Any, response: Any, *args: Any, **options: Any) -> None:
            checked = _checked_writer(writer, log, response.url)
            super().__init__(reader, checked, protocol, response, *args, **options)

    return GuardedWebSocket


def _checked_writer(writer: Any, log: EgressLog, url: URL) -> Any:
    """`writer` behind the frame rules. It lives in the closure, so that no attribute leads around the check."""

    class Writer:
        async def send_frame(self, message: bytes, opcode: int, compress: int | None = None) -> None:
            if opcode in (aiohttp.WSMsgType.PING, aiohttp.WSMsgType.PONG, aiohttp.WSMsgType.CLOSE):
                await writer.send_frame(message, opcode)
                return
            try:
                if opcode != aiohttp.WSMsgType.TEXT:
                    raise Refused(f"stream frame refused: {opcode!r} is not a text frame")
                frame = checked_frame(bytes(message))
            except Refused as refusal:
                log.refused("FRAME", url.raw_authority, url.raw_path, str(refusal))
                raise
            await writer.send_frame(frame, opcode)
            log.command(url.raw_authority, frame)

        async def close(self, code: int = 1000, message: bytes = b"") -> None:
            await writer.close(code, message)

    return Writer()
