"""A small fleet that trades at each close, and a venue to run it on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from quantlab.fleet.plan import RunPlan
from quantlab.fleet.session import Session
from quantlab.fleet.spec import FleetSpec, parse_fleet
from quantlab.settings import load_settings
from quantlab.venue.child import VenueChild

#: In and out at each other candle: a run of minutes has fills, whatever the market does.
TOGGLE = '''
from dataclasses import dataclass
import polars as pl
from quantlab.strategies import Strategy

@dataclass(frozen=True)
class Toggle(Strategy):
    """Long in every second minute."""
    phase: int = 0

    @property
    def lookback(self) -> int:
        return 2

    def exposure(self) -> pl.Expr:
        return ((pl.col("open_time") // 60_000 + self.phase) % 2).cast(pl.Float64)
'''

FLEET = """
[fleet]
name = "toggles"

[[bot]]
name = "btc"
strategy = "toggle.py:Toggle"
symbol = "BTCUSDT"
timeframe = "1m"

[[bot]]
name = "eth"
strategy = "toggle.py:Toggle"
parameters = { phase = 1 }
symbol = "ETHUSDT"
timeframe = "1m"
stop_loss_pct = 0.05
take_profit_pct = 0.05

[[bot]]
name = "xrp-maker"
strategy = "spread_capture"
parameters = { fee_bps = 0.0, edge_bps = 0.5 }
symbol = "XRPUSDT"
timeframe = "1m"
"""


@pytest.fixture
def fleet(tmp_path: Path) -> FleetSpec:
    """Three bots: two that toggle, one maker."""
    (tmp_path / "toggle.py").write_text(TOGGLE)
    (tmp_path / "fleet.toml").write_text(FLEET)
    return parse_fleet(FLEET, path=tmp_path / "fleet.toml")


@pytest.fixture
def run_fleet(tmp_path: Path, fleet: FleetSpec) -> Callable[..., dict[str, Any]]:
    """Runs the fleet on a generated market of its own, or on the candles in the folder `data`; returns the summary.
    `home` keeps its database."""

    def run(
        run_id: str = "run",
        *,
        minutes: float = 20,
        speed: float | None = None,
        home: Path | None = None,
        data: Path | None = None,
    ) -> dict[str, Any]:
        home = home or tmp_path / run_id
        kept = data is not None
        with VenueChild(hours=minutes / 60 + 0.1, speed=speed, seed=3, data=data, derive_filters=kept) as venue:
            settings = load_settings(home, environ={"QUANTLAB_MARKET": "replay", "QUANTLAB_VENUE_URL": venue.url})
            plan = RunPlan(
                run_id=run_id, fleet=fleet, settings=settings, length_ms=int(minutes * 60_000), reports=home / "reports"
            )
            return asyncio.run(Session(plan).run())

    return run
