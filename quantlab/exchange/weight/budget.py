"""The weight budget: at most so much in *any* 60 seconds, for all processes of this user together.

`Budget` is the queue of one process: `window.py` says what fits, `line.py` who goes next, `shared_state.py` keeps what
the processes of a user have to know of one another.

What the exchange tells is obeyed by all of them: `Retry-After` stops everything until then, a 429 also lowers the limit
by a quarter for ten minutes, a ban (418) stops everything until it ends, and `X-MBX-USED-WEIGHT-1M` tells what others
spend at this address. A hundredth of the limit, or what `keep_for_safety` asks for, is for `Priority.SAFETY` alone.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import time
from collections.abc import Callable
from typing import Any

from quantlab.exchange.weight.line import LEASE_S, Line, Priority, Waiter
from quantlab.exchange.weight.patience import refusal
from quantlab.exchange.weight.store import Busy, OwnState, Store
from quantlab.exchange.weight.window import WINDOW_S, Process, State, Stop, WeightRule
from quantlab.model.errors import ConfigurationError, ExchangeError, ExchangeUnreachable, QuantlabError

__all__ = ["Budget", "Held", "Priority"]

_log = logging.getLogger(__name__)

#: While something waits: how often to look whether another process gave way, and to say that we still wait.
_LOOK_S, _SAY_S = 0.03, 0.4 * LEASE_S
#: When to try again where another process is at the state.
_BUSY_S = 0.005
#: After so long without a sign a process is not counted any more.
_FORGOTTEN_S = 600.0


class Held:
    """Weight that is held for one request."""

    __slots__ = ("request", "settled", "taken_s", "weight")

    def __init__(self, request: int, weight: int, taken_s: float) -> None:
        self.request = request
        self.weight = weight
        self.taken_s = taken_s
        self.settled = False


class Budget:
    """Gives leave to ask, and is told what came of it. A wait that is cancelled costs nothing.

    `limit` is weight in any `window_s`; `timeout_s` bounds each attempt; `clock` is monotonic seconds, that of all
    deadlines and of the store, which is opened when it is first needed (default: this process alone). For one event
    loop.
    """

    def __init__(
        self,
        limit: int,
        *,
        timeout_s: float,
        window_s: float = WINDOW_S,
        clock: Callable[[], float] = time.monotonic,
        open_store: Callable[[WeightRule], Store] = OwnState,
    ) -> None:
        self._rule = WeightRule(limit, timeout_s, window_s)
        self._clock = clock
        self._open_store = open_store
        self._store: Store | None = None
        self._number = int.from_bytes(os.urandom(4))
        self._requests = itertools.count(self._number << 31)
        self._line = Line(self._number)
        self._waiting: set[Waiter] = set()
        self._own = State()  # the rule once more, for what this process alone holds
        self._peak = 0
        self._safety = 0
        self._late: list[Callable[[State], None]] = []  # not yet in the state: another process was at it
        self._timer: asyncio.Handle | None = None
        self._is_soon = False  # it is due in this turn of the loop
        self._is_in_line = False  # the others know of who waits here

    @property
    def limit(self) -> int:
        """The setting; what holds at the moment may be lower (`snapshot`)."""
        return self._rule.limit

    @property
    def peak_weight(self) -> int:
        """The most that was held at once: no 60 s of this door's requests weighed more, at either end of the line."""
        return self._peak

    async def take(
        self,
        weight: int,
        what: str,
        deadline: float,
        *,
        priority: Priority = Priority.LIVE_FEED,
        caller: str = "",
    ) -> Held:
        """Wait for room and hold `weight`. `deadline` is on this budget's clock; `caller` is who shares fairly.

        Raises ConfigurationError when `weight` exceeds the whole budget, the exchange's own error when it keeps us out
        beyond `deadline`, ExchangeUnreachable when there is no room until then.
        """
        if weight > self._rule.limit:
            raise ConfigurationError(
                f"{what} costs {weight} weight, more than the whole budget of {self._rule.limit} a minute: "
                "raise QUANTLAB_WEIGHT_PER_MINUTE or ask for less"
            )
        waiter = Waiter(weight, what, deadline, priority, caller, asyncio.get_running_loop().create_future())
        held = self._take_at_once(waiter)
        if held is not None:
            return held
        self._waiting.add(waiter)
        self._late.append(lambda state: self._join(waiter, state))
        self._pump_soon()
        try:
            granted: Held = await waiter.future
        except asyncio.CancelledError:
            if waiter.future.done() and not waiter.future.cancelled() and waiter.future.exception() is None:
                self.returned(waiter.future.result())  # cancelled in the very moment it was granted
            raise
        finally:
            self._waiting.discard(waiter)
            if self._line.leave(waiter):
                self._pump_soon()
        return granted

    def answered(self, held: Held, used: int | None = None, date_ms: int = 0) -> None:
        """Its answer came, with the exchange's own count where it gave one, and the answer's `Date` (Unix ms)."""
        if held.settled:
            return
        held.settled, now = True, self._clock()
        self._rule.answered(self._own, held.request, held.weight, now)

        def act(state: State) -> None:
            self._rule.answered(state, held.request, held.weight, now)
            if used is not None and date_ms:
                self._rule.told_used(state, used, now, date_ms=date_ms, trip_s=now - held.taken_s, weight=held.weight)

        self._tell(act)

    def lost(self, held: Held) -> None:
        """Nobody waits for its answer any more: it may still arrive, and is held until it cannot count."""
        now = self._clock()
        self._settle(held, lambda state: self._rule.lost(state, held.request, now))

    def returned(self, held: Held) -> None:
        """It never left: nothing was spent."""
        self._settle(held, lambda state: self._rule.returned(state, held.request))

    def stop(self, seconds: float, why: QuantlabError) -> None:
        """Everything waits, in all processes: 429 with its Retry-After, or a ban (418)."""
        _log.warning("no requests for %.0f s: %s", seconds, why)
        status, code = (why.status, why.code) if isinstance(why, ExchangeError) else (0, 0)
        until_ms = time.time_ns() // 1_000_000 + round(seconds * 1000)
        now = self._clock()
        told = Stop(now + seconds, until_ms, status, code, str(why))
        self._tell(lambda state: self._rule.stop(state, told, now))

    def allowed(self, limit: int) -> None:
        """What the exchange's own `rateLimits` allow a minute: below our setting it is what holds."""

        def act(state: State) -> None:
            if limit < self._rule.limit and state.allowed != limit:
                _log.warning("Binance allows %d weight a minute: less than the %d set", limit, self._rule.limit)
            state.allowed = limit

        if limit > 0:
            self._tell(act)

    def keep_for_safety(self, weight: int) -> None:
        """Keep so much (a quarter of the limit at most) for `Priority.SAFETY` alone, while this process lives: for who
        may have to cancel orders at any moment."""
        self._safety = weight

        def act(state: State) -> None:
            self._present(state, self._clock())

        self._tell(act)

    def snapshot(self) -> dict[str, Any]:
        """For status and metrics: limit (as it is now), used (others' included), foreign (others', as the exchange's
        count tells), waiting (of this process, by priority), stopped_until_ms (Unix; 0: not), processes."""
        waiting = dict.fromkeys((priority.name.lower() for priority in Priority), 0)
        for waiter in self._waiting:
            waiting[waiter.priority.name.lower()] += 1
        try:
            state = self._locked()
        except Busy:
            return {**self._rule.shown(self._own, self._clock()), "waiting": waiting}
        try:
            now = self._clock()
            self._present(state, now)
            return {**self._rule.shown(state, now), "waiting": waiting}
        finally:
            self._unlock()

    def close(self) -> None:
        """This process asks no more. What it spent stays held for the others."""
        if self._store is None:
            return
        for waiter in self._waiting:
            if not waiter.future.done():
                waiter.future.set_exception(ExchangeUnreachable(f"{waiter.what} was not asked: its door was closed"))

        def act(state: State) -> None:
            state.processes.pop(self._number, None)

        self._tell(act)
        if self._timer is not None:
            self._timer.cancel()
        self._store.close()
        self._store = OwnState()

    def _take_at_once(self, waiter: Waiter) -> Held | None:
        """Its weight, where nobody waits before it and there is room."""
        try:
            state = self._locked()
        except Busy:
            return None
        try:
            now = self._clock()
            stopped = state.stop is not None and now < state.stop.until_s
            if stopped or not self._line.may_go_at_once(waiter, self._rule, state, now):
                return None
            self._line.served(waiter, state)
            self._present(state, now)
            return self._hold(waiter.weight, state, now)
        finally:
            self._unlock()

    def _tell(self, act: Callable[[State], None]) -> None:
        """Do `act` to the state, now or as soon as it can be had; then see who may go."""
        self._late.append(act)
        self._pump()

    def _pump(self) -> None:
        """Bring the state up to date, and serve those who wait. Runs again by itself while anything is left to do."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._is_soon = None, False
        try:
            state = self._locked()
        except Busy:
            self._refuse_late(None, self._clock())
            self._later(_BUSY_S)
            return
        try:
            if self._waiting or self._is_in_line:
                now = self._clock()
                self._refuse_late(state, now)
                self._serve(state, now)
                self._present(state, now).rows = self._line.rows(state)
                self._is_in_line = bool(self._line)
                if self._line:
                    self._later(self._pause_s(state, now))
        finally:
            self._unlock()

    def _pump_soon(self) -> None:
        """Once for all who come or go in the same turn of the loop."""
        if not self._is_soon:
            if self._timer is not None:
                self._timer.cancel()
            self._timer, self._is_soon = asyncio.get_running_loop().call_soon(self._pump), True

    def _serve(self, state: State, now: float) -> None:
        if state.stop is not None and now < state.stop.until_s:
            return
        while (waiter := self._line.next(self._rule, state, now)) is not None:
            self._line.leave(waiter)
            if not waiter.future.done():
                self._line.served(waiter, state)
                waiter.future.set_result(self._hold(waiter.weight, state, now))

    def _hold(self, weight: int, state: State, now: float) -> Held:
        held = Held(next(self._requests), weight, now)
        self._rule.take(state, held.request, weight, now)
        self._rule.take(self._own, held.request, weight, now)
        self._peak = max(self._peak, self._rule.used(self._own, now))
        return held

    def _settle(self, held: Held, act: Callable[[State], None]) -> None:
        if not held.settled:
            held.settled = True
            act(self._own)
            self._tell(act)

    def _join(self, waiter: Waiter, state: State) -> None:
        if not waiter.future.done():
            self._line.join(waiter, state, self._clock())

    def _present(self, state: State, now: float) -> Process:
        """Our own entry in the state, seen now."""
        process = state.processes.get(self._number)
        if process is None:
            gone = [number for number, other in state.processes.items() if other.seen_s < now - _FORGOTTEN_S]
            for number in gone:
                del state.processes[number]
            process = state.processes[self._number] = Process(now, self._rule.limit)
        process.seen_s, process.safety = now, self._safety
        return process

    def _pause_s(self, state: State, now: float) -> float:
        """Until when nothing changes that we would not be told."""
        others = (process for number, process in state.processes.items() if number != self._number)
        contested = any(process.rows and process.seen_s > now - LEASE_S for process in others)
        deadline = min(waiter.deadline for waiter in self._waiting)
        due = min(self._rule.next_return(state, now), deadline)
        return max(min(_LOOK_S if contested else _SAY_S, due - now), 0.001)

    def _later(self, seconds: float) -> None:
        self._timer = asyncio.get_running_loop().call_later(seconds, self._pump)

    def _refuse_late(self, state: State | None, now: float) -> None:
        """Tell those for whom there is no room in time."""
        for waiter in tuple(self._waiting):
            error = None if waiter.future.done() else refusal(waiter, self._rule, state, now)
            if error is not None:
                self._line.leave(waiter)
                waiter.future.set_exception(error)

    def _locked(self) -> State:
        """The state, up to date with what is late. Raises Busy."""
        if self._store is None:
            self._store = self._open_store(self._rule)
        state = self._store.lock()
        late, self._late = self._late, []
        for act in late:
            act(state)
        return state

    def _unlock(self) -> None:
        assert self._store is not None
        self._store.unlock()
