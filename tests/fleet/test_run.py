"""A run over the whole path: what the venue saw, what the ledger holds, what a crash and commands do to it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from quantlab.fleet.control import send
from quantlab.fleet.process import running
from quantlab.fleet.spec import FleetSpec
from quantlab.ledger import Ledger
from quantlab.model import ExchangeUnreachable, NotFound, QuantlabError
from quantlab.venue.child import VenueChild


def ask(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return json.load(answer)


class Process:
    """`quantlab run --foreground` as a process on a venue that is paced, so that one can meddle."""

    def __init__(self, root: Path, url: str, fleet: Path) -> None:
        self.root, self.home = root, root / ".quantlab"
        self.environment = {
            **os.environ,
            "QUANTLAB_MARKET": "replay",
            "QUANTLAB_VENUE_URL": url,
            "QUANTLAB_ROOT": str(root),
            "QUANTLAB_HOME": str(self.home),
        }
        self.fleet = fleet
        self.process: subprocess.Popen[str] | None = None

    def start(self, minutes: float = 30) -> None:
        command = [sys.executable, "-m", "quantlab", "run", "--foreground", "--no-report", "--json"]
        command += ["--fleet", str(self.fleet), "--run-id", "r", "--minutes", f"{minutes:g}"]
        self.process = subprocess.Popen(
            command, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=self.root
        )

    def wait_for(self, is_so: Callable[[dict[str, Any]], bool], timeout_s: float = 40) -> dict[str, Any]:
        """The engine's status once `is_so`."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            try:
                status = send(self.home, "status")
                if is_so(status):
                    return status
            except (NotFound, ExchangeUnreachable):
                assert self.process is not None
                assert self.process.poll() is None, self.process.communicate()
            time.sleep(0.05)
        raise AssertionError("it did not come to be")

    def end(self) -> tuple[int, str, str]:
        assert self.process is not None
        out, error = self.process.communicate(timeout=40)
        return self.process.returncode, out, error


@pytest.fixture
def process(tmp_path: Path, fleet: FleetSpec) -> Iterator[Process]:
    with VenueChild(hours=2, speed=120, seed=3) as venue:
        process = Process(tmp_path, venue.url, tmp_path / "fleet.toml")
        try:
            yield process
        finally:
            if process.process is not None and process.process.poll() is None:
                process.process.kill()
                process.process.communicate()


def fills(status: dict[str, Any]) -> int:
    return sum(bot["fills"] for bot in status["bots"])


def test_what_the_venue_saw(tmp_path: Path, fleet: FleetSpec, process: Process) -> None:
    process.start(minutes=4)
    url = process.environment["QUANTLAB_VENUE_URL"]
    code, out, error = process.end()
    assert code == 0, error
    summary = json.loads(out)
    assert summary["requests"]["order_requests"] == 0
    assert summary["accounting_ok"]
    assert summary["source"]["kind"] == "generated"
    seen = ask(f"{url}/__venue__/requests")
    assert seen["order_requests"] == 0 and seen["signed"] == 0
    assert not any(line["has_key"] for line in seen["requests"])
    assert seen["weight"] == summary["requests"]["weight"] <= 1200  # all of it within the same 60 s
    assert summary["requests"]["peak_weight_60s"] >= seen["weight"]
    manifest = json.loads((tmp_path / "reports" / "r" / "manifest.json").read_text())
    assert manifest["recording"]["sha256"] and manifest["settings"]["market"] == "replay"


def test_a_killed_run_is_taken_up_with_nothing_lost_and_nothing_twice(process: Process) -> None:
    process.start()
    process.wait_for(lambda status: fills(status) >= 6)
    assert process.process is not None
    process.process.send_signal(signal.SIGKILL)
    process.process.communicate()
    with Ledger.open(process.home) as ledger:
        before = ledger.fill_rows("r")
        assert ledger.run("r").state == "running"
    assert len(before) >= 6
    assert running(process.home) is None

    process.start()
    process.wait_for(lambda status: fills(status) >= len(before) + 4)
    send(process.home, "stop")
    code, out, error = process.end()
    assert code == 0, error
    summary = json.loads(out)
    assert summary["accounting_ok"], summary["accounting_problems"]
    with Ledger.open(process.home) as ledger:
        after = ledger.fill_rows("r")
        assert [fill for fill in after if fill in before] == before
        assert len({(fill.bot, fill.number) for fill in after}) == len(after) == summary["fills"]
        assert all(order.status.is_final for order in ledger.order_rows("r"))
        assert "resumed" in ledger.events("r")["kind"].to_list()
        assert ledger.run("r").state == "stopped"


def test_pause_resume_kill_and_a_second_run(process: Process) -> None:
    process.start()
    process.wait_for(lambda status: fills(status) >= 3)
    second = subprocess.run(
        [sys.executable, "-m", "quantlab", "run", "--foreground", "--fleet", str(process.fleet), "--run-id", "other"],
        env=process.environment,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert second.returncode == 3
    assert 'run "r"' in second.stderr and len(second.stderr.strip().splitlines()) == 1

    assert send(process.home, "pause")["state"] == "paused"
    time.sleep(0.5)  # what was on its way arrives
    paused = fills(send(process.home, "status"))
    time.sleep(1.5)  # three minutes of market
    assert fills(send(process.home, "status")) <= paused + 2  # at most its stop and its target
    send(process.home, "resume")
    process.wait_for(lambda status: fills(status) > paused + 2)

    with pytest.raises(QuantlabError, match="no bot is called"):
        send(process.home, "kill", bot="nobody")
    send(process.home, "kill", bot="btc")
    flat = process.wait_for(lambda s: s["bots"][0]["state"] == "HALTED" and s["bots"][0]["position"] < 1e-5)
    assert flat["bots"][1]["state"] == "ACTIVE"
    send(process.home, "kill")
    process.wait_for(lambda status: all(bot["state"] == "HALTED" for bot in status["bots"]))
    assert process.process is not None
    process.process.send_signal(signal.SIGINT)
    code, out, error = process.end()
    assert code == 130, error
    assert error.strip() == "quantlab: interrupted"
    assert json.loads(out)["accounting_ok"]
