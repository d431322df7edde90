"""Orders stay on paper, the clock agrees with the exchange's, and a fleet is rehearsed on real prices before live."""

from __future__ import annotations

from typing import Any

import pytest

from quantlab.ledger import Ledger
from quantlab.ledger.rows import RunRow
from quantlab.model import ExchangeUnreachable, Source
from quantlab.preflight import market
from quantlab.preflight.facts import DAY_MS
from quantlab.settings import Settings

from .kit import look

END_MS = 1_700_000_000_000


def ran(chosen: Settings, run_id: str, days: float, *, kind: Any = "mainnet", **changes: Any) -> None:
    row = {
        "run_id": run_id,
        "created_ms": END_MS,
        "state": "finished",
        "market": "mainnet",
        "source": Source(kind=kind, name="api"),
        "fleet_name": "fleet",
        "fleet_toml": "",
        "fleet_sha256": "f1",
        "seed": 1,
        "engine_from_ms": END_MS - round(days * DAY_MS),
        "engine_time_ms": END_MS,
        "summary": {"accounting_ok": True, "fills_sha256": "s"},
    }
    verdict = changes.pop("verdict", {"ok": True, "fills_sha256": "s"})
    with Ledger.open(chosen.home) as ledger:
        ledger.begin_run(RunRow(**(row | changes)), [])
        if verdict:
            ledger.note_verdict(run_id, **verdict)


class TestRehearsed:
    def test_never(self, chosen: Settings) -> None:
        line = look("tested-on-paper", chosen)
        assert line.verdict == "fail"
        assert [line.blocks(mode) for mode in ("paper", "testnet", "live")] == [False, False, True]  # type: ignore[arg-type]

    def test_a_week_on_mainnet_prices(self, chosen: Settings) -> None:
        ran(chosen, "short", 6.9)
        line = look("tested-on-paper", chosen)
        assert line.verdict == "fail"
        assert "6.9 days" in line.detail
        ran(chosen, "long", 7.0)
        assert look("tested-on-paper", chosen).verdict == "pass"

    @pytest.mark.parametrize(
        "changes",
        [
            {"kind": "generated"},
            {"kind": "candles"},
            {"kind": "testnet"},
            {"state": "stopped"},
            {"state": "running"},
            {"summary": None},
            {"summary": {"accounting_ok": False, "fills_sha256": "s"}},
            {"execution": "live"},
            {"verdict": None},
            {"verdict": {"ok": False, "fills_sha256": "s"}},
            {"verdict": {"ok": True, "fills_sha256": "of others"}},
            {"engine_from_ms": None, "engine_time_ms": None},
        ],
    )
    def test_what_is_no_rehearsal(self, chosen: Settings, changes: dict[str, Any]) -> None:
        ran(chosen, "another", 8.0, **changes)
        assert look("tested-on-paper", chosen).verdict == "fail"

    def test_of_the_same_fleet(self, chosen: Settings) -> None:
        ran(chosen, "long", 8.0)
        assert look("tested-on-paper", chosen, fleet_sha256="f1").verdict == "pass"
        assert look("tested-on-paper", chosen, fleet_sha256="f2").verdict == "fail"


class TestClock:
    @pytest.mark.parametrize("sign", [1, -1])
    @pytest.mark.parametrize(
        ("skew_ms", "verdict", "blocks"),
        [
            (0.0, "pass", False),
            (499.0, "pass", False),
            (501.0, "fail", False),
            (999.0, "fail", False),
            (1001.0, "fail", True),
        ],
    )
    def test_bounds(
        self, chosen: Settings, monkeypatch: pytest.MonkeyPatch, sign: int, skew_ms: float, verdict: str, blocks: bool
    ) -> None:
        monkeypatch.setattr(market, "_asked", lambda facts, config: sign * skew_ms)
        line = look("clock", chosen, ask_exchange=True)
        assert (line.verdict, line.blocks("testnet")) == (verdict, blocks)
        assert line.severity["paper"] == "alert"

    def test_no_answer_is_not_known(self, chosen: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
        def silent(facts: object, config: object) -> float:
            raise ExchangeUnreachable("nobody there")

        monkeypatch.setattr(market, "_asked", silent)
        line = look("clock", chosen, ask_exchange=True)
        assert line.verdict == "unknown"
        assert "nobody there" in line.detail
        assert look("clock", chosen).verdict == "unknown"  # offline

    def test_a_replay_without_a_venue_has_no_other_clock(self, chosen: Settings) -> None:
        replay = chosen.model_copy(update={"market": "replay"})
        assert look("clock", replay, ask_exchange=True).verdict == "not applicable"


def test_where_orders_go_is_said(chosen: Settings) -> None:
    assert "never leave" in look("paper-mode", chosen).detail
    live = chosen.model_copy(update={"execution": "live"})
    assert "orders leave once they are armed" in look("paper-mode", live).detail
