"""What the door's tests share: a scripted exchange, a door that opens to it, and the door's egress log."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from quantlab.exchange import Door

from .scripted import ScriptedExchange, config_for, serving


@pytest.fixture
async def exchange() -> AsyncIterator[ScriptedExchange]:
    scripted = ScriptedExchange()
    async with serving(scripted.handle) as address:
        scripted.url = f"http://{address}"
        yield scripted


@pytest.fixture
def egress() -> list[dict[str, Any]]:
    """Rows of the door's egress log."""
    return []


@pytest.fixture
async def door(exchange: ScriptedExchange, egress: list[dict[str, Any]]) -> AsyncIterator[Door]:
    async with Door(config_for(exchange.url, timeout_s=2.0), egress.append) as opened:
        yield opened
