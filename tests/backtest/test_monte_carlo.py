"""Promise: drawn histories are made of the very round trips that there were, and of nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from quantlab.backtest import Conventions, backtest
from quantlab.backtest.monte_carlo import draw_trades, of_account
from quantlab.backtest.result import Result
from quantlab.model import NotFound
from tests.backtest.walks import INSTRUMENT, crosses, hours


def result(hours_: int = 4_000) -> Result:
    return backtest(
        crosses({"fast": 5, "slow": 20}), {"BTCUSDT": hours(3, hours_, trend=0.06)}, {"BTCUSDT": INSTRUMENT},
        timeframe="1h", conventions=Conventions(),
    )  # fmt: skip


def test_round_trips_make_up_the_account() -> None:
    found = result()
    made = of_account(found)
    assert len(made) == found.metrics.trades > 50
    worth = found.capital * np.prod(1 + made)
    assert worth == pytest.approx(found.capital + float(found.trades["pnl"].sum()))


def test_draws() -> None:
    found = result()
    drawn, again, other = draw_trades(found), draw_trades(found), draw_trades(found, seed=2)
    np.testing.assert_array_equal(drawn.returns, again.returns)
    assert not np.array_equal(drawn.returns, other.returns)
    made = np.log1p(of_account(found))
    # The logarithm of what a drawn history makes has the mean and the spread of a sum of independent draws.
    logs = np.log1p(drawn.returns)
    assert logs.mean() == pytest.approx(made.sum(), abs=4 * made.std() * np.sqrt(len(made) / 1_000))
    assert logs.std() == pytest.approx(made.std() * np.sqrt(len(made)), rel=0.15)
    assert drawn.fan.shape == (5, len(drawn.trips)) and np.all(np.diff(drawn.fan, axis=0) >= 0)
    assert drawn.fan[2, -1] == pytest.approx(np.median(1 + drawn.returns))
    assert drawn.trips[0] == 0 and drawn.trips[-1] == len(made) and np.all(drawn.fan[:, 0] == 1)
    assert drawn.loss_probability == np.mean(drawn.returns < 0)


def test_another_order_has_another_drawdown_and_the_same_end() -> None:
    found = result()
    drawn = draw_trades(found, draws=300)
    made = of_account(found)
    losses = np.prod(1 + np.sort(made)[: np.sum(made < 0)])
    assert drawn.shuffled_drawdowns.max() <= 1 - losses + 1e-12  # all losses in a row
    assert drawn.shuffled_drawdowns.min() >= -made.min() - 1e-12  # the worst of them alone
    assert np.ptp(drawn.shuffled_drawdowns) > 0


def test_a_few_round_trips_are_too_few() -> None:
    with pytest.raises(NotFound, match="too few to draw from"):
        draw_trades(result(450))
