"""`quantlab run --sealed`: the same run, fill for fill, whose engine can reach nobody; refused where there is no seal;
and nothing of it is left when who started it is gone."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from quantlab.fleet.control import send
from quantlab.fleet.process import running
from quantlab.model import QuantlabError

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the seal is Linux's")

#: Trades each minute; and tells what became of its tries to reach PORT, by Python and by C, each time it is asked.
STRATEGY = '''
import ctypes, socket
from dataclasses import dataclass
from pathlib import Path

import polars as pl
from quantlab.strategies import Strategy

PORT = {port}


def told(line):
    with Path(__file__).with_name("told.txt").open("a") as file:
        file.write(line + "\\n")


def spy():
    try:
        socket.create_connection(("127.0.0.1", PORT), 2).close()
        told("python done")
    except Exception as error:
        told(f"python {{type(error).__name__}}")
    libc = ctypes.CDLL(None, use_errno=True)
    number = libc.socket(2, 1, 0)
    address = bytes([2, 0]) + PORT.to_bytes(2, "big") + bytes([127, 0, 0, 1]) + bytes(8)
    failed = number < 0 or libc.connect(number, address, 16) != 0
    told(f"c {{ctypes.get_errno()}}" if failed else "c done")


spy()


@dataclass(frozen=True)
class Spy(Strategy):
    """Long in every second minute."""

    @property
    def lookback(self) -> int:
        return 2

    def exposure(self) -> pl.Expr:
        spy()
        return ((pl.col("open_time") // 60_000) % 2).cast(pl.Float64)
'''
FLEET = """
[fleet]
name = "spies"

[[bot]]
name = "btc"
strategy = "spy.py:Spy"
symbol = "BTCUSDT"
timeframe = "1m"

[[bot]]
name = "eth"
strategy = "spy.py:Spy"
symbol = "ETHUSDT"
timeframe = "1m"
"""


@pytest.fixture
def spied() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        yield server


@pytest.fixture
def root(tmp_path: Path, spied: socket.socket) -> Path:
    (tmp_path / "spy.py").write_text(STRATEGY.format(port=spied.getsockname()[1]))
    (tmp_path / "fleet.toml").write_text(FLEET)
    return tmp_path


def start(root: Path, *arguments: str, **options: Any) -> subprocess.Popen[str]:
    ours = ("QUANTLAB_", "BINANCE_", "API_", "VAULT_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    environment |= {"QUANTLAB_ROOT": str(root), "QUANTLAB_HOME": str(root / "home"), "QUANTLAB_MARKET": "replay"}
    command = [sys.executable, "-m", "quantlab", "run", "--fleet", str(root / "fleet.toml"), *arguments]
    return subprocess.Popen(
        command, cwd=root, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options
    )


def run(root: Path, name: str, *arguments: str) -> dict[str, Any]:
    """Run to the end; gives the summary, with what the strategy told."""
    (root / "told.txt").unlink(missing_ok=True)
    process = start(root, "--run-id", name, "--minutes", "4", "--no-report", *arguments)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    told = set((root / "told.txt").read_text().splitlines())
    return json.loads(output) | {"told": told, "errors": errors}


def arrivals(server: socket.socket) -> int:
    count = 0
    while True:
        try:
            server.accept()[0].close()
        except BlockingIOError:
            return count
        count += 1


def test_the_same_fills_and_nobody_is_reached(root: Path, spied: socket.socket) -> None:
    plain = run(root, "plain", "--foreground", "--json")
    assert plain["told"] == {"python Refused", "c done"}, (
        "the wall refuses Python; C gets past it, which is the control"
    )
    assert arrivals(spied) > 0
    sealed = run(root, "sealed", "--foreground", "--json", "--sealed")
    assert sealed["told"] == {"python PermissionError", "c 1"}
    assert arrivals(spied) == 0
    assert sealed["fills"] > 0
    assert sealed["fills_sha256"] == plain["fills_sha256"]
    assert (plain["sealed"], sealed["sealed"]) == (False, True)
    manifests = [json.loads((root / "reports" / name / "manifest.json").read_text()) for name in ("plain", "sealed")]
    assert [(about["sealed"], bool(about["seal"])) for about in manifests] == [(False, False), (True, True)]


def test_no_strategy_is_loaded_outside_the_seal(root: Path, spied: socket.socket) -> None:
    """In the background too: a file of strategies is a program, and the shell that starts a run is not sealed."""
    process = start(root, "--run-id", "background", "--minutes", "4", "--no-report", "--sealed", "--json")
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert json.loads(output)["run_id"] == "background"
    _until(lambda: (root / "reports" / "background" / "summary.json").exists())
    assert set((root / "told.txt").read_text().splitlines()) == {"python PermissionError", "c 1"}
    assert arrivals(spied) == 0
    _until(lambda: running(root / "home") is None)


def test_an_error_is_said_once_with_its_exit_code(root: Path) -> None:
    (root / "fleet.toml").write_text(FLEET.replace("1m", "7m"))
    process = start(root, "--foreground", "--sealed", "--no-report")
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 2
    assert output == ""
    assert errors.count("\n") == 1
    assert "7m" in errors


def test_it_is_refused_where_there_is_no_seal(root: Path) -> None:
    code = "from types import SimpleNamespace as N\nfrom quantlab.exchange.walls import seccomp\n"
    code += "from quantlab.cli import run\n"
    code += "import sys; seccomp.platform = N(machine=lambda: 'riscv64'); sys.exit(run(sys.argv[1:]))"
    done = subprocess.run(
        [sys.executable, "-c", code, "run", "--sealed", "--fleet", str(root / "fleet.toml")],
        env=os.environ | {"QUANTLAB_ROOT": str(root), "QUANTLAB_MARKET": "replay"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 3, done.stderr
    assert done.stderr.count("\n") == 1
    assert "--sealed needs Linux on x86_64 or aarch64, this is linux on riscv64" in done.stderr
    assert not (root / "told.txt").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=lambda number: number.name)
def test_it_ends_with_who_started_it(root: Path, number: signal.Signals) -> None:
    process = start(
        root, "--run-id", "long", "--hours", "5", "--speed", "30", "--foreground", "--sealed", "--no-report"
    )
    engine = _until(lambda: running(root / "home"))
    _until(lambda: _answers(root / "home"))
    family = _descendants(process.pid)
    assert engine.pid in family
    assert len(family) == 3, "a venue, a gate, an engine"
    process.send_signal(number)
    process.communicate(timeout=30)
    _until(lambda: not [pid for pid in family if _alive(pid)])
    if number is not signal.SIGKILL:
        assert process.returncode == 130
        assert json.loads((root / "reports" / "long" / "summary.json").read_text())["ended"] == number.name


def _descendants(pid: int) -> list[int]:
    children = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return children + [below for child in children for below in _descendants(child)]


def _answers(home: Path) -> bool:
    try:
        return bool(send(home, "status")["engine_time_ms"])
    except QuantlabError:
        return False


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def _until(condition: Any) -> Any:
    for _ in range(600):
        if found := condition():
            return found
        time.sleep(0.05)
    raise AssertionError("not within 30 s")
