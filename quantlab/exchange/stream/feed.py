"""The stream: one reader for all bots, every message seen, in order, over any number of connections."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence

import aiohttp

from quantlab.exchange.config import DoorConfig, address_of
from quantlab.exchange.egress import EgressLog
from quantlab.exchange.failure.retry import TRIES, Backoff
from quantlab.exchange.stream.handover import OVERLAP_S, Handover
from quantlab.exchange.stream.session import Broken, StreamSession
from quantlab.exchange.stream.settling import Settling
from quantlab.exchange.stream.subscription import Subscription
from quantlab.model.errors import QuantlabError
from quantlab.model.protocols import Sink

#: A connection that lived this long was a good one: the next pause begins small again.
_GOOD_S = 30.0
#: Binance cuts a connection after 24 h. It is replaced between 23 h 40 min and 23 h 50 min: not all clients at once,
#: and with time to try again. Source: Binance spot WebSocket streams docs, checked 2026-11-23.
LIFE_S, LIFE_JITTER_S = 85_800.0, 600.0


class StreamFeed:
    """A `Feed` on the guarded session. It runs once; after `stop` it stays stopped."""

    def __init__(self, config: DoorConfig, session: aiohttp.ClientSession, log: EgressLog) -> None:
        self._config = config
        self._session = session
        self._log = log
        self._address = address_of(config.stream_url)
        self._stopped = asyncio.Event()
        self._line: StreamSession | None = None
        self._lines: set[StreamSession] = set()
        self._closing: set[asyncio.Task[None]] = set()
        self._backoff = Backoff()
        self._settling: Settling
        #: On an exchange nothing waits for an answer; two of its machines may lag behind each other.
        self._beside = config.is_real
        self._overlap_s = OVERLAP_S if config.is_real else 0.0

    async def run(self, streams: Sequence[str], sink: Sink) -> None:
        """Deliver `streams` to `sink` until `stop`, over any number of connections.

        Marks: "connected"; "handover" when the next connection took over without a hole; "disconnected" or "silent",
        and "reconnected", when there may be one. Raises what kept the first connection from standing:
        ExchangeUnreachable, ExchangeError, Refused; and ConfigurationError for more streams than one connection may
        carry. Later failures are marked and tried again.
        """
        names = Subscription(streams).streams
        self._settling = Settling(sink, beside=self._beside, failed=self._wake)
        try:
            await self._first(names)
            kind = "connected"
            while not self._stopped.is_set():
                assert self._line is not None
                sink.mark(kind, self._address)
                since_s = asyncio.get_running_loop().time()
                why = await self._deliver(names, sink)
                await self._settling.end()
                if self._stopped.is_set():
                    return
                sink.mark("silent" if self._line.went_silent else "disconnected", why)
                if asyncio.get_running_loop().time() - since_s > _GOOD_S:
                    self._backoff.reset()
                await self._again(names, sink)
                kind = "reconnected"
        finally:
            await self._close_all()
            await self._settling.end()

    async def stop(self) -> None:
        """End `run`: it returns after the frame at hand."""
        self._stopped.set()
        await self._close_all()

    # -- dialling -----------------------------------------------------------------------------------------------------

    async def _first(self, names: Sequence[str]) -> None:
        """The first connection: what keeps it from standing is the caller's to know."""
        tries = 0
        while not self._stopped.is_set():
            tries += 1
            try:
                self._line = await self._open(names)
                return
            except Broken as broken:
                if not broken.transient or tries == TRIES:
                    raise broken.error from None
            await self._pause(self._backoff.pause_s())

    async def _again(self, names: Sequence[str], sink: Sink) -> None:
        """A connection after one that ended, however long it takes. A successor that already stood is taken."""
        successor = next((line for line in self._lines if line is not self._line and line.whole), None)
        if self._line is not None:
            self._drop(self._line)
        self._line = successor
        while self._line is None and not self._stopped.is_set():
            await self._pause(self._backoff.pause_s())
            if self._stopped.is_set():
                return
            try:
                self._line = await self._open(names)
            except Broken as broken:
                sink.mark("disconnected", str(broken.error))

    async def _open(self, names: Sequence[str]) -> StreamSession:
        line = self._new_line()
        try:
            await line.open(names)
        except BaseException:
            self._drop(line)
            raise
        return line

    def _new_line(self) -> StreamSession:
        line = StreamSession(self._config, self._session, self._log)
        life_s = LIFE_S - LIFE_JITTER_S * random.random()  # noqa: S311 - spreads load, guards nothing
        line.replace_at_s, line.why_leave = asyncio.get_running_loop().time() + life_s, "planned, before 24 h"
        self._lines.add(line)
        return line

    # -- delivering ---------------------------------------------------------------------------------------------------

    async def _deliver(self, names: Sequence[str], sink: Sink) -> str:
        """Hand on what comes from the line, and from those that take it over without a hole. Returns why the last of
        them ended."""
        line = self._line
        assert line is not None
        if sink.unsettled:
            await self._settle()
        held, line.held = line.held, []
        for raw in held:
            sink.frame(raw)
            if sink.unsettled:
                await self._settle()
        while not self._stopped.is_set():
            if why := await line.read(sink.frame, sink, self._settle):
                return why
            if asyncio.get_running_loop().time() >= line.replace_at_s:
                line, why = await self._hand_over(line, names, sink)
                if why:
                    return why
        return ""

    async def _hand_over(self, old: StreamSession, names: Sequence[str], sink: Sink) -> tuple[StreamSession, str]:
        """Replace `old`. Returns the line to read on, and why the old one ended where it did so too early. When there
        is no successor the old one goes on, and another try is due after a pause."""
        handover = Handover(old, self._new_line(), sink, overlap_s=self._overlap_s)
        preparing = asyncio.create_task(self._prepare(handover, names))
        try:
            why = ""
            while not why and not handover.ready and not preparing.done() and not self._stopped.is_set():
                why = await old.read(handover.deliver, sink, self._settle)
            if why or self._stopped.is_set():
                return old, why
            failure = await preparing or await handover.gather()
        finally:
            preparing.cancel()
            await asyncio.gather(preparing, return_exceptions=True)
            await handover.end()
            if not handover.new.whole:
                self._drop(handover.new)
        if failure:
            self._drop(handover.new)
            old.replace_at_s = asyncio.get_running_loop().time() + self._backoff.pause_s()
            return old, ""
        new = self._line = handover.new
        sink.mark("handover", old.why_leave)
        for raw in handover.held():
            sink.frame(raw)
            if sink.unsettled:
                await self._settle()
        self._drop(old)
        return new, await new.read(handover.follow, sink, self._settle)

    async def _prepare(self, handover: Handover, names: Sequence[str]) -> str:
        """Why there is no successor, or "" when it is ready."""
        try:
            await handover.prepare(names)
            return ""
        except (Broken, QuantlabError, ConnectionError) as error:
            return str(error)
        finally:
            if not handover.ready:
                handover.old.leaving = True  # its reader goes on with the next frame, and with this in mind

    async def _settle(self) -> None:
        line = self._line
        assert line is not None
        line.busy = not self._beside
        try:
            await self._settling.settle()
        finally:
            line.busy = False

    # -- ending -------------------------------------------------------------------------------------------------------

    def _wake(self) -> None:
        """Settling failed: the reader has to know."""
        if self._line is not None:
            self._drop(self._line)

    def _drop(self, line: StreamSession) -> None:
        """Close a line that is not read any more; nobody waits for the other side's word."""
        self._lines.discard(line)
        task = asyncio.create_task(line.close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def _close_all(self) -> None:
        for line in tuple(self._lines):
            self._drop(line)
        await asyncio.gather(*self._closing, return_exceptions=True)

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stopped.wait()
        except TimeoutError:
            pass
