"""Promise: `quantlab sweep` searches over the candles on disk, for people and for machines, and says by its exit code
whether the best holds up."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from quantlab.market.history import History
from tests.backtest.walks import HOUR_MS, hours


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("history")
    for symbol, trend in (("BTCUSDT", 0.12), ("ETHUSDT", 0.0)):
        rows = hours(2, 12_000, trend=trend)
        now_ms = int(rows["open_time"][-1]) + HOUR_MS
        History(folder).add(symbol, "1h", rows, source="GENERATED for a test", now_ms=now_ms)
    return folder


def quantlab(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "QUANTLAB_ROOT": str(root), "QUANTLAB_HOME": str(root / "home")}
    command = [sys.executable, "-m", "quantlab", "sweep", *arguments]
    return subprocess.run(command, env=environment, cwd=root, capture_output=True, text=True, check=False, timeout=100)


ASKED = ("-p", "fast=4:24:4", "-p", "slow=24,48,96", "--timeframe", "1h")


def test_a_trend_is_found_and_a_random_walk_is_not(tmp_path: Path, folder: Path) -> None:
    asked = (*ASKED, "--folder", str(folder), "--validate")
    done = quantlab(tmp_path, "ema_cross", "BTCUSDT", *asked, "--page", "pages/sweep.html")
    assert done.returncode == 0, done.stdout + done.stderr
    for words in ("17 combinations by grid, 1 that cannot be", "best plateau", "the best holds up", "given that 17"):
        assert words in done.stdout
    page = (tmp_path / "pages" / "sweep.html").read_text()
    assert "holds up" in page and page.count("<img") == 3 and "GENERATED for a test" in page
    done = quantlab(tmp_path, "ema_cross", "ETHUSDT", *asked, "--json")
    assert done.returncode == 1
    told = json.loads(done.stdout)
    assert told["validation"]["passed"] is False and len(told["validation"]["checks"]) == 4
    assert told["combinations"] == 17 and len(told["rows"]) == 10 and told["best"].keys() == {"fast", "slow"}


def test_the_same_seed_the_same_search(tmp_path: Path, folder: Path) -> None:
    asked = ("ema_cross", "BTCUSDT", "-p", "fast=2:20", "-p", "slow=21:80", "--timeframe", "1h", "--folder",
             str(folder), "--search", "optuna", "--trials", "20", "--json")  # fmt: skip
    first, again, other = (quantlab(tmp_path, *asked, "--seed", seed).stdout for seed in ("1", "1", "2"))
    assert first == again != other and json.loads(first)["combinations"] == 20


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("ema_cross", "BTCUSDT", "-p", "fast"), "write it as name=value"),
        (("ema_cross", "BTCUSDT", "-p", "fast=1:2", "-p", "fast=3"), "give each parameter once"),
        (("ema_cros", "BTCUSDT", "-p", "fast=1:2"), 'did you mean "ema_cross"'),
        (("ema_cross", "BTCUSDT", "-p", "fast=1:3", "--search", "annealing"), "not one of grid, random, optuna"),
    ],
)
def test_what_is_wrong_is_told_in_a_line(
    tmp_path: Path, folder: Path, arguments: tuple[str, ...], words: str
) -> None:  # fmt: skip
    done = quantlab(tmp_path, *arguments, "--timeframe", "1h", "--folder", str(folder))
    assert done.returncode == 2 and words in done.stderr and len(done.stderr.splitlines()) <= 3, done.stderr
