"""What the conventions promise, one at a time, on candles that can be read."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import polars as pl
import pytest

from quantlab.backtest import FREE, Conventions, Plan
from quantlab.backtest.kernel import _Paper
from quantlab.paper import Assumptions, SlippageKind
from quantlab.paper.slippage import UNIFORM_BPS
from tests.backtest.stage import Told, candles, flat, instrument, run, run_all, walk


def prices(frame: pl.DataFrame) -> list[tuple[str, float]]:
    return [(row["side"], row["price"]) for row in frame.iter_rows(named=True)]


def test_decided_at_a_close_filled_at_the_next_open() -> None:
    frame = candles([(10, 12, 9, 11), (20, 22, 19, 21), (30, 33, 29, 31), (40, 44, 39, 41)])
    found = run(frame, [1, 1, 0, 0], conventions=FREE)
    assert prices(found.fills) == [("BUY", 20), ("SELL", 40)]
    assert found.metrics.net_pnl == pytest.approx(1000)
    assert list(found.equity["equity"]) == pytest.approx([1000, 1050, 1550, 2000])
    trade = found.trades.row(0, named=True)
    assert (trade["mae_pct"], trade["mfe_pct"]) == pytest.approx((-5, 100))  # low 19, and the 40 that it was sold at
    assert trade["entry"].minute, trade["exit"].minute == (1, 3)


def test_what_a_buy_and_a_sale_cost() -> None:
    """Spread and slippage on their ticks, the fee of the buy in base, that of the sale in quote."""
    costs = Conventions(
        spread_bps=10,
        paper=Assumptions(slippage=SlippageKind.FIXED, slippage_bps=Decimal(20), taker_fee_pct=Decimal(1)),
    )
    found = run(candles(flat([100] * 4)), [1, 0, 0, 0], conventions=costs)
    # 100 × 1.0005 up to a cent, × 1.002 up to a cent; 99.5 % of the cash at the ask of the close
    assert prices(found.fills) == [("BUY", 100.26), ("SELL", 99.75)]
    bought, sold = found.fills["quantity"]
    assert bought == 9.945 and sold == 9.845  # less one hundredth, on its step
    assert list(found.fills["fee"]) == pytest.approx([0.01 * 9.945 * 100.26, 0.01 * 9.845 * 99.75])
    dust = 9.945 * 0.99 - 9.845
    cash = 1000 - 9.945 * 100.26 + 0.99 * 9.845 * 99.75
    assert found.metrics.net_pnl == pytest.approx(cash + dust * 99.95 - 1000)
    assert found.metrics.slippage == pytest.approx(0.26 * 9.945 + 0.25 * 9.845)
    assert found.trades["pnl"][0] == pytest.approx(cash + dust * 99.75 - 1000)


def test_uniform_slippage_stays_in_its_bounds_and_follows_its_seed() -> None:
    frame, wants = candles(flat([100] * 400)), [1, 0] * 200

    def costs(seed: int) -> np.ndarray:
        paper = Assumptions(slippage=SlippageKind.UNIFORM)
        found = run(frame, wants, conventions=Conventions(spread_bps=0, paper=paper, seed=seed), filters=fine)
        return np.abs(found.fills["price"].to_numpy() - 100) * 100

    fine = instrument(tick_size=Decimal("0.000001"))
    low, high = UNIFORM_BPS
    first = costs(1)
    assert len(first) > 300 and first.min() >= low - 1e-3 and first.max() <= high + 1e-3
    assert first.min() < low + 0.5 and first.max() > high - 0.5 and abs(first.mean() - 6) < 0.5
    assert np.array_equal(first, costs(1)) and not np.array_equal(first, costs(2))


def test_impact_grows_with_the_root_of_the_size() -> None:
    paper = Assumptions(slippage=SlippageKind.IMPACT, impact_bps={"BTCUSDT": Decimal(30)})
    fine = instrument(tick_size=Decimal("0.000001"))

    def paid(capital: int) -> float:
        costs = Conventions(spread_bps=0, paper=paper, capital_usdt=Decimal(capital))
        return float(run(candles(flat([100] * 3)), [1, 1, 1], conventions=costs, filters=fine).fills["price"][0])

    assert (paid(10_000) - 100) * 100 == pytest.approx(30 * 0.995**0.5, rel=1e-3)
    assert (paid(40_000) - 100) / (paid(10_000) - 100) == pytest.approx(2, rel=1e-3)


@pytest.mark.parametrize(
    ("candle", "rules", "price", "why"),
    [
        ((100, 101, 97, 99), {"stop_loss_pct": 2}, 98, "stop"),
        ((95, 96, 94, 95), {"stop_loss_pct": 2}, 95, "stop"),  # a gap: at the open
        ((100, 105, 97, 104), {"stop_loss_pct": 2, "take_profit_pct": 3}, 98, "stop"),  # both inside: the stop first
        ((100, 105, 99, 104), {"stop_loss_pct": 2, "take_profit_pct": 3}, 103, "target"),
        ((110, 111, 109, 110), {"take_profit_pct": 3}, 110, "target"),
        ((100, 101, 98.5, 99), {"trailing_stop_pct": 1}, 99, "trailing stop"),
        (
            (104, 106, 103.5, 104),
            {"trailing_stop_pct": 1},
            104.94,
            "trailing stop",
        ),  # from its high, with the close below
        ((104, 106, 103.5, 105.5), {"trailing_stop_pct": 1}, None, ""),  # may have come before the high: it holds
        ((97, 97.5, 96, 96), {"stop_loss_pct": 2, "stop_limit_pct": 0.5}, None, ""),  # below its limit: it rests
        ((97, 98, 96, 96), {"stop_loss_pct": 2, "stop_limit_pct": 0.5}, 97.51, "stop"),  # and fills when it comes back
    ],
)
def test_stops_and_targets(
    candle: tuple[float, float, float, float], rules: dict[str, float], price: float | None, why: str
) -> None:
    """Bought at 100 in the second candle; the third is the one to look at."""
    frame = candles([*flat([100, 100]), candle, *flat([candle[-1]])])
    found = run(frame, [1, 1, 1, 1], rules=rules)
    sales = found.fills.filter(side="SELL").head(1)
    assert list(sales["price"]) == ([] if price is None else [price])
    assert list(sales["reason"]) == ([why] if why else [])


def test_after_a_stop_it_waits_for_a_new_signal() -> None:
    frame = candles([*flat([100, 100]), (100, 101, 97, 99), *flat([99] * 6)])
    found = run(frame, [1, 1, 1, 1, 0, 1, 1, 1, 1], rules={"stop_loss_pct": 2})
    assert [row["side"] for row in found.fills.to_dicts()] == ["BUY", "SELL", "BUY"]
    assert found.fills["time"][2].minute == 6


@pytest.mark.parametrize("filters", [True, False])
def test_no_order_survives_an_outage(filters: bool) -> None:
    """With filters it is dropped and asked for again, at the next close; without, it fills in what comes next."""
    frame = candles(flat([100, 110, 120, 130]), times=[0, 7, 8, 9])
    found = run(frame, [1, 1, 1, 1], conventions=FREE if not filters else Conventions(spread_bps=0))
    assert prices(found.fills) == ([("BUY", 120)] if filters else [("BUY", 110)])
    assert found.metrics.refused == int(filters)


def test_nothing_is_filled_in_a_candle_without_a_trade() -> None:
    frame = candles([(100, 100, 100, 100), (90, 90, 90, 90, 0), (80, 80, 80, 80), (80, 80, 80, 80)])
    found = run(frame, [1, 1, 1, 1], rules={"stop_loss_pct": 5})
    assert prices(found.fills) == [("BUY", 80)]
    stopped = candles([*flat([100, 100]), (50, 50, 50, 50, 0), (60, 60, 60, 60)])
    assert prices(run(stopped, [1] * 4, rules={"stop_loss_pct": 5}).fills) == [("BUY", 100), ("SELL", 60)]


def test_an_outage_of_one_symbol_drops_its_order_alone() -> None:
    one, other = candles(flat([100] * 5)), candles(flat([50] * 4), times=[0, 2, 3, 4])
    plans = [Plan(strategy=Told(), symbol=symbol, weight=0.5) for symbol in ("BTCUSDT", "ETHUSDT")]
    rules = [instrument(plan.symbol) for plan in plans]
    found = run_all([one, other], [[1] * 5, [1] * 4], plans, rules, Conventions(spread_bps=0))
    assert [(row["symbol"], row["time"].minute) for row in found.fills.to_dicts()] == [("BTCUSDT", 1), ("ETHUSDT", 3)]


def test_sales_pay_for_buys_of_the_same_close() -> None:
    frames = [candles(flat([100] * 5)), candles(flat([100] * 5))]
    plans = [Plan(strategy=Told(), symbol=symbol, weight=0.5) for symbol in ("BTCUSDT", "ETHUSDT")]
    wants = [[1, 0, 0, 0, 0], [0, 1, 1, 1, 1]]
    for each in plans:
        object.__setattr__(each, "weight", 1.0)  # all of the account, one after the other
    found = run_all(frames, wants, plans, [instrument(plan.symbol) for plan in plans], Conventions(spread_bps=0))
    assert [(row["symbol"], row["side"]) for row in found.fills.to_dicts()] == [
        ("BTCUSDT", "BUY"), ("BTCUSDT", "SELL"), ("ETHUSDT", "BUY")
    ]  # fmt: skip


def test_too_little_is_not_sent_and_too_much_is_refused() -> None:
    frame = candles(flat([100] * 4))
    assert run(frame, [0.004] * 4).fills.is_empty()  # 4 USDT: below the smallest notional
    found = run(frame, [1, 1, 1, 1], rules={"max_order_notional_usdt": Decimal(500)})
    assert found.fills.is_empty() and found.metrics.refused == 4
    assert run(frame, [0.4] * 4, rules={"max_order_notional_usdt": Decimal(500)}).metrics.fills == 1
    few = run(frame, [1] * 4, filters=instrument(max_quantity=Decimal(2)))
    assert list(few.fills["quantity"]) == [2]


def test_what_is_less_than_a_lot_ends_a_round_trip_too() -> None:
    """The fee of a buy is paid in base, so a part of a lot stays; where no smallest order is known, it is dust too."""
    rows = flat([100.0, 101.0, 102.0, 103.0, 104.0, 105.0])
    unbounded = instrument(min_quantity=Decimal(0), min_notional=Decimal(0))
    found = run(candles(rows), [1, 0, 1, 0, 0, 0], filters=unbounded)
    assert found.metrics.fills == 4 and found.metrics.trades == 2
    assert 0 < found.outcome.quantities[0] < 0.001


def test_no_more_than_asked_for_is_paid() -> None:
    """A bound of 0.5 %: the open a percent higher fills nothing, and the next close asks again."""
    frame = candles(flat([100, 101, 101, 101]))
    found = run(frame, [1, 1, 1, 1], rules={"max_slippage_pct": 0.5})
    assert prices(found.fills) == [("BUY", 101)] and found.fills["time"][0].minute == 2


def test_loss_limits_halt() -> None:
    """A drawdown halts for good, a day's loss until the next day; both sell at the next open."""
    path = [100, 100, 89, 89, 95, 95, 95, 95]
    found = run(candles(flat(path)), [1] * 8, conventions=Conventions(spread_bps=0, max_drawdown_pct=10))
    assert prices(found.fills) == [("BUY", 100), ("SELL", 89)]
    assert found.metrics.halts == 1 and found.fills["reason"][1] == "loss limit"
    assert run(candles(flat(path)), [1] * 8, conventions=Conventions(spread_bps=0)).metrics.halts == 0
    day = 24 * 60
    times = [0, 1, 2, 3, day, day + 1, day + 2, day + 3]
    found = run(candles(flat(path), times=times), [1] * 8, conventions=Conventions(spread_bps=0, max_daily_loss_pct=5))
    assert prices(found.fills) == [("BUY", 100), ("SELL", 89), ("BUY", 95)]


