"""`quantlab demo`: the whole path, from one command, on a market that is replayed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from quantlab.cli.runs import DEMO_HOME, new_run_id
from quantlab.environment import scrubbed
from quantlab.fleet.deal import deal, fleet_toml
from quantlab.fleet.spec import load_fleet
from quantlab.model import QuantlabError, error_of_exit_code
from quantlab.settings import find_root
from quantlab.venue.child import VenueChild


def run_demo(
    *,
    data: Path | None,
    exchange_info: Path | None,
    derive_filters: bool,
    from_ms: int | None,
    hours: float,
    seed: int,
    speed: float | None,
    fleet: Path | None,
    sealed: bool,
    quiet: bool,
) -> dict[str, Any]:
    """Start a venue, deal the fleet over its symbols, run it in a process of its own, return the summary.

    Reads no `.env` and no user's database: its home is `.quantlab-demo`, its report goes to `reports/`.
    """
    root = find_root()
    home = root / DEMO_HOME
    home.mkdir(mode=0o700, exist_ok=True)
    wanted = load_fleet(fleet or root / "notebooks" / "fleet.toml")
    run_id = new_run_id("demo")
    with VenueChild(
        data=data,
        exchange_info=exchange_info,
        derive_filters=derive_filters,
        from_ms=from_ms,
        hours=hours,
        seed=seed,
        speed=speed,
        environment=scrubbed(os.environ),
    ) as venue:
        dealt, words = deal(wanted, venue.about["symbols"], venue.about["intervals"])
        file = home / "fleets" / f"{run_id}.toml"
        file.parent.mkdir(exist_ok=True)
        file.write_text(fleet_toml(dealt), encoding="utf-8")
        if not quiet:
            for line in words:
                print(line)
        command = [sys.executable, "-m", "quantlab", "run", "--foreground", "--fleet", str(file), "--run-id", run_id]
        command += ["--hours", f"{hours:g}", "--seed", str(seed), "--reports", str(root / "reports")]
        if sealed:
            command.append("--sealed")
        code = _run(command + (["--json"] if quiet else []), root, home, venue.url)
    if code == 130:
        raise KeyboardInterrupt
    if code != 0:
        raise _failed(code)
    folder = root / "reports" / run_id
    summary: dict[str, Any] = json.loads((folder / "summary.json").read_text())
    return summary | {"folder": str(folder)}


def _run(command: list[str], root: Path, home: Path, url: str) -> int:
    environment = scrubbed(os.environ) | {
        "QUANTLAB_MARKET": "replay",
        "QUANTLAB_VENUE_URL": url,
        "QUANTLAB_ROOT": str(home),
        "QUANTLAB_HOME": str(home),
    }
    output = subprocess.DEVNULL if command[-1] == "--json" else None
    with subprocess.Popen(command, env=environment, cwd=root, stdout=output) as process:
        while True:
            try:
                return process.wait()
            except KeyboardInterrupt:
                continue  # Ctrl-C reached the run too: it ends gracefully, and says so


def _failed(code: int) -> QuantlabError:
    """The run has said why; the demo ends with its exit code."""
    words = "the run of the demo ended early: its own words stand above"
    return error_of_exit_code(code, words)
