"""From one connection to the next without a hole.

The rule. While the old connection delivers, the new one is dialled and subscribed, and its frames are held. Binance
sends every event of a stream on both, in the same order, each with a number that only grows. So:

1. The old one delivers until it has come, in each stream, to the first event held from the new one; and until a ping
   sent on it after the new subscription stood was answered, so that nothing older is still on its way.
2. From then on the new one has all that the old one has not delivered. The old one is read no further; a ping on the
   new one gathers what it was sent so far.
3. What is held is delivered, but for the events whose number is not above the last one delivered from that stream. So
   is what follows, until each stream has moved on.

Each stream is seen whole, once and in order; streams keep the order in which one connection sent them. Where the old
connection ends before (1) holds, this is an ordinary reconnect, with a gap.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from quantlab.exchange.stream.event_number import EventNumber, event_number
from quantlab.exchange.stream.session import StreamSession
from quantlab.model.errors import ExchangeUnreachable
from quantlab.model.protocols import Sink

#: On an exchange two connections may be served by machines that lag behind each other by a little: a stream that is
#: quiet shows nothing of it, so the old connection is given this long.
OVERLAP_S = 2.0
#: How long the old connection may take to come to where the new one began.
CATCH_UP_S = 30.0
#: After this long on the new connection nothing that was already delivered comes any more.
_FILTER_S = 10.0
_MOST_HELD = 500_000


class Handover:
    """Leads from `old` to `new`. `prepare` runs beside the reader of `old`, which hands frames to `deliver`."""

    def __init__(self, old: StreamSession, new: StreamSession, sink: Sink, *, overlap_s: float) -> None:
        self.old, self.new = old, new
        self.ready = False
        self._sink = sink
        self._overlap_s = overlap_s
        #: The number of the last event delivered from each stream, since the handover began.
        self._delivered: dict[bytes, EventNumber] = {}
        #: Where the new connection began in streams in which the old one has not come so far.
        self._ahead: dict[bytes, EventNumber] = {}
        self._begun: set[bytes] = set()
        self._level = asyncio.Event()
        self._level.set()
        self._holding: asyncio.Task[str] | None = None
        self._until_s = 0.0

    def deliver(self, raw: bytes) -> None:
        """A frame of the old connection: delivered, and remembered."""
        self._sink.frame(raw)
        named = event_number(raw)
        if named is None:
            return
        stream, number = named
        self._delivered[stream] = number
        if stream in self._ahead and number >= self._ahead[stream]:
            del self._ahead[stream]
            if not self._ahead:
                self._level.set()

    async def prepare(self, streams: Sequence[str]) -> None:
        """Open the new connection and wait until the old one can be left; then its reader is told (`ready`).

        Raises Broken, ExchangeUnreachable, ConnectionError or what the guard refuses: the old one then goes on.
        """
        await self.new.open(streams)
        self._holding = asyncio.create_task(self.new.hold(self._held))
        try:
            async with asyncio.timeout(CATCH_UP_S):
                await (await self.old.fence())
                await asyncio.sleep(self._overlap_s)
                await self._level.wait()
        except TimeoutError:
            raise ExchangeUnreachable("the two connections do not show the same events") from None
        if self._holding.done():
            raise ExchangeUnreachable(f"the new connection did not last: {self._holding.result()}")
        self.ready = True
        await self.old.fence()  # its reader may be waiting for a frame

    async def gather(self) -> str:
        """Hold all that the new connection was sent until now. The old one is not read meanwhile, so that a venue in
        lock-step stands still. Returns why the new one ended, if it did."""
        assert self._holding is not None
        try:
            async with asyncio.timeout(CATCH_UP_S):
                await self.new.fence()
                return await self._holding
        except TimeoutError:
            return "the new connection does not answer"
        except ConnectionError as error:
            return f"the new connection broke: {error}"

    def held(self) -> list[bytes]:
        """What is held and was not delivered by the old connection, in order."""
        self._until_s = asyncio.get_running_loop().time() + _FILTER_S
        held, self.new.held = self.new.held, []
        return [raw for raw in held if self._is_new(raw)]

    def follow(self, raw: bytes) -> None:
        """A frame of the new connection, after `held`: delivered when it is new."""
        if self._is_new(raw):
            self._sink.frame(raw)
        if not self._delivered or asyncio.get_running_loop().time() > self._until_s:
            self.new.leaving = True  # all that follows is new: it needs no look any more

    async def end(self) -> None:
        """Stop holding, whatever comes of it."""
        if self._holding is not None:
            self._holding.cancel()
            await asyncio.gather(self._holding, return_exceptions=True)

    def _held(self, raw: bytes) -> None:
        """A frame of the new connection while the old one delivers."""
        if len(self.new.held) > _MOST_HELD:
            raise ExchangeUnreachable("the new connection sends more than can be held")
        named = event_number(raw)
        if named is None or named[0] in self._begun:
            return
        stream, number = named
        self._begun.add(stream)
        if stream not in self._delivered or self._delivered[stream] < number:
            self._ahead[stream] = number
            self._level.clear()

    def _is_new(self, raw: bytes) -> bool:
        named = event_number(raw)
        if named is None:
            return True
        stream, number = named
        last = self._delivered.get(stream)
        if last is None:
            return True
        if number <= last:
            return False
        del self._delivered[stream]  # this stream has moved on
        return True
