"""The rows with which a run begins."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import msgspec

from quantlab.model import Source


class RunRow(msgspec.Struct, kw_only=True):
    """One run. `state` is one of starting, running, paused, stopping, finished, stopped, killed, failed."""

    run_id: str
    created_ms: int
    finished_ms: int | None = None
    state: str = "starting"
    market: str
    execution: str = "paper"
    source: Source
    fleet_name: str
    fleet_toml: str
    fleet_sha256: str
    seed: int
    pid: int | None = None
    engine_from_ms: int | None = None
    engine_time_ms: int | None = None
    settings: dict[str, Any] = {}
    versions: dict[str, str] = {}
    summary: dict[str, Any] | None = None
    error: str | None = None
    journal_calls: int | None = None


class BotRow(msgspec.Struct, kw_only=True):
    """One bot of a run. `capital` is in quote units."""

    bot: int
    name: str
    strategy: str
    parameters: Mapping[str, Any]
    symbol: str
    timeframe: str
    capital: Decimal
