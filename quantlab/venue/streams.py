"""The WebSocket side: subscriptions, answers, and frames written with as little work as possible.

Frames go straight to the transport, a whole step in one write: an unmasked server frame is two to ten bytes of header,
and building it here costs less than one call of a general writer. Limits and words: Binance spot WebSocket streams
docs, checked 2026-11-23.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections import deque
from collections.abc import Iterable
from typing import Any

from aiohttp import WSMsgType, web

from quantlab.venue.log import RequestLog

MAX_STREAMS = 1024
_MESSAGES_A_SECOND = 5
#: A reader that lags this far behind is dropped, unless it is the one that paces the venue.
_BEHIND_BYTES = 16 << 20
_STREAM = re.compile(
    r"[a-z0-9]{2,30}@(bookTicker|trade|aggTrade|miniTicker|ticker|avgPrice|kline_\w{2,3}|depth(5|10|20)?(@100ms|@1000ms)?)"
)


class Connection:
    """One client of `/stream` (combined frames) or `/ws` (raw data)."""

    def __init__(self, request: web.Request, *, combined: bool, log: RequestLog) -> None:
        self._request = request
        self._log = log
        self._times: deque[float] = deque()
        self.socket = web.WebSocketResponse(autoping=False, compress=False, max_msg_size=1 << 20)
        self.combined = combined
        self.streams: set[str] = set()
        self.whole = asyncio.Event()
        self.pongs: asyncio.Queue[bytes] = asyncio.Queue()
        self._pings: set[bytes] = set()

    def subscribe_by_url(self, names: Iterable[str]) -> bool:
        """Streams named in the address. False when one does not exist or there are too many."""
        chosen = [name for name in names if name]
        if len(chosen) > MAX_STREAMS or not all(_STREAM.fullmatch(name) for name in chosen):
            return False
        self.streams.update(chosen)
        return True

    async def listen(self) -> None:
        """Read commands until the client leaves."""
        if self.streams:
            self.whole.set()
        async for message in self.socket:
            if message.type is WSMsgType.PONG:
                payload = bytes(message.data)
                if payload in self._pings:
                    self._pings.discard(payload)
                    self.pongs.put_nowait(payload)
                continue
            if self._too_fast():
                await self.socket.close(code=1008, message=b"Too many requests")
                return
            if message.type is WSMsgType.PING:
                await self.socket.pong(message.data)
            elif message.type is WSMsgType.TEXT:
                self._log.add("frame", _method(message.data), self._request.path, text=message.data)
                await self.socket.send_str(json.dumps(self._command(message.data), separators=(",", ":")))
                if self.streams:
                    self.whole.set()
            else:
                self._log.add("frame", "BINARY", self._request.path, text=message.data.hex()[:2000])

    def write(self, frames: list[bytes]) -> bool:
        """Write frames at once. False when the client is gone or too far behind."""
        transport = self._request.transport
        if transport is None or transport.is_closing() or self.socket.closed:
            return False
        transport.write(b"".join(frames))
        return transport.get_write_buffer_size() < _BEHIND_BYTES

    def drop(self) -> None:
        """End the connection at once, as a broken line does."""
        if self._request.transport is not None:
            self._request.transport.abort()

    def ping(self, payload: bytes) -> bytes:
        """A ping frame whose pong will be put into `pongs`."""
        self._pings.add(payload)
        return bytes((0x89, len(payload))) + payload

    def _too_fast(self) -> bool:
        now = time.monotonic()
        while self._times and self._times[0] <= now - 1.0:
            self._times.popleft()
        self._times.append(now)
        return len(self._times) > _MESSAGES_A_SECOND

    def _command(self, text: str) -> dict[str, Any]:
        """The answer to a command, as Binance words it."""
        try:
            command = json.loads(text)
        except ValueError as error:
            return {"error": {"code": 3, "msg": f"Invalid JSON: {error}"}}
        if not isinstance(command, dict):
            return {"error": {"code": 2, "msg": "Invalid request: request must be a JSON object"}}
        number, method, names = command.get("id"), command.get("method"), command.get("params", [])
        if number is not None and not isinstance(number, int | str):
            return {"error": {"code": 2, "msg": "Invalid request: request ID must be an unsigned integer"}}
        if method == "LIST_SUBSCRIPTIONS":
            return {"result": sorted(self.streams), "id": number}
        if method == "SET_PROPERTY" and names in (["combined", True], ["combined", False]):
            self.combined = names[1]
            return {"result": None, "id": number}
        if method == "GET_PROPERTY":
            return {"result": self.combined, "id": number}
        if method not in ("SUBSCRIBE", "UNSUBSCRIBE"):
            return {"error": {"code": 2, "msg": f"Invalid request: unknown variant `{method}`"}, "id": number}
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            return {"error": {"code": 2, "msg": "Invalid request: invalid type: expected a sequence"}, "id": number}
        if method == "UNSUBSCRIBE":
            self.streams.difference_update(names)
        elif any(not _STREAM.fullmatch(name) for name in names):
            return {"error": {"code": 2, "msg": "Invalid request: invalid stream name"}, "id": number}
        elif len(self.streams | set(names)) > MAX_STREAMS:
            return {"error": {"code": 2, "msg": "Invalid request: too many streams"}, "id": number}
        else:
            self.streams.update(names)
        return {"result": None, "id": number}


def text_frame(payload: bytes) -> bytes:
    """`payload` as one unmasked text frame (RFC 6455, section 5.2)."""
    size = len(payload)
    if size < 126:
        return b"\x81" + bytes((size,)) + payload
    if size < 65536:
        return b"\x81\x7e" + size.to_bytes(2, "big") + payload
    return b"\x81\x7f" + size.to_bytes(8, "big") + payload


def combined_frame(stream: str, data: bytes) -> bytes:
    return text_frame(b'{"stream":"' + stream.encode() + b'","data":' + data + b"}")


def _method(text: str) -> str:
    try:
        command = json.loads(text)
    except ValueError:
        return "?"
    return str(command.get("method", "?")) if isinstance(command, dict) else "?"
