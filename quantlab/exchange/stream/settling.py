"""When the answers that a sink needs are fetched: between two frames, or beside them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from quantlab.model.protocols import Sink


class Settling:
    """Settles `sink`.

    In a replay the reader waits: the market stands still meanwhile, so that an answer has its place in the input log.
    On an exchange (`beside`) nothing waits: one slow answer for one symbol must stop neither the other bots nor the
    pongs. The answers take their place in the log when they come. `failed` is called when settling raised.
    """

    def __init__(self, sink: Sink, *, beside: bool, failed: Callable[[], None]) -> None:
        self._sink, self._beside, self._failed = sink, beside, failed
        self._task: asyncio.Task[None] | None = None
        self.busy = False

    async def settle(self) -> None:
        """The sink is unsettled."""
        if not self._beside:
            self.busy = True
            try:
                await self._sink.settle()
            finally:
                self.busy = False
        elif self._task is None:
            self._task = asyncio.create_task(self._sink.settle())
            self._task.add_done_callback(self._done)

    async def end(self) -> None:
        """The connection ended: what was asked during it is not waited for. Raises what settling raised."""
        task, self._task = self._task, None
        if task is None:
            return
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        if not task.cancelled() and (error := task.exception()) is not None:
            raise error

    def _done(self, task: asyncio.Task[None]) -> None:
        if task is not self._task:
            return
        if not task.cancelled() and task.exception() is not None:
            self._failed()  # it stays here, for `end` to raise
        else:
            self._task = None
