"""What a connection to the WebSocket API is sent unasked: the account's events, one frame each, and their faults.

Faults on streams strike here too: the stream of an event `executionReport` is called `userData@executionReport`. An
announced shutdown is not played on these connections.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from aiohttp import web

from quantlab.venue.damage import Damage
from quantlab.venue.faults import Faults


class Outbox:
    """Writes to `socket` in the order of `put`; `market_ms` tells the market time since the market's start.

    A `muted` connection stays open and is sent nothing, answers neither.
    """

    def __init__(
        self, socket: web.WebSocketResponse, abort: Callable[[], None], faults: Faults, market_ms: Callable[[], int]
    ) -> None:
        self.muted = False
        self._socket, self._abort, self._faults, self._market_ms = socket, abort, faults, market_ms
        self._damage = Damage()
        self._frames: asyncio.Queue[bytes] = asyncio.Queue()
        self._writing = asyncio.create_task(self._write())

    def put(self, name: str, content: bytes) -> None:
        """Send an event of stream `name`, unless a fault says otherwise."""
        events, struck = self._damage.strike([(name, content)], self._faults.on_streams(), self._market_ms())
        for fault in struck.get(name, ()):
            if fault.kind == "disconnect":
                self._abort()
            elif fault.kind == "half_open":
                self.muted = True
        for _, event in events:
            if not self.muted:
                self._frames.put_nowait(event)

    async def close(self) -> None:
        """Stop writing."""
        self._writing.cancel()
        await asyncio.gather(self._writing, return_exceptions=True)

    async def _write(self) -> None:
        while True:
            frame = await self._frames.get()
            if self._socket.closed:
                return
            try:
                await self._socket.send_str(frame.decode())
            except ConnectionError:
                return
