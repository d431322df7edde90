"""Promise: the panel shows what the engine says, its buttons reach the engine while the kernel is busy, kill asks once
more, errors are shown, and a run's end is drawn without an engine."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest

from quantlab.lab import Workbench
from quantlab.lab.panel import Panel

WAIT_S = 10.0


def until(true: Callable[[], Any]) -> None:
    """Wait for `true()`; fails after a generous while."""
    deadline = time.monotonic() + WAIT_S
    while not true():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


@pytest.fixture
def engine(lab: Workbench, sample: ModuleType, start_engine: Callable[[str], Any]) -> Any:
    sample.write_run(lab.settings.home, "run", minutes=30)
    return start_engine("run")


@pytest.fixture
def panel(lab: Workbench, engine: Any) -> Iterator[Panel]:
    shown = lab.attach().panel()
    until(lambda: "qlp-bots" in shown._body.value)
    yield shown
    shown.close()
    shown._thread.join(5)
    assert not shown._thread.is_alive()


def head(panel: Panel) -> str:
    return str(panel._head.value)


def test_it_shows_source_state_and_every_bot(panel: Panel) -> None:
    assert "GENERATED market seed 1; no real prices" in head(panel)
    assert "qlp-real" not in head(panel)
    assert 'data-state="running"' in head(panel)
    assert "orders left" in head(panel)
    assert "a&lt;b&gt;" in panel._body.value
    assert "<b>a<b>" not in panel._body.value
    until(lambda: "polyline" in panel._body.value)  # equity and sparkline, from the ledger


def test_it_shows_what_was_asked_and_how_little_was_sent(panel: Panel) -> None:
    rows = re.findall(r"<tr><td>(.*?)</td>(.*?)</tr>", panel._requests.value)
    figures = {endpoint: re.findall(r">([\d,]+)<", cells) for endpoint, cells in rows}
    assert figures == {
        "GET /api/v3/&lt;b&gt;": ["1,007", "3", "4", "1,000", "30"],
        "GET /api/v3/depth": ["2", "2", "0", "0", "10"],
    }
    assert next(iter(figures)).endswith("&lt;b&gt;"), "the most asked comes first"
    heads = re.findall(r"<th[^>]*>(\w+)</th>", panel._requests.value)
    assert heads == ["requests", "asked", "sent", "shared", "kept", "weight"]


def test_buttons_only_enqueue_and_reach_the_engine(panel: Panel, engine: Any) -> None:
    assert panel._thread is not threading.current_thread()
    assert panel._buttons["start"].disabled
    assert not panel._buttons["pause"].disabled
    panel._buttons["pause"].click()
    until(lambda: not panel._buttons["resume"].disabled)
    assert engine.told == [("pause", {})]
    assert panel._buttons["pause"].disabled
    panel._buttons["resume"].click()
    until(lambda: engine.told[-1][0] == "resume")
    until(lambda: not panel._buttons["reduce"].disabled)
    panel._buttons["reduce"].click()
    until(lambda: "Only sales pass." in panel._words.value)
    assert engine.told[-1] == ("reduce", {})
    panel._buttons["stop"].click()
    until(lambda: "Stopping." in panel._words.value)
    assert engine.told[-1] == ("stop", {})


def test_kill_asks_once_more(panel: Panel, engine: Any) -> None:
    panel._buttons["kill"].click()
    until(lambda: "Kill the fleet?" in panel._words.value)
    assert panel._sure.layout.display == "flex"
    assert engine.told == []
    panel._confirm["spare"].click()
    until(lambda: panel._sure.layout.display == "none")
    assert engine.told == []
    panel._buttons["kill"].click()
    panel._confirm["kill now"].click()
    until(lambda: engine.told == [("kill", {})])


def test_the_end_is_drawn_from_the_ledger_and_errors_are_shown(panel: Panel, engine: Any) -> None:
    engine.end()
    until(lambda: 'data-state="finished"' in head(panel))
    assert panel._body.value.count("<tr>") == 46  # the head and 45 bots
    assert ">80</td>" in panel._requests.value  # from the summary: asked for candles
    assert panel._buttons["stop"].disabled
    assert not panel._buttons["start"].disabled
    panel._commands.put("pause")
    until(lambda: "qlp-error" in panel._words.value)
    assert "does not go on" in panel._words.value


def test_an_unexpected_error_is_shown_and_the_panel_lives_on(
    panel: Panel, monkeypatch: pytest.MonkeyPatch, engine: Any
) -> None:
    monkeypatch.setattr(panel.run, "live", lambda: 1 / 0)
    until(lambda: "ZeroDivisionError" in panel._words.value)
    monkeypatch.undo()
    engine.equity = 4_321.5
    until(lambda: "4,321.50" in head(panel))
