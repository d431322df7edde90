"""A small exchange on loopback whose every answer a test can script, and a door that opens to it.

The room's whole path is tested against the replay venue; this one gives what a healthy venue does not: broken answers,
redirects, silence, and a log of whatever reaches it, orders included.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from aiohttp import WSMsgType, web

from quantlab.exchange import DoorConfig

Handler = Callable[[Any], Awaitable[web.StreamResponse]]


class Seen(NamedTuple):
    """A request as it arrived; `target` is path and query, undecoded, `at_s` the loop's time."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    at_s: float


class ScriptedExchange:
    """Answers what `answers[path]` says, else `{}`; `requests` and `frames` are all that reached it."""

    def __init__(self) -> None:
        self.requests: list[Seen] = []
        self.frames: list[str] = []
        self.sockets: list[web.WebSocketResponse] = []
        self.answers: dict[str, Any] = {}
        self.script: Callable[[web.WebSocketResponse], Awaitable[None]] | None = None
        self.url = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self.requests.append(
            Seen(request.method, request.raw_path, dict(request.headers), body, asyncio.get_running_loop().time())
        )
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await self._stream(request)
        answer = self.answers.get(request.path, {})
        if isinstance(answer, list):
            answer = answer.pop(0) if len(answer) > 1 else answer[0]
        if callable(answer):
            scripted: web.StreamResponse = await answer(request)
            return scripted
        if isinstance(answer, web.Response):
            return web.Response(status=answer.status, body=answer.body, headers=answer.headers)
        return web.json_response(answer)

    async def _stream(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.sockets.append(socket)
        async for message in socket:
            if message.type is not WSMsgType.TEXT:
                self.frames.append(repr(message))
                continue
            self.frames.append(message.data)
            command = json.loads(message.data)
            if command.get("method") == "SUBSCRIBE":
                await socket.send_json({"result": None, "id": command["id"]})
                if self.script is not None:
                    await self.script(socket)
        return socket

    def asked(self, path: str) -> int:
        """How many requests for `path` arrived."""
        return sum(seen.target.partition("?")[0] == path for seen in self.requests)


def raw(body: bytes | str, status: int = 200, **headers: str) -> web.Response:
    """An answer with exactly this body; header names with "_" for "-"."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    data = body.encode() if isinstance(body, str) else body
    return web.Response(status=status, body=data, headers={"Content-Type": "application/json", **named})


@asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[str]:
    """Serve `handler` on a free loopback port; gives `host:port`."""
    runner = web.ServerRunner(web.Server(handler), shutdown_timeout=0.2)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def config_for(url: str, **changes: Any) -> DoorConfig:
    return DoorConfig(market="replay", rest_url=url, stream_url=url.replace("http", "ws", 1), **changes)


class RecordingSink:
    """A `Sink` that keeps what it is given, in order, as ("frame" | mark kind, content)."""

    def __init__(self) -> None:
        self.entries: list[tuple[str, str]] = []
        self.unsettled = False
        self.settled = 0
        self.on_frame: Callable[[bytes], None] = lambda raw: None
        self.changed = asyncio.Event()

    def frame(self, raw: bytes) -> None:
        self.on_frame(raw)
        self.entries.append(("frame", raw.decode()))
        self.changed.set()

    def mark(self, kind: str, detail: str) -> None:
        self.entries.append((kind, detail))
        self.changed.set()

    async def settle(self) -> None:
        await asyncio.sleep(0.01)
        self.entries.append(("settled", ""))
        self.unsettled = False

    @property
    def kinds(self) -> list[str]:
        return [kind for kind, _ in self.entries]

    async def until(self, condition: Callable[[RecordingSink], bool]) -> None:
        """Wait until `condition` holds (10 s at most)."""
        async with asyncio.timeout(10):
            while not condition(self):
                self.changed.clear()
                await self.changed.wait()


async def until(condition: Callable[[], object]) -> None:
    """Wait until `condition()` is true (5 s at most): for what happens on the other side of a socket."""
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - nothing tells us
            await asyncio.sleep(0.005)
