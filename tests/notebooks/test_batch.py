"""Promise: a backtest goes through papermill as a notebook: parameters in, a page with result and figures out."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import nbformat
import polars as pl

from quantlab.market.history import History
from tests.lab.test_research import LATER_MS, START_MS
from tests.strategies.candles import walk

from .test_notebooks import ROOT, environment


def test_one_backtest_by_papermill(tmp_path: Path) -> None:
    rows = walk(3_000).drop("tick").with_columns(pl.col("open_time") + START_MS)
    history = History(tmp_path / ".quantlab" / "history-replay")
    history.add("ETHUSDT", "1m", rows, source="GENERATED for a test", now_ms=LATER_MS)
    command = [sys.executable, "-m", "papermill", "--engine", "quantlab", "--no-progress-bar"]
    command += [str(ROOT / "notebooks" / "batch" / "backtest_one.ipynb"), str(tmp_path / "out.ipynb")]
    command += ["-p", "symbol", "ETHUSDT", "-p", "timeframe", "1m", "-p", "from_", "2024-02-01T06:00"]
    command += ["-y", "{parameters: {fast: 5, slow: 20}, rules: {stop_loss_pct: 2}}"]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment(tmp_path), capture_output=True, text=True, check=False, timeout=100
    )
    assert done.returncode == 0, done.stderr[-3000:]
    notebook = nbformat.read(tmp_path / "out.ipynb", as_version=4)
    shown = [output for cell in notebook.cells for output in cell.get("outputs", ()) if "data" in output]
    assert "GENERATED for a test" in shown[0]["data"]["text/html"]
    told = ast.literal_eval(shown[-1]["data"]["text/plain"])
    assert told["plans"] == [{"strategy": "EmaCross", "symbol": "ETHUSDT"}]
    assert told["from"] == "2024-02-01T06:00:00+00:00" and told["metrics"]["trades"] > 10
