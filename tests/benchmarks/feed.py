"""CPU a stream message costs from the socket to the book, beside others, in one run.

A server in a process of its own sends frames as fast as they are read; each reader runs in a process of its own and
counts its processor time from the first frame to the last. All keep what a bot needs: the newest quote, or the levels
of the book. `picows` lives in an environment made for the run; the others are in quantlab's.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
PICOWS = ("picows==2.3.1", "msgspec==0.22.0")
MESSAGES = {"bookTicker": 200_000, "depth@100ms": 40_000}
PEERS = ("websockets + orjson", "picows + msgspec", "ccxt.pro watch_bids_asks")
ROUNDS = 3
#: How much more than picows + msgspec a message may cost.
GOAL = 2.0


def rows(row: Any) -> list[dict[str, Any]]:
    """One row for each stream and peer, made by `row` of the harness."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        python = _environment(Path(folder))
        for kind, count in MESSAGES.items():
            ours = _cost("quantlab", kind, count, sys.executable)
            for peer in PEERS:
                if peer.startswith("ccxt") and kind != "bookTicker":
                    continue
                of_peer = _cost(peer, kind, count, python if peer.startswith("picows") else sys.executable)
                goal = GOAL * of_peer if peer.startswith("picows") else of_peer
                name = f"stream to book, {kind}"
                found.append(row(name, ours, "CPU us/message", peer, of_peer / ours, round(goal, 2), ours <= goal))
    return found


def _environment(folder: Path) -> str:
    """A Python with picows, and nothing of ours."""
    uv = str(Path(sys.executable).with_name("uv"))
    subprocess.run([uv, "venv", "-q", "--python", sys.executable, str(folder / "peers")], check=True)
    python = str(folder / "peers" / "bin" / "python")
    subprocess.run([uv, "pip", "install", "-q", "--python", python, *PICOWS], check=True)
    return python


def _cost(reader: str, kind: str, count: int, python: str) -> float:
    """CPU microseconds a message, the best of some rounds."""
    return min(_round(reader, kind, count, python) for _ in range(ROUNDS))


def _round(reader: str, kind: str, count: int, python: str) -> float:
    server = [sys.executable, str(HERE / "feed_server.py"), kind, str(count)]
    with subprocess.Popen(server, stdout=subprocess.PIPE, text=True) as serving:
        assert serving.stdout is not None
        port = serving.stdout.readline().strip()
        try:
            command = [python, str(HERE / "feed_readers.py"), reader, kind, str(count), port]
            done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
        finally:
            serving.terminate()
    return float(json.loads(done.stdout)["cpu_s"]) / count * 1e6
