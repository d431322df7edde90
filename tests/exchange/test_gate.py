"""The gate: it leads to the hosts it was told and nowhere else, reads nothing, and ends with whoever holds it.

Sessions here go through a gate without a seal, so that failures can be looked at; `test_sealed_process` does the same
behind the seal.
"""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import aiohttp
import pytest
from yarl import URL

from quantlab.exchange import Door
from quantlab.exchange.egress import EgressLog
from quantlab.exchange.guard import ATTEMPT, Attempt, guarded_session
from quantlab.exchange.rules import Origins
from quantlab.exchange.walls import gate
from quantlab.exchange.walls.gate import Gate, GateKeys
from quantlab.model import ExchangeUnreachable, Refused

from .scripted import RecordingSink, ScriptedExchange, config_for


@pytest.fixture
def through(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Gate]]:
    """A function that makes this process go through a gate to these addresses."""
    opened: list[tuple[Gate, GateKeys]] = []

    def use(*urls: str) -> Gate:
        started = Gate(map(URL, urls)).__enter__()
        keys = GateKeys(os.dup(started.descriptor))
        opened.append((started, keys))
        monkeypatch.setattr(gate, "_keys", keys)
        return started

    yield use
    monkeypatch.undo()
    for started, keys in opened:
        keys.close()
        started.__exit__(None, None, None)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_rest_and_stream_pass(exchange: ScriptedExchange, through: Callable[..., Gate], host: str) -> None:
    url = exchange.url.replace("127.0.0.1", host)
    through(url)
    exchange.answers["/api/v3/exchangeInfo"] = {"symbols": []}
    async with Door(config_for(url, timeout_s=5.0)) as door:
        answers = await asyncio.gather(*(door.rest.exchange_info([name]) for name in ("BTCUSDT", "ETHUSDT", "BNBUSDT")))
        sink = RecordingSink()
        feed = asyncio.create_task(door.feed.run(["btcusdt@bookTicker"], sink))
        await sink.until(lambda sink: "connected" in sink.kinds)
        await door.feed.stop()
        await feed
    assert [bytes(answer) for answer in answers] == [b'{"symbols": []}'] * 3
    assert len(exchange.frames) >= 1


async def test_another_address_is_refused(exchange: ScriptedExchange, through: Callable[..., Gate]) -> None:
    """The gate refuses by itself: here it is asked for what the session's own rules would let out."""
    through("http://127.0.0.1:1")
    async with Door(config_for(exchange.url)) as door:
        with pytest.raises(Refused, match=r"leads to 127\.0\.0\.1:1"):
            await door.rest.exchange_info(["BTCUSDT"])
    assert exchange.requests == []


async def test_failures_are_told_as_without_a_gate(through: Callable[..., Gate], free_port: Callable[[], int]) -> None:
    port = free_port()
    told = []
    for host in ("127.0.0.1", "localhost"):
        url = f"http://{host}:{port}"
        for gated in (False, True):
            if gated:
                through(url)
            async with Door(config_for(url, total_s=1.0)) as door:
                with pytest.raises(ExchangeUnreachable) as caught:
                    await door.rest.exchange_info(["BTCUSDT"])
            told.append(str(caught.value))
            gate._keys = None
    assert told[0] == told[1]
    assert told[2] == told[3]


async def test_a_name_that_does_not_resolve(through: Callable[..., Gate]) -> None:
    through("https://nowhere.invalid")
    with pytest.raises(aiohttp.ClientConnectorDNSError):
        await _get("https://nowhere.invalid")


async def test_a_gate_that_has_ended(through: Callable[..., Gate]) -> None:
    opened = through("http://127.0.0.1:1", "http://localhost:1")
    opened._process.kill()
    opened._process.wait()
    for host in ("127.0.0.1", "localhost"):
        with pytest.raises(aiohttp.ClientConnectorError, match="has ended"):
            await _get(f"http://{host}:1")


