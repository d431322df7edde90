"""Promise: a notebook searches parameters by name over the history, sees all that was tried, and asks whether the best
holds up."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from quantlab import Workbench
from quantlab.model import ConfigurationError, NotFound
from tests.backtest.walks import HOUR_MS, hours

SPACE = {"fast": [4, 8, 12], "slow": [20, 40]}


@pytest.fixture
def lab(tmp_path: Path) -> Workbench:
    lab = Workbench.open("replay", root=tmp_path)
    for symbol, seed in (("BTCUSDT", 1), ("ETHUSDT", 2)):
        rows = hours(seed, 6_000, trend=0.08)
        now_ms = int(rows["open_time"][-1]) + 10 * HOUR_MS
        lab.history().add(symbol, "1h", rows, source="GENERATED for a test", now_ms=now_ms)
    return lab


def test_a_search(lab: Workbench, capsys: pytest.CaptureFixture[str]) -> None:
    found = lab.sweep("ema_cross", "BTCUSDT", "1h", space=SPACE)
    assert found.frame.height == 6 and "backtests 100%" in capsys.readouterr().out
    best = found.frame.sort("sharpe", descending=True).row(0, named=True)
    assert found.best == {"fast": best["fast"], "slow": best["slow"]} and found.stable in list(found.swept.parameters)
    alone = lab.backtest("ema_cross", "BTCUSDT", "1h", parameters=found.best)
    again = found.backtest()
    assert again.metrics.trades > 20 and found.backtest(0).metrics.net_pnl == found.frame["net_pnl"][0]
    assert alone.metrics.net_pnl == pytest.approx(again.metrics.net_pnl, rel=0.2)  # it may begin sooner
    page = found._repr_html_()
    for words in ("6 combinations", "deflated Sharpe ratio", "GENERATED for a test", "best plateau", "<img"):
        assert words in page


def test_rules_and_several_symbols(lab: Workbench) -> None:
    space = {"fast": [4, 8], "stop_loss_pct": [1.0, 3.0]}
    found = lab.sweep("ema_cross", ["BTCUSDT", "ETHUSDT"], "1h", space=space, from_="2021-03-01")
    assert found.frame.height == 4 and found.frame["net_pnl"].n_unique() == 4
    assert found.swept.symbols == ("BTCUSDT", "ETHUSDT")
    assert found.backtest(1).metrics.net_pnl == found.frame["net_pnl"][1]
    assert found.plot("stop_loss_pct")._repr_html_() and found.plot("fast", "stop_loss_pct")
    with pytest.raises(ConfigurationError, match="was not searched"):
        found.plot("slow")


def test_one_parameter_is_a_line(lab: Workbench) -> None:
    found = lab.sweep("ema_cross", "BTCUSDT", "1h", space={"fast": range(4, 12), "slow": 30})
    assert "each combination" in found.plot().caption


def test_a_walk_forward(lab: Workbench) -> None:
    found = lab.sweep("ema_cross", "BTCUSDT", "1h", space=SPACE)
    walk = found.walk_forward(embargo=24)
    assert walk.frame.height == len(walk.walked.folds) > 10
    assert walk.result.metrics.days == pytest.approx(walk.frame.height * 200 / 24, abs=9)
    for words in ("Equity of walk-forward choices", "windows", "<table"):
        assert words in walk._repr_html_()
    with pytest.raises(NotFound, match="not enough candles"):
        found.walk_forward(train=50_000)


def test_a_judgement(lab: Workbench) -> None:
    found = lab.sweep("ema_cross", "BTCUSDT", "1h", space=SPACE)
    judged = found.validate()
    assert len(judged.checks) == 4 and judged.walk is not None
    page = judged._repr_html_()
    assert ("does not hold up" in page) is not judged.passed
    assert "probability of overfitting" in page and judged.table().frame.height == 4
    short = lab.sweep("ema_cross", "BTCUSDT", "1h", space=SPACE, from_="2021-08-01").validate(train=9_000)
    assert not short.passed and short.walk is None and "not enough candles" in short._repr_html_()


def test_drawn_round_trips_and_a_tear_sheet(lab: Workbench) -> None:
    found = lab.backtest("ema_cross", "BTCUSDT", "1h", parameters={"fast": 4, "slow": 20})
    drawn = found.monte_carlo(draws=200)
    assert "200 histories" in repr(drawn) and "200 draws" in drawn._repr_html_()
    sheet = found.tear_sheet()
    for words in ("Heat map of monthly returns", "90 % of resampled histories"):
        assert words in sheet
    low, high = found.result.intervals["sharpe"]
    assert low < found.metrics.sharpe < high
    assert found.table().frame.filter(pl.col("low").is_not_nan())["name"].to_list() == [
        "cagr_pct", "sharpe", "max_drawdown_pct"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("space", "words"),
    [
        ({"fats": [1, 2]}, 'unknown parameter "fats".*did you mean "fast"'),
        ({"fast": []}, "fast: give one value or more"),
        ({}, "give a parameter to search"),
        ({"fast": [50, 60], "slow": [20]}, "slow"),
    ],
)
def test_what_cannot_be_searched_is_told_in_a_line(lab: Workbench, space: dict[str, list[int]], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        lab.sweep("ema_cross", "BTCUSDT", "1h", space=space)
