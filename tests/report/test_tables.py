"""Promise: every figure of a report follows from the ledger by a stated rule, checked on numbers done by hand."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from types import ModuleType

import polars as pl
import pytest

from quantlab.model import Receipt
from quantlab.report import RunData, open_run, tables

BOTS = pl.DataFrame(
    {"bot": [0, 1], "name": ["a", "b"], "strategy": ["x", "y"], "symbol": ["BTCUSDT"] * 2, "timeframe": ["1m"] * 2,
     "capital": [1000.0, 1000.0]}
)  # fmt: skip
EQUITY = pl.DataFrame(
    {"time_ms": [1, 2, 3, 1, 2, 3], "bot": [0, 0, 0, -1, -1, -1], "equity": [1000.0, 1100.0, 990.0] * 2,
     "cash": [1000.0] * 6, "position_value": [0.0] * 6}
)  # fmt: skip


def fill(number: int, side: str, price: float, quantity: float, fee: float, fee_quote: float) -> dict[str, object]:
    return {
        "bot": 0, "number": number, "order_number": number, "symbol": "BTCUSDT", "side": side, "price": price,
        "quantity": quantity, "fee": fee, "fee_asset": "BTC" if side == "BUY" else "USDT", "fee_quote": fee_quote,
        "maker": False, "time_ms": number,
    }  # fmt: skip


FILLS = pl.DataFrame([fill(1, "BUY", 100.0, 2.0, 0.0, 0.2), fill(2, "SELL", 110.0, 1.0, 0.11, 0.11)])


def receipt(number: int, decision: tuple[str, str], arrival: tuple[str, str]) -> Receipt:
    return Receipt(
        bot=0, fill_number=number, basis="depth", book_id=1, levels=(), queue_ahead=Decimal(0),
        decision_bid=Decimal(decision[0]), decision_ask=Decimal(decision[1]), arrival_bid=Decimal(arrival[0]),
        arrival_ask=Decimal(arrival[1]), latency_ms=50, response_ms=10, fee_rate=Decimal("0.001"), fee_source="test",
        model="test", seed=1,
    )  # fmt: skip


def test_closed_trades_take_average_cost_and_a_share_of_the_fee() -> None:
    closed = tables.closed_trades(FILLS).row(0, named=True)
    assert closed["gross_usdt"] == pytest.approx(10.0)
    assert closed["net_usdt"] == pytest.approx(10.0 - 0.11 - 0.1)


def test_bot_table_counts_results_and_leaves_an_idle_bot_at_its_capital() -> None:
    table = tables.bot_table(BOTS, EQUITY, FILLS, tables.slippage_frame(FILLS, BOTS, []), {"b": "no signal"})
    first, idle = table.to_dicts()
    assert first["net_pnl"] == pytest.approx(-10.0)
    assert first["max_drawdown_pct"] == pytest.approx(10.0)
    assert (first["fills"], first["closed"], first["win_rate_pct"]) == (2, 1, 100.0)
    assert first["fees_usdt"] == pytest.approx(0.31)
    assert (idle["final_equity"], idle["fills"], idle["note"]) == (1000.0, 0, "no signal")
    by_strategy = tables.strategy_table(table)
    assert by_strategy["strategy"].to_list() == ["y", "x"]  # nothing lost beats something lost
    assert by_strategy["net_pnl"].sum() == pytest.approx(table["net_pnl"].sum())


def test_slippage_splits_into_spread_latency_and_depth() -> None:
    receipts = [receipt(1, ("98", "99"), ("98.5", "99.5")), receipt(2, ("111", "112"), ("110.5", "111.5"))]
    buy, sell = tables.slippage_frame(FILLS, BOTS, receipts).to_dicts()
    middle = 98.5
    assert buy["half_spread_bps"] == pytest.approx(0.5 / middle * 1e4)
    assert buy["latency_bps"] == pytest.approx(0.5 / middle * 1e4)
    assert buy["depth_bps"] == pytest.approx(0.5 / middle * 1e4)
    assert buy["cost_bps"] == pytest.approx(1.5 / middle * 1e4)
    assert sell["cost_bps"] == pytest.approx(1.5 / 111.5 * 1e4)
    total = tables.slippage_table(tables.slippage_frame(FILLS, BOTS, receipts)).row(0, named=True)
    assert total["cost_usdt"] == pytest.approx(1.5 / middle * 200 + 1.5 / 111.5 * 110)


def test_the_parts_of_every_taker_add_up_and_makers_cross_nothing(home: Path) -> None:
    frame = open_run("first", home).slippage
    assert frame.height > 100
    parts = pl.col("half_spread_bps") + pl.col("latency_bps") + pl.col("depth_bps")
    takers = frame.filter(~pl.col("maker")).select((parts - pl.col("cost_bps")).abs().max()).item()
    assert takers < 1e-9
    assert frame.filter("maker").select(parts.abs().max()).item() == 0
    assert frame.filter("maker")["cost_bps"].max() < 0  # a resting order at its own touch earns


def test_buy_and_hold_puts_equal_amounts_into_each_symbol() -> None:
    marks = pl.DataFrame(
        {
            "time_ms": [1, 1, 2, 3],
            "symbol": ["A", "B", "A", "B"],
            "bid": [99.0, 9.9, 200.0, 5.0],
            "ask": [100.0, 10.0, 201.0, 5.1],
        }
    )
    line = tables.baselines(marks, 1000.0)
    paid = 1 - tables.TAKER_FEE
    expected = [(0.99 + 0.99) / 2, (2.0 + 0.99) / 2, (2.0 + 0.5) / 2]
    assert line["buy_and_hold"].to_list() == pytest.approx([1000 * paid * growth for growth in expected])
    assert line["cash"].unique().to_list() == [1000.0]
    assert tables.baselines(marks, 1000.0, ["A"])["buy_and_hold"][-1] == pytest.approx(2000 * paid)


def test_drawdown_is_measured_from_the_highest_so_far() -> None:
    frame = tables.equity_frame(EQUITY)
    assert frame["drawdown_pct"].to_list() == pytest.approx([0.0, 0.0, -10.0])


def test_a_run_without_fills_or_marks_still_reads(tmp_path: Path, sample: ModuleType) -> None:
    sample.write_run(tmp_path, "empty", minutes=0, bots=3)
    run = open_run("empty", tmp_path)
    assert isinstance(run, RunData)
    assert run.final_equity == run.capital == 3000.0
    assert run.by_bot["fills"].to_list() == [0, 0, 0]
    assert run.baselines.is_empty()
