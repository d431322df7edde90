"""Promise: a notebook backtests a strategy by name over the history, sees what the fills assumed, and is told in one
line what is wrong with what it asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pytest

from quantlab import Workbench
from quantlab.backtest import FREE
from quantlab.market.history import History
from quantlab.model import ConfigurationError, NotFound
from quantlab.strategies import Strategy
from tests.strategies.candles import walk

START_MS = 1_706_738_400_000
LATER_MS = START_MS + 365 * 86_400_000
FLEET = """
[[bot]]
name = "doge-ema"
strategy = "ema_cross"
parameters = { fast = 5, slow = 20 }
symbol = "DOGEUSDT"
timeframe = "1m"
stop_loss_pct = 2

[[bot]]
name = "btc-maker"
strategy = "spread_capture"
symbol = "BTCUSDT"
timeframe = "1m"
"""


@dataclass(frozen=True)
class Always(Strategy):
    """Holds."""

    share: float = 1.0

    @property
    def lookback(self) -> int:
        return 1

    def exposure(self) -> pl.Expr:
        return pl.lit(self.share).repeat_by(1).list.first() + pl.col("close") * 0


@pytest.fixture
def lab(tmp_path: Path) -> Workbench:
    lab = Workbench.open("replay", root=tmp_path)
    for symbol, seed in (("BTCUSDT", 1), ("ETHUSDT", 2)):
        rows = walk(3_000, seed=seed).drop("tick").with_columns(pl.col("open_time") + START_MS)
        lab.history().add(symbol, "1m", rows, source="GENERATED for a test", now_ms=LATER_MS)
    return lab


def test_by_name_by_class_and_by_instance(lab: Workbench) -> None:
    one = lab.backtest("ema_cross", "BTCUSDT", parameters={"fast": 5, "slow": 20})
    assert one.metrics.trades > 20 and one.trades.height == one.metrics.trades
    assert "ema_cross" not in repr(one) and "EmaCross on BTCUSDT, 1m, 2 days" in repr(one)
    held = lab.backtest(Always, "BTCUSDT", conventions=FREE)
    assert held.metrics.return_pct == pytest.approx(held.metrics.buy_and_hold_pct, rel=1e-6)
    half = lab.backtest(Always(), "BTCUSDT", parameters={"share": 0.5}, conventions=FREE)
    assert half.metrics.exposure_pct == pytest.approx(50, abs=2)


def test_several_symbols_share_one_account(lab: Workbench) -> None:
    both = lab.backtest(Always, ["BTCUSDT", "ETHUSDT"], conventions=FREE)
    assert set(both.fills["symbol"]) == {"BTCUSDT", "ETHUSDT"}
    assert both.metrics.return_pct == pytest.approx(both.metrics.buy_and_hold_pct, rel=1e-6)


def test_a_file_of_the_user(lab: Workbench, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "from dataclasses import dataclass\nimport polars as pl\nfrom quantlab.strategies import Strategy\n"
        "@dataclass(frozen=True)\nclass Rising(Strategy):\n    @property\n    def lookback(self): return 2\n"
        "    def exposure(self):\n        rises = pl.col('close') > pl.col('close').shift(1)\n"
        "        return rises.fill_null(False).cast(pl.Float64)\n"
    )
    assert lab.backtest("mine.py:Rising", "BTCUSDT").metrics.trades > 100


def test_a_span_and_what_comes_before_it(lab: Workbench) -> None:
    """Candles before `from_` fill the lookback; none after `to` is seen."""
    found = lab.backtest("ema_cross", "BTCUSDT", from_="2024-02-01T12:00", to="2024-02-02")
    times = found.equity["time"]
    assert f"{times[0]:%d %H:%M}" == "01 12:01" and f"{times[-1]:%d %H:%M}" == "02 00:00"


def test_what_is_shown(lab: Workbench) -> None:
    found = lab.backtest("ema_cross", ["BTCUSDT", "ETHUSDT"], stop_loss_pct=1)
    shown = found._repr_html_()
    for words in ("GENERATED for a test", "filled at the next one&#x27;s open", "Simulated", "Sharpe ratio", "<img"):
        assert words in shown
    for block in (found.table(), found.trade_table(), found.plot(), found.plot_months(), found.plot_trades()):
        assert "GENERATED for a test" in block._repr_html_()
    assert found.summary()["metrics"]["trades"] == found.metrics.trades
    quiet = lab.backtest(Always, "BTCUSDT", parameters={"share": 0.0})
    assert quiet.metrics.trades == 0 and quiet.summary()["metrics"]["win_rate_pct"] is None
    assert "<img" in quiet._repr_html_() and "<img" in quiet.plot_trades()._repr_html_()


def test_a_fleet(lab: Workbench, tmp_path: Path) -> None:
    """Bot by bot; one that rests orders on the book, and one without candles, say why not."""
    (tmp_path / "fleet.toml").write_text(FLEET.replace("DOGEUSDT", "ETHUSDT"))
    rows = {row["name"]: row for row in lab.backtest_fleet("fleet.toml").frame.to_dicts()}
    assert rows["doge-ema"]["trades"] > 20 and not rows["doge-ema"]["note"]
    assert "rests orders on the book" in rows["btc-maker"]["note"] and rows["btc-maker"]["trades"] is None
    (tmp_path / "fleet.toml").write_text(FLEET)
    table = lab.backtest_fleet("fleet.toml")
    assert "DOGEUSDT" in table._repr_html_() and "btc-maker" in table._repr_html_()


def test_what_cannot_be_is_said(lab: Workbench) -> None:
    with pytest.raises(ConfigurationError, match="stop_los: not a rule of a backtest; there are weight, stop_loss_pct"):
        lab.backtest("ema_cross", "BTCUSDT", stop_los=2)
    with pytest.raises(ConfigurationError, match="fats"):
        lab.backtest("ema_cross", "BTCUSDT", parameters={"fats": 2})
    with pytest.raises(ConfigurationError, match="rests orders on the book"):
        lab.backtest("spread_capture", "BTCUSDT")
    with pytest.raises(ConfigurationError, match="must want 0 to 1"):
        lab.backtest(Always, "BTCUSDT", parameters={"share": 2.0})
    with pytest.raises(ConfigurationError, match='from "yesterday" is not a date'):
        lab.backtest("ema_cross", "BTCUSDT", from_="yesterday")
    with pytest.raises(ConfigurationError, match="stop_loss_pct must be above 0"):
        lab.backtest("ema_cross", "BTCUSDT", stop_loss_pct=-1)
    with pytest.raises(ConfigurationError, match="one plan for each"):
        lab.backtest("ema_cross", ["BTCUSDT", "BTCUSDT"])
    with pytest.raises(NotFound, match="SOLUSDT"):
        lab.backtest("ema_cross", "SOLUSDT")
    with pytest.raises(NotFound, match="not enough candles"):
        lab.backtest("ema_cross", "BTCUSDT", parameters={"slow": 500})


def test_candles_in_disorder_are_refused() -> None:
    from quantlab.backtest import Plan, backtest
    from tests.backtest.stage import instrument

    frame = walk(300)
    twice = pl.concat([frame[:200], frame[100:]])
    with pytest.raises(ConfigurationError, match="not in order of time"):
        backtest(
            [Plan(strategy=Always(), symbol="BTCUSDT")], {"BTCUSDT": twice}, {"BTCUSDT": instrument()}, timeframe="1m"
        )


def test_a_pull_fills_the_history_of_the_market(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lab = Workbench.open("replay", root=tmp_path)
    try:
        history = lab.pull("BTCUSDT", "2025-05-30", to="2025-05-31", timeframe="5m")
        assert history.candles("BTCUSDT", "5m").height == 288
        assert isinstance(history, History) and history.folder.name == "history-replay"
        assert history.filters("BTCUSDT", history.candles("BTCUSDT", "5m")).origin.startswith("exchangeInfo of")
        assert "BTCUSDT 100%" in capsys.readouterr().out
        assert lab.backtest("ema_cross", "BTCUSDT", "5m", parameters={"slow": 13}).metrics.days < 1
        with pytest.raises(ConfigurationError, match="is not before the end"):
            lab.pull("BTCUSDT", "2035-01-01")
    finally:
        lab.close()


def test_what_candles_there_are_is_a_picture(lab: Workbench) -> None:
    rows = walk(3_000, seed=1).drop("tick").with_columns(pl.col("open_time") + START_MS)
    holes = rows.filter(~pl.int_range(pl.len()).is_between(100, 149)).with_columns(
        volume=pl.when(pl.int_range(pl.len()).is_between(500, 529)).then(0.0).otherwise("volume")
    )
    lab.history().add("SOLUSDT", "1m", holes, source="GENERATED with holes", now_ms=LATER_MS)
    before = sum(lab.history().gaps(symbol, "1m")["candles"].sum() for symbol in ("BTCUSDT", "ETHUSDT"))
    found = lab.history().gaps("SOLUSDT", "1m")
    quiet = found.filter(kind="zero volume")["candles"].sum()
    assert quiet >= 30 and found.filter(kind="missing")["candles"].to_list() == [50]
    shown = lab.coverage()
    assert f"3 series; red: 50 candles missing; orange: {before + quiet} in which nobody traded" in shown.caption
    assert "SOLUSDT" in shown.svg and "GENERATED with holes" in shown.source
    with pytest.raises(NotFound, match="no 5m candles"):
        lab.coverage("5m")