async def test_a_cancelled_request_leaves_no_connection_behind(through: Callable[..., Gate]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://localhost:{server.getsockname()[1]}"
        through(url)
        gc.collect()
        before = len(os.listdir("/proc/self/fd"))
        for delay_s in (0.0, 0.001, 0.003, 0.01, 0.05):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(delay_s):
                    await _get(url)
        await asyncio.sleep(0.1)
        assert len(os.listdir("/proc/self/fd")) <= before


def test_it_ends_with_its_holder() -> None:
    with Gate([URL("http://127.0.0.1:1")]) as opened:
        process = opened._process
        assert process.poll() is None
    assert process.poll() == 0


def test_it_is_told_nothing_else() -> None:
    with Gate([URL("https://example.invalid"), URL("wss://example.invalid")]) as opened:
        own = Path("/proc") / str(opened._process.pid)
        assert (own / "environ").read_bytes() == b""
        assert (own / "cmdline").read_bytes().split(b"\0")[-2] == b"example.invalid:443"
        links = [os.readlink(own / "fd" / name) for name in os.listdir(own / "fd")]
        assert sorted(link.partition(":")[0] for link in links) == ["/dev/null"] * 3 + ["socket"]


def test_garbage_does_not_stop_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with Gate([URL(f"http://127.0.0.1:{port}")]) as opened:
            channel = socket.socket(fileno=os.dup(opened.descriptor))
            with channel:
                channel.send(b"\xff without a descriptor")
                for question in (b"", b"\xff\xfe", b"localhost", b"127.0.0.1:99999", b"a:b:c"):
                    ours, theirs = socket.socketpair()
                    with ours, theirs:
                        socket.send_fds(channel, [question or b" "], [theirs.fileno()])
                        theirs.close()
                        assert b"refused" in ours.recv(4096)
                ours, theirs = socket.socketpair()
                with ours, theirs:
                    socket.send_fds(channel, [f"127.0.0.1:{port}".encode()], [theirs.fileno()])
                    _, descriptors, _, _ = socket.recv_fds(ours, 4096, 1)
                    with socket.socket(fileno=descriptors[0]) as connection:
                        assert connection.getpeername() == ("127.0.0.1", port)


async def test_a_connection_is_not_led_elsewhere(exchange: ScriptedExchange, through: Callable[..., Gate]) -> None:
    """`connect` of what was handed over does nothing, so that no library can be talked into another address."""
    through(exchange.url)
    keys = gate.keys()
    assert keys is not None
    with gate.handing_over():
        host, port = URL(exchange.url).host, URL(exchange.url).port
        connection = keys.connection((socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, port)))
    with connection:
        connection.connect(("127.0.0.1", 9))
        assert connection.getpeername() == (host, port)


async def test_what_is_not_asked_by_a_guarded_session(through: Callable[..., Gate]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        through(f"http://localhost:{port}")
        keys = gate.keys()
        assert keys is not None
        with pytest.raises(Refused, match="guarded session"):
            await keys.resolve("localhost", port)


async def _get(url: str) -> int:
    rules = Origins(URL(url), URL(url.replace("http", "ws", 1)))
    ATTEMPT.set(Attempt())
    session = guarded_session(rules, EgressLog(lambda row: None), 5.0)
    async with session, session.get(f"{url}/api/v3/time") as response:
        return response.status


def test_the_process_is_small() -> None:
    """No package is in it: it starts in some tens of milliseconds and holds little."""
    with Gate([URL("http://127.0.0.1:1")]) as opened:
        status = (Path("/proc") / str(opened._process.pid) / "status").read_text()
    resident_kb = int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1])
    assert resident_kb < 30_000


def test_the_gates_memory_is_shut_to_its_user() -> None:
    """A sealed process of the same user could else rewrite the list of addresses. The control: before, it is open."""
    code = (
        "import ctypes, runpy, sys; gate = runpy.run_path(sys.argv[1]); dumpable = lambda: ctypes.CDLL(None).prctl(3)\n"
        "before = dumpable(); gate['_shut_to_its_user'](); print(before, dumpable())"
    )
    program = Path(gate.__file__).with_name("gatekeeper.py")
    done = subprocess.run([sys.executable, "-c", code, str(program)], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1", "0"]
