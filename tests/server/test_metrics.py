"""Promise: `/metrics` tells what was asked, sent, shared and kept, by endpoint, in a form that Prometheus reads; from
the engine while one runs, else from the last summary; and only to who holds a token."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from quantlab.fleet.process import EngineInfo
from quantlab.model import ExchangeUnreachable
from quantlab.server import metrics as module
from quantlab.server.app import make_app
from quantlab.server.guard import Guard
from quantlab.settings import Settings, load_settings

from ..report.sample import write_run

KLINES = {"method": "GET", "path": "/api/v3/klines"}
STRANGE = 'with "quotes" \\ and\nlines'


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(tmp_path, environ={})


def status(kind: str = "mainnet") -> dict[str, Any]:
    """An engine's answer."""
    counts = {"asked": 90, "sent": 5, "shared": 77, "kept": 8, "weight": 10}
    return {
        "run_id": STRANGE,
        "state": "running",
        "source": {"kind": kind, "name": "m"},
        "engine_time_ms": time.time_ns() // 1_000_000 - 1_500,
        "events": 1234,
        "requests": {
            **counts,
            "peak_weight_60s": 40,
            "order_requests": 0,
            "refused": 2,
            "stream_connects": 1,
            "stream_commands": 3,
            "by_endpoint": {"GET /api/v3/klines": counts},
        },
        "bots": [{"state": "ACTIVE"}, {"state": "ACTIVE"}, {"state": "HALTED"}],
        "keys": {"alerts": ["withdrawals are enabled"]},
    }


def read(settings: Settings) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    page, _ = module.metrics(settings)
    families = text_string_to_metric_families(page.decode())
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value for each in families for sample in each.samples
    }


def value(page: dict[tuple[str, frozenset[tuple[str, str]]], float], name: str, **labels: str) -> float | None:
    return page.get((f"quantlab_{name}", frozenset(labels.items())))


def engine_that(answers: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Puts an engine where `metrics` looks: it answers with a status, or raises."""

    def send(home: Path, command: str, *, timeout_s: float) -> dict[str, Any]:
        assert command == "status"
        if isinstance(answers, Exception):
            raise answers
        return dict(answers)

    monkeypatch.setattr(module, "running", lambda home: EngineInfo(1, "r", 1_700_000_000_000, "socket"))
    monkeypatch.setattr(module, "send", send)


def test_a_running_fleet(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    engine_that(status(), monkeypatch)
    page = read(settings)
    assert value(page, "engine_up") == 1
    assert value(page, "engine_start_time_seconds") == 1_700_000_000
    assert value(page, "questions_total", **KLINES) == 90
    outcomes = {name: value(page, "requests_total", outcome=name, **KLINES) for name in ("sent", "shared", "kept")}
    assert outcomes == {"sent": 5, "shared": 77, "kept": 8}
    assert value(page, "request_weight_total", **KLINES) == 10
    assert (value(page, "request_weight_peak_60s"), value(page, "request_weight_budget")) == (40, 1200)
    assert (value(page, "refused_total"), value(page, "order_requests_total")) == (2, 0)
    assert (value(page, "stream_connects_total"), value(page, "stream_commands_total")) == (1, 3)
    assert (value(page, "bots", state="ACTIVE"), value(page, "bots", state="HALTED")) == (2, 1)
    assert (value(page, "events_total"), value(page, "key_alerts")) == (1234, 1)
    assert 1 <= (value(page, "engine_lag_seconds") or 0) < 60
    about = {"run_id": STRANGE, "source": "mainnet", "state": "running"}
    assert value(page, "run_info", **about) == 1, "what was escaped is read as it was"


def test_a_replay_has_no_lag(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    engine_that(status("recording"), monkeypatch)
    page = read(settings)
    assert value(page, "engine_lag_seconds") is None and value(page, "engine_time_seconds")


def test_where_no_engine_runs_the_last_summary_speaks(settings: Settings) -> None:
    assert value(read(settings), "engine_up") == 0, "before any run"
    write_run(settings.home, "first", minutes=2, bots=2)
    page = read(settings)
    assert value(page, "engine_up") == 0
    assert value(page, "run_info", run_id="first", source="generated", state="finished") == 1
    assert value(page, "questions_total", **KLINES) == 80
    assert value(page, "requests_total", outcome="shared", **KLINES) == 70
    assert value(page, "bots", state="ACTIVE") is None and value(page, "engine_start_time_seconds") is None


def test_an_engine_that_does_not_answer_is_down_and_nobody_elses_figures_are_shown(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_run(settings.home, "first", minutes=2, bots=2)
    engine_that(ExchangeUnreachable("the engine did not answer within 3 s"), monkeypatch)
    page = read(settings)
    assert value(page, "engine_up") == 0 and value(page, "engine_start_time_seconds")
    assert value(page, "questions_total", **KLINES) is None


async def test_it_stands_behind_the_guard_and_the_reading_token_is_enough(settings: Settings) -> None:
    guard = Guard(make_app(settings), token=b"local", read_token=b"shared", hosts={"127.0.0.1"}, origins=set())
    async with httpx.AsyncClient(transport=httpx.ASGITransport(guard), base_url="http://127.0.0.1") as client:
        for token, code in (("shared", 200), ("local", 200), ("other", 401)):
            answer = await client.get("/metrics", headers={"authorization": f"Bearer {token}"})
            assert answer.status_code == code
            assert ("quantlab_engine_up" in answer.text) == (code == 200)
        answer = await client.get("/metrics", headers={"authorization": "Bearer shared"})
    assert answer.headers["content-type"].startswith("text/plain; version=")
    assert answer.headers["content-type"].count("charset") == 1
