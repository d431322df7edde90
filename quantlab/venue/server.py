"""The replay venue: a Binance-compatible exchange on loopback. Written from Binance's documentation, so that it and the
client can disagree. It counts and records everything it is asked."""

from __future__ import annotations

import asyncio
import errno
import gzip
import json
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from quantlab.model.errors import ConfigurationError
from quantlab.venue.account import Account
from quantlab.venue.answers import PUBLIC, symbols_asked
from quantlab.venue.errors import VenueError
from quantlab.venue.faults import Fault, Faults
from quantlab.venue.keys import KeyRing
from quantlab.venue.limits import WeightLimit, weight_of
from quantlab.venue.log import RequestLog
from quantlab.venue.pacer import Pacer
from quantlab.venue.source import Market
from quantlab.venue.streams import Connection

#: Request weight a minute and address. Source: Binance spot REST docs, checked 2026-11-23.
WEIGHT_A_MINUTE = 6_000
_CONNECTIONS_IN_5_MIN = 300


class Venue:
    """`async with Venue(market) as venue:` serves it at `venue.url`. `keys` maps API keys to their HMAC secrets."""

    def __init__(
        self,
        market: Market,
        *,
        speed: float | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        keys: Mapping[str, str] | None = None,
        weight_limit: int = WEIGHT_A_MINUTE,
    ) -> None:
        self.market = market
        self.log = RequestLog(lambda: market.now_ms)
        self.faults = Faults()
        self.account = Account(market.symbols)
        self.connections: dict[Connection, None] = {}
        self.pacer = Pacer(market, self.connections.keys(), self.faults, speed)
        self._host, self._port = host, port
        self._keys = KeyRing(keys)
        self._limit, self._wallet_limit = WeightLimit(weight_limit), WeightLimit(12_000)
        self._runner: web.AppRunner | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        return f"http://{self._host}:{self._port}"

    async def __aenter__(self) -> Venue:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listen. Raises ConfigurationError when the port is taken."""
        app = web.Application(client_max_size=1 << 20)
        app.router.add_route("*", "/{path:.*}", self._serve)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._host, self._port)
        try:
            await site.start()
        except OSError as error:
            await self._runner.cleanup()
            if error.errno == errno.EADDRINUSE:
                words = f"port {self._port} on {self._host} is taken: choose another with --port, or 0 for a free one"
                raise ConfigurationError(words) from None
            raise
        self._port = self._runner.addresses[0][1]
        self._task = asyncio.create_task(self.pacer.play())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        for connection in tuple(self.connections):
            connection.drop()
        if self._runner is not None:
            await self._runner.cleanup()

    def clock(self) -> dict[str, Any]:
        """What is played, and how far it is."""
        market = self.market
        return {
            "kind": market.kind,
            "name": market.name,
            "symbols": list(market.symbols),
            "intervals": list(market.intervals),
            "start_ms": market.start_ms,
            "end_ms": market.end_ms,
            "market_ms": market.now_ms,
            "ended": self.pacer.ended,
            "speed": self.pacer.speed,
            "frames": self.pacer.frames,
        }

    # -- routes -----------------------------------------------------------------------------------------------------

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        path = request.path
        if path.startswith("/__venue__/"):
            return await self._inspect(request)
        if path == "/stream" or path == "/ws" or path.startswith("/ws/"):
            return await self._stream(request)
        if path.startswith("/ws-api/"):
            return await self._socket_api(request)
        return await self._rest(request)

    async def _rest(self, request: web.Request) -> web.StreamResponse:
        method, path = request.method, request.path
        body = await request.text() if method != "GET" else ""
        params = {**request.query}
        for part in body.split("&") if body else ():
            name, _, value = part.partition("=")
            params.setdefault(name, value)
        raw_query = "&".join(part for part in (request.query_string, body) if part)
        api_key = request.headers.get("X-MBX-APIKEY")
        weight, status, headers = 1, 200, {}
        fault = self.faults.rest(path)
        try:
            asked = symbols_asked(self.market, params) if path in PUBLIC else None
            weight = weight_of(method, path, params, len(asked) if asked is not None else 0)
            limit = self._wallet_limit if path.startswith("/sapi/") else self._limit
            used = limit.take(weight)
            headers = self._used(path, used)
            if fault is not None and fault.kind == "status":
                raise VenueError(fault.code, fault.msg, fault.status, _retry(fault))
            if path in PUBLIC and method == "GET":
                answer = PUBLIC[path](self.market, params)
            else:
                self._keys.check(api_key, raw_query, params)
                answer = self.account.answer(method, path, params)
            text = json.dumps(answer, separators=(",", ":"))
        except VenueError as error:
            status = error.status
            headers = {**headers, **error.headers}
            text = json.dumps({"code": error.code, "msg": error.message}, separators=(",", ":"))
        self.log.add(
            "rest", method, path, query=raw_query, weight=weight, signed="signature" in params,
            has_key=api_key is not None, status=status,
        )  # fmt: skip
        if fault is not None and fault.kind != "status":
            return await self._faulty(request, fault, text, headers)
        return _json(request, text, status, headers)

    async def _faulty(
        self, request: web.Request, fault: Fault, text: str, headers: dict[str, str]
    ) -> web.StreamResponse:
        if fault.kind == "latency":
            await asyncio.sleep(fault.ms / 1000)
            return _json(request, text, 200, headers)
        if fault.kind == "html":
            return web.Response(text="<html><body>maintenance</body></html>", content_type="text/html")
        if fault.kind == "truncate":
            return web.Response(text=text[: len(text) // 2], content_type="application/json", headers=headers)
        if request.transport is not None:
            request.transport.abort()
        return web.Response(status=500)

    @staticmethod
    def _used(path: str, used: int) -> dict[str, str]:
        if path.startswith("/sapi/"):
            return {"X-SAPI-USED-IP-WEIGHT-1M": str(used)}
        return {"X-MBX-USED-WEIGHT": str(used), "X-MBX-USED-WEIGHT-1M": str(used)}

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        combined = request.path == "/stream"
        names = request.query.get("streams", "").split("/") if combined else request.path.removeprefix("/ws").split("/")
        connection = Connection(request, combined=combined, log=self.log)
        self.log.add("ws", "GET", request.path, query=request.query_string, has_key="X-MBX-APIKEY" in request.headers)
        if not connection.subscribe_by_url(names) or len(self.connections) >= _CONNECTIONS_IN_5_MIN:
            return web.Response(status=400, text="Bad Request")
        await connection.socket.prepare(request)
        self.connections[connection] = None
        try:
            await connection.listen()
        finally:
            self.connections.pop(connection, None)
        return connection.socket

    async def _socket_api(self, request: web.Request) -> web.StreamResponse:
        """The WebSocket API: everything is recorded; only time, ping and exchangeInfo are played."""
        socket = web.WebSocketResponse(max_msg_size=1 << 20)
        self.log.add("ws", "GET", request.path, query=request.query_string)
        await socket.prepare(request)
        async for message in socket:
            text = message.data if isinstance(message.data, str) else message.data.hex()
            try:
                command = json.loads(text)
                number, method = command.get("id"), str(command.get("method"))
            except (ValueError, AttributeError):
                number, method = None, "?"
            self.log.add("frame", method, request.path, text=text, signed='"signature"' in text)
            path = f"/api/v3/{method}"
            if path in ("/api/v3/time", "/api/v3/ping", "/api/v3/exchangeInfo"):
                answer = {"id": number, "status": 200, "result": PUBLIC[path](self.market, {}), "rateLimits": []}
            else:
                fault = {"code": -2015, "msg": "Invalid API-key, IP, or permissions for action."}
                answer = {"id": number, "status": 401, "error": fault, "rateLimits": []}
            await socket.send_str(json.dumps(answer, separators=(",", ":")))
        return socket

    async def _inspect(self, request: web.Request) -> web.StreamResponse:
        what = request.path.removeprefix("/__venue__/")
        if what == "clock" and request.method == "GET":
            return web.json_response(self.clock())
        if what == "requests" and request.method == "GET":
            return web.json_response(self.log.report(int(request.query.get("after", 0))))
        if what == "requests" and request.method == "DELETE":
            self.log.clear()
            return web.json_response({})
        if what == "faults":
            if request.method != "GET":
                try:
                    self.faults.set(await request.json())
                except (ConfigurationError, ValueError) as error:
                    return web.json_response({"error": str(error)}, status=400)
            return web.json_response(self.faults.rows())
        return web.json_response({"error": "there are clock, requests, faults"}, status=404)


def _retry(fault: Fault) -> dict[str, str]:
    return {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}


def _json(request: web.Request, text: str, status: int, headers: dict[str, str]) -> web.Response:
    body = text.encode()
    headers = {**headers, "Content-Type": "application/json;charset=UTF-8"}
    if len(body) > 8192 and "gzip" in request.headers.get("Accept-Encoding", ""):
        body = gzip.compress(body, 1)
        headers["Content-Encoding"] = "gzip"
    return web.Response(body=body, status=status, headers=headers)
