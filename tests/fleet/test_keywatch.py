"""The watch over a run's keys: a key that fails is told within one look; paper goes on, where orders would need the key
the fleet stands still until an audit passes. A rotated key is in use without a restart."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from quantlab.exchange.custody import Custodian, KeyWatch
from quantlab.fleet.control import send
from quantlab.fleet.plan import RunPlan
from quantlab.fleet.session import Session
from quantlab.fleet.spec import FleetSpec
from quantlab.ledger import Ledger
from quantlab.model import QuantlabError
from quantlab.settings import load_settings
from quantlab.vault import Credential, Vault
from quantlab.venue.child import VenueChild
from quantlab.venue.control import delete_key

PASSWORD = "a-long-passphrase-of-the-user-42"
OLD, NEW = ("oldKEY01" * 8, "oldSECR3" * 8), ("newKEY02" * 8, "newSECR4" * 8)


class ScriptedWatch:
    """Says what it is told to say; counts."""

    def __init__(self, *, halts: bool, interval_s: float = 60.0) -> None:
        self.halts, self.interval_s = halts, interval_s
        self.alerts: list[str] = []
        self.egress: Callable[[dict[str, Any]], object] | None = None

    def check(self) -> dict[str, Any]:
        if self.alerts == ["breaks"]:
            raise RuntimeError("the watch broke")
        return {"checked_ms": 1, "keys": [], "alerts": list(self.alerts)}


class Running:
    """A session in a thread, asked over its control socket."""

    def __init__(self, plan: RunPlan) -> None:
        self.home = plan.settings.home
        self.summary: dict[str, Any] = {}
        self._thread = threading.Thread(target=self._run, args=(plan,))

    def _run(self, plan: RunPlan) -> None:
        async def go() -> dict[str, Any]:
            loop = asyncio.get_running_loop()
            loop.add_signal_handler = lambda *_: None  # type: ignore[method-assign] - only a main thread has signals
            loop.remove_signal_handler = lambda *_: True  # type: ignore[method-assign]
            return await Session(plan).run()

        self.summary = asyncio.run(go())

    def __enter__(self) -> Running:
        self._thread.start()
        self.until(lambda status: bool(status["keys"] and status["keys"]["looks"] and status["engine_time_ms"]))
        return self

    def __exit__(self, *_: object) -> None:
        send(self.home, "stop")
        self._thread.join(60)

    def until(self, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            try:
                status = send(self.home, "status")
                if holds(status):
                    return status
            except QuantlabError:
                pass
            time.sleep(0.05)
        raise AssertionError("it never came")

    def look(self) -> dict[str, Any]:
        asked = send(self.home, "keys")["asked"]
        return self.until(lambda status: status["keys"]["answered"] >= asked)


@pytest.fixture
def plan_for(tmp_path: Path, fleet: FleetSpec) -> Callable[..., RunPlan]:
    def make(url: str, watch: Any) -> RunPlan:
        settings = load_settings(tmp_path, environ={"QUANTLAB_MARKET": "replay", "QUANTLAB_VENUE_URL": url})
        return RunPlan(run_id="run", fleet=fleet, settings=settings, reports=tmp_path / "reports", watch=watch)

    return make


def test_paper_goes_on_and_says_so(plan_for: Callable[..., RunPlan]) -> None:
    watch = ScriptedWatch(halts=False)
    with VenueChild(hours=2, speed=20) as venue, Running(plan_for(venue.url, watch)) as run:
        assert run.look()["keys"]["alerts"] == []
        watch.alerts = ['key "A" is locked: -2015']
        status = run.look()
        assert status["state"] == "running" and status["keys"]["alerts"] == watch.alerts
        run.look()
    assert run.summary["key_alerts"] == watch.alerts
    with Ledger.open(run.home) as ledger:
        events = ledger.events("run").rows(named=True)
    alerts = [json.loads(event["detail"]) for event in events if event["kind"] == "key alert"]
    assert alerts == [{"why": watch.alerts[0]}]  # told once, not at each look


def test_where_orders_need_the_key_the_fleet_stands_still(plan_for: Callable[..., RunPlan]) -> None:
    watch = ScriptedWatch(halts=True)
    with VenueChild(hours=2, speed=20) as venue, Running(plan_for(venue.url, watch)) as run:
        watch.alerts = ['key "A" is locked: enableWithdrawals']
        assert run.look()["state"] == "paused"
        with pytest.raises(QuantlabError, match=r"stands still because of its key.*enableWithdrawals"):
            send(run.home, "resume")
        watch.alerts = []
        assert run.look()["state"] == "paused"  # nobody resumes it but a person
        send(run.home, "resume")
        assert run.until(lambda status: status["state"] == "running")


def test_a_watch_that_breaks_is_an_alert(plan_for: Callable[..., RunPlan]) -> None:
    watch = ScriptedWatch(halts=False)
    with VenueChild(hours=2, speed=20) as venue, Running(plan_for(venue.url, watch)) as run:
        watch.alerts = ["breaks"]
        assert "could not be looked at: the watch broke" in run.look()["keys"]["alerts"][0]


def test_a_look_asked_for_during_a_look_is_another_one(plan_for: Callable[..., RunPlan]) -> None:
    """What a look that was under way found is older than the question."""
    watch = ScriptedWatch(halts=False)
    begun, go_on = threading.Event(), threading.Event()
    check = watch.check

    def slow() -> dict[str, Any]:
        found = check()
        begun.set()
        go_on.wait(10)
        return found

    with VenueChild(hours=2, speed=20) as venue, Running(plan_for(venue.url, watch)) as run:
        watch.check = slow  # type: ignore[method-assign]
        send(run.home, "keys")
        assert begun.wait(10)
        watch.alerts = ['key "A" was revoked']  # after the look, before its end
        asked = send(run.home, "keys")["asked"]
        go_on.set()
        status = run.until(lambda status: status["keys"]["answered"] >= asked)
        assert status["keys"]["alerts"] == watch.alerts


def test_it_looks_again_by_itself(plan_for: Callable[..., RunPlan]) -> None:
    watch = ScriptedWatch(halts=False, interval_s=0.2)
    with VenueChild(hours=2, speed=20) as venue, Running(plan_for(venue.url, watch)) as run:
        run.until(lambda status: status["keys"]["looks"] > 2)


def test_a_deleted_key_is_seen_in_one_look_and_its_successor_used_in_the_next(
    plan_for: Callable[..., RunPlan], tmp_path: Path
) -> None:
    keys = tmp_path / "keys.json"
    keys.touch(0o600)
    keys.write_text(json.dumps([{"api_key": key, "secret": secret} for key, secret in (OLD, NEW)]))
    with VenueChild(hours=2, speed=20, keys=keys) as venue:
        plan = plan_for(venue.url, None)
        home, custodian = plan.settings.home, Custodian(plan.settings)
        old, new = Credential.parse(*OLD), Credential.parse(*NEW)
        with Vault.create(home, PASSWORD) as vault:
            vault.add("A", old, "replay", seen=custodian.audit(old.signer(), "replay"))
        watch = KeyWatch(plan.settings, lambda: Vault.open(home, PASSWORD), halts=True)
        with Running(plan_for(venue.url, watch)) as run:
            assert [key["audit"] for key in send(home, "status")["keys"]["keys"]] == ["passed"]
            delete_key(venue.url, old.fingerprint)
            status = run.look()
            assert status["state"] == "paused" and "-2015" in status["keys"]["alerts"][0]
            with Vault.open(home, PASSWORD) as vault:
                vault.rotate("A", new, seen=custodian.audit(new.signer(), "replay"))
            status = run.look()
            assert [key["fingerprint"] for key in status["keys"]["keys"]] == [new.fingerprint]
            assert status["keys"]["alerts"] == []
            assert send(home, "resume")["state"] == "running"
        with Ledger.open(home) as ledger:
            signed = [row for row in ledger.egress("run").rows(named=True) if "apiRestrictions" in row["path"]]
        assert len(signed) == 3 and ledger is not None
    assert run.summary["requests"]["order_requests"] == 0
