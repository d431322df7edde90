"""Promise: the backtest of a run's bots over the candles that it saw fills the same orders at the same candles; what is
left between the two is price, and report and notebook say so."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from quantlab import Workbench
from quantlab.lab.drift import against_backtest
from quantlab.model import NotFound
from quantlab.report import open_run

FLEET = """
[[bot]]
name = "btc-ema"
strategy = "ema_cross"
parameters = { fast = 3, slow = 8 }
symbol = "BTCUSDT"
timeframe = "1m"
stop_loss_pct = 0.3
take_profit_pct = 0.6

[[bot]]
name = "eth-donchian"
strategy = "donchian_breakout"
parameters = { entry = 10, exit = 5 }
symbol = "ETHUSDT"
timeframe = "1m"

[[bot]]
name = "sol-spread"
strategy = "spread_capture"
symbol = "SOLUSDT"
timeframe = "1m"
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two hours of a generated market with three bots, and the report."""
    root = tmp_path_factory.mktemp("drift")
    (root / "fleet.toml").write_text(FLEET)
    environment = {**os.environ, "QUANTLAB_ROOT": str(root), "QUANTLAB_HOME": str(root / ".quantlab")}
    environment["QUANTLAB_MARKET"] = "replay"
    command = [sys.executable, "-m", "quantlab", "run", "--foreground", "--fleet", "fleet.toml", "--run-id", "drift"]
    done = subprocess.run(
        [*command, "--hours", "2"], cwd=root, env=environment, capture_output=True, text=True, check=False, timeout=110
    )
    assert done.returncode == 0, done.stderr
    return root


def test_paper_and_backtest_fill_the_same_orders(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUANTLAB_HOME", str(root / ".quantlab"))
    compared = Workbench.open("replay", root=root).compare(["drift"]).backtest()
    rows = {row["name"]: row for row in compared.frame.to_dicts()}
    for name, least in (("btc-ema", 8), ("eth-donchian", 4)):
        row = rows[name]
        assert row["both"] >= least and row["paper_only"] == row["backtest_only"] == 0, row
        assert row["signal"] == row["missed"] == 0
        causes = sum(row[cause] for cause in ("price", "fee", "size", "rest"))
        assert causes == pytest.approx(row["total"]) == pytest.approx(row["paper_pnl"] - row["backtest_pnl"])
        assert abs(row["rest"]) < 0.02 and abs(row["price"]) < 10
    assert "rests orders on the book" in rows["sol-spread"]["note"]
    shown = compared._repr_html_()
    assert "by cause" in shown and "GENERATED" in shown and "<img" in shown


def test_another_signal_is_found_out(root: Path) -> None:
    """The control: with one parameter changed after the fact, the difference is one of signals."""
    run = open_run("drift", root / ".quantlab")
    run.row.fleet_toml = FLEET.replace("slow = 8", "slow = 13")
    row = against_backtest(root / ".quantlab", run).frame.filter(name="btc-ema").to_dicts()[0]
    assert not row["note"], row["note"]
    assert row["paper_only"] + row["backtest_only"] > 2 and row["signal"] != 0


def test_the_report_shows_it(root: Path) -> None:
    page = (root / "reports" / "drift" / "report.html").read_text()
    assert "Beside its backtest" in page and "their backtest over the same candles" in page
    assert pl.read_parquet(root / "reports" / "drift" / "drift.parquet").height == 3


def test_without_an_input_log_there_is_nothing_to_compare(root: Path) -> None:
    run = open_run("drift", root / ".quantlab")
    run.run_id = "another"
    with pytest.raises(NotFound, match="kept no input log"):
        against_backtest(root / ".quantlab", run)
