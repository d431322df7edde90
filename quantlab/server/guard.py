"""One guard in front of everything, pure ASGI: it answers before any body is read and before any route is looked up.

In this order: Host (a web page can rebind its name to 127.0.0.1, but not the Host header it sends), Origin (only pages
that were allowed), then the bearer token, compared as bytes in constant time. A CORS pre-flight of an allowed origin
carries no token and needs none.
"""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable, Collection, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_SECURITY = (
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-site"),
)


class Guard:
    """Wraps an ASGI application. `hosts` are names without port, `origins` whole, such as http://localhost:3000.

    `token` may do everything, `read_token` (shared with other machines) may only read.
    """

    def __init__(
        self,
        app: App,
        *,
        token: bytes,
        read_token: bytes | None = None,
        hosts: Collection[str],
        origins: Collection[str],
    ) -> None:
        self._app = app
        self._token = token
        self._read_token = read_token
        self._hosts = {host.lower().encode() for host in hosts}
        self._origins = {origin.encode() for origin in origins}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            return  # no lifespan: the application has nothing to start
        headers = {name.lower(): value for name, value in scope["headers"]}
        origin = headers.get(b"origin")
        refusal = self._refusal(headers, origin)
        if refusal is not None:
            await _refuse(scope, send, *refusal, self._cors(origin))
        elif scope["type"] == "http" and scope["method"] == "OPTIONS" and b"access-control-request-method" in headers:
            await _answer(send, 204, b"", [*self._cors(origin), *_PREFLIGHT])
        elif not (scopes := self._scopes(headers)):
            extra = [*self._cors(origin), (b"www-authenticate", b"Bearer")]
            await _refuse(scope, send, 401, "send the token: Authorization: Bearer …", extra)
        elif "command" not in scopes and scope.get("method") not in ("GET", "HEAD"):
            words = "this token may only read: commands need the local one, from api-token in QUANTLAB_HOME"
            await _refuse(scope, send, 403, words, self._cors(origin))
        else:
            await self._app(scope, receive, self._adding(send, self._cors(origin)))

    def _refusal(self, headers: dict[bytes, bytes], origin: bytes | None) -> tuple[int, str] | None:
        if _name(headers.get(b"host", b"")) not in self._hosts:
            return 400, "this Host is not served here: add it to API_ALLOWED_HOSTS"
        if origin is not None and origin not in self._origins:
            return 403, "pages of this origin may not ask: add it to API_CORS_ORIGINS"
        return None

    def _scopes(self, headers: dict[bytes, bytes]) -> tuple[str, ...]:
        """What the token sent may do; both are compared always, so that the time tells nothing."""
        scheme, _, given = headers.get(b"authorization", b"").partition(b" ")
        is_local = hmac.compare_digest(given.strip(), self._token)
        is_shared = self._read_token is not None and hmac.compare_digest(given.strip(), self._read_token)
        if scheme.lower() != b"bearer":
            return ()
        return ("read", "command") if is_local else ("read",) if is_shared else ()

    def _cors(self, origin: bytes | None) -> list[tuple[bytes, bytes]]:
        if origin is None or origin not in self._origins:
            return []
        return [(b"access-control-allow-origin", origin), (b"vary", b"Origin")]

    @staticmethod
    def _adding(send: Send, extra: list[tuple[bytes, bytes]]) -> Send:
        async def adding(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *_SECURITY, *extra]
            await send(message)

        return adding


_PREFLIGHT = (
    (b"access-control-allow-methods", b"GET, POST"),
    (b"access-control-allow-headers", b"authorization, content-type, last-event-id"),
    (b"access-control-max-age", b"600"),
)


def _name(host: bytes) -> bytes:
    """The Host header's name, without port; brackets of an IPv6 address are taken off."""
    if host.startswith(b"["):
        return host[1 : host.find(b"]")].lower()
    return host.partition(b":")[0].lower()


async def _refuse(scope: Scope, send: Send, status: int, words: str, extra: list[tuple[bytes, bytes]]) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008})
        return
    await _answer(send, status, b'{"detail":"%s"}' % words.encode(), [(b"content-type", b"application/json"), *extra])


async def _answer(send: Send, status: int, body: bytes, extra: list[tuple[bytes, bytes]]) -> None:
    headers = [(b"content-length", str(len(body)).encode()), *_SECURITY, *extra]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
