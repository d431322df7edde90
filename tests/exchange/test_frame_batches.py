"""Frames cut out by the batch are what aiohttp's own parser reads, in its order, however the bytes arrive; what is
against the protocol stays an error."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Any

import pytest
from aiohttp import WSMsgType
from aiohttp._websocket.reader import WebSocketDataQueue, WebSocketReader
from aiohttp.http_websocket import WebSocketError
from hypothesis import given, settings
from hypothesis import strategies as st

from quantlab.exchange.stream.frame_batches import FrameBatches

MOST = 70_000


class Protocol:
    """Flow control as the queue needs it; nothing is ever paused here."""

    _reading_paused = False

    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...


def wire(first: int, payload: bytes) -> bytes:
    size = len(payload)
    if size < 126:
        return bytes([first, size]) + payload
    if size < 65536:
        return bytes([first, 126]) + size.to_bytes(2, "big") + payload
    return bytes([first, 127]) + size.to_bytes(8, "big") + payload


async def read(data: list[bytes], *, batched: bool) -> tuple[list[tuple[WSMsgType, Any]], int | None]:
    """(messages, code of the error that ended them), text frames one by one."""
    queue = WebSocketDataQueue(Protocol(), 2**24, loop=asyncio.get_running_loop())  # type: ignore[arg-type]
    own = WebSocketReader(queue, MOST, compress=False, decode_text=False)
    parser = FrameBatches(own, queue, MOST) if batched else own
    found: list[tuple[WSMsgType, Any]] = []
    for chunk in data:
        if parser.feed_data(chunk)[0]:
            break
    try:
        while queue._buffer or queue.exception() is not None:
            kind, content, _ = await queue.read()
            several = content if isinstance(content, list) else [content]
            found += [(kind, bytes(each) if isinstance(each, bytes | bytearray) else each) for each in several]
    except WebSocketError as error:
        return found, error.code
    return found, None


def chunks(data: bytes, cuts: list[int]) -> list[bytes]:
    at = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[start:stop] for start, stop in pairwise(at)]


payload = st.one_of(
    st.binary(max_size=20),
    st.sampled_from([124, 125, 126, 127, 300, 65_535, 65_536]).map(lambda size: b"x" * size),
)
message = st.one_of(
    st.tuples(st.just("text"), payload),
    st.tuples(st.just("text"), payload),
    st.tuples(st.just("ping"), st.binary(max_size=125)),
    st.tuples(st.just("pong"), st.binary(max_size=125)),
    st.tuples(st.just("pieces"), payload),
    st.tuples(st.just("masked"), st.binary(max_size=20)),
    st.tuples(st.just("pieces and a ping"), payload),
)


def encoded(kind: str, content: bytes) -> bytes:
    if kind == "text":
        return wire(0x81, content)
    if kind in ("ping", "pong"):
        return wire(0x89 if kind == "ping" else 0x8A, content)
    if kind == "masked":  # no server may, and aiohttp reads it all the same
        return bytes([0x81, 0x80 | len(content)]) + bytes(4) + content
    half = len(content) // 2
    between = wire(0x89, b"p") if "ping" in kind else b""
    return wire(0x01, content[:half]) + between + wire(0x80, content[half:])


@settings(max_examples=200, deadline=None)
@given(st.lists(message, max_size=12), st.lists(st.integers(0, 10**6), max_size=12))
def test_the_same_messages_however_the_bytes_arrive(messages: list[tuple[str, bytes]], cuts: list[int]) -> None:
    data = chunks(b"".join(encoded(kind, content) for kind, content in messages), cuts)
    found = asyncio.run(read(data, batched=True))
    assert found == asyncio.run(read(data, batched=False))
    assert found[1] is None


@pytest.mark.parametrize(
    "wrong",
    [
        wire(0xC1, b"compressed"),
        wire(0x83, b"no such opcode"),
        bytes([0x81, 127]) + (MOST + 1).to_bytes(8, "big") + b"x" * 9,
        wire(0x80, b"a piece of nothing"),
        wire(0x01, b"a piece") + wire(0x81, b"and another message"),
        wire(0x09, b"half a ping"),
    ],
    ids=["reserved bit", "opcode", "too long", "lone piece", "text between pieces", "piece of a ping"],
)
async def test_what_is_against_the_protocol_is_an_error_after_all_that_came_before(wrong: bytes) -> None:
    data = [wire(0x81, b"first") + wrong + wire(0x81, b"never seen")]
    found, code = await read(data, batched=True)
    assert found == [(WSMsgType.TEXT, b"first")]
    expected, expected_code = await read(data, batched=False)
    assert (found, code) == (expected, expected_code)
    assert code is not None


async def test_whole_text_frames_of_one_read_are_one_message() -> None:
    queue = WebSocketDataQueue(Protocol(), 2**16, loop=asyncio.get_running_loop())  # type: ignore[arg-type]
    own = WebSocketReader(queue, MOST, compress=False, decode_text=False)
    FrameBatches(own, queue, MOST).feed_data(wire(0x81, b"a") + wire(0x81, b"b") + wire(0x89, b"p") + wire(0x81, b"c"))
    assert [message.data for message, _ in queue._buffer] == [[b"a", b"b"], b"p", [b"c"]]
