"""Promise: `quantlab latency` prints a line that a fleet file takes, from round trips that it really made."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from quantlab.fleet.spec import parse_fleet
from quantlab.paper import MeasuredLatency

BOT = '\n[[bot]]\nname = "a"\nstrategy = "ema_cross"\nsymbol = "BTCUSDT"\ntimeframe = "1m"\n'


def quantlab(root: Path, *arguments: str) -> str:
    environment = {**os.environ, "QUANTLAB_MARKET": "replay", "QUANTLAB_ROOT": str(root)}
    command = [sys.executable, "-m", "quantlab", "latency", "--samples", "21", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=60).stdout


def test_what_it_prints_is_a_table_of_the_fleet_file(tmp_path: Path) -> None:
    text = quantlab(tmp_path)
    assert "21 reads" in text and "GENERATED" in text and "a proxy" in text
    model = parse_fleet(text + BOT, path=tmp_path / "fleet.toml").paper.latency()
    assert isinstance(model, MeasuredLatency) and len(model.round_trips_ms) == 21


def test_as_json(tmp_path: Path) -> None:
    told = json.loads(quantlab(tmp_path, "--json"))
    assert told["samples"] == 21
    assert told["round_trips_ms"][0] <= told["median_ms"] <= told["round_trips_ms"][-1] + 0.01
