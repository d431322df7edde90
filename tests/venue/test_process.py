"""The venue as a process: says where it is, ends with its parent, and refuses in one line what it cannot serve."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from quantlab.model import ConfigurationError, Refused
from quantlab.venue import Venue

from .plain import PlainMarket

PROGRAM = """
import sys
from pathlib import Path
from quantlab.model import QuantlabError
from quantlab.venue import serve
try:
    where = {"port": int(sys.argv[1]), "ready_file": Path(sys.argv[2]), "end_with_parent": sys.argv[3] == "child"}
    serve(data=None, hours=0.02, speed=None, **where)
except QuantlabError as error:
    sys.exit(f"{type(error).__name__}: {error}")
"""


def start(ready: Path, port: int = 0, mode: str = "child", stdin: Any = subprocess.PIPE) -> subprocess.Popen[str]:
    arguments = [sys.executable, "-c", PROGRAM, str(port), str(ready), mode]
    return subprocess.Popen(arguments, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def about(ready: Path, process: subprocess.Popen[str]) -> dict[str, Any]:
    deadline = time.monotonic() + 30
    while not ready.exists():
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()
        time.sleep(0.02)
    found: dict[str, Any] = json.loads(ready.read_text())
    return found


def test_a_child_says_where_it_is_and_ends_with_its_parent(tmp_path: Path) -> None:
    ready = tmp_path / "ready.json"
    process = start(ready)
    told = about(ready, process)
    assert told["kind"] == "generated"
    assert told["market_ms"] == told["start_ms"] < told["end_ms"]
    with urllib.request.urlopen(f"{told['url']}/api/v3/ping", timeout=5) as answer:
        assert answer.read() == b"{}"
    out, error = process.communicate(timeout=10)  # closes its standard input
    assert (process.returncode, error) == (0, "")
    assert out == f"generated market seed 1 at {told['url']}, 13 symbols\n"
    assert [path.name for path in tmp_path.iterdir()] == ["ready.json"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_quietly(tmp_path: Path, number: signal.Signals) -> None:
    process = start(tmp_path / "ready", mode="alone")
    about(tmp_path / "ready", process)
    process.send_signal(number)
    _, error = process.communicate(timeout=10)
    assert (process.returncode, error) == (0, "")


def test_a_port_in_use_is_one_line(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        process = start(tmp_path / "ready", port)
        _, error = process.communicate(timeout=30)
    assert process.returncode == 1
    assert error.startswith(f"ConfigurationError: port {port} on 127.0.0.1 is taken")
    assert error.count("\n") == 1
    assert not (tmp_path / "ready").exists()


def test_a_child_needs_a_pipe(tmp_path: Path) -> None:
    process = start(tmp_path / "ready", stdin=subprocess.DEVNULL)
    _, error = process.communicate(timeout=30)
    assert error == "ConfigurationError: --end-with-parent needs a pipe as standard input\n"


def test_only_loopback_and_only_forwards() -> None:
    with pytest.raises(Refused, match="loopback only"):
        Venue(PlainMarket(), host="0.0.0.0")
    for speed in (0.0, -1.0):
        with pytest.raises(ConfigurationError, match="speed"):
            Venue(PlainMarket(), speed=speed)
    assert Venue(PlainMarket(), host="::1").url == "http://[::1]:0"
