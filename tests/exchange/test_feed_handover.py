"""A planned change of connection, or an announced shutdown, leaves no hole: every event once, in each stream's order,
with one mark; where the new connection does not come to stand, the old one goes on, and where the old one ends too
early it is an ordinary reconnect."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import WSMsgType, web

from quantlab.exchange import Door
from quantlab.exchange.failure import retry as retry_module
from quantlab.exchange.stream import feed as feed_module
from quantlab.exchange.stream import session as stream_session
from quantlab.exchange.stream.handover import Handover
from quantlab.venue import Venue
from quantlab.venue.market import open_market

from .scripted import RecordingSink, config_for, serving, until

STREAMS = ["btcusdt@bookTicker", "btcusdt@trade", "ethusdt@trade", "btcusdt@kline_1m"]
SHUTDOWN = '{"stream":"!serverShutdown","data":{"e":"serverShutdown","E":1770123456789}}'


def event(stream: str, number: int) -> str:
    data: dict[str, Any]
    if stream.endswith("bookTicker"):
        data = {"u": number * 3, "s": "BTCUSDT", "b": "1", "B": "1", "a": "2", "A": "1"}
    elif stream.endswith("trade"):
        data = {"e": "trade", "E": 1, "t": number, "p": "1", "q": "1", "m": True}
    else:
        data = {"e": "kline", "E": 1, "k": {"t": number // 4 * 60_000, "x": number % 4 == 3, "L": number}}
    return json.dumps({"stream": stream, "data": data}, separators=(",", ":"))


class TwoFacedExchange:
    """Sends each event to all its connections; each may lag behind by a number of events of its own."""

    def __init__(self) -> None:
        self.sockets: list[web.WebSocketResponse] = []
        self.whole: list[web.WebSocketResponse] = []
        self.lag: dict[int, int] = {}
        self.sent: list[str] = []
        self.refuse_from: int | None = None
        self.mute_from: int | None = None
        self.url = ""
        self._positions: dict[int, int] = {}
        self._numbers: dict[str, int] = defaultdict(int)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        index = len(self.sockets)
        if self.refuse_from is not None and index >= self.refuse_from:
            self.sockets.append(web.WebSocketResponse())
            return web.Response(status=503)
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.sockets.append(socket)
        async for message in socket:
            if message.type is WSMsgType.TEXT:
                command = json.loads(message.data)
                if self.mute_from is not None and index >= self.mute_from:
                    await asyncio.sleep(3600)
                self._positions[index] = len(self.sent)
                await socket.send_json({"result": None, "id": command["id"]})
                self.whole.append(socket)
        return socket

    async def emit(self, *streams: str) -> None:
        """One event of each stream happens; connections are sent what their lag lets them see."""
        for stream in streams:
            self._numbers[stream] += 1
            self.sent.append(event(stream, self._numbers[stream]))
        await self.flush()

    async def flush(self, *, lag: bool = True) -> None:
        for index, socket in enumerate(self.sockets):
            if socket not in self.whole or socket.closed:
                continue
            end = len(self.sent) - (self.lag.get(index, 0) if lag else 0)
            while self._positions[index] < end:
                at = self._positions[index]
                self._positions[index] = at + 1
                try:
                    await socket.send_str(self.sent[at])
                except ConnectionError:
                    break


@pytest.fixture
async def exchange() -> AsyncIterator[TwoFacedExchange]:
    scripted = TwoFacedExchange()
    async with serving(scripted.handle) as address:
        scripted.url = f"http://{address}"
        yield scripted


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry_module, "_FIRST_S", 0.02)
    monkeypatch.setattr(stream_session, "_CLOSE_S", 0.1)


@asynccontextmanager
async def running(exchange: TwoFacedExchange, sink: RecordingSink) -> AsyncIterator[Door]:
    async with Door(config_for(exchange.url, timeout_s=1.0)) as door:
        task = asyncio.create_task(door.feed.run(STREAMS, sink))
        try:
            await until(lambda: "connected" in sink.kinds)
            yield door
        finally:
            await door.feed.stop()
            async with asyncio.timeout(5):
                await asyncio.gather(task, return_exceptions=True)


async def market(exchange: TwoFacedExchange, ended: asyncio.Event) -> None:
    """Events go on: some streams busy, one quiet."""
    count = 0
    while not ended.is_set():
        count += 1
        names = STREAMS[:2] if count % 7 else STREAMS
        await exchange.emit(*names)
        await asyncio.sleep(0.002)


def by_stream(frames: list[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for text in frames:
        found[json.loads(text)["stream"]].append(text)
    return found


def frames(sink: RecordingSink) -> list[str]:
    return [text for kind, text in sink.entries if kind == "frame"]


async def announced(exchange: TwoFacedExchange) -> None:
    await exchange.whole[-1].send_str(SHUTDOWN)


async def through_a_handover(exchange: TwoFacedExchange, sink: RecordingSink) -> None:
    """The market goes on while the connection is replaced, and is quiet at the end until all was delivered."""
    async with running(exchange, sink) as door:
        door.feed._overlap_s = 0.3  # longer than they lag behind each other, as on a real exchange
        ended = asyncio.Event()
        goes_on = asyncio.create_task(market(exchange, ended))
        await sink.until(lambda sink: sink.kinds.count("frame") > 40)
        await announced(exchange)
        await sink.until(lambda sink: sink.kinds[-1] != "frame" or "handover" in sink.kinds)
        at = len(sink.entries)
        await sink.until(lambda sink: len(sink.entries) > at + 200)
        ended.set()
        await goes_on
        await exchange.flush(lag=False)
        await sink.until(lambda sink: frames(sink)[-1:] == exchange.sent[-1:])


@pytest.mark.parametrize("lag", [{}, {0: 20}, {1: 20}, {0: 3, 1: 11}], ids=["level", "old", "new", "both"])
async def test_every_event_once_and_in_its_streams_order(exchange: TwoFacedExchange, lag: dict[int, int]) -> None:
    exchange.lag = lag
    sink = RecordingSink()
    await through_a_handover(exchange, sink)
    assert [kind for kind in sink.kinds if kind != "frame"] == ["connected", "handover"]
    assert dict(sink.entries)["handover"] == "the exchange announced a shutdown"
    assert by_stream(frames(sink)) == by_stream(exchange.sent)
    assert len(exchange.sockets) == 2


async def test_the_check_fails_where_nothing_is_compared(
    exchange: TwoFacedExchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Handover, "_is_new", lambda self, raw: True)
    sink = RecordingSink()
    await through_a_handover(exchange, sink)
    assert by_stream(frames(sink)) != by_stream(exchange.sent), "held events were delivered twice"


async def test_the_check_fails_where_the_old_one_is_left_at_once(
    exchange: TwoFacedExchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def impatient(self: Handover, streams: list[str]) -> None:
        await self.new.open(streams)
        self._holding = asyncio.create_task(self.new.hold(self._held))
        self.ready = self.old.leaving = True

    monkeypatch.setattr(Handover, "prepare", impatient)
    exchange.lag = {0: 20}
    sink = RecordingSink()
    await through_a_handover(exchange, sink)
    assert by_stream(frames(sink)) != by_stream(exchange.sent), "what the old one had not sent yet is lost"


async def test_a_connection_is_replaced_before_it_is_a_day_old(
    exchange: TwoFacedExchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed_module, "LIFE_JITTER_S", 0.0)
    monkeypatch.setattr(feed_module, "LIFE_S", 0.3)
    monkeypatch.setattr(stream_session, "_LOOK_S", 0.02)
    sink = RecordingSink()
    async with running(exchange, sink):
        ended = asyncio.Event()
        goes_on = asyncio.create_task(market(exchange, ended))
        await sink.until(lambda sink: sink.kinds.count("handover") == 3)
        ended.set()
        await goes_on
        await sink.until(lambda sink: frames(sink)[-1:] == exchange.sent[-1:])
    assert by_stream(frames(sink)) == by_stream(exchange.sent)
    assert set(sink.kinds) == {"connected", "frame", "handover"}
    assert dict(sink.entries)["handover"] == "planned, before 24 h"


async def test_without_a_successor_the_old_one_goes_on_and_another_try_follows(exchange: TwoFacedExchange) -> None:
    exchange.refuse_from = 1
    sink = RecordingSink()
    async with running(exchange, sink):
        ended = asyncio.Event()
        goes_on = asyncio.create_task(market(exchange, ended))
        await announced(exchange)
        await until(lambda: len(exchange.sockets) == 3)
        exchange.refuse_from = None
        await sink.until(lambda sink: "handover" in sink.kinds)
        ended.set()
        await goes_on
        await sink.until(lambda sink: frames(sink)[-1:] == exchange.sent[-1:])
    assert by_stream(frames(sink)) == by_stream(exchange.sent)
    assert set(sink.kinds) == {"connected", "frame", "handover"}


async def test_a_successor_that_does_not_answer_is_none(exchange: TwoFacedExchange) -> None:
    exchange.mute_from = 1
    sink = RecordingSink()
    async with running(exchange, sink):
        ended = asyncio.Event()
        goes_on = asyncio.create_task(market(exchange, ended))
        await announced(exchange)
        await until(lambda: len(exchange.sockets) == 2)
        count = len(frames(sink))
        await sink.until(lambda sink: len(frames(sink)) > count + 50)
        ended.set()
        await goes_on
    assert set(sink.kinds) == {"connected", "frame"}


async def test_where_the_old_one_ends_first_it_is_a_reconnect(exchange: TwoFacedExchange) -> None:
    exchange.mute_from = 1
    sink = RecordingSink()
    async with running(exchange, sink):
        await exchange.emit(*STREAMS)
        await announced(exchange)
        await until(lambda: len(exchange.sockets) == 2)
        exchange.mute_from = None
        await exchange.whole[0].close(code=1001)
        await sink.until(lambda sink: "reconnected" in sink.kinds)
        await exchange.emit(*STREAMS)
        await sink.until(lambda sink: frames(sink)[-1:] == exchange.sent[-1:])
    assert [kind for kind in sink.kinds if kind != "frame"] == ["connected", "disconnected", "reconnected"]


async def test_a_successor_that_already_stands_is_taken_without_another_dial(
    exchange: TwoFacedExchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink = RecordingSink()
    async with running(exchange, sink) as door:
        door.feed._overlap_s = 60.0  # the old one ends within the overlap
        await exchange.emit(*STREAMS)
        await announced(exchange)
        await until(lambda: len(exchange.whole) == 2)
        exchange.lag = {0: 10**9}  # the old one sends nothing any more
        await exchange.emit(*STREAMS)
        await exchange.whole[0].close(code=1001)
        await sink.until(lambda sink: frames(sink)[-1:] == exchange.sent[-1:])
    kinds = sink.kinds
    assert [kind for kind in kinds if kind != "frame"] == ["connected", "disconnected", "reconnected"]
    assert kinds[-4:] == ["frame"] * 4, "what it was sent in the meantime is delivered"
    assert len(exchange.sockets) == 2


# --- on a venue in lock-step ---------------------------------------------------------------------------------------


class Consumer(RecordingSink):
    """Asks for a book now and then, and has the connection replaced after some frames."""

    def __init__(self, door: Door, replace_after: int) -> None:
        super().__init__()
        self._door, self._replace_after = door, replace_after
        self.count = 0

    def frame(self, raw: bytes) -> None:
        super().frame(raw)
        self.count += 1
        self.unsettled = self.count % 97 == 0
        line = self._door.feed._line
        if self._replace_after and self.count % self._replace_after == 0 and line is not None:
            line.leave("planned")

    async def settle(self) -> None:
        self.unsettled = False
        self.entries.append(("answer", (await self._door.rest.depth("BTCUSDT", 5)).decode()))


async def played(replace_after: int, *faults: dict[str, Any]) -> list[tuple[str, str]]:
    names = [f"{symbol}@{kind}" for symbol in ("btcusdt", "ethusdt") for kind in ("bookTicker", "trade", "depth@100ms")]
    market = open_market(None, seed=3, hours=1.0, symbols=["BTCUSDT", "ETHUSDT"])
    async with Venue(market) as venue, Door(config_for(venue.url)) as door:
        venue.faults.set(faults)
        sink = Consumer(door, replace_after)
        task = asyncio.create_task(door.feed.run([*names, "btcusdt@kline_1m"], sink))
        await until(lambda: venue.pacer.ended and sink.count == venue.pacer.frames)
        await door.feed.stop()
        await task
    assert sink.entries[0][0] == "connected"
    return sink.entries[1:]


async def test_on_a_venue_in_lock_step_frames_and_answers_are_the_same_with_and_without() -> None:
    """Also the answers: the venue stands still until the new connection has been read as far as the old one."""
    with_it, without_it = await played(1500), await played(0)
    assert [entry for entry in with_it if entry[0] != "handover"] == without_it
    assert sum(kind == "handover" for kind, _ in with_it) >= 3


async def test_a_shutdown_that_the_venue_announces_changes_nothing_either() -> None:
    shutdown: dict[str, Any] = {
        "kind": "server_shutdown",
        "match": "btcusdt@trade",
        "every": 300,
        "times": 3,
        "close_after_ms": 600_000,
    }
    with_it, without_it = await played(0, shutdown), await played(0)
    assert [entry for entry in with_it if entry[0] != "handover"] == without_it
    assert [why for kind, why in with_it if kind == "handover"] == ["the exchange announced a shutdown"] * 3
