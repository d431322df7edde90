"""Where nothing gets past: the one kind of HTTP and WebSocket session of the package.

Three places are checked, each below everything that a library or a caller can override:

- the *connector*, which each request needs for its connection, whatever middleware, proxy or redirect led there: the
  request must be one that `Rules` let out, go straight to its host, and have its weight paid (an `Attempt`);
- the *writer* of each WebSocket, through which every frame goes, however it was sent (`frames`);
- the *resolver*, which knows no name but the session's own hosts.

What may leave is the business of the `Rules` that a session is made with: market data without a key (`rules`), a signed
read (`signed_rules`), this machine's public address (`address`) or, armed, orders (`order_rules`). A refusal raises
`Refused` before the socket and is written to the egress log.

What does not use these sessions meets the `wall`, which lets a run's process connect only from inside a session's
`connect`; C code and children meet the kernel, in a run that is sealed (`seal`): there the connections come from a
`gate`. Nothing else in the package makes a client (tested).
"""

from __future__ import annotations

import socket
import time
from contextvars import ContextVar
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.client_middlewares import ClientHandlerType
from yarl import URL

from quantlab.exchange.egress import EgressLog
from quantlab.exchange.frames import guarded_web_socket
from quantlab.exchange.rules import Rules
from quantlab.exchange.walls import gate, wall
from quantlab.model.errors import MalformedMessage, Refused

_MAX_CONNECTIONS = 16


class Attempt:
    """Leave to ask once, and what came back. A request without one is refused: its weight was not paid.

    `sent_s` and `answered_s` are monotonic seconds: when the connection stood, and when the answer began.
    """

    __slots__ = ("answered_s", "body", "headers", "sent_s", "status", "url")

    def __init__(self) -> None:
        self.url: URL | None = None
        self.sent_s = self.answered_s = 0.0
        self.status = 0
        self.headers: dict[str, str] = {}
        self.body: bytes | None = None  # None until the whole answer is here

    @property
    def left(self) -> bool:
        """True once a connection stood and the request may have been written."""
        return self.url is not None

    @property
    def used_weight(self) -> int | None:
        """The exchange's own count of its minute, where the answer told it."""
        value = next((told for name, told in self.headers.items() if name.lower() == "x-mbx-used-weight-1m"), "")
        # Nine digits are beyond any minute's weight: what is longer, or no plain digit, is no count.
        return int(value) if value.isascii() and value.isdecimal() and len(value) <= 9 else None


#: The attempt that the running task is making.
ATTEMPT: ContextVar[Attempt | None] = ContextVar("attempt", default=None)


class ConnectionDropped(aiohttp.ServerDisconnectedError):
    """aiohttp wants to ask again by itself on a dropped connection: the weight of that has to be paid first."""


def guarded_session(rules: Rules, log: EgressLog, timeout_s: float) -> aiohttp.ClientSession:
    """The session that everything leaves by, as far as `rules` let it. Made inside a running loop; the caller closes
    it."""
    return aiohttp.ClientSession(
        connector=_Connector(rules, log),
        middlewares=(_answer_reader(log, rules.most_bytes),),
        ws_response_class=guarded_web_socket(rules, log),
        timeout=aiohttp.ClientTimeout(total=timeout_s),
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
    )


class _Connector(aiohttp.TCPConnector):
    """Gives a connection to a request that may leave, and to no other."""

    def __init__(self, rules: Rules, log: EgressLog) -> None:
        keys = gate.keys()
        through_gate: dict[str, Any] = {} if keys is None else {"socket_factory": keys.connection}
        #: What this session's resolver gave: where the wall lets it connect to.
        self._addresses: set[tuple[str, int]] = set()
        resolver = _Resolver(rules.hosts, self._addresses, keys)
        super().__init__(resolver=resolver, use_dns_cache=keys is None, limit=_MAX_CONNECTIONS, **through_gate)
        self._rules = rules
        self._egress = log

    async def connect(
        self,
        req: aiohttp.ClientRequest,
        traces: list[Any],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - aiohttp's signature
    ) -> aiohttp.connector.Connection:
        attempt = ATTEMPT.get()
        fault = (
            self._rules.fault(req.method, req.url, req.headers)
            or _transport_fault(req)
            or _attempt_fault(attempt, req.url)
        )
        if fault is not None or attempt is None:
            self._egress.refused(req.method, req.url.raw_authority, req.url.raw_path, fault or "")
            raise Refused(f"{req.method} {req.url.raw_path} refused: {fault}. {self._rules.creed}")
        if wall.is_numeric(req.url.raw_host or ""):  # aiohttp asks no resolver for it
            self._addresses.add((req.url.raw_host or "", req.url.port or 0))
        with wall.opened(self._addresses), gate.handing_over():
            connection = await super().connect(req, traces, timeout)
        attempt.url, attempt.sent_s = req.url, time.monotonic()
        return connection


