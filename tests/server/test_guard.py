"""The guard answers before a body is read and before a route is looked up: Host, Origin, then the token.

Every refusal stands beside the request that passes, which differs in the one thing refused.
"""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from quantlab.server.guard import Guard

TOKEN = "t0ken-of-this-test"
GOOD = {"host": "127.0.0.1:8000", "authorization": f"Bearer {TOKEN}"}
PAGE = "http://localhost:3000"


class Application:
    """An application that must not be reached unless the guard lets a request through."""

    def __init__(self) -> None:
        self.reached = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.reached += 1
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"in"})


async def ask(
    headers: dict[str, Any], method: str = "GET", path: str = "/v1/fleet", body: bytes = b""
) -> tuple[httpx.Response, int]:
    application = Application()
    guard = Guard(application, token=TOKEN.encode(), hosts={"127.0.0.1", "localhost", "::1"}, origins={PAGE})
    async with httpx.AsyncClient(transport=httpx.ASGITransport(guard), base_url="http://127.0.0.1:8000") as client:
        return await client.request(method, path, headers=headers, content=body), application.reached


async def test_the_right_token_enters() -> None:
    response, reached = await ask(GOOD)
    assert (response.status_code, reached) == (200, 1)
    assert response.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        f"Basic {TOKEN}",
        f"Bearer {TOKEN}x",
        f"Bearer {TOKEN[:-1]}",
        "Bearer Ünïcode".encode(),
        TOKEN,
    ],
)
@pytest.mark.parametrize("path", ["/v1/fleet", "/docs", "/openapi.json", "/healthz", "/nothing"])
async def test_a_wrong_token_is_401_everywhere(authorization: Any, path: str) -> None:
    headers = {"host": "127.0.0.1:8000"} | ({} if authorization is None else {"authorization": authorization})
    response, reached = await ask(headers, path=path)
    assert (response.status_code, reached) == (401, 0)
    assert TOKEN not in response.text


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "", "localhost.evil:8000", "[::2]:8000"])
async def test_a_foreign_host_is_refused_even_with_the_token(host: str) -> None:
    response, reached = await ask(GOOD | {"host": host})
    assert (response.status_code, reached) == (400, 0)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:9", "LOCALHOST", "[::1]:8000"])
async def test_own_hosts_pass(host: str) -> None:
    response, reached = await ask(GOOD | {"host": host})
    assert (response.status_code, reached) == (200, 1)


async def test_a_foreign_page_is_refused_even_with_the_token() -> None:
    for origin in ("http://evil.example", "null", "http://localhost:3001", "https://localhost:3000"):
        response, reached = await ask(GOOD | {"origin": origin})
        assert (response.status_code, reached) == (403, 0), origin
        assert "access-control-allow-origin" not in response.headers
    response, reached = await ask(GOOD | {"origin": PAGE})
    assert (response.status_code, reached) == (200, 1)
    assert response.headers["access-control-allow-origin"] == PAGE


async def test_a_preflight_of_an_allowed_page_needs_no_token_and_reaches_nothing() -> None:
    headers = {"host": "localhost:8000", "origin": PAGE, "access-control-request-method": "POST"}
    response, reached = await ask(headers, "OPTIONS")
    assert (response.status_code, reached) == (204, 0)
    assert response.headers["access-control-allow-origin"] == PAGE
    assert "authorization" in response.headers["access-control-allow-headers"]
    response, reached = await ask(headers | {"origin": "http://evil.example"}, "OPTIONS")
    assert (response.status_code, reached) == (403, 0)
    response, reached = await ask({"host": "localhost:8000"}, "OPTIONS")
    assert (response.status_code, reached) == (401, 0)


async def test_the_shared_token_reads_and_commands_nothing() -> None:
    async def ask_with(token: str, method: str) -> tuple[int, int]:
        application = Application()
        guard = Guard(application, token=TOKEN.encode(), read_token=b"shared", hosts={"127.0.0.1"}, origins=set())
        async with httpx.AsyncClient(transport=httpx.ASGITransport(guard), base_url="http://127.0.0.1") as client:
            response = await client.request(method, "/v1/fleet/stop", headers={"authorization": f"Bearer {token}"})
            return response.status_code, application.reached

    assert await ask_with("shared", "GET") == (200, 1)
    assert await ask_with("shared", "POST") == (403, 0)
    assert await ask_with("shared", "DELETE") == (403, 0)
    assert await ask_with(TOKEN, "POST") == (200, 1)
    assert await ask_with("", "GET") == (401, 0)


async def test_a_refusal_does_not_wait_for_the_body() -> None:
    """The guard never calls `receive`: a client that sends no body at all is answered."""
    application, sent = Application(), []
    guard = Guard(application, token=TOKEN.encode(), hosts={"127.0.0.1"}, origins=set())

    async def receive() -> Any:
        raise AssertionError("the body was read")

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/v1/fleet/stop", "headers": [(b"host", b"127.0.0.1")]}
    await guard(scope, receive, send)
    assert sent[0]["status"] == 401 and application.reached == 0


async def test_a_websocket_without_the_token_is_closed() -> None:
    application, sent = Application(), []
    guard = Guard(application, token=TOKEN.encode(), hosts={"127.0.0.1"}, origins=set())

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    await guard({"type": "websocket", "path": "/x", "headers": [(b"host", b"127.0.0.1")]}, receive, send)
    assert sent == [{"type": "websocket.close", "code": 1008}] and application.reached == 0
