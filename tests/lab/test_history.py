"""Promise: a notebook has the history at hand, and what it shows says what is missing."""

from __future__ import annotations

from pathlib import Path

from quantlab import Workbench
from tests.market.history.test_history import LATER_MS, frame


def test_the_history_of_a_workbench(tmp_path: Path) -> None:
    lab = Workbench.open("replay", root=tmp_path)
    history = lab.history()
    assert repr(history) == "History(history-replay: 0 series)"
    assert repr(Workbench.open("mainnet", root=tmp_path).history()) == "History(history: 0 series)"
    history.add(
        "BTCUSDT", "1m", frame().filter(frame()["open_time"] != frame()["open_time"][7]), source="x", now_ms=LATER_MS
    )
    assert lab.history().candles("BTCUSDT", "1m").height == 299
    shown = lab.history()._repr_html_()
    assert "BTCUSDT" in shown and "2024-01-31 22:00:00" in shown and "missing" in shown
