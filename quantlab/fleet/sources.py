"""Which market a run is on, in words: asked of the venue in a replay, known from the settings elsewhere."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from quantlab.exchange import Door
from quantlab.model import ExchangeError, Source
from quantlab.settings import Settings

#: "Not now": a pause that the venue asked for is no reason to end its run.
_BUSY = (408, 418, 429)


async def source_of(door: Door, settings: Settings) -> Source:
    """The source of the run's prices. A venue that is not quantlab's own does not say what it replays: its address
    stands in for the name."""
    if settings.market == "mainnet":
        return Source(kind="mainnet", name="Binance mainnet")
    if settings.market == "testnet":
        return Source(kind="testnet", name="Binance testnet")
    about = await _clock(door)
    if about is None:
        return Source(kind="generated", name=f"unknown exchange at {settings.venue_url}")
    return Source(kind=about["kind"], name=about["name"], from_=_iso(about["start_ms"]), to=_iso(about["end_ms"]))


async def is_played(door: Door, settings: Settings) -> bool:
    """Whether a replay has played all its data; False while the venue is too busy to say. Raises ExchangeUnreachable
    when it is gone."""
    if settings.market != "replay":
        return False
    try:
        about = await _clock(door)
    except ExchangeError as error:
        if error.status in _BUSY or error.status >= 500:
            return False
        raise
    return about is not None and bool(about["ended"])


async def _clock(door: Door) -> dict[str, Any] | None:
    try:
        return await door.venue_clock()
    except ExchangeError as error:
        if error.status == 404:
            return None
        raise


def _iso(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
