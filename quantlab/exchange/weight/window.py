"""The rule of the weight budget: at most `limit` in *any* window, wherever the exchange's clock stands.

The exchange counts a request at some moment between our sending it and its answer. So a weight is held from the moment
it is taken until one window after its *answer*; where no answer came, until one window after the last moment at which
it may still have arrived. What is held then bounds every window, at our end and at theirs.

Everything here is a function of a `State` and the times it is given: no clock, no file, no socket. Times are monotonic
seconds and never go back from call to call.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from dataclasses import dataclass

import msgspec

WINDOW_S = 60.0
#: How long after our own time limit a request may still reach the exchange.
LOST_MARGIN_S = 5.0
#: What returns at nearly the same time is kept as one sum: at most so many a window, each rounded up, never down.
_GRAINS = 240
#: A 429 says that we count too little: so much of the limit is left for so long, each time, down to a quarter.
_LOWERED, _LOWERED_S, _LOWEST = 0.75, 600.0, 0.25
#: One part in so many of the limit is for safety alone (`Priority.SAFETY`).
_SAFETY_SHARE = 100


class Returns(msgspec.Struct, array_like=True):
    """Weights and the times at which they return, soonest first."""

    untils: list[float] = msgspec.field(default_factory=list)
    weights: list[int] = msgspec.field(default_factory=list)

    def add(self, until: float, weight: int, grain_s: float) -> None:
        until = -(-until // grain_s) * grain_s
        at = bisect_left(self.untils, until)
        if at < len(self.untils) and self.untils[at] == until:
            self.weights[at] += weight
        else:
            self.untils.insert(at, until)
            self.weights.insert(at, weight)

    def held(self, now: float) -> int:
        """What is still out; what has returned is forgotten."""
        if self.untils and self.untils[0] <= now:
            gone = bisect_right(self.untils, now)
            del self.untils[:gone], self.weights[:gone]
        return sum(self.weights)


class Row(msgspec.Struct, array_like=True):
    """One process's line at one priority: its first waiter (number, tag, since when it waits, weight, how much passed
    it) and its length."""

    priority: int
    head: int
    tag: float
    since_s: float
    weight: int
    count: int
    total: int
    passed: int = 0


class Process(msgspec.Struct, array_like=True):
    """Who shares the budget: when it was last seen, its own limit, what it keeps for safety, and who waits there."""

    seen_s: float
    limit: int
    safety: int = 0
    rows: list[Row] = msgspec.field(default_factory=list)


class Stop(msgspec.Struct, array_like=True):
    """Nothing is asked until then, because the exchange said so."""

    until_s: float
    until_wall_ms: int
    status: int
    code: int
    text: str


class State(msgspec.Struct, array_like=True):
    """All that is known of an address's weight. `flying` maps a request to its weight and when it returns at last."""

    boot: str = ""
    written_s: float = 0.0
    flying: dict[int, tuple[int, float]] = msgspec.field(default_factory=dict)
    spent: Returns = msgspec.field(default_factory=Returns)
    foreign: Returns = msgspec.field(default_factory=Returns)
    #: The exchange's minute, and what of it is ours at most and others' at least.
    minute: int = 0
    minute_ours: int = 0
    minute_foreign: int = 0
    stop: Stop | None = None
    #: What exchangeInfo allows (0: not told), and what a 429 left of it until when.
    allowed: int = 0
    lowered: float = 1.0
    lowered_until_s: float = 0.0
    #: How far the line of each priority has come (`line.py`).
    progress: list[float] = msgspec.field(default_factory=lambda: [0.0, 0.0, 0.0, 0.0])
    processes: dict[int, Process] = msgspec.field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class WeightRule:
    """The rule with its numbers: `limit` weight in any `window_s`, each attempt bounded by `timeout_s`."""

    limit: int
    timeout_s: float
    window_s: float = WINDOW_S

    @property
    def lost_s(self) -> float:
        """How long after it was taken a weight may still count, when no answer comes."""
        return self.timeout_s + LOST_MARGIN_S + self.window_s

    def limit_now(self, state: State, now: float) -> int:
        """The limit as it is: the lowest of our setting, the other processes', and what the exchange allows."""
        limit = min(self.limit, state.allowed or self.limit)
        for process in state.processes.values():
            if process.limit < limit and process.seen_s > now - self.window_s:
                limit = process.limit
        if now < state.lowered_until_s:
            limit = max(1, int(limit * state.lowered))
        return limit

    def room(self, state: State, now: float, *, for_safety: bool) -> int:
        """The most weight that may be taken now; below zero when the limit fell under what is held. What is larger than
        all but the safety share may go alone."""
        limit, used = self.limit_now(state, now), self.used(state, now)
        return limit - used if for_safety or not used else limit - self._safety(state, limit) - used

    def next_return(self, state: State, now: float) -> float:
        """When the next weight returns, or the stop ends; one window from now where nothing is held."""
        if state.stop is not None and now < state.stop.until_s:
            return state.stop.until_s
        self.used(state, now)
        dues = [until for _, until in state.flying.values()]
        dues += state.spent.untils[:1] + state.foreign.untils[:1]
        return min(dues, default=now + self.window_s)

    def take(self, state: State, request: int, weight: int, now: float) -> None:
        """Hold `weight`, which must fit, for `request`."""
        state.flying[request] = (weight, now + self.lost_s)

    def returned(self, state: State, request: int) -> None:
        """It never left: nothing was spent."""
        state.flying.pop(request, None)

    def lost(self, state: State, request: int, now: float) -> None:
        """Nobody waits for its answer any more; it may arrive a little later still."""
        weight, until = state.flying.pop(request, (0, 0.0))
        if until > now:
            state.spent.add(max(until, now + LOST_MARGIN_S + self.window_s), weight, self._grain_s)
            state.minute_ours += weight

    def answered(self, state: State, request: int, weight: int, now: float) -> None:
        """Its answer came: the weight returns one window from now."""
        state.flying.pop(request, None)
        state.spent.add(now + self.window_s, weight, self._grain_s)
        state.minute_ours += weight

    def told_used(self, state: State, used: int, now: float, *, date_ms: int, trip_s: float, weight: int) -> None:
        """The exchange's own count of its minute (`X-MBX-USED-WEIGHT-1M`), right after `answered`.

        It counts by the minute of its clock, so the number falls when its minute turns. `date_ms` is the answer's
        `Date`, `trip_s` how long the request was under way: where it may have been counted in the minute before, the
        number says nothing. What it says beyond all that may be ours was spent by others at this address; what is new
        of that is held as theirs for one window.
        """
        minute = date_ms // 60_000
        if minute > state.minute:
            state.minute, state.minute_ours, state.minute_foreign = minute, weight, 0
        if minute < state.minute or date_ms - trip_s * 1000 < minute * 60_000:
            return
        ours = state.minute_ours + sum(weight for weight, _ in state.flying.values())
        news = used - ours - state.minute_foreign
        if news > 0:
            state.minute_foreign += news
            state.foreign.add(now + self.window_s, news, self._grain_s)

    def stop(self, state: State, stop: Stop, now: float) -> None:
        """The exchange told us to be quiet. The first 429 also lowers the limit for a while: we count too little."""
        silent = state.stop is not None and now < state.stop.until_s
        if stop.status == 429 and not silent:
            before = state.lowered if now < state.lowered_until_s else 1.0
            state.lowered, state.lowered_until_s = max(before * _LOWERED, _LOWEST), now + _LOWERED_S
        if state.stop is None or stop.until_s > state.stop.until_s:
            state.stop = stop

    def used(self, state: State, now: float) -> int:
        """Weight held now, others' included. Forgets what has returned."""
        flying = 0
        if state.flying:
            for request in [request for request, (_, until) in state.flying.items() if until <= now]:
                del state.flying[request]
            for weight, _ in state.flying.values():
                flying += weight
        return flying + state.spent.held(now) + state.foreign.held(now)

    def shown(self, state: State, now: float) -> dict[str, int]:
        """For people: the limit as it is now, what is used of it, by others at this address too, and who shares it."""
        return {
            "limit": self.limit_now(state, now),
            "used": self.used(state, now),
            "foreign": state.foreign.held(now),
            "stopped_until_ms": state.stop.until_wall_ms if state.stop and state.stop.until_s > now else 0,
            "processes": sum(process.seen_s > now - self.window_s for process in state.processes.values()),
        }

    def cautious(self, state: State | None, boot: str, now: float, wall_ms: int) -> State:
        """A state to begin with where the one found cannot be trusted: of another boot, or none that can be read.

        What was held, or the whole limit where that is unknown, stays held for as long as any of it may count.
        """
        fresh = State(boot=boot, written_s=now)
        held = self.limit
        if state is not None:
            never = float("-inf")
            held = self.used(state, never)
            fresh.allowed = state.allowed
            if state.stop is not None and state.stop.until_wall_ms > wall_ms:
                fresh.stop = state.stop
                fresh.stop.until_s = now + (state.stop.until_wall_ms - wall_ms) / 1000
        if held:
            fresh.spent.add(now + self.lost_s, held, self._grain_s)
        return fresh

    def add_known(self, state: State, known: State, now: float) -> None:
        """Hold in `state` also all that is `known` from elsewhere."""
        state.flying.update(known.flying)
        if spent := known.spent.held(now) + known.foreign.held(now):
            state.spent.add(now + self.window_s, spent, self._grain_s)
        if known.stop is not None and (state.stop is None or known.stop.until_s > state.stop.until_s):
            state.stop = known.stop

    @property
    def _grain_s(self) -> float:
        return 2.0 ** math.floor(math.log2(self.window_s / _GRAINS))  # a power of two: sums of it are exact

    def _safety(self, state: State, limit: int) -> int:
        kept = max((process.safety for process in state.processes.values()), default=0)
        return max(limit // _SAFETY_SHARE, min(kept, limit // 4))
