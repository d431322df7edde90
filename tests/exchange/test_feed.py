"""The feed hands on every frame, in order; answers pings in reading order, settles between frames, and comes back."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import WSMsgType, web

from quantlab.exchange import Door
from quantlab.exchange.failure import retry as retry_module
from quantlab.exchange.stream import session as stream_session
from quantlab.exchange.stream import subscription
from quantlab.exchange.stream.subscription import MAX_STREAMS
from quantlab.model import ConfigurationError, ExchangeError, ExchangeUnreachable, Refused

from .scripted import RecordingSink, ScriptedExchange, config_for, until

STREAMS = ["btcusdt@bookTicker", "btcusdt@depth@100ms"]


def frame(number: int) -> str:
    return f'{{"stream":"btcusdt@bookTicker","data":{{"u":{number}}}}}'


def sends(*frames: str) -> Callable[[web.WebSocketResponse], Awaitable[None]]:
    async def script(socket: web.WebSocketResponse) -> None:
        for text in frames:
            await socket.send_str(text)

    return script


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry_module, "_FIRST_S", 0.02)
    monkeypatch.setattr(stream_session, "_CLOSE_S", 0.1)


@asynccontextmanager
async def running(door: Door, sink: RecordingSink, streams: list[str] = STREAMS) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(door.feed.run(streams, sink))
    try:
        yield task
    finally:
        await door.feed.stop()
        async with asyncio.timeout(5):
            await asyncio.gather(task, return_exceptions=True)


async def test_every_frame_in_order(door: Door, exchange: ScriptedExchange, egress: list[dict[str, Any]]) -> None:
    wanted = [frame(number) for number in range(2000)]
    exchange.script = sends(*wanted)
    sink = RecordingSink()
    async with running(door, sink):
        await sink.until(lambda sink: len(sink.entries) > len(wanted))
    assert sink.entries[0] == ("connected", exchange.url.removeprefix("http://"))
    assert [text for kind, text in sink.entries if kind == "frame"] == wanted
    assert [json.loads(text) for text in exchange.frames if text.startswith("{")] == [
        {"method": "SUBSCRIBE", "params": STREAMS, "id": 1}
    ]
    assert [row["detail"] for row in egress] == ["stream opened", " ".join(STREAMS)]
    assert sink.kinds.count("disconnected") == 0


async def test_stop_ends_run(door: Door, exchange: ScriptedExchange) -> None:
    sink = RecordingSink()
    async with running(door, sink) as task:
        await sink.until(lambda sink: "connected" in sink.kinds)
        await door.feed.stop()
        async with asyncio.timeout(5):
            await task
    assert sink.kinds == ["connected"]


async def test_answers_and_other_frames_stay_with_the_feed(door: Door, exchange: ScriptedExchange) -> None:
    exchange.script = sends(
        '{"result":null,"id":99}', '{"result":["x"],"id":3}', '{"data":{},"stream":"late"}', frame(1)
    )
    sink = RecordingSink()
    async with running(door, sink):
        await sink.until(lambda sink: sink.kinds.count("frame") == 2)
    assert [text for kind, text in sink.entries if kind == "frame"] == ['{"data":{},"stream":"late"}', frame(1)]


async def test_the_sink_is_settled_before_the_next_frame(door: Door, exchange: ScriptedExchange) -> None:
    exchange.script = sends(frame(1), frame(2), frame(3))
    sink = RecordingSink()

    def unsettle(raw: bytes) -> None:
        assert not sink.unsettled
        sink.unsettled = b'"u":2' in raw

    sink.on_frame = unsettle
    async with running(door, sink):
        await sink.until(lambda sink: sink.kinds.count("frame") == 3)
    assert sink.kinds == ["connected", "frame", "frame", "settled", "frame"]


async def test_a_ping_is_answered_after_all_before_it_was_consumed(door: Door, monkeypatch: Any) -> None:
    """A venue that moves in lock-step takes the pong as "all read, and all that it asked for answered"."""
    sink = RecordingSink()
    at_pong: list[list[str]] = []

    async def stream(self: ScriptedExchange, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(autoping=False)
        await socket.prepare(request)
        async for message in socket:
            if message.type is WSMsgType.PONG:
                at_pong.append(list(sink.kinds))
            elif message.type is WSMsgType.TEXT:
                await socket.send_json({"result": None, "id": json.loads(message.data)["id"]})
                for number in range(3):
                    await socket.send_str(frame(number))
                await socket.ping(b"step")
        return socket

    def unsettle(raw: bytes) -> None:
        sink.unsettled = b'"u":2' in raw

    monkeypatch.setattr(ScriptedExchange, "_stream", stream)
    sink.on_frame = unsettle
    async with running(door, sink):
        await until(lambda: at_pong)
    assert at_pong == [["connected", "frame", "frame", "frame", "settled"]]


async def test_it_comes_back(door: Door, exchange: ScriptedExchange) -> None:
    async def script(socket: web.WebSocketResponse) -> None:
        await socket.send_str(frame(len(exchange.sockets)))
        if len(exchange.sockets) < 3:
            await socket.close(code=1001)

    exchange.script = script
    sink = RecordingSink()
    async with running(door, sink):
        await sink.until(lambda sink: sink.kinds.count("frame") == 3)
    again = ["disconnected", "reconnected", "frame"]
    assert sink.kinds == ["connected", "frame", *again, *again]
    assert "1001" in dict(sink.entries)["disconnected"]


async def test_a_cut_connection_is_marked(door: Door, exchange: ScriptedExchange) -> None:
    async def script(socket: web.WebSocketResponse) -> None:
        await socket.send_str(frame(1))
        if len(exchange.sockets) == 1:
            assert socket._req is not None
            assert socket._req.transport is not None
            socket._req.transport.abort()

    exchange.script = script
    sink = RecordingSink()
    async with running(door, sink):
        await sink.until(lambda sink: "reconnected" in sink.kinds)
    assert "disconnected" in sink.kinds


async def test_silence_is_marked_and_dialled_anew(exchange: ScriptedExchange) -> None:
    sink = RecordingSink()
    async with Door(config_for(exchange.url, silence_s=0.1)) as door, running(door, sink):
        await sink.until(lambda sink: "reconnected" in sink.kinds)
    assert sink.entries[1] == ("silent", "no market data for 0.1 s")


async def test_a_thinking_sink_is_not_silence(exchange: ScriptedExchange) -> None:
    exchange.script = sends(frame(1))
    sink = RecordingSink()

    async def slow() -> None:
        await asyncio.sleep(0.4)
        sink.entries.append(("settled", ""))
        sink.unsettled = False

    def unsettle(raw: bytes) -> None:
        sink.unsettled = True

    sink.on_frame = unsettle
    sink.settle = slow  # type: ignore[method-assign]
    async with Door(config_for(exchange.url, silence_s=0.15)) as door, running(door, sink):
        await until(lambda: "settled" in sink.kinds)
    assert sink.kinds[:3] == ["connected", "frame", "settled"]


async def test_many_streams_are_subscribed_in_batches(door: Door, exchange: ScriptedExchange, monkeypatch: Any) -> None:
    monkeypatch.setattr(subscription, "STREAMS_A_MESSAGE", 3)
    streams = [f"s{number}usdt@trade" for number in range(8)]
    exchange.script = sends(frame(1))
    sink = RecordingSink()
    async with running(door, sink, streams):
        await sink.until(lambda sink: sink.kinds.count("frame") == 3)
    commands = [json.loads(text) for text in exchange.frames if text.startswith("{")]
    assert [name for command in commands for name in command["params"]] == streams
    assert [command["id"] for command in commands] == [1, 2, 3]
    assert sink.kinds[0] == "connected", "frames that came before the subscription was whole wait for the mark"


async def test_too_many_streams_are_refused(door: Door, exchange: ScriptedExchange) -> None:
    with pytest.raises(ConfigurationError, match="1024"):
        await door.feed.run([f"s{number}@trade" for number in range(MAX_STREAMS + 1)], RecordingSink())
    with pytest.raises(ConfigurationError):
        await door.feed.run([], RecordingSink())
    assert exchange.requests == []


async def test_a_stream_that_is_not_the_markets_is_refused(door: Door, exchange: ScriptedExchange) -> None:
    with pytest.raises(Refused, match="not a market stream"):
        await door.feed.run(["pqia91ma19a5s61cv6a81va65sdf19v8"], RecordingSink())
    assert [text for text in exchange.frames if "SUBSCRIBE" in text] == []


async def test_nobody_there(free_port: Any) -> None:
    async with Door(config_for(f"http://127.0.0.1:{free_port()}")) as door:
        with pytest.raises(ExchangeUnreachable, match="is the venue running"):
            await door.feed.run(STREAMS, RecordingSink())


async def test_a_refused_subscription_is_said(door: Door, monkeypatch: Any) -> None:
    async def stream(self: ScriptedExchange, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        number = json.loads((await socket.receive()).data)["id"]
        await socket.send_json({"error": {"code": 2, "msg": "Invalid request"}, "id": number})
        await socket.receive()
        return socket

    monkeypatch.setattr(ScriptedExchange, "_stream", stream)
    with pytest.raises(ExchangeError, match="Invalid request"):
        await door.feed.run(STREAMS, RecordingSink())


@pytest.mark.parametrize(("status", "error"), [(451, ExchangeError), (404, ExchangeError), (503, ExchangeError)])
async def test_a_refused_upgrade_is_said(door: Door, monkeypatch: Any, status: int, error: type[Exception]) -> None:
    async def stream(self: ScriptedExchange, request: web.Request) -> web.Response:
        return web.Response(status=status)

    monkeypatch.setattr(ScriptedExchange, "_stream", stream)
    with pytest.raises(error, match=str(status)):
        await door.feed.run(STREAMS, RecordingSink())


async def test_what_the_sink_raises_reaches_the_caller(door: Door, exchange: ScriptedExchange) -> None:
    exchange.script = sends(frame(1))
    sink = RecordingSink()

    def fail(raw: bytes) -> None:
        raise ZeroDivisionError

    sink.on_frame = fail
    with pytest.raises(ZeroDivisionError):
        await door.feed.run(STREAMS, sink)
