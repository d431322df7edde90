"""The positive control of the whole proof: the same fleet file on the same set-up, armed, does send orders.

It also shows that the setting and the arming are both needed: without the one or the other nothing arrives.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from quantlab.venue.child import VenueChild

from .conftest import Proof
from .test_nothing_leaves import inside

pytestmark = [pytest.mark.proof, pytest.mark.timeout(400)]

KEY, SECRET = "proofKEY" * 8, "proofSCR" * 8
#: Quotes on the book need no signal: orders go out from the first seconds on.
FLEET = """
[[bot]]
name = "btc-spread"
strategy = "spread_capture"
symbol = "BTCUSDT"
timeframe = "1m"
capital_usdt = 1000

[[bot]]
name = "hold"
strategy = "hold.py:Hold"
symbol = "ETHUSDT"
timeframe = "1m"
capital_usdt = 1000
"""
HOLD = """
from dataclasses import dataclass
import polars as pl
from quantlab.strategies import Strategy

@dataclass(frozen=True)
class Hold(Strategy):
    \"\"\"Always long.\"\"\"
    @property
    def lookback(self) -> int:
        return 1
    def exposure(self) -> pl.Expr:
        return pl.lit(1.0)
"""


@dataclass
class Desk:
    """A folder of a user's, with a vault that holds a testnet key."""

    proof: Proof
    folder: Path

    def quantlab(self, *words: str, typed: str | None = None, **extra: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.proof.network.command(sys.executable, "-m", "quantlab", *words),
            cwd=self.folder,
            env=self.proof.environment | {"QUANTLAB_ROOT": str(self.folder), "BINANCE_TESTNET": "true"} | extra,
            input=typed,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    def run(self, run_id: str, **extra: str) -> subprocess.CompletedProcess[str]:
        words = ("run", "--fleet", "fleet.toml", "--run-id", run_id, "--minutes", "1", "--foreground", "--json")
        return self.quantlab(*words, **extra)

    def arm(self) -> None:
        """Type the phrase that is shown, as a person does."""
        with subprocess.Popen(
            self.proof.network.command(
                *(sys.executable, "-m", "quantlab", "live", "arm", "--capital", "2000", "--hours", "1")
            ),
            cwd=self.folder,
            env=self.proof.environment | {"QUANTLAB_ROOT": str(self.folder), "BINANCE_TESTNET": "true"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stderr is not None
            said = []
            for line in process.stderr:
                said.append(line)
                if line.strip().startswith("trade "):
                    break
            assert said and said[-1].strip().startswith("trade "), "".join(said)
            out, err = process.communicate(said[-1].strip() + "\n", timeout=60)
        assert process.returncode == 0, out + err


@pytest.fixture(scope="module")
def desk(proof: Proof, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    folder = tmp_path_factory.mktemp("live")
    (folder / ".env").touch(0o600)
    (folder / ".env").write_text("VAULT_PASSWORD=a-long-passphrase-of-the-proof-42\n")
    (folder / "fleet.toml").write_text(FLEET)
    (folder / "hold.py").write_text(HOLD)
    keys = tmp_path_factory.mktemp("venue") / "keys.json"  # not in the user's folder: pre-flight would find it
    keys.touch(0o600)
    keys.write_text(json.dumps([{"api_key": KEY, "secret": SECRET}]))
    desk = Desk(proof, folder)
    with VenueChild(hours=1, seed=1, speed=4, keys=keys) as venue:
        url = urlsplit(venue.url)
        proof.recorder.venue = (str(url.hostname), int(url.port or 0))
        for words, typed in (
            (("vault", "init"), None),
            (("vault", "add", "--label", "proof", "--stdin"), f"{KEY}\n{SECRET}\n"),
            (("preflight", "--offline", "--state", "dedicated", "--state", "2fa", "--state", "anti-phishing"), None),
        ):
            done = desk.quantlab(*words, typed=typed)
            assert done.returncode == 0 or words[0] == "preflight", done.stdout + done.stderr
        yield desk
    proof.recorder.venue = None


def test_neither_the_setting_nor_an_arming_alone_sends_an_order(desk: Desk) -> None:
    recorder = desk.proof.recorder
    recorder.forget()
    done = desk.run("set-not-armed", QUANTLAB_EXECUTION="live")
    assert done.returncode == 3 and "nothing is armed" in done.stderr, done.stdout + done.stderr
    desk.arm()
    done = desk.run("armed-not-set")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["orders"] > 0, "they were filled on paper"
    assert {request.method for request in recorder.requests} == {"GET"}
    assert not [request for request in recorder.requests if "/order" in request.target]


def test_armed_and_set_they_arrive(desk: Desk) -> None:
    recorder = desk.proof.recorder
    desk.arm()
    recorder.forget()
    before = desk.proof.network.packets()
    done = desk.run("live", QUANTLAB_EXECUTION="live")
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    orders = [
        request for request in recorder.requests if (request.method, _path(request.target)) == ("POST", "/api/v3/order")
    ]
    assert orders and all(request.is_signed for request in orders)
    assert summary["requests"]["order_requests"] >= len(orders)
    names = [parse_qs(urlsplit(request.target).query)["newClientOrderId"][0] for request in orders]
    assert len(set(names)) == len(names), "each intent was sent once"
    packets = {name: count - before[name] for name, count in desk.proof.network.packets().items()}
    assert packets["dropped"] == packets["orders"] == packets["elsewhere"] == 0


def _path(target: str) -> str:
    return urlsplit(target).path


def test_the_seal_and_an_arming_are_not_to_be_had_together(desk: Desk) -> None:
    desk.arm()
    desk.proof.recorder.forget()
    done = inside(
        desk.proof,
        *(
            sys.executable,
            "-m",
            "quantlab",
            "run",
            "--fleet",
            "fleet.toml",
            "--minutes",
            "1",
            "--foreground",
            "--sealed",
        ),
        folder=desk.folder,
        extra={"QUANTLAB_ROOT": str(desk.folder), "BINANCE_TESTNET": "true", "QUANTLAB_EXECUTION": "live"},
    )
    assert done.returncode == 3, done.stdout + done.stderr
    assert {request.method for request in desk.proof.recorder.requests} <= {"GET"}
