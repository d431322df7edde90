"""The replay venue: a Binance-compatible exchange on loopback. Written from Binance's documentation, so that it and the
client can disagree. It counts and records everything it is asked."""

from __future__ import annotations

import asyncio
import errno
import ipaddress
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from aiohttp import web

from quantlab.model.errors import ConfigurationError, Refused
from quantlab.venue.account import Account
from quantlab.venue.commands import Subscription
from quantlab.venue.faults import Faults
from quantlab.venue.inspection import Inspection
from quantlab.venue.keys import KeyRing
from quantlab.venue.limits import WALLET_WEIGHT_A_MINUTE, WEIGHT_A_MINUTE, RateLimit, WeightLimit
from quantlab.venue.listener import Listener
from quantlab.venue.log import RequestLog
from quantlab.venue.pacer import Pacer
from quantlab.venue.rest import Rest, key_fingerprint
from quantlab.venue.socket_api import SocketApi
from quantlab.venue.source import Market
from quantlab.venue.streams import PING_S, PONG_S, Connection

#: Sockets that an address may open in five minutes. Source: Binance spot WebSocket streams docs, checked 2026-11-23.
_CONNECTIONS, _CONNECTIONS_S = 300, 300.0


class Venue:
    """`async with Venue(market) as venue:` serves it at `venue.url`.

    `speed` is market seconds a second, None as fast as the run reads; `hold` stops market time while no run is
    connected. `keys` maps API keys to their HMAC secrets; `venue.keys` takes other types.
    `balances` is what their account owns at first, by asset; 45,000 USDT unless it is given. Without `sapi` there is no
    wallet API and no permission can be read, as on the testnet. Clients are pinged every `ping_s`, and dropped when a
    pong is missing for `pong_s`.
    """

    def __init__(
        self,
        market: Market,
        *,
        speed: float | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        hold: bool = True,
        keys: Mapping[str, str] | None = None,
        balances: Mapping[str, Decimal] | None = None,
        weight_limit: int = WEIGHT_A_MINUTE,
        ping_s: float = PING_S,
        pong_s: float = PONG_S,
        sapi: bool = True,
    ) -> None:
        if not ipaddress.ip_address(host).is_loopback:
            raise Refused(f"the replay venue serves on loopback only, not on {host}: give 127.0.0.1, or no host")
        if speed is not None and not speed > 0:
            raise ConfigurationError(f"speed {speed:g}: it is above 0, or max")
        self.market = market
        self.log = RequestLog(lambda: market.now_ms)
        self.faults = Faults(lambda: market.now_ms - market.start_ms)
        self.account = Account(market, balances)
        self.connections: dict[Connection, None] = {}
        self.pacer = Pacer(
            market, self.connections.keys(), self.faults, speed,
            hold=hold, moved=self.account.advance, is_seen=lambda: bool(self.account.orders.open),
        )  # fmt: skip
        self._host, self._port = host, port
        self._ping_s, self._pong_s = ping_s, pong_s
        self._opened = RateLimit(_CONNECTIONS, _CONNECTIONS_S)
        self._limit = WeightLimit(weight_limit)
        self.keys = KeyRing(keys)
        self._rest = Rest(
            market, self.account, self.keys, self.log, self.faults,
            limit=self._limit, wallet_limit=WeightLimit(WALLET_WEIGHT_A_MINUTE), sapi=sapi,
        )  # fmt: skip
        self._socket_api = SocketApi(market, self.account, self.keys, self.log, self.faults, self._limit)
        self._inspection = Inspection(self.clock, self.log, self.faults, self.pacer, self.keys, self.account)
        self._runner: web.ServerRunner | None = None
        self._playing: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._port}"

    async def __aenter__(self) -> Venue:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listen, and play when somebody subscribes. Raises ConfigurationError when the port cannot be had."""
        self._runner = web.ServerRunner(Listener(self._serve), shutdown_timeout=0.5)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self._host, self._port).start()
        except OSError as error:
            await self._runner.cleanup()
            why = "is taken" if error.errno == errno.EADDRINUSE else f"cannot be had ({error.strerror})"
            words = f"port {self._port} on {self._host} {why}: choose another with --port, or 0 for a free one"
            raise ConfigurationError(words) from None
        self._port = self._runner.addresses[0][1]
        self._playing = asyncio.create_task(self._play())

    async def stop(self) -> None:
        """Stop playing, end all connections, and close the port."""
        if self._playing is not None:
            self._playing.cancel()
            await asyncio.gather(self._playing, return_exceptions=True)
        for connection in tuple(self.connections):
            connection.drop()
        if self._runner is not None:
            await self._runner.cleanup()

    async def failed(self) -> None:
        """Wait until the market cannot be played any further, and raise what it raised."""
        assert self._playing is not None, "start() comes first"
        await asyncio.shield(self._playing)
        await asyncio.Event().wait()

    def clock(self) -> dict[str, Any]:
        """What is played, and how far it is."""
        market, pacer = self.market, self.pacer
        return {
            "kind": market.kind,
            "name": market.name,
            "symbols": list(market.symbols),
            "intervals": list(market.intervals),
            "start_ms": market.start_ms,
            "end_ms": market.end_ms,
            "market_ms": market.now_ms,
            "ended": pacer.ended,
            "speed": pacer.speed,
            "hold": pacer.hold,
            "frames": pacer.frames,
        }

    async def _play(self) -> None:
        try:
            await self.pacer.play()
        except Exception:
            for connection in tuple(self.connections):  # nobody waits for a market that has broken
                connection.drop()
            raise

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        path = request.path
        if path.startswith("/__venue__/"):
            return await self._inspection.serve(request)
        if path in ("/stream", "/ws") or path.startswith(("/ws/", "/ws-api/")):
            return await self._open(request)
        return await self._rest.serve(request)

    async def _open(self, request: web.BaseRequest) -> web.StreamResponse:
        """A socket, unless there are too many, a fault says no, or it is no socket at all."""
        refusal = await self._refusal(request)
        self.log.add(
            "ws",
            request.method,
            request.path,
            query=request.raw_path.partition("?")[2],
            key=key_fingerprint(request.headers),
            status=101 if refusal is None else refusal.status,
        )
        if refusal is not None:
            return refusal
        if request.path.startswith("/ws-api/"):
            return await self._socket_api.serve(request)
        return await self._stream(request)

    async def _refusal(self, request: web.BaseRequest) -> web.Response | None:
        fault = self.faults.request(request.path)
        if fault is not None and fault.kind == "latency":
            await asyncio.sleep(fault.delay_s())
        elif fault is not None and fault.kind == "drop":
            if request.transport is not None:
                request.transport.abort()
            return web.Response(status=503)
        elif fault is not None and fault.kind == "status":
            status, headers, content = fault.told
            return web.Response(status=status, headers=headers, body=content)
        if not self._opened.take():
            retry = {"Retry-After": str(int(_CONNECTIONS_S))}
            return web.Response(status=429, text="Too many connections", headers=retry)
        if not web.WebSocketResponse().can_prepare(request):
            return web.Response(status=400, text="Not a WebSocket handshake")
        return None

    async def _stream(self, request: web.BaseRequest) -> web.StreamResponse:
        subscription = Subscription(self.market.intervals, combined=request.path == "/stream")
        named = request.query.get("streams", "") if request.path == "/stream" else request.path.removeprefix("/ws")
        # A path that names no stream, such as /ws/1, is an empty subscription: clients open their sockets so.
        wrong = subscription.add([name for name in named.split("/") if "@" in name])
        if wrong is not None:
            return web.Response(status=400, text=wrong)
        connection = Connection(
            request, subscription, self.log, self.faults, self.pacer.wake,
            opened_ms=self.market.now_ms - self.market.start_ms, ping_s=self._ping_s, pong_s=self._pong_s,
        )  # fmt: skip
        self.connections[connection] = None
        try:
            await connection.serve()
        finally:
            self.connections.pop(connection, None)
        return connection.socket
