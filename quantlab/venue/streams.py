"""One client of the market streams: what it asked for, how fast it may talk, and what it is sent.

Frames go straight to the transport, a whole step in one write: building them costs less than one call of a general
writer. Limits: Binance spot WebSocket streams docs, "General information" and "Limits", checked 2026-11-23.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable

from aiohttp import WSMsgType, web

from quantlab.venue.commands import Subscription, named_in, refusal
from quantlab.venue.faults import Faults
from quantlab.venue.frames import close_frame, combined_frame, ping_frame, text_frame
from quantlab.venue.limits import RateLimit
from quantlab.venue.log import RequestLog

#: The server pings each client that often, and ends a connection whose pong is missing for that long.
PING_S, PONG_S = 20.0, 60.0
_MESSAGES_A_SECOND = 5
#: A reader that lags this far behind is dropped, unless it is the one that paces the venue.
_BEHIND_BYTES = 16 << 20
#: How often a half-open connection is looked at, whether its client has hung up.
_GONE_S = 0.02


class Connection:
    """A client of `/stream` or `/ws`. `on_whole` is called when its subscription was answered, and after each other.

    Times are ms of the market since its start. While `muted` the line is half-open: it stands, nothing is sent and
    nothing is answered.
    """

    def __init__(
        self,
        request: web.BaseRequest,
        subscription: Subscription,
        log: RequestLog,
        faults: Faults,
        on_whole: Callable[[], None],
        *,
        opened_ms: int = 0,
        ping_s: float = PING_S,
        pong_s: float = PONG_S,
    ) -> None:
        self.socket = web.WebSocketResponse(autoping=False, autoclose=False, compress=False, max_msg_size=1 << 20)
        self.subscription = subscription
        self.whole = False
        self.muted = False
        #: Whether it was this side that ended the connection.
        self.ended_here = False
        #: Whether it is pinged and its pings are answered; step pings are sent all the same.
        self.pings = True
        self.opened_ms = opened_ms
        self.close_at_ms: int | None = None
        #: Payloads of the pongs that answer `step_ping`; b"" when the client has gone.
        self.pongs: asyncio.Queue[bytes] = asyncio.Queue()
        self._request, self._log, self._faults, self._on_whole = request, log, faults, on_whole
        self._ping_s, self._pong_s = ping_s, pong_s
        self._messages = RateLimit(_MESSAGES_A_SECOND, 1.0)
        self._step: bytes | None = None
        self._pinged_at = time.monotonic()
        self._unanswered: tuple[bytes, float] | None = None

    async def serve(self) -> None:
        """Open the socket and read what the client says until it leaves."""
        await self.socket.prepare(self._request)
        pinging = asyncio.create_task(self._keep_alive())
        try:
            self._became_whole()
            await self._listen()
            while self.muted and not self._is_gone():  # noqa: ASYNC110 - nothing tells us
                await asyncio.sleep(_GONE_S)
            await self.socket.close()
        finally:
            pinging.cancel()
            self.pongs.put_nowait(b"")

    def write(self, frames: list[bytes]) -> bool:
        """Write frames at once. False when the client is gone or too far behind."""
        transport = self._request.transport
        if transport is None or self._is_gone() or self.socket.closed:
            return False
        if self.muted:
            return True
        transport.write(b"".join(frames))
        return transport.get_write_buffer_size() < _BEHIND_BYTES

    def drop(self) -> None:
        """End the connection at once, as a broken line does."""
        self.ended_here = True
        if self._request.transport is not None:
            self._request.transport.abort()

    def close(self, code: int, reason: str) -> None:
        """Say goodbye and end the connection, without waiting for an answer."""
        self.ended_here = True
        transport = self._request.transport
        if transport is not None and self.write([close_frame(code, reason)]):
            transport.close()

    def shut_down(self, event_ms: int, close_at_ms: int) -> None:
        """Announce that the server will end the connection at `close_at_ms`."""
        data = b'{"e":"serverShutdown","E":%d}' % event_ms
        self.write([combined_frame("!serverShutdown", data) if self.subscription.combined else text_frame(data)])
        self.close_at_ms = close_at_ms

    def _is_gone(self) -> bool:
        transport = self._request.transport
        return transport is None or transport.is_closing()

    def step_ping(self, payload: bytes) -> bytes:
        """A ping frame whose pong will be put into `pongs`, and does not count as a message."""
        self._step, self._pinged_at = payload, time.monotonic()
        return ping_frame(payload)

    async def _listen(self) -> None:
        async for message in self.socket:
            if message.type is WSMsgType.PONG and bytes(message.data) == self._step:
                self._step = None
                self.pongs.put_nowait(bytes(message.data))
                continue
            if self.muted:  # a leaked order is seen all the same
                if message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
                    self._log.add_frame(self._request.path, message.data)
                continue
            if not self._messages.take():
                await self.socket.close(code=1008, message=b"Too many requests")
                return
            if message.type is WSMsgType.PONG:
                if self._unanswered is not None and bytes(message.data) == self._unanswered[0]:
                    self._unanswered = None
            elif message.type is WSMsgType.PING:
                if self.pings:
                    await self.socket.pong(message.data)
            elif message.type is WSMsgType.TEXT:
                self._log.add_frame(self._request.path, message.data)
                await self._obey(message.data)
            elif message.type is WSMsgType.BINARY:
                self._log.add_frame(self._request.path, message.data)

    async def _obey(self, text: str) -> None:
        """Answer one command, unless a fault leaves it unheard or says no."""
        fault = self._faults.command(named_in(text))
        if fault is not None and fault.kind == "subscribe_unanswered":
            return
        answer = self.subscription.answer(text) if fault is None else refusal(text, fault.msg)
        await self.socket.send_str(json.dumps(answer, separators=(",", ":")))
        self._became_whole()

    def _became_whole(self) -> None:
        if self.subscription.streams:
            self.whole = True
            self._on_whole()

    async def _keep_alive(self) -> None:
        """Ping who was not pinged for a while; end a connection that does not answer."""
        while True:
            await asyncio.sleep(self._ping_s / 4)
            now = time.monotonic()
            if self.muted or not self.pings:
                continue
            if self._unanswered is not None:
                if now - self._unanswered[1] >= self._pong_s:
                    self.drop()
            elif self._step is None and now - self._pinged_at >= self._ping_s:
                payload = b"%d" % (time.time_ns() // 1_000_000)
                self._unanswered, self._pinged_at = (payload, now), now
                self.write([ping_frame(payload)])
