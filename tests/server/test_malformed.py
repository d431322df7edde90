"""Promise: what a client sends by mistake, a secret in the wrong place, is not told back."""

from __future__ import annotations

from pathlib import Path

import httpx
from fastapi import FastAPI

from quantlab.server.app import make_app
from quantlab.settings import load_settings

SENT = "a-secret-in-the-wrong-place"


async def test_a_wrong_value_is_refused_without_repeating_it(tmp_path: Path) -> None:
    app = make_app(load_settings(tmp_path, environ={}))
    ours = await post(app, f"/v1/fleet/{SENT}")
    assert ours.status_code == 422 and SENT not in ours.text
    assert ours.json()["detail"] == [
        {"loc": ["path"], "msg": "Input should be 'pause', 'resume', 'reduce', 'stop' or 'kill'"}
    ]
    plain = FastAPI()
    plain.router.routes.extend(app.router.routes)
    assert SENT in (await post(plain, f"/v1/fleet/{SENT}")).text, "control: FastAPI's own answer repeats it"


async def post(app: FastAPI, path: str) -> httpx.Response:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1") as client:
        return await client.post(path)