class _Resolver(AbstractResolver):
    """Knows the hosts it was made with and no other name. Asks the system or, where the process is sealed, the gate."""

    def __init__(
        self, hosts: frozenset[str], addresses: set[tuple[str, int]], keys: gate.GateKeys | None = None
    ) -> None:
        self._hosts = hosts
        self._addresses = addresses
        self._gate = keys
        self._system = aiohttp.ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        if host not in self._hosts:
            raise Refused(f"the name {host} is not resolved: this door opens to {', '.join(sorted(self._hosts))}")
        if self._gate is not None:
            return [_result(host, await self._gate.resolve(host, port), port)]
        wall.may_resolve(host)
        found = await self._system.resolve(host, port, family)
        self._addresses.update((result["host"], result["port"]) for result in found)
        return found

    async def close(self) -> None:
        await self._system.close()


def _result(host: str, address: str, port: int) -> ResolveResult:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return ResolveResult(
        hostname=host, host=address, port=port, family=family, proto=socket.IPPROTO_TCP, flags=socket.AI_NUMERICHOST
    )


def _transport_fault(req: aiohttp.ClientRequest) -> str | None:
    if req.proxy is not None:
        return "it would go through a proxy"
    if req.body != b"":
        return "it carries a body"
    if req.ssl is not True or req.server_hostname is not None:
        return "it would change how the exchange's certificate is checked"
    return None


def _attempt_fault(attempt: Attempt | None, url: URL) -> str | None:
    """A request needs an attempt that has not left yet. Raises ConnectionDropped where aiohttp asks the same again."""
    if attempt is None:
        return "its weight was not paid: ask through the door's `rest` or `feed`"
    if attempt.url == url:
        raise ConnectionDropped()
    return None if attempt.url is None else "it would follow a redirect"


def _answer_reader(log: EgressLog, most_bytes: int | None) -> Any:
    """Middleware: the raw answer is kept with its attempt, and a redirect ends here."""

    async def read(req: aiohttp.ClientRequest, handler: ClientHandlerType) -> aiohttp.ClientResponse:
        response = await handler(req)
        attempt = ATTEMPT.get()
        if attempt is None:  # cannot be: the connector asks first
            response.close()
            raise Refused("an answer came to no attempt")
        attempt.answered_s = time.monotonic()
        attempt.status = response.status
        attempt.headers = dict(response.headers)
        if 300 <= response.status < 400:
            response.close()
            log.refused("GET", req.url.raw_authority, req.url.raw_path, f"redirect ({response.status}) not followed")
            raise Refused(f"{req.url.raw_path} was answered with a redirect ({response.status}): not followed")
        if response.status != 101:
            attempt.body = await response.read() if most_bytes is None else await _read_at_most(response, most_bytes)
        return response

    return read


async def _read_at_most(response: aiohttp.ClientResponse, most_bytes: int) -> bytes:
    """The whole answer. One that cannot be read to its end is closed: left open, aiohttp warns with its address."""
    body = bytearray()
    try:
        while chunk := await response.content.read(most_bytes + 1 - len(body)):
            body += chunk
            if len(body) > most_bytes:
                raise MalformedMessage(f"the answer of {response.url.raw_host} is longer than {most_bytes} bytes")
    except BaseException:
        response.close()
        raise
    return bytes(body)
