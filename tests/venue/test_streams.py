"""Sockets speak as Binance documents: raw and combined streams, commands and their errors, limits, pings."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest
from aiohttp import WSMsgType

from quantlab.venue import Venue
from quantlab.venue.commands import Subscription

from .plain import PlainMarket, command, numbers

A, B = "aaausdt@trade", "bbbusdt@trade"


class WordyMarket(PlainMarket):
    """Its trades are as long as `lengths` says, one after the other."""

    lengths = (0, 1, 100, 101, 102, 125, 126, 127, 60_000, 65_535, 65_536, 70_000)

    def advance(self, to_ms: int, wanted: frozenset[str]) -> list[tuple[str, bytes]]:
        events = []
        for stream, data in super().advance(to_ms, wanted):
            length = self.lengths[json.loads(data)["n"] % len(self.lengths)]
            events.append((stream, b'"' + b"x" * length + b'"'))
        return events


async def test_raw_and_combined(http: aiohttp.ClientSession) -> None:
    async with http.ws_connect(f"/ws/{A}") as raw:
        assert await raw.receive_json(timeout=5) == {"n": 1}
    async with http.ws_connect(f"/stream?streams={A}/{B}") as combined:
        first, second = await combined.receive_json(timeout=5), await combined.receive_json(timeout=5)
    assert set(first) == {"stream", "data"}
    assert (first["stream"], second["stream"]) == (A, B)
    assert first["data"] == second["data"]


async def test_frames_of_every_length_are_whole(serve: Callable[..., Any]) -> None:
    venue = await serve(WordyMarket(24))
    async with aiohttp.ClientSession(venue.url) as http:
        for path in (f"/ws/{A}", f"/stream?streams={A}"):
            async with http.ws_connect(path) as socket:
                for _ in range(12):
                    frame = json.loads(await socket.receive_str(timeout=5))
                    assert set(frame if isinstance(frame, str) else frame["data"]) <= {"x"}


async def test_a_live_subscription(http: aiohttp.ClientSession) -> None:
    async with http.ws_connect("/ws") as socket:

        async def say(*words: Any) -> dict[str, Any]:
            """The answer to a command; events before it are passed over."""
            await socket.send_str(command(*words))
            while "n" in (answer := await socket.receive_json(timeout=5)):
                pass
            found: dict[str, Any] = answer
            return found

        assert await say("LIST_SUBSCRIPTIONS") == {"result": [], "id": 1}
        assert await say("SUBSCRIBE", A) == {"result": None, "id": 1}
        assert (await numbers(socket, 3))[0] == 1, "nothing was played before somebody listened"
        assert (await say("LIST_SUBSCRIPTIONS"))["result"] == [A]
        assert await say("UNSUBSCRIBE", A) == {"result": None, "id": 1}
        with pytest.raises(TimeoutError):
            await socket.receive(timeout=0.1)


def subscription(combined: bool = True) -> Subscription:
    return Subscription(("1m", "5m"), combined=combined)


def answer(text: str) -> dict[str, Any]:
    return subscription().answer(text)


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        ("nonsense", 3, "Invalid JSON"),
        ("[]", 2, "Invalid request"),
        ('{"id":1}', 2, "Invalid request: missing field `method`"),
        (command("subscribe", A), 2, "Invalid request: unknown variant `subscribe`, expected one of SUBSCRIBE"),
        (command("order.place"), 2, "Invalid request: unknown variant `order.place`"),
        (command("SUBSCRIBE", A, number=1.5), 2, "Invalid request: request ID must be an unsigned"),
        (command("SUBSCRIBE", A, number=True), 2, "Invalid request: request ID must be an unsigned"),
        ('{"method":"SUBSCRIBE","params":"aaausdt@trade","id":1}', 2, "Invalid request"),
        (command("SUBSCRIBE"), 2, "Invalid request"),
        (command("SUBSCRIBE", 5), 2, "Invalid request"),
        (command("SUBSCRIBE", A, "AAAUSDT@trade"), 2, "Invalid request: this market does not play"),
        (command("SUBSCRIBE", "aaausdt@kline_7m"), 2, "Invalid request: this market does not play"),
        (command("SUBSCRIBE", *(f"s{n}@trade" for n in range(1025))), 2, "Invalid request: too many streams"),
        (command("SET_PROPERTY", "combined", 1), 1, "Invalid value type: expected Boolean"),
        (command("SET_PROPERTY", "combined"), 1, "Invalid value type: expected Boolean"),
        (command("SET_PROPERTY", "colour", True), 0, "Unknown property"),
        (command("SET_PROPERTY", 5, True), 2, "Invalid request: property name must be a string"),
        (command("GET_PROPERTY", "combined", "x"), 2, "Invalid request: too many parameters"),
    ],
)
def test_a_wrong_command_is_told_what_is_wrong(text: str, code: int, words: str) -> None:
    found = answer(text)
    assert found["error"]["code"] == code
    assert found["error"]["msg"].startswith(words)
    assert "result" not in found


def test_commands_and_ids() -> None:
    for number in (1, -5, 2**63 - 1, "an id", None):
        asked = json.dumps({"method": "LIST_SUBSCRIPTIONS", "id": number})
        assert answer(asked) == {"result": [], "id": number}
    for kind in ("bookTicker", "trade", "aggTrade", "ticker", "miniTicker", "depth", "depth@100ms", "kline_1m"):
        assert answer(command("SUBSCRIBE", f"aaausdt@{kind}"))["result"] is None
    assert answer(command("SUBSCRIBE", *(f"s{n}@trade" for n in range(1024))))["result"] is None
    chosen = subscription()
    assert chosen.answer(command("GET_PROPERTY", "combined"))["result"] is True
    assert chosen.answer(command("SET_PROPERTY", "combined", False))["result"] is None
    assert chosen.combined is False


def test_a_refused_subscription_changes_nothing() -> None:
    chosen = subscription()
    chosen.answer(command("SUBSCRIBE", A))
    chosen.answer(command("SUBSCRIBE", B, "nothing"))
    assert chosen.streams == {A}


async def test_a_wrong_address_and_one_that_names_no_stream(http: aiohttp.ClientSession) -> None:
    for path in ("/ws/aaausdt@colour", "/stream?streams=aaausdt@trade/x@y"):
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            await http.ws_connect(path)
        assert caught.value.status == 400
    for path in ("/ws/1", "/ws", "/stream", "/stream?streams="):
        async with http.ws_connect(path) as socket:
            await socket.send_str(command("LIST_SUBSCRIPTIONS"))
            assert (await socket.receive_json(timeout=5))["result"] == []
    async with http.get("/stream") as no_socket:
        assert no_socket.status == 400


async def test_five_messages_a_second(http: aiohttp.ClientSession) -> None:
    """Pings and pongs count; the sixth message ends the connection."""
    async with http.ws_connect("/ws", autoping=False) as socket:
        for _ in range(2):
            await socket.send_str(command("LIST_SUBSCRIPTIONS"))
        await socket.ping(b"mine")
        await socket.pong(b"unasked")
        kinds = [(await socket.receive(timeout=5)).type for _ in range(3)]
        assert kinds == [WSMsgType.TEXT, WSMsgType.TEXT, WSMsgType.PONG]
        assert not socket.closed, "four are fine"
        for _ in range(2):
            await socket.send_str(command("LIST_SUBSCRIPTIONS"))
        assert (await socket.receive(timeout=5)).type is WSMsgType.TEXT
        assert (await socket.receive(timeout=5)).type is WSMsgType.CLOSE
        assert socket.close_code == 1008


async def test_who_answers_pings_stays_and_who_does_not_goes(serve: Callable[..., Any]) -> None:
    venue = await serve(ping_s=0.05, pong_s=0.2)
    async with aiohttp.ClientSession(venue.url) as http:
        answering = await http.ws_connect("/ws")
        silent = await http.ws_connect("/ws", autoping=False)
        waiting = asyncio.create_task(answering.receive())
        assert (await silent.receive(timeout=5)).type is WSMsgType.PING
        assert (await silent.receive(timeout=5)).type in (WSMsgType.CLOSED, WSMsgType.ERROR)
        assert not waiting.done()
        waiting.cancel()


async def test_pings_of_the_steps_are_pings_enough(venue: Venue, http: aiohttp.ClientSession) -> None:
    """A run that answers sixty steps in no time has not talked too much."""
    async with http.ws_connect(f"/stream?streams={A}") as socket:
        assert await numbers(socket, 60) == list(range(1, 61))
        assert not socket.closed
    assert venue.log.report()["order_requests"] == 0
