"""The door: one session, one budget, one log; REST on one side of it, the stream on the other."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

import aiohttp
from yarl import URL

from quantlab.exchange.clock import ExchangeClock, Reading
from quantlab.exchange.config import DoorConfig
from quantlab.exchange.egress import Egress, EgressLog, unwritten
from quantlab.exchange.guard import guarded_session
from quantlab.exchange.rest import Rest
from quantlab.exchange.rules import Origins
from quantlab.exchange.sharing import Answer
from quantlab.exchange.stream.feed import StreamFeed
from quantlab.exchange.transport import Transport
from quantlab.exchange.weight.budget import Priority
from quantlab.exchange.weight.shared_state import shared_budget


class Door:
    """The only way out of the process. Use it as an async context manager.

    `egress` is called with a row for each request sent or refused, each stream opened and each stream command; what it
    raises (a full disk) reaches the caller of the request. `priority` is what all questions have that are no
    fleet's (default: each its own, as `Rest` says).
    """

    def __init__(self, config: DoorConfig, egress: Egress = unwritten, *, priority: Priority | None = None) -> None:
        self.config = config
        self._priority = priority
        self._log = EgressLog(egress)
        #: What a keyed client beside this door has to share, as all doors of this user to the same exchange do.
        self.budget = shared_budget(config)
        self._session: aiohttp.ClientSession
        self.rest: Rest
        #: The exchange's clock. Each answer's date keeps it roughly known; `clock.run()` keeps it known well.
        self.clock: ExchangeClock
        self.feed: StreamFeed

    async def __aenter__(self) -> Self:
        config = self.config
        origins = Origins(URL(config.rest_url), URL(config.stream_url), is_venue=config.market == "replay")
        self._session = guarded_session(origins, self._log, config.timeout_s)
        self._transport = Transport(config, self._session, self.budget, self._log, heard=self._heard)
        self.rest = Rest(self._transport, self._log, is_real=config.is_real, priority=self._priority)
        self.clock = ExchangeClock(self.rest.read_clock)
        self.feed = StreamFeed(config, self._session, self._log)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.feed.stop()
        await self._transport.close()
        await self._session.close()
        self.budget.close()

    def _heard(self, answer: Answer) -> None:
        if answer.date_ms:
            self.clock.saw_date(Reading(answer.date_ms, answer.sent_s, answer.answered_s, resolution_ms=1000.0))

    async def venue_clock(self) -> dict[str, Any]:
        """What a replay venue plays, and how far it is. Raises ExchangeError (status 404) elsewhere."""
        return await self.rest.venue_clock()

    @property
    def log(self) -> EgressLog:
        """What left by this door: a client beside it that writes here is counted with it."""
        return self._log

    def counters(self) -> dict[str, Any]:
        """Requests asked, sent, shared, kept, their weight, refusals, and `order_requests` (0, or rule 1 is broken)."""
        return {**self._log.counters(), "peak_weight_60s": self.budget.peak_weight}
