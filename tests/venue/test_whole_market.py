"""The generated market over sockets: every event arrives once, in order, byte for byte what the market made."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import aiohttp
import msgspec

from quantlab.venue import Venue
from quantlab.venue.market import open_market

SYMBOLS = ["BTCUSDT", "NEARUSDT"]
HOURS = 0.1
STREAMS = [f"{name.lower()}@{kind}" for name in SYMBOLS for kind in ("bookTicker", "trade", "depth@100ms", "kline_1m")]


class Frame(msgspec.Struct):
    stream: str
    data: msgspec.Raw


def expected(streams: list[str]) -> list[tuple[str, bytes]]:
    market = open_market(None, hours=HOURS, symbols=SYMBOLS)
    return market.advance(market.end_ms, frozenset(streams))


async def read(venue: Venue, streams: list[str], count: int) -> list[tuple[str, bytes]]:
    """The first `count` events of a run."""
    found = []
    async with (
        aiohttp.ClientSession(venue.url) as http,
        http.ws_connect(f"/stream?streams={'/'.join(streams)}", compress=0) as socket,
    ):
        for _ in range(count):
            frame = msgspec.json.decode(await socket.receive_str(timeout=5), type=Frame)
            found.append((frame.stream, bytes(frame.data)))
    return found


async def test_what_the_market_made_arrives(serve: Callable[..., Any]) -> None:
    for streams in (STREAMS, STREAMS[1:2]):
        events = expected(streams)
        assert len(events) > 50
        venue = await serve(open_market(None, hours=HOURS, symbols=SYMBOLS))
        assert await read(venue, streams, len(events)) == events
        assert venue.pacer.frames == len(events)


async def test_answers_are_as_of_the_step(serve: Callable[..., Any]) -> None:
    """Asked between two steps, the book is the one that the stream has led to, and no later one."""
    venue = await serve(open_market(None, hours=HOURS, symbols=SYMBOLS))
    last, asked = 0, 0
    async with (
        aiohttp.ClientSession(venue.url) as http,
        http.ws_connect("/stream?streams=btcusdt@depth@100ms", autoping=False) as socket,
    ):
        while asked < 20:
            message = await socket.receive(timeout=5)
            if message.type is aiohttp.WSMsgType.TEXT:
                last = message.json()["data"]["u"]
                continue
            if last:
                async with http.get("/api/v3/depth?symbol=BTCUSDT&limit=5") as answer:
                    assert (await answer.json())["lastUpdateId"] == last
                asked += 1
            await socket.pong(message.data)


def test_a_peek_is_what_comes_and_moves_nothing() -> None:
    """The frames prepared ahead are those of the next step, and what is asked meanwhile is of this one."""
    symbols = [*SYMBOLS, "ETHUSDT", "DOGEUSDT"]
    seen, peeked = open_market(None, hours=0.5, symbols=symbols), open_market(None, hours=0.5, symbols=symbols)
    wanted = frozenset(f"{symbol.lower()}@{kind}" for symbol in seen.symbols for kind in ("bookTicker", "trade"))
    known = 0
    for to_ms in range(seen.start_ms + 1_000, seen.start_ms + 1_900_000, 1_000):
        before = peeked.book_ticker("BTCUSDT"), peeked.depth("BTCUSDT", 5), peeked.now_ms
        ahead = peeked.peek(to_ms, wanted)
        assert (peeked.book_ticker("BTCUSDT"), peeked.depth("BTCUSDT", 5), peeked.now_ms) == before
        events = seen.advance(to_ms, wanted)
        assert peeked.advance(to_ms, wanted) == events
        if ahead is not None:
            known += 1
            assert ahead == events
    assert known > 1_700