def test_a_target_outside_0_to_1_is_an_error() -> None:
    frame = candles(flat([100] * 4))
    assert run(frame, [0, 0, 1.5, 0]).outcome.error_bar == 2
    assert run(frame, [0, -0.5, 0, 0]).outcome.error_bar == 1
    assert run(frame, [0, 1, 0.5, 0]).outcome.error_bar == -1


@pytest.mark.parametrize("seed", range(5))
def test_money_is_conserved(seed: int) -> None:
    """What there is at the end is what there was, less what was paid, plus what was got; fills and trips agree."""
    draw = np.random.default_rng(seed)
    frame = walk(2_000, draw)
    wants = np.repeat(draw.integers(0, 2, 500), 4).astype(float)
    wants[-8:] = 0
    found = run(frame, wants, rules={"stop_loss_pct": 2, "take_profit_pct": 4}, conventions=Conventions(spread_bps=4))
    sign = np.where(found.fills["side"] == "BUY", -1.0, 1.0)
    got = float(np.sum(sign * found.fills["notional"].to_numpy()))
    fees = float(found.fills.filter(side="SELL")["fee"].sum())  # those of buys are paid in base
    held = float(found.outcome.quantities[0]) * float(frame["close"][-1]) * (1 - 2e-4)
    assert found.outcome.totals.final == pytest.approx(1000 + got - fees + held, abs=1e-6)
    assert found.metrics.fees == pytest.approx(found.fills["fee"].sum())
    assert found.metrics.turnover * 1000 == pytest.approx(found.fills["notional"].sum())
    assert found.metrics.trades == found.trades.height > 50
    assert found.trades["pnl"].sum() == pytest.approx(found.metrics.net_pnl, abs=0.5)  # dust is marked anew
    assert found.monthly["fees"].sum() == pytest.approx(found.metrics.fees)
    assert found.equity["drawdown_pct"].min() == pytest.approx(-found.metrics.max_drawdown_pct, abs=1e-9)


