"""Text frames taken off a socket by the batch: most of what a message costs is its way through a queue.

After aiohttp's handshake its parser is asked only for what is rare: pings, pongs, the end, fragments, and whatever is
against the protocol. Whole, unmasked text frames (RFC 6455, 5.2) are cut out here, and all that came in one read go
through aiohttp's queue as one message whose data is a list. Order and flow control stay aiohttp's. Only reading is
touched: what is written goes through the guard's writer as before.
"""

from __future__ import annotations

from typing import Any

import aiohttp

_TEXT = 0x81
_FIN, _OPCODE = 0x80, 0x0F
_MASKED = 0x80
_FIRST_OF_MANY = (0x01, 0x02)


def read_in_batches(socket: aiohttp.ClientWebSocketResponse[Any], max_bytes: int) -> None:
    """Have text frames of `socket` delivered in lists. Call it before anything was asked for on the socket: what the
    other side said together with its handshake is read by aiohttp."""
    connection = socket._conn
    assert connection is not None
    protocol = connection.protocol
    if protocol is not None and protocol._payload_parser is not None:
        protocol._payload_parser = FrameBatches(protocol._payload_parser, socket._reader, max_bytes)


class FrameBatches:
    """Stands before aiohttp's `parser` and fills the same `queue`."""

    def __init__(self, parser: Any, queue: Any, max_bytes: int) -> None:
        self._parser, self._queue, self._max_bytes = parser, queue, max_bytes
        self._rest = b""
        self._fragmented = False

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        """What aiohttp's protocol calls with each read; (True, …) after an error, which is in the queue then."""
        data = self._rest + data if self._rest else bytes(data)
        batch: list[bytes] = []
        at, end = 0, len(data)
        while end - at >= 2:
            size, start = data[at + 1] & 0x7F, at + 2
            if size == 126:
                start += 2
                size = int.from_bytes(data[at + 2 : start], "big")
            elif size == 127:
                start += 8
                size = int.from_bytes(data[at + 2 : start], "big")
            masked, too_long = data[at + 1] & _MASKED, size > self._max_bytes
            if data[at] != _TEXT or masked or too_long or self._fragmented:
                # Of one that is too long aiohttp says so at once, whatever follows.
                stop = end if too_long else start + size + (4 if masked else 0)
                if stop > end:
                    break
                self._flush(batch)
                batch = []
                if self._forward(data[at:stop]):
                    return True, b""
                at = stop
                continue
            stop = start + size
            if start > end or stop > end:
                break
            batch.append(data[start:stop])
            at = stop
        self._rest = data[at:]
        self._flush(batch)
        return False, b""

    def feed_eof(self) -> None:
        self._parser.feed_eof()

    def _flush(self, batch: list[bytes]) -> None:
        if batch:
            message = aiohttp.WSMessage(aiohttp.WSMsgType.TEXT, batch, None)
            self._queue.feed_data(message, sum(map(len, batch)))

    def _forward(self, frame: bytes) -> bool:
        """Leave `frame` to aiohttp. True when it is an error."""
        opcode = frame[0] & _OPCODE
        if frame[0] & _FIN:
            self._fragmented = self._fragmented and opcode >= 8  # control frames may come between fragments
        elif opcode in _FIRST_OF_MANY:
            self._fragmented = True
        failed, _ = self._parser.feed_data(frame)
        return bool(failed)
