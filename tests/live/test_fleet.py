"""Promise: a fleet that the exchange could not hold is refused before anything is sent, by the names of its bots."""

from __future__ import annotations

from pathlib import Path

import pytest

from quantlab.cli.live import execution_of
from quantlab.fleet.spec import parse_fleet
from quantlab.model import ConfigurationError, Refused
from quantlab.settings import load_settings

BOT = '[[bot]]\nname = "{name}"\nstrategy = "ema_cross"\nsymbol = "BTCUSDT"\ntimeframe = "1m"\ncapital_usdt = 100\n'


def test_a_stop_and_a_target_at_once(tmp_path: Path) -> None:
    chosen = load_settings(tmp_path, environ={"BINANCE_TESTNET": "true", "QUANTLAB_EXECUTION": "live"})
    stop, target = "stop_loss_pct = 3\n", "take_profit_pct = 5\n"
    text = BOT.format(name="one") + stop + BOT.format(name="two") + stop + target
    with pytest.raises(ConfigurationError, match=r"^two: a stop and a target at once"):
        execution_of(chosen, parse_fleet(text, path=tmp_path / "fleet.toml"), {})
    text = BOT.format(name="one") + stop + BOT.format(name="two") + target
    with pytest.raises(Refused, match="nothing is armed"):  # the control: it goes on to the next question
        execution_of(chosen, parse_fleet(text, path=tmp_path / "fleet.toml"), {})
