"""The way of orders to the exchange and back. Nothing is sent before its intent is on disk, and nothing twice.

What an answer leaves open is asked for until it is known: the order by its client id, its trades by its number. What
happened while nobody listened to the account's stream is asked for when it is heard again, and every half minute while
orders are open.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from quantlab.exchange.failure.retry import Backoff
from quantlab.exchange.trading.order_rules import SOCKET_PATH
from quantlab.exchange.trading.orders import GIVEN_UP_S, OrderClient, Outcome, Row
from quantlab.exchange.trading.user_stream import UserStream
from quantlab.live.broker import Key, LiveBroker, Working
from quantlab.live.ids import intent_of
from quantlab.live.reports import Report, of_event, of_row, of_trades
from quantlab.model import Journal, MalformedMessage, OrderStatus, QuantlabError, Refused

_log = logging.getLogger(__name__)

RECONCILE_S = 30.0
#: How often it is looked whether the arming still stands.
_LOOK_S, _ASK_STANDING_S = 0.5, 5.0
#: How long the end of a run waits until what is open is cancelled.
_END_S = 20.0
_UNKNOWN_ORDER = -2011
NEVER_ARRIVED = "it never reached the exchange"


class OrderLine:
    """Implements `Line` for a `LiveBroker`, which `attach` names. `standing` tells why orders may not be placed any
    more ("" while they may); it may block and is called in a thread."""

    def __init__(self, client: OrderClient, journal: Journal, key: str, standing: Callable[[], str]) -> None:
        self._client, self._journal, self._key, self._standing = client, journal, key, standing
        self._broker: LiveBroker
        self._stream = UserStream(client, heard=self._event, up=self._up, down=self._down)
        self._tasks: set[asyncio.Task[None]] = set()
        self._placing: dict[Key, asyncio.Task[None]] = {}
        self._busy: set[tuple[str, Key]] = set()
        self._failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._reconcile_due_s = 0.0
        #: What the account's stream told of orders that are not this run's.
        self.foreign_reports = 0

    def attach(self, broker: LiveBroker) -> None:
        self._broker = broker

    @property
    def hears(self) -> bool:
        """Whether the account's stream stands."""
        return self._stream.is_up

    # -- Line ---------------------------------------------------------------------------------------------------------

    def place(self, key: Key, params: Mapping[str, str], ticket: int) -> None:
        self._placing[key] = self._begin(self._place(key, params, ticket))

    def cancel(self, key: Key) -> None:
        self._once("cancel", key, self._cancel)

    def owed(self, key: Key) -> None:
        self._once("trades", key, self._trades)

    def turn_down(self, report: Report) -> None:
        asyncio.get_running_loop().call_soon(self._tell, report)

    # -- running ------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Listen, reconcile and watch over the arming until cancelled. Raises what any of it raised."""
        own = [asyncio.create_task(self._stream.run()), asyncio.create_task(self._watch())]
        try:
            await asyncio.wait({*own, self._failed}, return_when=asyncio.FIRST_COMPLETED)
            for ended in (*own, self._failed):
                if ended.done():
                    ended.result()
        finally:
            for task in own:
                task.cancel()
            await asyncio.gather(*own, return_exceptions=True)

    async def end(self, reason: str) -> None:
        """Place nothing more, cancel what is open, and wait a while until the exchange has said so."""
        self._broker.lapsed = self._broker.lapsed or reason
        for key in tuple(self._broker.working):
            self.cancel(key)
        deadline = time.monotonic() + _END_S
        while self._broker.working and self._tasks and time.monotonic() < deadline:
            await asyncio.wait(self._tasks, timeout=deadline - time.monotonic(), return_when=asyncio.FIRST_COMPLETED)
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _watch(self) -> None:
        asked_s = 0.0
        while True:
            await asyncio.sleep(_LOOK_S)
            now = time.monotonic()
            why = self._client.armed.fault(self._client.clock.now_ms()) or ""
            if not why and now - asked_s >= _ASK_STANDING_S:
                asked_s = now
                why = await asyncio.to_thread(self._standing)
            if why and not self._broker.lapsed:
                self._lapse(why)
            if self._broker.working and now >= self._reconcile_due_s:
                self._reconcile_due_s = now + RECONCILE_S
                await self._reconcile()

    def _lapse(self, why: str) -> None:
        """The arming ended: what is open is cancelled, positions stay."""
        _log.warning("no more orders: %s; what is open is cancelled, positions stay", why)
        self._broker.lapsed = why
        self._journal.event(self._broker.now_ms, "arming ended", None, {"why": why})
        for key in tuple(self._broker.working):
            self.cancel(key)

    # -- the account's stream ---------------------------------------------------------------------------------------

    def _event(self, event: Mapping[str, Any]) -> None:
        if event.get("e") != "executionReport":
            return
        names = (str(event.get("C") or ""), str(event.get("c") or ""))  # of a cancellation: its order's, and its own
        key = next((found for name in names if (found := intent_of(name, self._key)) is not None), None)
        if key is None:
            self.foreign_reports += 1
        else:
            try:
                report = of_event(key, event)
            except MalformedMessage as error:
                _log.warning("%s: the exchange is asked instead", error)
                self._reconcile_due_s = 0.0
            else:
                self._tell(report)

    def _up(self) -> None:
        self._journal.event(self._broker.now_ms, "account stream", None, {"state": "up", "path": SOCKET_PATH})
        self._reconcile_due_s = 0.0

    def _down(self, why: str) -> None:
        self._journal.event(self._broker.now_ms, "account stream", None, {"state": "down", "why": why[:300]})

    # -- orders -------------------------------------------------------------------------------------------------------

    async def _place(self, key: Key, params: Mapping[str, str], ticket: int) -> None:
        try:
            await asyncio.to_thread(self._journal.wait, ticket)
            if self._broker.lapsed:
                self._reject(key, self._broker.lapsed)
                return
            try:
                outcome = await self._client.place(params)
            except Refused as refusal:
                self._reject(key, str(refusal))
                return
            left_s = time.monotonic()
            report = _answered(key, outcome)
            if report is not None:
                self._tell(report)
            elif outcome.unknown or outcome.row is not None:
                self._note(key, "order outcome unknown", outcome)
                await self._find_out(key, left_s)
            else:
                self._reject(key, outcome.words or "it could not be sent", outcome.code)
        finally:
            self._placing.pop(key, None)

    async def _find_out(self, key: Key, left_s: float) -> None:
        """Ask until it is known what became of an order that was sent."""
        backoff = Backoff()
        while (working := self._broker.working.get(key)) is not None and not working.order_id:
            since_s = time.monotonic() - left_s
            row = await self._looked_up(working)
            if row is not None:
                self._tell(of_row(key, row, "query"))
                return
            if since_s > GIVEN_UP_S:
                self._reject(key, NEVER_ARRIVED)
                return
            await asyncio.sleep(min(backoff.pause_s(), 1.0))

    async def _cancel(self, key: Key) -> None:
        """Cancel an order, once it is known where it is. Cancelling twice harms nothing, so it is tried until the order
        is final."""
        if (placing := self._placing.get(key)) is not None:
            await asyncio.wait({placing})
        backoff = Backoff()
        while (working := self._broker.working.get(key)) is not None:
            outcome = await self._client.cancel(working.order.symbol, working.name)
            if outcome.row is not None:
                self._tell(of_row(key, outcome.row, "answer"))
            else:
                if outcome.code != _UNKNOWN_ORDER:
                    self._note(key, "cancel outcome unknown", outcome)
                row = await self._looked_up(working)
                if row is not None:
                    self._tell(of_row(key, row, "query"))
            await self._trades(key)
            if key not in self._broker.working:
                return
            await asyncio.sleep(backoff.pause_s())

    async def _trades(self, key: Key) -> None:
        """Ask for trades until all that is known to be filled is booked."""
        backoff = Backoff()
        while (working := self._broker.working.get(key)) is not None and working.executed > working.filled:
            try:
                rows = await self._client.trades(working.order.symbol, order_id=working.order_id)
            except QuantlabError as error:
                _log.info("the trades of an order are not known yet: %s", error)
                rows = []
            self._tell(of_trades(key, working.order_id, rows))
            if working.executed > working.filled:
                await asyncio.sleep(backoff.pause_s())

    async def _looked_up(self, working: Working) -> Row | None:
        """The order as the exchange knows it; None where it knows none. Asked until there is an answer."""
        backoff = Backoff()
        while True:
            try:
                return await self._client.find(working.order.symbol, working.name)
            except Refused:
                raise
            except QuantlabError as error:
                _log.info("what became of an order is not known yet: %s", error)
            await asyncio.sleep(backoff.pause_s())

    async def _reconcile(self) -> None:
        """Hold what is open here against what is open there. Orders on their way are left alone."""
        known = {key: working for key, working in self._broker.working.items() if working.order_id}
        if not known:
            return
        try:
            rows = await self._client.open_orders()
        except QuantlabError as error:
            _log.info("open orders could not be asked for: %s", error)
            return
        there = {str(row.get("clientOrderId")): row for row in rows}
        for key, working in known.items():
            if (row := there.get(working.name)) is None and key in self._broker.working:
                row = await self._looked_up(working)
            if row is not None:
                self._tell(of_row(key, row, "query"))

    # -- telling ------------------------------------------------------------------------------------------------------

    def _tell(self, report: Report) -> None:
        try:
            self._broker.take(report)
        except Exception as error:  # from a callback of the loop nobody would hear it
            if not self._failed.done():
                self._failed.set_exception(error)

    def _reject(self, key: Key, reason: str, code: int = 0) -> None:
        self._tell(
            Report(
                bot=key[0],
                number=key[1],
                source="here",
                status=OrderStatus.REJECTED,
                reject_code=code,
                reject_reason=reason[:300],
            )
        )

    def _note(self, key: Key, kind: str, outcome: Outcome) -> None:
        detail = {"order": key[1], "code": outcome.code, "why": outcome.words[:300]}
        self._journal.event(self._broker.now_ms, kind, key[0], detail)

    def _once(self, what: str, key: Key, work: Callable[[Key], Coroutine[Any, Any, None]]) -> None:
        """Begin `work` for an order, unless it is at it."""
        if (what, key) in self._busy:
            return
        self._busy.add((what, key))
        self._begin(work(key)).add_done_callback(lambda _: self._busy.discard((what, key)))

    def _begin(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None and not self._failed.done():
            self._failed.set_exception(error)


def _answered(key: Key, outcome: Outcome) -> Report | None:
    """What the answer to an order says; None where there is none, or one that says nothing."""
    try:
        return None if outcome.row is None else of_row(key, outcome.row, "answer")
    except MalformedMessage as error:
        _log.warning("%s: the exchange is asked for the order", error)
        return None
