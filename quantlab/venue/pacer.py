"""Market time: who moves it, and how fast.

Above speed 1 it moves in lock-step with the run's own connection, in steps of 1 s: the step's frames, then a ping, and
on when the pong is back. A client answers pings in reading order, so the pong says that everything was read, and no
answer comes from the future. At speed 1 it follows the wall clock in steps of 100 ms. It stands at its start until the
first subscription is whole, and stands still while no run is connected.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection

from quantlab.venue.faults import Faults
from quantlab.venue.source import Market
from quantlab.venue.streams import Connection, combined_frame, text_frame

STEP_MS = 1_000
_LIVE_STEP_MS = 100
_PING_S = 20.0


class Pacer:
    """Plays `market` to `connections`. `speed` is market seconds a second, None as fast as the run reads."""

    def __init__(
        self, market: Market, connections: Collection[Connection], faults: Faults, speed: float | None
    ) -> None:
        self.market = market
        self.speed = speed
        self.ended = False
        self.frames = 0
        self._connections = connections
        self._faults = faults
        self._run: Connection | None = None
        self._steps = 0

    async def play(self) -> None:
        """Play until the market ends."""
        market = self.market
        while market.now_ms < market.end_ms:
            run = await self._whose_run()
            if self.speed is not None and self.speed <= 1.0:
                await self._live_step()
            else:
                await self._locked_step(run)
        self.ended = True

    async def _whose_run(self) -> Connection:
        """The connection that paces: the oldest whole one. Waits while there is none."""
        while self._run is None or self._run not in self._connections:
            self._run = next((c for c in self._connections if c.whole.is_set()), None)
            if self._run is None:
                await asyncio.sleep(0.005)
        return self._run

    async def _locked_step(self, run: Connection) -> None:
        began = time.monotonic()
        self._steps += 1
        number = b"step-%d" % self._steps
        self._send(self.market.now_ms + STEP_MS, run, run.ping(number))
        while run in self._connections:
            try:
                if await asyncio.wait_for(run.pongs.get(), 1.0) == number:
                    break
            except TimeoutError:
                continue  # it thinks, or it is gone: the loop's condition tells
        if self.speed is not None:
            await asyncio.sleep(max(0.0, STEP_MS / 1000 / self.speed - (time.monotonic() - began)))

    async def _live_step(self) -> None:
        began = time.monotonic()
        self._steps += 1
        ping = b""
        if self._steps % round(_PING_S * 1000 / _LIVE_STEP_MS) == 0:
            ping = bytes((0x89, 13)) + b"%013d" % (time.time_ns() // 1_000_000)
        self._send(self.market.now_ms + _LIVE_STEP_MS, None, ping)
        await asyncio.sleep(max(0.0, _LIVE_STEP_MS / 1000 / (self.speed or 1.0) - (time.monotonic() - began)))

    def _send(self, to_ms: int, run: Connection | None, ping: bytes) -> None:
        """Play up to `to_ms` and write each connection its frames; those too far behind are dropped."""
        connections = tuple(self._connections)
        wanted = frozenset().union(*(connection.streams for connection in connections))
        events = self.market.advance(min(to_ms, self.market.end_ms), wanted)
        cut = set()
        if self._faults.rows():
            kept = []
            for event in events:
                fault = self._faults.stream(event[0])
                if fault is None:
                    kept.append(event)
                elif fault.kind == "disconnect":
                    cut.add(event[0])
            events = kept
        self.frames += len(events)
        only = len(connections) == 1
        for connection in connections:
            streams = connection.streams
            if connection.combined:
                frames = [combined_frame(name, data) for name, data in events if only or name in streams]
            else:
                frames = [text_frame(data) for name, data in events if only or name in streams]
            if ping and (run is None or connection is run):
                frames.append(ping)
            gone = frames and not connection.write(frames) and connection is not run
            if gone or cut & streams:
                connection.drop()
