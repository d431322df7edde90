"""The compiled pass gives, fill by fill, what the same rules give when they are written out in exact decimals with the
paper engine's own sizing and stops."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from quantlab.backtest import Conventions, Plan
from quantlab.backtest.records import REASONS
from quantlab.paper import Assumptions, SlippageKind
from tests.backtest.reference import Reference
from tests.backtest.stage import Told, instrument, run_all, walk

RULES: list[dict[str, Any]] = [
    {},
    {"stop_loss_pct": 1.5},
    {"stop_loss_pct": 1.0, "stop_limit_pct": 0.5},
    {"stop_loss_pct": 2.0, "take_profit_pct": 3.0},
    {"trailing_stop_pct": 2.5},
    {"trailing_stop_pct": 1.25, "take_profit_pct": 2.0},
    {"rebalance_pct": 1.0},
    {"max_slippage_pct": 0.3},
    {"max_position_usdt": Decimal(300), "rebalance_pct": 2.0},
    {"max_order_notional_usdt": Decimal(450)},
]
COSTS = [
    Conventions(),
    Conventions(spread_bps=5.0, paper=Assumptions(slippage=SlippageKind.FIXED, slippage_bps=Decimal(3))),
    Conventions(fee_received=False, spread_bps=1.0),
]


def wants(rows: int, draw: np.random.Generator) -> np.ndarray:
    """Held for a few candles each; without an answer now and then."""
    levels = draw.choice([0.0, 0.25, 0.5, 1.0], rows)
    kept = np.maximum.accumulate(np.where(draw.random(rows) < 0.25, np.arange(rows), 0))
    return np.where(draw.random(rows) < 0.02, np.nan, levels[kept])


def compare(plans: list[Plan], conventions: Conventions, seed: int, rows: int = 400) -> int:
    draw = np.random.default_rng(seed)
    frames = [walk(rows, draw, price=price) for price in (100.0, 20.0, 250.0)[: len(plans)]]
    wanted = [wants(rows, draw) for _ in plans]
    rules = [instrument(plan.symbol) for plan in plans]
    result = run_all(frames, wanted, plans, rules, conventions)
    found = Reference(plans, rules, conventions, result.market).run(0)
    mine = result.outcome.fills
    assert len(mine) == len(found.fills)
    for row, (bar, symbol, side, price, quantity, why) in zip(mine, found.fills, strict=True):
        assert (int(row["bar"]), int(row["symbol"]), int(row["side"])) == (bar, symbol, side)
        assert row["price"] == pytest.approx(float(price), rel=1e-12)
        assert row["quantity"] == pytest.approx(float(quantity), rel=1e-9)
        assert REASONS[int(row["reason"])] == why
    assert result.outcome.curve == pytest.approx(np.array([float(each) for each in found.curve]), rel=1e-9)
    return len(mine)


@pytest.mark.parametrize("conventions", COSTS, ids=["spread", "slippage", "fee in quote"])
@pytest.mark.parametrize("rules", RULES, ids=lambda rules: ", ".join(rules) or "plain")
def test_one_symbol(rules: dict[str, Any], conventions: Conventions) -> None:
    plans = [Plan(strategy=Told(), symbol="BTCUSDT", **rules)]
    assert sum(compare(plans, conventions, seed) for seed in range(3)) > 60


@pytest.mark.parametrize("conventions", COSTS, ids=["spread", "slippage", "fee in quote"])
@pytest.mark.parametrize("rules", RULES, ids=lambda rules: ", ".join(rules) or "plain")
def test_three_symbols_on_one_account(rules: dict[str, Any], conventions: Conventions) -> None:
    symbols = {"BTCUSDT": 0.5, "ETHUSDT": 0.3, "BNBUSDT": 0.2}
    plans = [Plan(strategy=Told(), symbol=symbol, weight=weight, **rules) for symbol, weight in symbols.items()]
    assert sum(compare(plans, conventions, seed) for seed in range(10, 13)) > 100


def test_a_reference_that_differs_in_one_rule_is_found_out() -> None:
    """The control: with the stop a tick elsewhere the comparison fails."""
    plan = Plan(strategy=Told(), symbol="BTCUSDT", stop_loss_pct=1.5)
    draw = np.random.default_rng(1)
    frame, wanted = walk(400, draw), wants(400, draw)
    result = run_all([frame], [wanted], [plan], [instrument()], COSTS[0])
    other = Plan(strategy=Told(), symbol="BTCUSDT", stop_loss_pct=1.51)
    found = Reference([other], [instrument()], COSTS[0], result.market).run(0)
    prices = [float(price) for *_, price, _, _ in found.fills]
    assert prices != pytest.approx(list(result.outcome.fills["price"]), rel=1e-12)
