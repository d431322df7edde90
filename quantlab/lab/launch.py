"""Starting a run as a detached process, so that neither a busy cell nor a kernel restart touches the bots."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from quantlab.environment import popen_secretly, scrubbed
from quantlab.lab.run import Run, log_path
from quantlab.model import ConfigurationError, NotFound, Refused
from quantlab.settings import Settings


def launch(
    settings: Settings,
    fleet: Path | str,
    *,
    hours: float | None,
    speed: float | Literal["max"] | None,
    seed: int,
) -> Run:
    """See `Workbench.launch`."""
    from quantlab.fleet.process import running
    from quantlab.fleet.spec import load_fleet
    from quantlab.ledger import Ledger

    path = find_fleet(settings.root, fleet)
    load_fleet(path)
    if speed is not None and settings.market != "replay":
        raise ConfigurationError(f"speed is for a replay: {settings.market} goes at its own")
    engine = running(settings.home)
    if engine is not None:
        raise Refused(f'run "{engine.run_id}" already goes on here: lab.attach() follows it, its .stop() ends it')
    # Made here, before anybody polls it: engine and notebook must not both create its tables.
    Ledger.open(settings.home).close()
    run_id = _new_id()
    command = [sys.executable, "-m", "quantlab", "run", "--foreground", "--json", "--fleet", str(path)]
    command += ["--run-id", run_id, "--seed", str(seed)]
    if hours is not None:
        command += ["--hours", f"{hours:g}"]
    if speed is not None:
        command += ["--speed", speed if isinstance(speed, str) else f"{speed:g}"]
    log = log_path(settings.home, run_id)
    log.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    with os.fdopen(descriptor, "wb") as output:
        process = popen_secretly(
            command,
            cwd=settings.root,
            env=_environment(settings),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,  # a cell's interrupt goes to the kernel's process group
        )
    return Run(settings, run_id, process=process, again=(path, hours, speed, seed))


def find_fleet(root: Path, fleet: Path | str) -> Path:
    """The fleet file: as given, else under the root, else in the root's notebooks. Raises NotFound."""
    given = Path(fleet).expanduser()
    for candidate in (given, root / given, root / "notebooks" / given):
        if candidate.is_file():
            return candidate.resolve()
    raise NotFound(
        f"no fleet file {fleet} here, under {root} or in its notebooks: there should be notebooks/fleet.toml"
    )


def _environment(settings: Settings) -> dict[str, str]:
    environment = scrubbed(os.environ, public=True) | {
        "QUANTLAB_MARKET": settings.market,
        "QUANTLAB_ROOT": str(settings.root),
        "QUANTLAB_HOME": str(settings.home),
    }
    if settings.venue_url:
        environment["QUANTLAB_VENUE_URL"] = settings.venue_url
    return environment


def _new_id() -> str:
    """Names sort by time; the milliseconds keep two runs of one second apart."""
    now = datetime.now(UTC)
    return f"{now:run-%Y%m%d-%H%M%S}-{now.microsecond // 1000:03d}"
