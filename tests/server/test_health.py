"""`/healthz` tells what the security checklist said when the server started, and nothing where it was not asked."""

from __future__ import annotations

from pathlib import Path

import httpx

from quantlab.preflight import handed, preflight
from quantlab.server.app import make_app
from quantlab.settings import load_settings


async def test_health_tells_what_the_checklist_said(tmp_path: Path) -> None:
    settings = load_settings(tmp_path, environ={})
    said = handed(preflight(settings, ask_exchange=False))
    assert said["mode"] == "paper" and said["blocked"] == [] and said["passed"] > 3
    for given in (said, None):
        transport = httpx.ASGITransport(make_app(settings, given))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            answer = (await client.get("/healthz")).json()
        assert answer["preflight"] == given and answer["status"] == "ok" and answer["engine"] is None