def test_only_totals_and_marks_without_keep() -> None:
    draw = np.random.default_rng(3)
    frame, wants = walk(3_000, draw), np.repeat(draw.integers(0, 2, 1000), 3).astype(float)
    plan, costs = Plan(strategy=Told(), symbol="BTCUSDT"), Conventions()
    full = run_all([frame], [wants], [plan], [instrument()], costs)
    lean = run_all([frame], [wants], [plan], [instrument()], costs, keep=False)
    assert lean.outcome.totals == full.outcome.totals and np.array_equal(lean.outcome.marks, full.outcome.marks)
    assert not len(lean.outcome.fills) and not len(lean.outcome.curve)


def test_marks_are_the_equity_at_the_end_of_each_sample() -> None:
    draw = np.random.default_rng(4)
    frame, wants = walk(5_000, draw), np.repeat(draw.integers(0, 2, 500), 10).astype(float)
    found = run(frame, wants)
    hours = frame["open_time"].to_numpy() // 3_600_000
    curve = found.outcome.curve
    for hour in range(hours[0], hours[-1] + 1):
        last = np.searchsorted(hours, hour, side="right") - 1
        assert found.outcome.marks[hour - hours[0]] == curve[last]


def test_more_fills_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    frame, wants = candles(flat([100] * 100)), [1, 0] * 50
    full = run(frame, wants)
    monkeypatch.setattr("quantlab.backtest.kernel._ROWS", 3)
    monkeypatch.setattr("quantlab.backtest.kernel._paper", _Paper())
    assert run(frame, wants).fills.equals(full.fills) and full.fills.height > 90


def test_a_symbol_that_is_delisted_half_way_keeps_its_last_price() -> None:
    """What is held of it is marked at the last bid, nothing of it is sold, and the result says so."""
    gone, other = candles(flat([100, 100, 50])), candles(flat([100] * 6))
    plans = [Plan(strategy=Told(), symbol=symbol, weight=0.5) for symbol in ("LUNAUSDT", "BTCUSDT")]
    rules = [instrument(plan.symbol) for plan in plans]
    found = run_all([gone, other], [[1, 1, 0], [0, 0, 0, 1, 1, 1]], plans, rules, Conventions(spread_bps=0))
    assert [(row["symbol"], row["side"]) for row in found.fills.to_dicts()] == [("LUNAUSDT", "BUY"), ("BTCUSDT", "BUY")]
    assert found.equity["equity"][-1] == pytest.approx(750, rel=1e-3)
    assert found.ended == {"LUNAUSDT": 120_000}
    assert "LUNAUSDT end at 1970-01-01 00:02 UTC" in found.words()[-1]
    assert run(other, [0] * 6).ended == {}
