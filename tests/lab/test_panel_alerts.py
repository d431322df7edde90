"""A key that fails is seen in the panel, in words, and cannot be taken for markup."""

from __future__ import annotations

from typing import Any

from quantlab.lab.panel_view import header
from quantlab.report.alerts import alerts


def test_alerts_stand_under_the_facts() -> None:
    status: dict[str, Any] = {
        "source": {"kind": "mainnet"},
        "requests": {},
        "engine_time_ms": 0,
        "events": 0,
        "events_per_second": 0,
        "progress": None,
        "keys": {"alerts": ['key "A" is locked: <b>-2015</b>']},
    }
    shown = header("run", status, "running", "mainnet", ())
    assert "qlp-error" in shown and "Key: key &quot;A&quot; is locked: &lt;b&gt;-2015&lt;/b&gt;" in shown
    for keys in (None, {"alerts": []}):  # the control
        assert "qlp-error" not in header("run", status | {"keys": keys}, "running", "mainnet", ())


def test_a_fleet_that_may_not_buy_says_why() -> None:
    status: dict[str, Any] = {
        "fleet_state": {"state": "HALTED", "cause": "kill switch"},
        "halted_symbols": {"BTCUSDT": "BTCUSDT moved by 7.10 % within 5 minutes: no buys"},
    }
    assert alerts(status) == ["Fleet HALTED: kill switch", "No buys: BTCUSDT moved by 7.10 % within 5 minutes: no buys"]
    assert alerts({"fleet_state": {"state": "ACTIVE", "cause": "resumed"}, "halted_symbols": {}}) == []
