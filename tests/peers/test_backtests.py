"""Promise: with filters off, one signal gives vectorbt's equity; and the figures are those of empyrical and quantstats.

Makes throwaway environments from PyPI: by hand, with `make peers` (a minute).
"""

from __future__ import annotations

import json
import subprocess
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from quantlab.backtest import Conventions
from quantlab.backtest import metrics as m
from quantlab.paper import Assumptions, SlippageKind
from tests.backtest.stage import run, walk
from tests.peers.environment import BACKTESTS, METRICS, throwaway

HERE = Path(__file__).parent
CONVENTIONS = Conventions(
    capital_usdt=Decimal(10_000_000),
    spread_bps=0,
    paper=Assumptions(slippage=SlippageKind.FIXED, slippage_bps=Decimal(5)),
    fee_received=False,
    filters=False,
)

pytestmark = [pytest.mark.campaign, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def vectorbt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return throwaway(tmp_path_factory.mktemp("vectorbt") / "env", *BACKTESTS)


@pytest.mark.parametrize("seed", range(5))
def test_one_signal_gives_the_equity_of_vectorbt(vectorbt: Path, seed: int, tmp_path: Path) -> None:
    """At each close, to 1e-9."""
    draw = np.random.default_rng(seed)
    frame = walk(30_000, draw, outages=False)
    wanted = np.repeat(draw.integers(0, 2, 3_000), 10).astype(float)
    columns = {name: frame[name].to_numpy() for name in ("open", "high", "low", "close")}
    np.savez(tmp_path / "candles.npz", **columns, wanted=wanted, fee=0.001, slippage=0.0005)
    command = [vectorbt, HERE / "backtest_runner.py", tmp_path / "candles.npz", "equity", tmp_path / "answer.npz"]
    subprocess.run(command, check=True, timeout=300)
    found = run(frame, wanted, conventions=CONVENTIONS)
    theirs = np.load(tmp_path / "answer.npz")["equity"]
    assert found.metrics.fills > 1_000
    assert found.outcome.curve == pytest.approx(theirs, rel=1e-9)
    # The control: another fee is found out.
    dearer = Assumptions(slippage=SlippageKind.FIXED, slippage_bps=Decimal(5), taker_fee_pct=Decimal("0.101"))
    other = run(frame, wanted, conventions=Conventions(
        capital_usdt=Decimal(10_000_000), spread_bps=0, paper=dearer, fee_received=False, filters=False
    ))  # fmt: skip
    assert other.outcome.curve != pytest.approx(theirs, rel=1e-9)


def test_the_figures_are_those_of_empyrical_and_quantstats(tmp_path: Path) -> None:
    """The probability of quantstats differs in the seventh place: it takes skewness and kurtosis with a correction for
    small samples, the paper's formula does not."""
    python = throwaway(tmp_path / "env", *METRICS)
    draws = [np.random.default_rng(seed).normal(0.0005 * seed - 0.001, 0.02, 50 + 100 * seed) for seed in range(6)]
    told = json.dumps([list(returns) for returns in draws])
    done = subprocess.run(
        [python, HERE / "metrics_runner.py"], input=told, capture_output=True, text=True, check=True, timeout=300
    )
    for returns, answer in zip(draws, json.loads(done.stdout), strict=True):
        annual, deepest = m.annual_return(returns, 365), m.drawdown(returns)
        found = {
            "annual_return": annual,
            "volatility": m.volatility(returns, 365),
            "sharpe": m.sharpe(returns, 365),
            "sortino": m.sortino(returns, 365),
            "drawdown": deepest,
            "calmar": m.calmar(annual, deepest),
        }
        assert found == pytest.approx(answer["empyrical"], rel=1e-9)
        assert found == pytest.approx(answer["quantstats"], rel=1e-9)
        assert m.probabilistic_sharpe(returns, 365) == pytest.approx(answer["probabilistic"], abs=5e-3)
