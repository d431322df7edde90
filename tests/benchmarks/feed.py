"""CPU a stream message costs from the socket to the book, beside others, in one run.

A server in a process of its own sends frames as fast as they are read; each reader runs in a process of its own and
counts its processor time from the first frame to the last. All keep the newest quote, or the levels of the book: the
peers as floats in a dict, quantlab in ticks and lots and in order. "picows + the same book" shows what the guarded
socket costs alone. picows is installed for the run, and only its readers see it; the others are in quantlab's own
environment.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
PICOWS = ("picows==2.3.1", "msgspec==0.22.0")
MESSAGES = {"bookTicker": 200_000, "depth@100ms": 40_000}
PEERS = ("websockets + orjson", "picows + msgspec", "picows + the same book", "ccxt.pro watch_bids_asks")
ROUNDS = 3
#: How much more than picows + msgspec a message may cost.
GOAL = 2.0


def rows(row: Any) -> list[dict[str, Any]]:
    """One row for each stream and peer, made by `row` of the harness."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        packages = _picows(Path(folder))
        for kind, count in MESSAGES.items():
            ours = _cost("quantlab", kind, count, packages)
            for peer in PEERS:
                if peer.startswith("ccxt") and kind != "bookTicker":
                    continue
                of_peer = _cost(peer, kind, count, packages)
                goal = GOAL * of_peer if peer.startswith("picows") else of_peer
                name = f"stream to book, {kind}"
                found.append(row(name, ours, "CPU us/message", peer, of_peer / ours, round(goal, 2), ours <= goal))
    return found


def _picows(folder: Path) -> str:
    """A folder with picows and what it needs, which only its reader sees."""
    uv = str(Path(sys.executable).with_name("uv"))
    target = str(folder / "peers")
    subprocess.run([uv, "pip", "install", "-q", "--python", sys.executable, "--target", target, *PICOWS], check=True)
    return target


def _cost(reader: str, kind: str, count: int, packages: str) -> float:
    """CPU microseconds a message, the best of some rounds."""
    return min(_round(reader, kind, count, packages) for _ in range(ROUNDS))


def _round(reader: str, kind: str, count: int, packages: str) -> float:
    server = [sys.executable, str(HERE / "feed_server.py"), kind, str(count)]
    with subprocess.Popen(server, stdout=subprocess.PIPE, text=True) as serving:
        assert serving.stdout is not None
        port = serving.stdout.readline().strip()
        try:
            path = os.pathsep.join([str(HERE.parents[1]), *([packages] if reader.startswith("picows") else [])])
            command = [sys.executable, str(HERE / "feed_readers.py"), reader, kind, str(count), port]
            environment = {**os.environ, "PYTHONPATH": path}
            done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120, env=environment)
        finally:
            serving.terminate()
    return float(json.loads(done.stdout)["cpu_s"]) / count * 1e6
