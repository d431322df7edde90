"""Faults happen to what they match and as often as they say, and to nothing else."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import WSMsgType

from quantlab.model import ConfigurationError, NotFound
from quantlab.venue import Venue
from quantlab.venue.faults import Faults

from .plain import numbers

DEPTH = "/api/v3/depth?symbol=AAAUSDT"


async def play(http: aiohttp.ClientSession, **fault: Any) -> None:
    async with http.post("/__venue__/faults", json=[fault]) as answer:
        assert answer.status == 200, await answer.text()


async def test_an_answer_of_ones_choice(http: aiohttp.ClientSession, venue: Venue) -> None:
    await play(http, match="depth", kind="status", status=503, code=-1008, msg="Busy.", retry_after=3, times=2)
    for _ in range(2):
        async with http.get(DEPTH) as answer:
            assert (answer.status, await answer.json()) == (503, {"code": -1008, "msg": "Busy."})
            assert answer.headers["Retry-After"] == "3"
            assert int(answer.headers["X-MBX-USED-WEIGHT-1M"]) > 0
        async with http.get("/api/v3/ping") as other:
            assert other.status == 200
    async with http.get(DEPTH) as answer:
        assert answer.status == 200, "twice was enough"
    assert [line["status"] for line in venue.log.lines()] == [503, 200, 503, 200, 200]


async def test_a_body_and_headers_of_ones_choice(http: aiohttp.ClientSession) -> None:
    await play(http, match="/", kind="status", status=403, body="<html>", headers={"Server": "firewall"})
    async with http.get(DEPTH) as answer:
        assert (answer.status, await answer.text(), answer.headers["Server"]) == (403, "<html>", "firewall")


async def test_latency_changes_when_and_not_what(http: aiohttp.ClientSession) -> None:
    await play(http, match="depth", kind="latency", ms=50)
    async with http.get(DEPTH) as answer:
        assert len((await answer.json())["bids"]) == 50
    async with http.get("/api/v3/depth?symbol=ZZZUSDT") as answer:
        assert (answer.status, (await answer.json())["code"]) == (400, -1121)


async def test_broken_answers(http: aiohttp.ClientSession, venue: Venue) -> None:
    await play(http, match="depth", kind="html")
    async with http.get(DEPTH) as answer:
        assert (answer.status, answer.content_type) == (200, "text/html")
    await play(http, match="depth", kind="truncate")
    async with http.get(DEPTH) as answer:
        with pytest.raises(ValueError):
            await answer.json()
    await play(http, match="depth", kind="drop")
    with pytest.raises(aiohttp.ClientError):
        await http.get(DEPTH)
    async with http.get("/api/v3/ping") as other:
        assert other.status == 200
    assert len(venue.log.lines()) >= 4, "an answer that was dropped was asked for all the same"


async def test_a_snapshot_older_than_the_stream(http: aiohttp.ClientSession) -> None:
    await play(http, match="depth", kind="stale_snapshot", back=7, times=1)
    seen = []
    for _ in range(2):
        async with http.get(DEPTH) as answer:
            seen.append((await answer.json())["lastUpdateId"])
    assert seen == [4_993, 5_000]


async def test_a_gap_in_the_depth(http: aiohttp.ClientSession) -> None:
    await play(http, match="aaausdt@depth", kind="gap", times=2)
    async with http.ws_connect("/ws/aaausdt@depth@100ms") as socket:
        assert await numbers(socket, 2) == [3, 4]


async def test_one_stream_falls_silent(http: aiohttp.ClientSession, venue: Venue) -> None:
    await play(http, match="aaausdt", kind="silence")
    async with http.ws_connect("/stream?streams=aaausdt@trade/bbbusdt@trade") as socket:
        streams = {(await socket.receive_json(timeout=5))["stream"] for _ in range(60)}
        assert streams == {"bbbusdt@trade"}
    assert venue.pacer.frames == 60


async def test_a_connection_breaks_once(http: aiohttp.ClientSession) -> None:
    await play(http, match="aaausdt", kind="disconnect")
    async with http.ws_connect("/ws/aaausdt@trade") as socket:
        assert (await socket.receive(timeout=5)).type in (WSMsgType.CLOSED, WSMsgType.ERROR)
    async with http.ws_connect("/ws/aaausdt@trade") as socket:
        assert len(await numbers(socket, 5)) == 5


async def test_a_socket_that_does_not_open(http: aiohttp.ClientSession) -> None:
    await play(http, match="/stream", kind="status", status=503, times=1)
    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        await http.ws_connect("/stream?streams=aaausdt@trade")
    assert caught.value.status == 503
    async with http.ws_connect("/stream?streams=aaausdt@trade") as socket:
        assert await numbers(socket, 1) == [1]
    await play(http, match="/ws", kind="drop")
    with pytest.raises((aiohttp.ClientError, ConnectionError, asyncio.TimeoutError)):
        await http.ws_connect("/ws/aaausdt@trade")


@pytest.mark.parametrize(
    "row",
    [
        {"match": "x", "kind": "earthquake"},
        {"match": "x", "kind": "gap", "colour": "red"},
        {"kind": "gap"},
        {"match": "x", "kind": "status", "status": "503"},
        {"match": "x", "kind": "gap", "times": True},
        "gap",
    ],
)
async def test_what_is_no_fault_is_refused_and_changes_nothing(http: aiohttp.ClientSession, row: Any) -> None:
    await play(http, match="x", kind="gap")
    async with http.post("/__venue__/faults", json=[row]) as answer:
        assert answer.status == 400
        assert "fault" in (await answer.json())["error"]
    async with http.get("/__venue__/faults") as answer:
        assert [row["kind"] for row in await answer.json()] == ["gap"]
    async with http.delete("/__venue__/faults") as answer:
        assert await answer.json() == []


def test_faults_from_a_file(tmp_path: Path) -> None:
    toml, plain, wrong = tmp_path / "faults.toml", tmp_path / "faults.json", tmp_path / "wrong.toml"
    toml.write_text('[[fault]]\nmatch = "depth"\nkind = "html"\n')
    plain.write_text('[{"match": "trade", "kind": "silence"}]')
    wrong.write_text("fault = nothing")
    faults = Faults()
    faults.load(toml)
    assert [row["match"] for row in faults.rows()] == ["depth"]
    faults.load(plain)
    assert [row["match"] for row in faults.rows()] == ["trade"]
    with pytest.raises(ConfigurationError, match=r"wrong\.toml"):
        faults.load(wrong)
    with pytest.raises(NotFound, match="absent"):
        faults.load(tmp_path / "absent.json")
