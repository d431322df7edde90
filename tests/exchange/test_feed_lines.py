"""A line is judged by what is heard on it, kept within the exchange's limits, and what is refused on it is named."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import WSMsgType, web
from hypothesis import given
from hypothesis import strategies as st

from quantlab.exchange import Door
from quantlab.exchange.failure import retry as retry_module
from quantlab.exchange.stream import session as stream_session
from quantlab.exchange.stream import subscription
from quantlab.exchange.stream.pace import DIALS, DIALS_S, MESSAGES, MESSAGES_S, Pace, dials_to
from quantlab.exchange.stream.subscription import Subscription
from quantlab.exchange.stream.watchdog import Verdict, Watchdog
from quantlab.model import ExchangeError
from quantlab.venue import Venue
from quantlab.venue.market import open_market

from .scripted import RecordingSink, ScriptedExchange, config_for, until
from .test_feed import STREAMS, frame, running, sends

# --- the watchdog ------------------------------------------------------------------------------------------------


def test_a_quiet_line_is_asked_and_one_that_answers_lives_until_it_is_silent() -> None:
    dog = Watchdog(60.0, now=0.0)
    assert dog.judge(1, 0, 5.0) is Verdict.ALIVE
    assert dog.judge(1, 0, 14.9) is Verdict.ALIVE
    assert dog.judge(1, 0, 15.0) is Verdict.ASK
    assert dog.judge(1, 0, 15.5) is Verdict.ASK, "no room for a ping yet"
    dog.asked(15.5)
    assert dog.judge(1, 0, 16.0) is Verdict.ALIVE, "asked once"
    assert dog.judge(1, 1, 16.1) is Verdict.ALIVE, "its pong"
    assert dog.judge(1, 1, 26.1) is Verdict.ASK
    dog.asked(26.1)
    for now, signs in ((30.0, 2), (39.0, 3), (48.0, 4), (57.0, 5), (64.9, 6)):
        assert dog.judge(1, signs, now) is Verdict.ALIVE
    assert dog.judge(1, 7, 65.0) is Verdict.SILENT, "pings come, market data does not"


def test_a_line_that_answers_nothing_is_half_open() -> None:
    dog = Watchdog(60.0, now=0.0)
    assert dog.judge(9, 9, 1.0) is Verdict.ALIVE
    assert dog.judge(9, 9, 11.0) is Verdict.ASK
    assert dog.judge(9, 9, 22.0) is Verdict.ASK, "a ping that was not sent is not missed"
    dog.asked(22.0)
    assert dog.judge(9, 9, 31.9) is Verdict.ALIVE
    assert dog.judge(9, 9, 32.0) is Verdict.HALF_OPEN


def test_a_machine_that_slept_asks_before_it_judges() -> None:
    dog = Watchdog(60.0, now=0.0)
    assert dog.judge(1, 1, 1.0) is Verdict.ALIVE
    assert dog.judge(1, 1, 41.0) is Verdict.ASK, "forty seconds passed at once"
    dog.asked(41.0)
    assert dog.judge(1, 1, 45.0) is Verdict.ALIVE
    assert dog.judge(1, 1, 51.0) is Verdict.HALF_OPEN


def test_while_nobody_listens_nothing_is_judged() -> None:
    dog = Watchdog(60.0, now=0.0)
    dog.forgive(500.0)
    assert dog.judge(0, 0, 509.0) is Verdict.ALIVE


# --- pace --------------------------------------------------------------------------------------------------------


@given(st.lists(st.floats(0.0, 0.7), min_size=1, max_size=60), st.integers(1, 5))
def test_no_window_holds_more_than_the_pace(gaps: list[float], most: int) -> None:
    now, taken = 0.0, []
    pace = Pace(most, 1.0, clock=lambda: now)
    for gap in gaps:
        now += gap
        if pace.take():
            taken.append(now)
        else:
            assert pace.wait_s() > 0
    for start in taken:
        assert sum(start <= at < start + 1.0 for at in taken) <= most


async def test_a_turn_is_waited_for() -> None:
    pace, taken = Pace(2, 0.05), []
    for _ in range(5):
        await pace.turn()
        taken.append(time.monotonic())
    assert taken[4] - taken[0] >= 2 * 0.05


def test_the_paces_are_the_exchanges_with_room_to_spare() -> None:
    assert MESSAGES / MESSAGES_S < 5
    assert DIALS / DIALS_S < 300 / 300
    assert dials_to("a:1") is dials_to("a:1"), "one for the whole process"
    assert dials_to("a:1") is not dials_to("b:1")


async def test_dials_wait_for_their_turn(exchange: ScriptedExchange, monkeypatch: pytest.MonkeyPatch) -> None:
    pace = Pace(1, 3600.0)
    monkeypatch.setattr(stream_session, "dials_to", lambda address: pace)
    monkeypatch.setattr(retry_module, "_FIRST_S", 0.01)

    async def cut(socket: web.WebSocketResponse) -> None:
        await socket.close()

    exchange.script = cut
    sink = RecordingSink()
    async with Door(config_for(exchange.url)) as door:
        task = asyncio.create_task(door.feed.run(STREAMS, sink))
        await sink.until(lambda sink: "disconnected" in sink.kinds)
        await asyncio.sleep(0.1)
        assert len(exchange.sockets) == 1
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_venue_that_counts_messages_lets_a_large_subscription_through(monkeypatch: pytest.MonkeyPatch) -> None:
    """The venue cuts off who sends more than five messages a second."""
    monkeypatch.setattr(subscription, "STREAMS_A_MESSAGE", 2)
    names = [f"{symbol}usdt@{kind}" for symbol in ("btc", "eth", "xrp") for kind in ("trade", "bookTicker", "depth")]
    names += [f"btcusdt@kline_{timeframe}" for timeframe in ("1m", "5m", "15m")]
    sink = RecordingSink()
    async with (
        Venue(open_market(None, seed=1, hours=0.1, symbols=["BTCUSDT", "ETHUSDT", "XRPUSDT"])) as venue,
        Door(config_for(venue.url)) as door,
        running(door, sink, names),
    ):
        await sink.until(lambda sink: sink.kinds.count("frame") > 10)
        commands = [entry for entry in door.counters().items() if entry[0] == "stream_commands"]
    assert commands == [("stream_commands", 6)]
    assert "disconnected" not in sink.kinds


# --- what is refused ---------------------------------------------------------------------------------------------


def test_what_was_refused_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subscription, "STREAMS_A_MESSAGE", 2)
    asked = Subscription(["a@trade", "b@trade", "c@trade", "a@trade", "d@trade", "e@trade"])
    commands = [json.loads(text) for _, text in asked.commands()]
    assert [command["params"] for command in commands] == [["a@trade", "b@trade"], ["c@trade", "d@trade"], ["e@trade"]]
    assert asked.hear(b'{"result":null,"id":1}', 1)
    assert not asked.hear(b'{"result":null,"id":1}', 2), "the answer to another command"
    assert not asked.hear(b"[]", 2)
    assert not asked.hear(b"\xff", 2)
    assert asked.hear(b'{"error":{"code":2,"msg":"Invalid request"},"id":2}', 2)
    assert asked.hear(b'{"code":3,"msg":"Invalid JSON"}', 3), "refused without an id"
    error = asked.error()
    assert isinstance(error, ExchangeError)
    assert "Invalid request (3 of 5 streams: c@trade d@trade e@trade)" in str(error)
    assert error.code == 2


def test_a_long_list_is_cut_short() -> None:
    asked = Subscription([f"s{n}@trade" for n in range(9)])
    assert asked.error() is None
    asked.hear(b'{"result":["x"],"id":1}', 1)
    assert "s4@trade and 4 more" in str(asked.error())


# --- on the socket -----------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry_module, "_FIRST_S", 0.02)
    monkeypatch.setattr(stream_session, "_CLOSE_S", 0.1)
    monkeypatch.setattr(stream_session, "_LOOK_S", 0.02)


def deaf(sockets: list[Any]) -> Callable[[ScriptedExchange, web.Request], Any]:
    """An exchange that subscribes, sends one frame, and then neither speaks nor answers pings."""

    async def stream(self: ScriptedExchange, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(autoping=False)
        await socket.prepare(request)
        sockets.append(socket)
        async for message in socket:
            if message.type is WSMsgType.TEXT:
                await socket.send_json({"result": None, "id": json.loads(message.data)["id"]})
                await socket.send_str(frame(1))
            else:
                self.frames.append(str(message.type))
        return socket

    return stream


async def test_a_half_open_line_is_found_long_before_silence_would_tell(
    exchange: ScriptedExchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    sockets: list[Any] = []
    monkeypatch.setattr(ScriptedExchange, "_stream", deaf(sockets))
    sink = RecordingSink()
    async with Door(config_for(exchange.url, silence_s=0.6)) as door, running(door, sink):
        await sink.until(lambda sink: "reconnected" in sink.kinds)
    assert sink.entries[2] == ("silent", "the line is dead: nothing is heard, and a ping was not answered")
    assert exchange.frames[0] == str(WSMsgType.PING)


async def test_a_line_that_answers_pings_and_sends_nothing_is_silent(exchange: ScriptedExchange) -> None:
    exchange.script = sends(frame(1))
    sink = RecordingSink()
    async with Door(config_for(exchange.url, silence_s=0.6)) as door, running(door, sink):
        await sink.until(lambda sink: "reconnected" in sink.kinds)
    assert sink.entries[2] == ("silent", "no market data for 0.6 s")


async def test_of_many_pings_the_newest_is_answered_within_the_pace(
    exchange: ScriptedExchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    pongs: list[bytes] = []

    async def stream(self: ScriptedExchange, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(autoping=False)
        await socket.prepare(request)
        async for message in socket:
            if message.type is WSMsgType.TEXT:
                await socket.send_json({"result": None, "id": 1})
                for number in range(40):
                    await socket.ping(b"%d" % number)
            elif message.type is WSMsgType.PONG:
                pongs.append(bytes(message.data))
        return socket

    monkeypatch.setattr(ScriptedExchange, "_stream", stream)
    sink = RecordingSink()
    config = config_for(exchange.url)
    monkeypatch.setattr(type(config), "is_real", property(lambda self: True))
    async with Door(config) as door, running(door, sink):
        await until(lambda: b"39" in pongs)
    assert len(pongs) <= MESSAGES + 1


async def test_answers_are_fetched_beside_the_stream_on_an_exchange(exchange: ScriptedExchange) -> None:
    """One answer that does not come stops neither frames nor pongs; what it raises ends the run."""
    exchange.script = sends(*map(frame, range(100)))
    sink = RecordingSink()
    answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    asked = 0

    async def settle() -> None:
        nonlocal asked
        asked += 1
        await answer

    def unsettle(raw: bytes) -> None:
        sink.unsettled = True

    sink.on_frame = unsettle
    sink.settle = settle  # type: ignore[method-assign]
    async with Door(config_for(exchange.url)) as door:
        door.feed._beside = True
        task = asyncio.create_task(door.feed.run(STREAMS, sink))
        await sink.until(lambda sink: sink.kinds.count("frame") == 100)
        assert asked == 1, "one at a time"
        answer.set_exception(ZeroDivisionError())
        with pytest.raises(ZeroDivisionError):
            async with asyncio.timeout(5):
                await task


async def test_what_was_asked_before_a_cut_is_not_waited_for(exchange: ScriptedExchange) -> None:
    sink = RecordingSink()
    cancelled: list[bool] = []

    async def settle() -> None:
        sink.unsettled = False
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            cancelled.append("disconnected" not in sink.kinds)
            raise

    def unsettle(raw: bytes) -> None:
        sink.unsettled = len(exchange.sockets) == 1

    async def script(socket: web.WebSocketResponse) -> None:
        await socket.send_str(frame(1))
        await asyncio.sleep(0.02)
        if len(exchange.sockets) == 1:
            await socket.close()

    exchange.script, sink.on_frame, sink.settle = script, unsettle, settle  # type: ignore[method-assign]
    async with Door(config_for(exchange.url)) as door:
        door.feed._beside = True
        async with running(door, sink):
            await sink.until(lambda sink: sink.kinds.count("frame") == 2)
    assert cancelled == [True], "an answer of the old connection's time never meets the new one's events"
