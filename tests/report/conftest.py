"""A ledger with one finished run of 45 bots, written through the real writer; made once for all tests of the room."""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from quantlab.ledger import BotRow, Ledger, LedgerWriter, RunRow, fills_sha256
from quantlab.model import Source


def _module(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    import sys

    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


sample = _module("sample")


def write_run(home: Path, run_id: str, *, minutes: int = 240, bots: int = 45, seed: int = 1, **row: Any) -> Any:
    """Write a finished run to the ledger of `home`; returns the sample that it holds."""
    rows = sample.make_bots(bots)
    toml = "[[bot]]\n"
    run = RunRow(
        run_id=run_id,
        created_ms=sample.START_MS + seed,
        state="running",
        market="replay",
        source=row.pop("source", Source(kind="generated", name=f"seed {seed}")),
        fleet_name="forty-five",
        fleet_toml=toml,
        fleet_sha256=hashlib.sha256(toml.encode()).hexdigest(),
        seed=seed,
        settings={"market": "replay", "weight_per_minute": 1200},
        versions={"python": "3.11"},
        **row,
    )
    with Ledger.open(home) as ledger:
        ledger.begin_run(
            run,
            [
                BotRow(
                    bot=bot.index,
                    name=bot.name,
                    strategy=bot.strategy,
                    parameters={},
                    symbol=bot.symbol,
                    timeframe=bot.timeframe,
                    capital=bot.capital,
                )
                for bot in rows
            ],
        )
        path = ledger.path
    with LedgerWriter(path, run_id) as journal:
        written = sample.write_sample(journal, rows, minutes=minutes, seed=seed)
        requests = {
            "asked": 90,
            "sent": 5,
            "weight": 40,
            "peak_weight_60s": 40,
            "order_requests": 0,
            "by_endpoint": {"GET /api/v3/klines": {"asked": 80, "sent": 2, "shared": 70, "kept": 8, "weight": 10}},
        }
        summary = {
            "accounting_ok": True,
            "requests": requests,
            "events": 700_000,
            "events_per_second": 20_000,
            "wall_seconds": 35.0,
            "peak_rss_mb": 200.0,
            "fills_sha256": fills_sha256(written.fills),
            "stood_aside": {bot.name: "no signal in this window" for bot in rows if not bot.trades},
        }
        journal.finish(summary, "finished")
    return written


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home whose ledger has two runs: "first" (4 h, generated) and "second" (2 h, candles)."""
    folder = tmp_path_factory.mktemp("ledger") / ".quantlab"
    write_run(folder, "first")
    write_run(folder, "second", minutes=120, seed=2, source=Source(kind="candles", name="1m"))
    return folder
