"""Market time: who moves it, and how fast.

Above speed 1 it moves in lock-step with the run's own connection, in steps of 1 s: the step's frames, then a ping, and
on when the pong is back. A client answers pings in reading order, so the pong says that everything was read, and no
answer comes from the future. A new run is pinged before its first step: what it asks for before it reads on is
answered as of the last step that was read. At speed 1 and below market time follows the wall clock in steps of 100 ms.
It stands at its start until the first subscription is whole, and stands still while no run is connected, unless it is
told to run on.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Collection, Sequence

from quantlab.venue.damage import Damage
from quantlab.venue.fault import Fault
from quantlab.venue.faults import Faults
from quantlab.venue.frames import combined_frame, text_frame
from quantlab.venue.source import Market
from quantlab.venue.streams import Connection
from quantlab.venue.tickers import Tickers

STEP_MS = 1_000
_LIVE_STEP_MS = 100
#: How fast a market of unbounded speed runs on when nobody reads it.
ALONE_SPEED = 60.0
#: Who is further behind its own pace than this (a suspended machine) does not catch up.
_LATE_S = 1.0


#: How long a pong is looked for before sleeping, and what a look may take; else this many steps sleep at once.
_LOOK_S = 0.0005
_LONG_LOOK_S = 0.0015
_STEPS_ASLEEP = 2_000


class Pacer:
    """Plays `market` to `connections`, the oldest first. `speed` is market seconds a second, None as fast as the run
    reads. `hold` keeps market time standing while no run is connected, and gives a step that a run left without
    answering to the next run again. `moved` is called after each step; `is_seen` says whether somebody else has acted
    upon the market, which then goes back for nobody."""

    def __init__(
        self,
        market: Market,
        connections: Collection[Connection],
        faults: Faults,
        speed: float | None,
        *,
        hold: bool = True,
        moved: Callable[[], None] = lambda: None,
        is_seen: Callable[[], bool] = lambda: False,
    ) -> None:
        self.market = market
        self.speed = speed
        self.hold = hold
        self.ended = False
        self.frames = 0
        self._connections = connections
        self._faults, self._moved, self._is_seen = faults, moved, is_seen
        self._damage = Damage()
        self._tickers = Tickers(market)
        self._run: Connection | None = None
        self._reads: Connection | None = None
        self._changed = asyncio.Event()
        self._steps = 0
        self._due_s = 0.0
        self._sleep_until_step = 0
        self._ready: tuple[int, Connection, frozenset[str], bytes] | None = None

    def wake(self) -> None:
        """Look again who is connected: a subscription is whole, or `hold` was changed."""
        self._changed.set()

    async def play(self) -> None:
        """Play until the market ends."""
        market = self.market
        while market.now_ms < market.end_ms:
            run = self._whose_run()
            if run is None and (self.hold or not self._steps):
                self._changed.clear()
                await self._changed.wait()
            elif self.speed is not None and self.speed <= 1.0:
                await self._wait_until_due(_LIVE_STEP_MS, self.speed)
                self._send(_LIVE_STEP_MS)
            elif run is None:
                await self._wait_until_due(STEP_MS, self.speed or ALONE_SPEED)
                self._send(STEP_MS)
            elif run is not self._reads:
                await self._await_reader(run)
            else:
                if self.speed is not None:
                    await self._wait_until_due(STEP_MS, self.speed)
                await self._locked_step(run)
        self.ended = True

    def _whose_run(self) -> Connection | None:
        """The connection that paces: the oldest whole one, for as long as it lives and is not half-open."""
        if self._run is None or self._run not in self._connections or self._run.muted:
            heard = (connection for connection in self._connections if connection.whole and not connection.muted)
            self._run = next(heard, None)
        return self._run

    async def _wait_until_due(self, step_ms: int, speed: float) -> None:
        """Wait for the next step's turn, counted from the last one's, so that small delays do not add up."""
        now = time.monotonic()
        self._due_s += step_ms / 1000 / speed
        if not now - _LATE_S < self._due_s < now + step_ms / 1000 / speed:
            self._due_s = now
        await asyncio.sleep(self._due_s - now)

    async def _await_reader(self, run: Connection) -> None:
        """Market time stands until a new run reads. One that goes away instead is not the run any more."""
        payload = b"step-%d" % self._steps
        run.write([run.step_ping(payload)])
        while (pong := await run.pongs.get()) != payload:
            if not pong:
                return
        self._reads = run

    async def _locked_step(self, run: Connection) -> None:
        payload = b"step-%d" % (self._steps + 1)
        before_ms = self.market.now_ms
        self._send(STEP_MS, run, run.step_ping(payload))
        if run.muted:  # it cannot answer
            return
        self._ready = self._prepared()
        if self.speed is None and self._steps >= self._sleep_until_step:
            await self._look_for_pong(run)
        while (pong := await run.pongs.get()) != payload:
            if not pong:
                self._take_back(before_ms, run)
                return

    def _take_back(self, to_ms: int, run: Connection) -> None:
        """The run vanished within a step: how much of it arrived is not known, so that the next run gets all of it."""
        alone = all(connection is run for connection in self._connections)
        if self.hold and alone and not run.ended_here and not self._is_seen() and self.market.go_back(to_ms):
            self._ready = None

    async def _look_for_pong(self, run: Connection) -> None:
        """Look for the pong without sleeping, for a moment: on an idle machine waking up costs as much as the step.
        Where a look took long somebody else wants the core, and the next steps sleep at once."""
        began = last = time.monotonic()
        while not run.pongs.qsize() and last - began < _LOOK_S and run in self._connections:
            os.sched_yield()
            await asyncio.sleep(0)
            now = time.monotonic()
            if now - last > _LONG_LOOK_S:
                self._sleep_until_step = self._steps + _STEPS_ASLEEP
                return
            last = now

    def _send(self, step_ms: int, run: Connection | None = None, ping: bytes = b"") -> None:
        """Play a step and write each connection its frames; those too far behind are dropped, but for the run's own."""
        self._steps += 1
        market = self.market
        connections = tuple(connection for connection in self._connections if not connection.muted)
        wanted = frozenset().union(*(connection.subscription.streams for connection in connections))
        to_ms = min(market.now_ms + step_ms, market.end_ms)
        faults = self._faults.on_streams()
        from_ms = market.now_ms - market.start_ms
        events = market.advance(to_ms, wanted)
        self._moved()
        ready, self._ready = self._ready, None
        if any(connection.subscription.tickers for connection in connections):
            events = [*events, *self._tickers.due(wanted)]
        struck: dict[str, list[Fault]] = {}
        if faults or not self._damage.idle:
            events, struck = self._damage.strike(events, faults, from_ms)
            ready = None
        self.frames += len(events)
        for connection in connections:
            subscription = connection.subscription
            broken = [fault for stream in struck.keys() & subscription.streams for fault in struck[stream]]
            if self._is_broken(connection, broken):
                continue
            frame = combined_frame if subscription.combined else _raw_frame
            if ready is not None and ready[:3] == (to_ms, connection, wanted):
                frames = [ready[3]]
            elif len(connections) == 1:
                frames = [frame(name, data) for name, data in events]
            else:
                frames = [frame(name, data) for name, data in events if name in subscription.streams]
            if connection is run:
                frames.append(ping)
            fell_behind = bool(frames) and not connection.write(frames) and connection is not run
            if fell_behind:
                connection.drop()
            else:
                self._end_in_time(connection, faults)

    def _is_broken(self, connection: Connection, faults: Sequence[Fault]) -> bool:
        """Do to a connection what `faults` say; whether the step is lost to it, as a whole: how much of it a line
        carries before it breaks is chance, and chance is not replayed."""
        now_ms = self.market.now_ms
        for fault in faults:
            match fault.kind:
                case "disconnect":
                    connection.drop()
                    return True
                case "half_open":
                    connection.muted = True
                    return True
                case "no_pings":
                    connection.pings = False
                case "server_shutdown":
                    connection.shut_down(now_ms, now_ms - self.market.start_ms + fault.close_after_ms)
        return False

    def _end_in_time(self, connection: Connection, faults: Sequence[Fault]) -> None:
        """Close a connection that was announced to end, or has become too old."""
        now_ms = self.market.now_ms - self.market.start_ms
        if connection.close_at_ms is not None and now_ms >= connection.close_at_ms:
            connection.close(1001, "server shutdown")
            return
        for fault in faults:
            if fault.kind != "lifetime" or now_ms - connection.opened_ms < fault.life_ms:
                continue
            if any(fault.strikes(stream, now_ms) for stream in sorted(connection.subscription.streams)):
                connection.close(1001, "the connection has lived its time")
                return

    def _prepared(self) -> tuple[int, Connection, frozenset[str], bytes] | None:
        """The next step's frames, joined while the run reads this one's; None where they cannot be known yet. Market
        time does not move: what is asked meanwhile is answered as of this step."""
        if len(self._connections) != 1 or self._faults.on_streams() or not self._damage.idle:
            return None
        (connection,) = self._connections
        subscription = connection.subscription
        if not subscription.combined or subscription.tickers:
            return None
        wanted = frozenset(subscription.streams)
        to_ms = min(self.market.now_ms + STEP_MS, self.market.end_ms)
        events = self.market.peek(to_ms, wanted)
        if events is None:
            return None
        return to_ms, connection, wanted, b"".join([combined_frame(name, data) for name, data in events])


def _raw_frame(stream: str, data: bytes) -> bytes:
    return text_frame(data)
