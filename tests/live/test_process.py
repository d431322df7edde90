"""The same bots and the same fleet file, on paper and live, as real processes on the venue: on paper no order arrives,
armed they do; what the ledger says is what the venue's account holds, over a kill, lost answers and a rotated key."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from quantlab.fleet.control import send
from quantlab.ledger import Ledger
from quantlab.live import arm
from quantlab.model import ExchangeUnreachable, NotFound, Side
from quantlab.vault import Seen, Vault
from quantlab.venue.child import VenueChild

from ..fleet.conftest import FLEET, TOGGLE
from ..vault.kit import PASSWORD, letters, pair

#: A stop and a target at once cannot rest live.
ONE_EXIT = FLEET.replace("take_profit_pct = 0.05\n", "")
TRADES = Seen("passed", 1, ("enableReading", "enableSpotAndMarginTrading"), True, None)
FIRST = {"api_key": letters("first key"), "secret": letters("first secret")}
SECOND = {"api_key": letters("second key"), "secret": letters("second secret")}


def ask(url: str, method: str = "GET", body: Any = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, method=method, headers={"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


class Machine:
    """A home with a vault and a key, and runs as processes on one venue."""

    def __init__(self, root: Path, url: str) -> None:
        self.root, self.home, self.url = root, root / ".quantlab", url
        (root / "toggle.py").write_text(TOGGLE)
        (root / "fleet.toml").write_text(ONE_EXIT)
        with Vault.create(self.home, PASSWORD) as vault:
            vault.add("venue", pair("first"), "replay", seen=TRADES)
        self.process: subprocess.Popen[str] | None = None

    def arm(self) -> None:
        arm(self.home, "replay", capital_usdt=Decimal(10_000), hours=1, ask=lambda phrase: phrase)

    def start(self, run_id: str = "r", *, execution: str = "live", minutes: float = 60) -> None:
        environment = {
            **os.environ,
            "QUANTLAB_MARKET": "replay",
            "QUANTLAB_VENUE_URL": self.url,
            "QUANTLAB_EXECUTION": execution,
            "QUANTLAB_ROOT": str(self.root),
            "QUANTLAB_HOME": str(self.home),
            "QUANTLAB_TIMEOUT_SECONDS": "5",
            "VAULT_PASSWORD": PASSWORD,
        }
        command = [sys.executable, "-m", "quantlab", "run", "--foreground", "--no-report", "--json"]
        command += ["--fleet", str(self.root / "fleet.toml"), "--run-id", run_id, "--minutes", f"{minutes:g}"]
        self.process = subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=self.root
        )

    def wait_for(self, is_so: Callable[[dict[str, Any]], bool], within_s: float = 60) -> dict[str, Any]:
        deadline = time.monotonic() + within_s
        while time.monotonic() < deadline:
            assert self.process is not None
            try:
                status = send(self.home, "status")
                if is_so(status):
                    return status
            except (NotFound, ExchangeUnreachable):
                pass
            assert self.process.poll() is None, self.process.communicate()
            time.sleep(0.05)
        raise AssertionError("it did not come to be")

    def end(self) -> dict[str, Any]:
        assert self.process is not None
        send(self.home, "stop")
        out, error = self.process.communicate(timeout=60)
        assert self.process.returncode == 0, error
        summary: dict[str, Any] = json.loads(out)
        return summary

    def kill(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.communicate()

    def there(self) -> dict[str, Any]:
        account: dict[str, Any] = ask(f"{self.url}/__venue__/account")
        return account


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    keys = tmp_path / "venue" / "keys.json"
    keys.parent.mkdir()
    keys.write_text(json.dumps([FIRST]))
    keys.chmod(0o600)
    root = tmp_path / "root"
    root.mkdir()
    with VenueChild(hours=3, speed=60, seed=3, keys=keys) as venue:
        found = Machine(root, venue.url)
        try:
            yield found
        finally:
            if found.process is not None and found.process.poll() is None:
                found.kill()


def fills(status: dict[str, Any]) -> int:
    return sum(bot["fills"] for bot in status["bots"])


def agree(machine: Machine, run_id: str = "r") -> None:
    """The ledger's fills are the venue's trades, one order an intent, and both add up to the same balances."""
    there = machine.there()
    names = Counter(row["clientOrderId"] for row in there["orders"])
    assert max(names.values()) == 1
    with Ledger.open(machine.home) as ledger:
        known, orders, receipts = ledger.fill_rows(run_id), ledger.order_rows(run_id), ledger.receipts(run_id)
    assert all(order.status.is_final for order in orders)
    assert len(names) <= len(orders)
    trades = {(row["symbol"], row["id"]): row for row in there["trades"]}
    by_fill = {(receipt.bot, receipt.fill_number): receipt for receipt in receipts}
    told = {(fill.symbol, by_fill[fill.bot, fill.number].trade_id) for fill in known}
    assert len(told) == len(known) and told == set(trades)
    moved: dict[str, Decimal] = defaultdict(Decimal)
    for fill in known:
        sign = 1 if fill.side is Side.BUY else -1
        moved[fill.symbol.removesuffix("USDT")] += sign * fill.quantity
        moved["USDT"] -= sign * fill.notional
        moved[fill.fee_asset] -= fill.fee
    start = {"USDT": Decimal(45_000)}
    for row in there["balances"]:
        assert Decimal(row["free"]) == start.get(row["asset"], Decimal(0)) + moved[row["asset"]], row
        assert Decimal(row["locked"]) == 0


def test_paper_sends_nothing_and_the_same_bots_armed_do(machine: Machine) -> None:
    machine.start("paper", execution="paper")
    machine.wait_for(lambda status: fills(status) >= 4)
    assert machine.end()["requests"]["order_requests"] == 0
    assert machine.there()["orders"] == []
    machine.arm()
    machine.start()
    machine.wait_for(lambda status: fills(status) >= 4)
    summary = machine.end()
    assert summary["accounting_ok"], summary["accounting_problems"]
    assert summary["requests"]["order_requests"] >= 4 and machine.there()["orders"]
    assert summary["live"]["open_orders"] == 0
    agree(machine)


def test_unarmed_nothing_leaves(machine: Machine) -> None:
    machine.start()
    assert machine.process is not None
    _, error = machine.process.communicate(timeout=60)
    assert machine.process.returncode == 3 and "nothing is armed" in error
    assert machine.there()["orders"] == []


@pytest.mark.campaign
def test_killed_between_send_and_answer_there_is_one_order_an_intent(machine: Machine) -> None:
    machine.arm()
    slow = {"match": "/api/v3/order", "kind": "latency", "ms": 3000}
    ask(f"{machine.url}/__venue__/faults", "POST", [slow])
    for _ in range(2):
        before = len(machine.there()["orders"])
        machine.start()
        machine.wait_for(lambda status: len(machine.there()["orders"]) > before)  # noqa: B023 - called at once
        machine.kill()  # it is there, and its answer is not
    ask(f"{machine.url}/__venue__/faults", "DELETE")
    machine.start()
    machine.wait_for(lambda status: fills(status) >= 4)
    summary = machine.end()
    assert summary["accounting_ok"], summary["accounting_problems"]
    agree(machine)


@pytest.mark.campaign
def test_a_key_is_rotated_while_it_trades(machine: Machine) -> None:
    machine.arm()
    machine.start()
    machine.wait_for(lambda status: fills(status) >= 2)
    ask(f"{machine.url}/__venue__/keys", "POST", SECOND)
    with Vault.open(machine.home, PASSWORD) as vault:
        vault.rotate("venue", pair("second"), seen=TRADES)
    time.sleep(6)  # the account's stream looks each 5 s whether its key was rotated
    ask(f"{machine.url}/__venue__/keys?api_key={FIRST['api_key']}", "DELETE")
    now = fills(send(machine.home, "status"))
    status = machine.wait_for(lambda status: fills(status) >= now + 3)
    assert status["live"]["account_stream"] and not status["live"]["lapsed"]
    summary = machine.end()
    assert summary["accounting_ok"], summary["accounting_problems"]
    agree(machine)
