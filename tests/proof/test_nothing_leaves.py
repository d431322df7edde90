"""Rule 1, shown from the other side of the wire: a fleet on mainnet, its children, and all who try to get an order out.

The processes under test run in a network namespace that drops what has no rule and counts the rest. Behind the real
names, with certificates for them, stands a recorder that takes the bytes apart itself. Each test has its control: the
same call without the guard does arrive there.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from quantlab.ledger import Ledger
from quantlab.venue.child import VenueChild

from .conftest import Proof

pytestmark = [pytest.mark.proof, pytest.mark.timeout(600)]

ROOT = Path(__file__).parents[2]
#: Market seconds a second: on a real exchange the door answers no more pings than an exchange would allow.
SPEED = 4.0
MARKET_DATA = {"data-api.binance.vision", "data-stream.binance.vision"}


def inside(
    proof: Proof, *words: str, folder: Path, extra: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run `words` in the namespace, from `folder`."""
    return subprocess.run(
        proof.network.command(*words),
        cwd=folder,
        env=proof.environment | (extra or {}),
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )


def test_a_fleet_on_mainnet_sends_market_data_requests_and_nothing_else(proof: Proof, tmp_path: Path) -> None:
    before = proof.network.packets()
    proof.recorder.forget()
    with VenueChild(hours=2, seed=1, speed=SPEED) as venue:
        url = urlsplit(venue.url)
        proof.recorder.venue = (str(url.hostname), int(url.port or 0))
        done = inside(
            proof,
            *(sys.executable, "-m", "quantlab", "run", "--fleet", str(ROOT / "notebooks" / "fleet.toml")),
            *("--run-id", "proof", "--minutes", "4", "--foreground", "--json"),
            folder=tmp_path,
            extra={"QUANTLAB_ROOT": str(tmp_path)},
        )
    assert done.returncode == 0, done.stderr
    summary: dict[str, Any] = json.loads(done.stdout)
    assert summary["source"]["kind"] == "mainnet"
    assert summary["bots"] == 45 and summary["fills"] > 0 and summary["orders"] > 0
    assert (tmp_path / "reports" / "proof" / "report.html").exists(), "the children did their work too"

    recorder = proof.recorder
    assert set(recorder.names) == MARKET_DATA
    requests = recorder.requests
    assert {request.headers["host"] for request in requests} == MARKET_DATA
    assert {request.method for request in requests} == {"GET"}
    assert not [request for request in requests if request.is_signed or request.body]
    assert {json.loads(text)["method"] for _, text in recorder.frames} == {"SUBSCRIBE"}

    packets = {name: count - before[name] for name, count in proof.network.packets().items()}
    assert packets["rest"] and packets["stream"] and packets["resolver"]
    assert packets["dropped"] == packets["orders"] == packets["elsewhere"] == packets["testnet"] == 0

    # The egress log is what the other side saw: request for request.
    arrived = Counter(urlsplit(request.target).path for request in requests)
    with Ledger.open(tmp_path / ".quantlab", create=False) as ledger:
        rows = ledger.egress("proof").filter(verdict="sent", method="GET")
    assert Counter(rows["path"].to_list()) == arrived
    assert summary["requests"]["order_requests"] == 0


@pytest.fixture(scope="module")
def attacks(proof: Proof, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[dict[str, Any], list[Any]]]:
    """What each kind of session answered, and what arrived meanwhile."""
    found = {}
    proof.recorder.venue = None
    for kind in ("guarded", "plain"):
        proof.recorder.forget()
        done = inside(proof, sys.executable, "-m", "tests.proof.attacker", kind, folder=ROOT)
        assert done.returncode == 0, done.stderr[-2000:]
        recorder = proof.recorder
        arrived: list[Any] = [r for r in recorder.requests if not _is_harmless(r)]
        found[kind] = (json.loads(done.stdout.splitlines()[-1]), [*arrived, *recorder.frames])
    return found


def _is_harmless(request: Any) -> bool:
    """The bare opening of a market stream, and the question that is answered with a redirect."""
    bare = request.method == "GET" and not request.is_signed and not request.body
    return bare and request.target in ("/stream", "/api/v3/ping")


def test_no_way_out_arrives(attacks: dict[str, tuple[dict[str, Any], list[Any]]]) -> None:
    answers, arrived = attacks["guarded"]
    assert len(answers["ways"]) >= 78
    assert arrived == []
    assert all(answers["ways"].values()), "each caller must hear of it"
    assert answers["endpoints"] >= 260 and answers["endpoints_refused"] == answers["endpoints"]
    assert answers["counters"]["order_requests"] == 0


def test_without_the_guard_they_arrive(attacks: dict[str, tuple[dict[str, Any], list[Any]]]) -> None:
    answers, arrived = attacks["plain"]
    requests = [found for found in arrived if not isinstance(found, tuple) or len(found) != 2]
    assert answers["endpoints_refused"] == 0
    assert len([request for request in requests if request.method != "GET"]) >= answers["endpoints"]
    assert len([request for request in requests if request.is_signed]) >= 30
    assert "order.place" in str([found for found in arrived if len(found) == 2])


@pytest.mark.parametrize("market", ["mainnet", "testnet"])
def test_the_first_contact_reads_and_does_nothing_else(proof: Proof, tmp_path: Path, market: str) -> None:
    before = proof.network.packets()
    proof.recorder.forget()
    with VenueChild(hours=1, seed=2, speed=SPEED) as venue:
        url = urlsplit(venue.url)
        proof.recorder.venue = (str(url.hostname), int(url.port or 0))
        words = ("selftest", "--market", market, "--seconds", "10", "--json")
        done = inside(proof, sys.executable, "-m", "quantlab", *words, folder=tmp_path, extra={"QUANTLAB_ROOT": "."})
    proof.recorder.venue = None
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["market"] == market and found["ok"] and found["weight"] < 300
    assert found["examination"]["quotes_compared"] > 0
    requests = proof.recorder.requests
    assert {request.method for request in requests} == {"GET"}
    assert not [request for request in requests if request.is_signed or request.body]
    packets = {name: count - before[name] for name, count in proof.network.packets().items()}
    assert packets["dropped"] == packets["orders"] == packets["elsewhere"] == 0
    assert bool(packets["testnet"]) is (market == "testnet")
