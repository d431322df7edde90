"""One exchange, asked and listened to: what it said, what it cost, and what its clock shows."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from quantlab.exchange import Door, DoorConfig
from quantlab.exchange.weight.weights import weight_of
from quantlab.market import stream_names
from quantlab.model import Instrument, QuantlabError
from quantlab.selftest.listening import Listener
from quantlab.selftest.questions import Question, questions
from quantlab.selftest.shapes import Shape, shape_of

_CLOCK_READINGS = 5
_END_S = 5.0


class Asked(msgspec.Struct):
    """One question and what became of it. Weights as documented, and as the exchange counted (None: not to be told,
    its minute turned meanwhile); `fault` in one line."""

    weight: int
    counted: int | None = None
    milliseconds: float = 0.0
    bytes: int = 0
    fault: str = ""
    shape: Shape = {}


class Examination(msgspec.Struct):
    """All that one exchange said."""

    address: str
    asked: dict[str, Asked] = {}
    streams: dict[str, Shape] = {}
    frames: dict[str, int] = {}
    first_frames: dict[str, Any] = {}
    stream_faults: list[str] = []
    marks: list[str] = []
    books_in_sync: list[str] = []
    quotes_compared: int = 0
    quotes_differing: int = 0
    clock: dict[str, Any] = {}
    late_ms: dict[str, float] = {}
    weight: int = 0
    order_requests: int = 0


async def examine(
    config: DoorConfig,
    symbols: Sequence[str],
    *,
    listen_s: float = 30.0,
    egress: Callable[[dict[str, Any]], object],
    progress: Callable[[str], object] = lambda what: None,
) -> Examination:
    """Ask each question once and listen to the streams of `symbols` for `listen_s` seconds.

    What is wrong with an answer is written down and the next question asked. Raises ExchangeUnreachable when nobody
    is there, ExchangeError for a region that is not served, Refused.
    """
    found = Examination(config.address)
    async with Door(config, egress) as door:
        progress("the clock")
        for _ in range(_CLOCK_READINGS):
            await door.clock.measure()
        instruments: dict[str, Instrument] = {}
        used: int | None = None
        for question in questions(symbols):
            progress(question.name)
            found.asked[question.name], used = await _ask(door, question, instruments, used)
        if instruments:
            progress(f"the streams, {listen_s:g} s")
            await _listen(door, {name: instruments[name] for name in symbols if name in instruments}, listen_s, found)
        found.clock = door.clock.snapshot()
        counters = door.counters()
        found.weight, found.order_requests = counters["weight"], counters["order_requests"]
    return found


async def _ask(
    door: Door, question: Question, instruments: dict[str, Instrument], used: int | None
) -> tuple[Asked, int | None]:
    """The question's outcome, and the exchange's own count after it."""
    asked = Asked(weight_of(question.path, question.params))
    began = time.monotonic()
    try:
        answer = await door.rest.ask(question.path, question.params)
    except QuantlabError as error:
        asked.fault = str(error)
        return asked, None
    asked.milliseconds, asked.bytes = round((time.monotonic() - began) * 1000, 1), len(answer.body)
    if answer.used_weight is not None and used is not None and answer.used_weight > used:
        asked.counted = answer.used_weight - used
    asked.shape = shape_of(msgspec.json.decode(answer.body))
    if question.read is not None:
        try:
            question.read(answer.body, instruments)
        except (QuantlabError, LookupError, TypeError, ValueError) as error:
            asked.fault = f"quantlab cannot read it: {error}"
    return asked, answer.used_weight


async def _listen(door: Door, instruments: dict[str, Instrument], listen_s: float, found: Examination) -> None:
    listener = Listener(instruments, lambda symbol: door.rest.depth(symbol, 1000), door.clock.now_ms)
    streams = stream_names(instruments, [(symbol, "1m") for symbol in instruments])
    feed = asyncio.create_task(door.feed.run(streams, listener))
    snapshots = asyncio.create_task(listener.snapshots())
    await asyncio.wait({feed}, timeout=listen_s)
    snapshots.cancel()
    await door.feed.stop()
    await asyncio.wait({feed}, timeout=_END_S)
    feed.cancel()
    ended, _ = await asyncio.gather(feed, snapshots, return_exceptions=True)
    if isinstance(ended, QuantlabError):
        found.stream_faults.append(str(ended))
    found.stream_faults += listener.faults[:20]
    found.frames, found.streams = {name: listener.frames.get(name, 0) for name in streams}, listener.shapes
    found.first_frames, found.marks = listener.first_frames, listener.marks
    found.books_in_sync = listener.in_sync
    found.quotes_compared, found.quotes_differing = listener.compared, listener.differing
    if door.config.is_real and (late := sorted(listener.late_ms)):  # a replay's market has a time of its own
        found.late_ms = {"median": round(late[len(late) // 2], 1), "p99": round(late[int(len(late) * 0.99)], 1)}
