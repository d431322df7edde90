"""A workbench on a home of its own, a finished run in its ledger, and an engine that only says it runs."""

from __future__ import annotations

import asyncio
import importlib.util
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from quantlab.fleet.control import ControlServer, socket_path
from quantlab.fleet.process import EngineLock
from quantlab.lab import Workbench


@pytest.fixture(scope="session")
def sample() -> ModuleType:
    """The run that could have been, of the report's tests."""
    path = Path(__file__).parents[1] / "report" / "sample.py"
    spec = importlib.util.spec_from_file_location("report_sample", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workbench:
    monkeypatch.setenv("QUANTLAB_ROOT", str(tmp_path))
    monkeypatch.setenv("QUANTLAB_HOME", str(tmp_path / ".quantlab"))
    return Workbench.open("replay")


class StandInEngine:
    """Holds the lock of `home` and answers on its socket; keeps what it was told."""

    def __init__(self, home: Path, run_id: str) -> None:
        self.home, self.run_id = home, run_id
        self.told: list[tuple[str, dict[str, Any]]] = []
        self.state = "running"
        self.equity = 1_000.0
        self.broken = False
        self._up = threading.Event()
        self._down = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)
        self._thread.start()
        assert self._up.wait(5)

    async def _serve(self) -> None:
        with EngineLock(self.home, self.run_id, str(socket_path(self.home))):
            async with ControlServer(self.home, self._answer):
                self._up.set()
                await asyncio.to_thread(self._down.wait)

    def _answer(self, command: str, arguments: dict[str, Any]) -> dict[str, Any]:
        if self.broken:
            raise RuntimeError("an engine with a bug")
        if command != "status":
            self.told.append((command, arguments))
            self.state = {"pause": "paused", "resume": "running", "reduce": "reducing", "stop": "stopping"}.get(
                command, self.state
            )
        bot = {
            "bot": 0, "name": "a<b>", "strategy": "ema_cross", "symbol": "BTCUSDT", "timeframe": "1m",
            "state": "TRADING", "position": 0.5, "equity": self.equity, "pnl": self.equity - 1_000,
            "drawdown_pct": 1.25, "fills": 3, "last_fill_ms": 1_700_006_400_000, "note": "",
        }  # fmt: skip
        return {
            "run_id": self.run_id,
            "state": self.state,
            "source": {"kind": "generated", "name": "seed 1", "from": "", "to": ""},
            "label": "GENERATED market seed 1; no real prices",
            "engine_time_ms": 1_700_006_400_000,
            "progress": 0.5,
            "events": 1234,
            "events_per_second": 100,
            "requests": {
                "asked": 9, "sent": 5, "weight": 40, "peak_weight_60s": 40, "order_requests": 0,
                "by_endpoint": {
                    "GET /api/v3/depth": {"asked": 2, "sent": 2, "shared": 0, "kept": 0, "weight": 10},
                    "GET /api/v3/<b>": {"asked": 1_007, "sent": 3, "shared": 4, "kept": 1_000, "weight": 30},
                },
            },
            "bots": [bot],
        }  # fmt: skip

    def end(self) -> None:
        self._down.set()
        self._thread.join(5)


@pytest.fixture
def start_engine(lab: Workbench) -> Iterator[Callable[[str], StandInEngine]]:
    """A function that puts a stand-in engine on the workbench's home, for the run named."""
    engines: list[StandInEngine] = []

    def start(run_id: str) -> StandInEngine:
        engines.append(StandInEngine(lab.settings.home, run_id))
        return engines[-1]

    yield start
    for engine in engines:
        engine.end()
