"""Promise: a replay ends when its data is played, and not because the venue asked everybody for a pause."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from quantlab.fleet.sources import is_played
from quantlab.model import ExchangeError, ExchangeUnreachable
from quantlab.settings import load_settings


class Door:
    """Answers what it was made with, or raises it."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    async def venue_clock(self) -> dict[str, Any]:
        if isinstance(self.answer, Exception):
            raise self.answer
        return dict(self.answer)


async def played(answer: Any, root: Path, market: str = "replay") -> bool:
    return await is_played(Door(answer), load_settings(root, environ={}, market=market))  # type: ignore[arg-type]


async def test_the_venue_says_when_it_is_over(tmp_path: Path) -> None:
    assert await played({"ended": True}, tmp_path) is True
    assert await played({"ended": False}, tmp_path) is False
    assert await played({"ended": True}, tmp_path, market="mainnet") is False


@pytest.mark.parametrize("status", [418, 429, 503])
async def test_a_pause_is_not_the_end(tmp_path: Path, status: int) -> None:
    assert await played(ExchangeError("not now", status=status), tmp_path) is False


async def test_a_venue_that_is_gone_or_wrong_is_told(tmp_path: Path) -> None:
    with pytest.raises(ExchangeUnreachable):
        await played(ExchangeUnreachable("gone"), tmp_path)
    with pytest.raises(ExchangeError):
        await played(ExchangeError("wrong", status=400), tmp_path)
