"""What the streams say: frames by stream, what the decoders make of them, and the book against the best quotes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec

from quantlab.market import Book, FrameDecoder, decode_depth, event_time_ms
from quantlab.model import DepthUpdate, Instrument, MalformedMessage, QuantlabError, Quote
from quantlab.selftest.shapes import Shape, shape_of

_SAMPLES = 20
#: Quotes kept until the depth stream has come to their update.
_QUOTES = 50_000


class Listener:
    """A `Sink` that keeps samples and builds the books. `depth` asks for a symbol's snapshot, `now_ms` is the
    exchange's clock."""

    unsettled = False

    def __init__(
        self,
        instruments: Mapping[str, Instrument],
        depth: Callable[[str], Awaitable[bytes]],
        now_ms: Callable[[], float],
    ) -> None:
        self.frames: dict[str, int] = {}
        self.faults: list[str] = []
        self.marks: list[str] = []
        self.late_ms: list[float] = []
        self.compared = self.differing = 0
        self._instruments = instruments
        self._depth, self._now_ms = depth, now_ms
        self._decode = FrameDecoder(instruments).decode
        self._books = {symbol: Book(instrument) for symbol, instrument in instruments.items()}
        self._quotes: dict[str, dict[int, Quote]] = {symbol: {} for symbol in instruments}
        self._samples: dict[str, list[Any]] = {}

    def frame(self, raw: bytes) -> None:
        try:
            event = self._decode(raw)
        except MalformedMessage as error:
            self.faults.append(str(error)[:300])
            return
        envelope = msgspec.json.decode(raw)
        name = envelope["stream"]
        self.frames[name] = self.frames.get(name, 0) + 1
        kind = name.partition("@")[2]
        if len(samples := self._samples.setdefault(kind, [])) < _SAMPLES:
            samples.append(envelope)
        if event is None:
            self.faults.append(f"no decoder took a frame of {name}")
            return
        said_ms = event_time_ms(event)
        if said_ms is not None:
            self.late_ms.append(self._now_ms() - said_ms)
        if isinstance(event, Quote) and len(self._quotes[event.symbol]) < _QUOTES:
            self._quotes[event.symbol][event.update_id] = event
        elif isinstance(event, DepthUpdate):
            self._follow(event)

    def mark(self, kind: str, detail: str) -> None:
        self.marks.append(kind)

    async def settle(self) -> None:
        """Nothing is asked for between two frames: the snapshots come from `snapshots`."""

    async def snapshots(self) -> None:
        """Give each book its snapshot, as often as it takes."""
        for symbol, book in self._books.items():
            until_s = time.monotonic() + 10.0
            while not book.in_sync and time.monotonic() < until_s:
                await asyncio.sleep(0.5)
                try:
                    if book.needs_snapshot:
                        book.snapshot(decode_depth(await self._depth(symbol), self._instruments[symbol]))
                except QuantlabError as error:
                    self.faults.append(str(error)[:300])
                    return

    @property
    def in_sync(self) -> list[str]:
        """The symbols whose books are whole."""
        return [symbol for symbol, book in self._books.items() if book.in_sync]

    @property
    def shapes(self) -> dict[str, Shape]:
        """By kind of stream, such as "depth@100ms"."""
        return {kind: shape_of(samples) for kind, samples in sorted(self._samples.items())}

    @property
    def first_frames(self) -> dict[str, Any]:
        """One frame of each kind as it came: public market data, for whoever reads a bug report."""
        return {kind: samples[0] for kind, samples in sorted(self._samples.items())}

    def _follow(self, update: DepthUpdate) -> None:
        """Where the depth stream and a quote stand at the same update, their tops must be the same."""
        book = self._books[update.symbol]
        book.apply(update)
        quote = self._quotes[update.symbol].pop(update.last_update_id, None)
        if quote is None or not book.in_sync:
            return
        self.compared += 1
        best = (book.best_bid(), book.best_ask())
        if best != ((quote.bid_ticks, quote.bid_lots), (quote.ask_ticks, quote.ask_lots)):
            self.differing += 1
