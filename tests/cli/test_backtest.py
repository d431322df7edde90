"""Promise: `quantlab backtest` tests a strategy or a fleet over the candles on disk, for people and for machines."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from quantlab.market.history import History
from tests.lab.test_research import FLEET, LATER_MS, START_MS
from tests.strategies.candles import walk


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("history")
    rows = walk(3_000).drop("tick").with_columns(pl.col("open_time") + START_MS)
    History(folder).add("BTCUSDT", "1m", rows, source="GENERATED for a test", now_ms=LATER_MS)
    return folder


def quantlab(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "QUANTLAB_ROOT": str(root), "QUANTLAB_HOME": str(root / "home")}
    command = [sys.executable, "-m", "quantlab", "backtest", *arguments]
    return subprocess.run(command, env=environment, cwd=root, capture_output=True, text=True, check=False, timeout=100)


def test_one_strategy(tmp_path: Path, folder: Path) -> None:
    asked = ("ema_cross", "BTCUSDT", "-p", "fast=5", "-p", "slow=20", "-r", "stop_loss_pct=2", "--folder", str(folder))
    done = quantlab(tmp_path, *asked)
    assert done.returncode == 0, done.stderr
    for words in ("GENERATED for a test", "net return", "Sharpe ratio", "filled at the next one's open"):
        assert words in done.stdout
    told = json.loads(quantlab(tmp_path, *asked, "--json").stdout)
    assert told["plans"] == [{"strategy": "EmaCross", "symbol": "BTCUSDT"}]
    assert told["metrics"]["trades"] > 20
    other = json.loads(quantlab(tmp_path, *asked, "--json", "--from", "2024-02-02", "--capital", "5000").stdout)
    assert other["from"] == "2024-02-02T00:00:00+00:00" and other["metrics"]["trades"] < told["metrics"]["trades"]


def test_a_fleet(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "fleet.toml").write_text(FLEET.replace("DOGEUSDT", "BTCUSDT"))
    done = quantlab(tmp_path, "--fleet", "fleet.toml", "--folder", str(folder))
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert "doge-ema" in lines[0] and "Sharpe" in lines[0] and "rests orders on the book" in lines[1]
    rows = json.loads(quantlab(tmp_path, "--fleet", "fleet.toml", "--folder", str(folder), "--json").stdout)
    assert rows[0]["trades"] > 20 and rows[1]["note"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "give a strategy and its symbols, or a --fleet"),
        (("ema_cross",), "give a symbol too"),
        (("ema_cross", "SOLUSDT"), "SOLUSDT"),
        (("no_such", "BTCUSDT"), "no_such"),
        (("ema_cross", "BTCUSDT", "-p", "fast"), '"fast" is not a pair'),
        (("ema_cross", "BTCUSDT", "-r", "stop=2"), "stop: not a rule of a backtest"),
        (("ema_cross", "BTCUSDT", "--timeframe", "7m"), '"7m" is not one'),
    ],
)
def test_what_cannot_be_is_said_in_one_line(
    tmp_path: Path, folder: Path, arguments: tuple[str, ...], words: str
) -> None:  # fmt: skip
    done = quantlab(tmp_path, *arguments, "--folder", str(folder))
    lines = done.stderr.strip().splitlines()
    assert done.returncode in (2, 5) and len(lines) == 1, done.stderr
    assert lines[0].startswith("quantlab: ") and words in lines[0]
