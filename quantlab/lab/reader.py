"""Questions to the market from a notebook, through the one door, in a thread with an event loop of its own."""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

from quantlab.environment import scrubbed
from quantlab.model import Source
from quantlab.settings import Settings

if TYPE_CHECKING:
    from quantlab.exchange import Door

T = TypeVar("T")


class MarketReader:
    """An open door that synchronous code can ask. Starts a venue of its own for a replay that names none, and ends it
    with `close`, or when the process ends."""

    def __init__(self, settings: Settings) -> None:
        from quantlab.lab.egress import LabEgress
        from quantlab.venue.child import VenueChild

        self._venue: VenueChild | None = None
        if settings.market == "replay" and not settings.venue_url:
            self._venue = VenueChild(environment=scrubbed(os.environ))
            self._venue.start()
            settings = settings.with_venue(self._venue.url)
        self._settings = settings
        self._egress = LabEgress(settings.home)
        self._ready = threading.Event()
        self._closing: asyncio.Event
        self._loop: asyncio.AbstractEventLoop
        self._door: Door
        self._failure: BaseException | None = None
        self.source: Source
        self._thread = threading.Thread(target=self._serve, name="quantlab-market", daemon=True)
        self._thread.start()
        atexit.register(self.close)
        self._ready.wait()
        if self._failure is not None:
            failure = self._failure
            self.close()
            raise failure

    @property
    def label(self) -> str:
        """Where the prices come from, in words."""
        return self.source.label()

    @property
    def short(self) -> str:
        """The same, as the `source` column of frames has it."""
        from quantlab.report import short_source

        return short_source(self.source)

    def ask(self, question: Callable[[Door], Awaitable[T]]) -> T:
        """Run `question` against the door and wait for its answer. Raises the door's errors."""

        async def answer() -> T:
            return await question(self._door)

        return asyncio.run_coroutine_threadsafe(answer(), self._loop).result()

    def close(self) -> None:
        """Close the door, and end the venue if it was started here. May be called twice."""
        atexit.unregister(self.close)
        if self._thread.is_alive() and self._failure is None:
            self._loop.call_soon_threadsafe(self._closing.set)
            self._thread.join(5)
        self._egress.close()
        if self._venue is not None:
            self._venue.close()
            self._venue = None

    def _serve(self) -> None:
        try:
            asyncio.run(self._hold_open())
        except BaseException as error:
            self._failure = error
        finally:
            self._ready.set()

    async def _hold_open(self) -> None:
        from quantlab.exchange import Door, DoorConfig
        from quantlab.exchange.weight.budget import Priority
        from quantlab.fleet.sources import source_of

        self._loop, self._closing = asyncio.get_running_loop(), asyncio.Event()
        config = DoorConfig.for_settings(self._settings)
        async with Door(config, egress=self._keep, priority=Priority.BACKFILL) as door:  # a running fleet goes first
            self._door = door
            self.source = await source_of(door, self._settings)
            self._ready.set()
            await self._closing.wait()

    def _keep(self, entry: dict[str, Any]) -> None:
        self._egress.write(entry)
