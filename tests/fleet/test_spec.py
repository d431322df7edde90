"""A wrong fleet file is refused with the line, the bot and the field; nothing unknown is passed over."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from quantlab.fleet.deal import deal, fleet_toml
from quantlab.fleet.spec import load_fleet, parse_fleet
from quantlab.model import ConfigurationError, NotFound
from quantlab.paper import Assumptions, DrawnLatency, FixedLatency, MeasuredLatency, StandardFees
from quantlab.risk import FleetLimits

GOOD = """\
[fleet]
name = "two"
capital_usdt = 500

[fleet.risk]
max_drawdown_pct = 15

[[bot]]
name = "btc"
strategy = "ema_cross"
parameters = { fast = 5, slow = 20 }
symbol = "BTCUSDT"
timeframe = "1m"

[[bot]]
name = "eth"
strategy = "rsi_reversion"
symbol = "ETHUSDT"
timeframe = "5m"
capital_usdt = 2000.5
stop_loss_pct = 3
risk = { max_orders_per_minute = 3 }
"""
PATH = Path("fleet.toml")


def test_a_good_file_is_read_with_defaults() -> None:
    fleet = parse_fleet(GOOD, path=PATH)
    assert [bot.name for bot in fleet.bots] == ["btc", "eth"]
    assert fleet.bots[0].capital_usdt == Decimal(500)
    assert fleet.bots[1].capital_usdt == Decimal("2000.5")
    assert fleet.bots[0].risk.max_drawdown_pct == 15
    assert fleet.bots[1].risk.max_drawdown_pct == 15
    assert fleet.bots[1].risk.max_orders_per_minute == 3
    assert fleet.symbols == ("BTCUSDT", "ETHUSDT")


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ('timeframe = "5m"', 'timeframe = "7m"', r'fleet.toml:19: bot 2 "eth": timeframe "7m" is not one Binance has'),
        ('symbol = "BTCUSDT"', 'symbol = "btc/usdt"', r'fleet.toml:12: bot 1 "btc": symbol "btc/usdt"'),
        ('strategy = "ema_cross"', 'strategy = "ema_cros"', r'fleet.toml:10: bot 1 "btc": strategy .*ema_cross'),
        ("fast = 5", "fats = 5", r'fleet.toml:11: bot 1 "btc": .*fats'),
        ("stop_loss_pct = 3", "stop_los_pct = 3", r'fleet.toml:21: bot 2 "eth": stop_los_pct .*"stop_loss_pct"'),
        ("stop_loss_pct = 3", "stop_loss_pct = -1", r'fleet.toml:21: bot 2 "eth": stop_loss_pct must be a percentage'),
        (
            "stop_loss_pct = 3",
            "stop_loss_pct = 3\ntrailing_stop_pct = 2",
            r"fleet.toml:22: .*in the place of",
        ),
        ("stop_loss_pct = 3", "stop_limit_pct = 1", r"fleet.toml:21: .*stop_limit_pct is the limit of a stop_loss_pct"),
        ("stop_loss_pct = 3", "trailing_stop_pct = 0.001", r"fleet.toml:21: .*trailing_stop_pct must be at least 0.01"),
        ("stop_loss_pct = 3", "max_slippage_pct = 100", r"fleet.toml:21: .*max_slippage_pct must be a percentage"),
        ("capital_usdt = 2000.5", 'capital_usdt = "much"', r"fleet.toml:20: bot 2 .*capital_usdt must be an amount"),
        ("max_orders_per_minute = 3", "max_orders_per_minute = 0", r"fleet.toml:22: bot 2 .*max_orders_per_minute"),
        ("max_drawdown_pct = 15", "max_drawdwn_pct = 15", r"fleet.toml:6: max_drawdwn_pct .*max_drawdown_pct"),
        ('name = "eth"', 'name = "btc"', r'fleet.toml:16: bot 2 "btc": name "btc" is already bot 1'),
        ("capital_usdt = 500", "capitl_usdt = 500", r"fleet.toml:3: capitl_usdt .*capital_usdt"),
        ('symbol = "ETHUSDT"\n', "", r'fleet.toml:15: bot 2 "eth": symbol is missing'),
        ("[fleet]", "[fleet", r"fleet.toml: not valid TOML: .*line 1"),
    ],
)
def test_a_wrong_file_is_named_to_the_line(old: str, new: str, expected: str) -> None:
    assert old in GOOD
    with pytest.raises(ConfigurationError, match=expected):
        parse_fleet(GOOD.replace(old, new), path=PATH)


def test_no_bots_and_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="at least one"):
        parse_fleet('[fleet]\nname = "none"\n', path=PATH)
    with pytest.raises(NotFound, match="no fleet file"):
        load_fleet(tmp_path / "absent.toml")


def test_a_book_strategy_takes_no_stop() -> None:
    text = GOOD.replace('strategy = "rsi_reversion"', 'strategy = "spread_capture"')
    with pytest.raises(ConfigurationError, match="rests its own orders"):
        parse_fleet(text, path=PATH)


def test_dealing_moves_missing_symbols_and_timeframes_and_says_so() -> None:
    fleet = parse_fleet(GOOD, path=PATH)
    dealt, words = deal(fleet, ["ETHUSDT", "XRPUSDT"], ["5m", "15m"])
    assert [bot.symbol for bot in dealt.bots] == ["ETHUSDT", "ETHUSDT"]
    assert [bot.timeframe for bot in dealt.bots] == ["5m", "5m"]
    assert any("BTCUSDT" in line for line in words) and any("1m" in line for line in words)


def test_dealing_over_a_market_that_has_all_changes_nothing() -> None:
    fleet = parse_fleet(GOOD, path=PATH)
    assert deal(fleet, ["BTCUSDT", "ETHUSDT"], ["1m", "5m"]) == (fleet, [])


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('queue = "front"', r"queue must be one of pessimistic, proportional, optimistic, not 'front'"),
        ('round_trips_ms = "40"', "round_trips_ms must be a list of numbers"),
        ("round_trips_ms = [40]", "must be 2 or more ascending quantiles"),
        ("round_trips_ms = [40, 30]", "must be 2 or more ascending quantiles"),
        ("taker_fee = 0.1", r'fleet.toml:3: taker_fee is not a field of \[paper\]; did you mean "taker_fee_pct"'),
        ("taker_fee_pct = 10", "taker_fee_pct must be percent from 0 to below 10"),
        ("taker_fee_pct = nan", "taker_fee_pct must be percent from 0 to below 10"),
        ("maker_fee_pct = -0.01", "maker_fee_pct must be percent"),
        ('maker_fee_pct = "low"', "fleet.toml:3: maker_fee_pct must be a number"),
        ("shared_liquidity = 1", "shared_liquidity must be true or false"),
        ("order_latency_ms = true", "order_latency_ms must be a number"),
        ("order_latency_ms = 1.5", "order_latency_ms must be a whole number"),
        ("order_latency_ms = 0", "medians must be above 0 ms"),
        ("latency_sigma = 4", "sigma 0 to 3"),
    ],
)
def test_what_a_fill_cannot_be_computed_with_is_refused(line: str, expected: str) -> None:
    with pytest.raises(ConfigurationError, match=expected):
        parse_fleet(f"\n[paper]\n{line}\n{GOOD}", path=PATH)


def test_what_a_fill_is_computed_with() -> None:
    text = "[paper]\ntaker_fee_pct = 0.05\nbnb_discount = true\norder_latency_ms = 0\nlatency_sigma = 0\n"
    paper = parse_fleet(text + GOOD, path=PATH).paper
    assert (paper.fees().taker, paper.fees().maker) == (Decimal("0.000375"), Decimal("0.00075"))
    assert paper.latency() == FixedLatency(order=0, response=20)
    assert paper.described()["taker_fee"] == "0.000375"
    text = '[paper]\nround_trips_ms = [80, 90.5, 120]\nqueue = "proportional"\nbeyond_depth = "impact"\n'
    frozen = parse_fleet(text + GOOD, path=PATH).paper
    assert frozen.latency() == MeasuredLatency((80.0, 90.5, 120.0))
    assert frozen.described()["latency"] == "measured round trips, median 90.5 ms: reads, a proxy"
    assert (frozen.queue, frozen.beyond_depth) == ("proportional", "impact")
    usual = parse_fleet(GOOD, path=PATH).paper
    assert (usual.fees(), usual.latency()) == (StandardFees(), DrawnLatency())


def test_a_written_fleet_reads_back_the_same() -> None:
    paper = "[paper]\nbnb_discount = true\nmaker_fee_pct = 0.02\nlatency_sigma = 0\nshared_liquidity = false\n"
    paper += 'queue = "optimistic"\nround_trips_ms = [1, 2.5]\n\n'
    limits = "[fleet.limits]\nmax_symbol_pct = 20\nmax_position_usdt = 1500.5\nhalt_move_pct = 4\n\n"
    fleet = parse_fleet(GOOD.replace("[[bot]]", limits + paper + "[[bot]]", 1), path=PATH)
    assert fleet.paper != Assumptions() and fleet.limits != FleetLimits()
    again = parse_fleet(fleet_toml(fleet), path=PATH)
    assert replace(again, text=fleet.text) == fleet


def test_the_fleet_that_is_shipped_holds_45_bots_nine_strategies_thirteen_symbols() -> None:
    fleet = load_fleet(Path(__file__).parents[2] / "notebooks" / "fleet.toml")
    assert len(fleet.bots) == 45
    assert len({bot.strategy for bot in fleet.bots}) == 9
    assert len(fleet.symbols) == 13
    assert all(bot.capital_usdt == 1000 for bot in fleet.bots)
