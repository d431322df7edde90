"""The fleet that comes with quantlab: nine strategies, five symbols each, all thirteen symbols, each bot's strategy
and parameters valid."""

from __future__ import annotations

import tomllib
from collections import Counter
from pathlib import Path

from quantlab.model import timeframe_ms
from quantlab.strategies import STRATEGIES, make_strategy

FILE = Path(__file__).parents[2] / "notebooks" / "fleet.toml"
SYMBOLS = "BTC ETH BNB SOL XRP ADA DOGE AVAX DOT LINK LTC ATOM NEAR".split()


def test_the_45() -> None:
    fleet = tomllib.loads(FILE.read_text())
    bots = fleet["bot"]
    assert fleet["fleet"]["capital_usdt"] == 1000
    assert Counter(bot["strategy"] for bot in bots) == dict.fromkeys(STRATEGIES, 5)
    assert {bot["symbol"] for bot in bots} == {f"{base}USDT" for base in SYMBOLS}
    assert len({bot["name"] for bot in bots}) == len({(bot["strategy"], bot["symbol"]) for bot in bots}) == 45
    assert {bot["timeframe"] for bot in bots} == {"1m", "5m", "15m"}
    for bot in bots:
        strategy = make_strategy(bot["strategy"], bot["parameters"], base=FILE.parent)
        # A week of history at most before a bot can decide: demo data does not reach back further.
        assert strategy.lookback * timeframe_ms(bot["timeframe"]) <= 8 * 86_400_000
