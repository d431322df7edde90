"""A paper run that is killed again and again, and one that nobody disturbs.

The runs are processes of the command line; what is compared lies in their ledgers. On a venue that waits for its run
the two must agree in every row. On one that plays on, as an exchange does, nothing may be lost or counted twice.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from quantlab.fleet.control import send
from quantlab.ledger import Ledger
from quantlab.model import QuantlabError

#: Events that tell of the run itself: a run that was killed has more of them.
OF_THE_RUN = frozenset(
    {"connected", "disconnected", "reconnected", "resumed", "stale", "in sync", "gap", "missed trades"}
)


@dataclass
class Killed:
    """What became of a run: its summary, how often it was killed, and when."""

    home: Path
    summary: dict[str, Any]
    kills: int = 0
    #: Market time that the ledger had reached at each kill; 0 while it had none.
    reached_ms: list[int] = field(default_factory=list)


def start(root: Path, url: str, fleet: Path, minutes: float) -> subprocess.Popen[str]:
    """`quantlab run` on the venue at `url`, as a process."""
    environment = {
        **os.environ,
        "QUANTLAB_MARKET": "replay",
        "QUANTLAB_VENUE_URL": url,
        "QUANTLAB_ROOT": str(root),
        "QUANTLAB_HOME": str(root / ".quantlab"),
    }
    command = [sys.executable, "-m", "quantlab", "run", "--foreground", "--no-report", "--json"]
    command += ["--fleet", str(fleet), "--run-id", "r", "--minutes", f"{minutes:g}"]
    command += ["--checkpoint-every", "0.8"]
    root.mkdir(exist_ok=True)
    pipe = subprocess.PIPE
    return subprocess.Popen(command, env=environment, stdout=pipe, stderr=pipe, text=True, cwd=root)


def run_and_kill(
    root: Path,
    url: str,
    fleet: Path,
    *,
    minutes: float,
    kills: int,
    after_s: tuple[float, float] = (0.3, 3.0),
    seed: int = 1,
    meanwhile: Callable[[Path], None] = lambda home: None,
) -> Killed:
    """Run the fleet for `minutes` of market; kill -9 it `kills` times, then let it end. After each kill
    `meanwhile(home)` is called.

    Every second kill comes at a random moment within `after_s` of the start, which on a slow machine is before anything
    trades; the others soon after the engine has answered, so that each run of the test gets somewhere."""
    luck = random.Random(seed)
    reached: list[int] = []
    while len(reached) < kills:
        process = start(root, url, fleet, minutes)
        moment_s = luck.uniform(*after_s)
        if len(reached) % 2:
            _wait_for_engine(process, root / ".quantlab")
            moment_s = (moment_s - after_s[0]) / 2
        with suppress(subprocess.TimeoutExpired):
            out, error = process.communicate(timeout=moment_s)
            raise AssertionError(f"it ended by itself after {len(reached)} kills: {process.returncode} {error} {out}")
        process.send_signal(signal.SIGKILL)
        process.communicate()
        reached.append(_reached(root / ".quantlab"))
        meanwhile(root / ".quantlab")
    process = start(root, url, fleet, minutes)
    out, error = process.communicate(timeout=600)
    assert process.returncode == 0, error
    return Killed(root / ".quantlab", json.loads(out), kills, reached)


def _wait_for_engine(process: subprocess.Popen[str], home: Path) -> None:
    """Until the engine of `process` answers, or it has ended."""
    deadline = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline:
        with suppress(QuantlabError):
            if send(home, "status")["engine_time_ms"]:
                return
        time.sleep(0.05)


def _reached(home: Path) -> int:
    with suppress(Exception), Ledger.open(home, create=False) as ledger:
        return ledger.last_engine_ms("r")
    return 0


def rows(home: Path) -> dict[str, Any]:
    """What the ledger of a run says: fills, orders, receipts, equity, and the events that are not of the run itself."""
    with Ledger.open(home, create=False) as ledger:
        events = ledger.events("r")
        kept = [row for row in events.select("time_ms", "kind", "bot", "detail").rows() if row[1] not in OF_THE_RUN]
        return {
            "fills": ledger.fill_rows("r"),
            "orders": ledger.order_rows("r"),
            "receipts": ledger.receipts("r"),
            "equity": ledger.equity("r").rows(),
            "bounds": ledger.bounds("r").rows(),
            "events": kept,
            "resumed": events.filter(events["kind"] == "resumed").height,
            "not_taken_up": events.filter(events["kind"] == "log not taken up")["detail"].to_list(),
        }
