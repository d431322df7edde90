"""What to run: handed in by whoever starts a run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quantlab.fleet.keywatch import Watch
from quantlab.fleet.spec import FleetSpec
from quantlab.settings import Settings


@dataclass(frozen=True, kw_only=True)
class RunPlan:
    """What to run. `length_ms` is market time from the first event (None: until stopped or the data ends)."""

    run_id: str
    fleet: FleetSpec
    settings: Settings
    seed: int = 1
    length_ms: int | None = None
    reports: Path = Path("reports")
    record: bool = True
    #: Called a few times a second with what the control socket's "status" answers.
    on_progress: Callable[[dict[str, Any]], None] | None = None
    #: Looks after the keys of the run's market, where there are any.
    watch: Watch | None = None
    #: What the security checklist said before the run: for the manifest.
    preflight: dict[str, Any] | None = None
