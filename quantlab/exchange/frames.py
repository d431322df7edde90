"""The writer of a guarded WebSocket: every frame that would leave is checked where it is written."""

from __future__ import annotations

from typing import Any

import aiohttp
from yarl import URL

from quantlab.exchange.egress import EgressLog
from quantlab.exchange.rules import Rules
from quantlab.model.errors import Refused


def guarded_web_socket(rules: Rules, log: EgressLog) -> type[aiohttp.ClientWebSocketResponse]:
    class GuardedWebSocket(aiohttp.ClientWebSocketResponse):
        """All of aiohttp's ways to send (`send_str`, `send_bytes`, `send_json`, `send_frame`, `ping`, `close`) write
        through `_writer`: so does this, and what it lets pass is checked."""

        def __init__(self, reader: Any, writer: Any, protocol: Any, response: Any, *args: Any, **options: Any) -> None:
            checked = _checked_writer(writer, rules, log, response.url)
            super().__init__(reader, checked, protocol, response, *args, **options)

    return GuardedWebSocket


def _checked_writer(writer: Any, rules: Rules, log: EgressLog, url: URL) -> Any:
    """`writer` behind the frame rules of its session, in the closure: no attribute leads around the check."""

    class Writer:
        async def send_frame(self, message: bytes, opcode: int, compress: int | None = None) -> None:
            if opcode in (aiohttp.WSMsgType.PING, aiohttp.WSMsgType.PONG, aiohttp.WSMsgType.CLOSE):
                await writer.send_frame(message, opcode)
                return
            try:
                if opcode != aiohttp.WSMsgType.TEXT:
                    raise Refused(f"stream frame refused: {opcode!r} is not a text frame")
                frame = rules.frame(bytes(message))
            except Refused as refusal:
                log.refused("FRAME", url.raw_authority, url.raw_path, str(refusal))
                raise
            await writer.send_frame(frame, opcode)
            log.command(url.raw_authority, frame)

        async def close(self, code: int = 1000, message: bytes = b"") -> None:
            await writer.close(code, message)

    return Writer()
