"""Promise: where books are made from candles each receipt says so, the pessimist pays more, and the run replays."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from quantlab.cli.check import verify
from quantlab.ledger import Ledger
from quantlab.paper import Assumptions, SlippageKind

START_MS = 1_700_000_040_000


@pytest.fixture
def candles(tmp_path: Path) -> Path:
    """Half a day of minutes for each symbol of the fleet, a random walk."""
    folder = tmp_path / "candles"
    folder.mkdir()
    rng = np.random.default_rng(7)
    for symbol, price in (("BTCUSDT", 60_000.0), ("ETHUSDT", 2_500.0), ("XRPUSDT", 25.0)):
        closes = np.round(price * np.exp(np.cumsum(rng.normal(0, 0.0005, 720))), 2)
        opens = np.concatenate([[price], closes[:-1]])
        rows = {
            "open_time": START_MS + 60_000 * np.arange(720),
            "open": opens, "high": np.maximum(opens, closes) + 0.05, "low": np.minimum(opens, closes) - 0.05,
            "close": closes, "volume": rng.uniform(50, 100, 720).round(3),
        }  # fmt: skip
        pl.DataFrame(rows).write_parquet(folder / f"{symbol}.parquet")
    return folder


def test_receipts_say_it_and_the_run_replays(
    candles: Path, tmp_path: Path, run_fleet: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "root"
    assert run_fleet("run", minutes=20, home=root, data=candles)["fills"] > 5
    with Ledger.open(root / ".quantlab", create=False) as ledger:
        assert ledger.run("run").source.kind == "candles"
        receipts = ledger.receipts("run")
    assert all("; book synthesised from candles" in receipt.model for receipt in receipts)
    monkeypatch.setenv("QUANTLAB_ROOT", str(root))
    monkeypatch.setenv("QUANTLAB_HOME", str(root / ".quantlab"))
    assert verify("run", egress_only=False)["first_difference"] is None


def test_a_real_or_generated_book_is_not_called_so(run_fleet: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    run_fleet("run", minutes=8, home=tmp_path / "root")
    with Ledger.open(tmp_path / "root" / ".quantlab", create=False) as ledger:
        assert not any("synthesised" in receipt.model for receipt in ledger.receipts("run"))


def test_the_pessimist_pays_for_what_nobody_knows() -> None:
    usual = Assumptions()
    assert usual.pessimistic().slippage.kind is SlippageKind.DEPTH
    assert usual.pessimistic(synthesised=True).slippage.kind is SlippageKind.UNIFORM
    assert usual.optimistic(synthesised=True).slippage.kind is usual.terms(synthesised=True).slippage.kind
