"""What to run: handed in by whoever starts a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Protocol

from quantlab.exchange import Door
from quantlab.fleet.keywatch import Watch
from quantlab.fleet.spec import FleetSpec
from quantlab.ledger import Ledger, LedgerWriter
from quantlab.model import BookView, Broker, Instrument, Journal, OrderReport
from quantlab.paper import Account
from quantlab.settings import Settings


class LiveRun(Protocol):
    """The line of a run to an exchange, while it is open."""

    async def check(self, fleet_usdt: Decimal, *, is_new: bool) -> None:
        """Raise Refused where the account cannot carry this fleet."""
        ...

    async def resolve(self) -> int:
        """Ask what became of the orders that the ledger has as open, and close them there."""
        ...

    def broker(
        self,
        books: Mapping[str, BookView],
        journal: Journal,
        accounts: Sequence[Account],
        log: Any,
        on_report: Callable[[OrderReport], None],
    ) -> Broker:
        """What the engine sends its orders to."""
        ...

    async def run(self) -> None:
        """Until cancelled. Raises what ends the run."""
        ...

    async def end(self, reason: str) -> None:
        """Cancel what is open and wait for it."""
        ...

    def state(self) -> dict[str, Any]: ...


class Execution(Protocol):
    """Sends orders to an exchange instead of filling them here. Handed in: this room knows no order path."""

    def opened(
        self,
        run_id: str,
        ledger: Ledger,
        journal: LedgerWriter,
        door: Door,
        instruments: Mapping[str, Instrument],
    ) -> AbstractAsyncContextManager[LiveRun]: ...


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
    #: Wall time between two checkpoints of a recorded paper run: what a restart has to run over again at most.
    checkpoint_s: float = 120.0
    #: Called a few times a second with what the control socket's "status" answers.
    on_progress: Callable[[dict[str, Any]], None] | None = None
    #: Looks after the keys of the run's market, where there are any.
    watch: Watch | None = None
    #: What the security checklist said before the run: for the manifest.
    preflight: dict[str, Any] | None = None
    #: Where orders go instead of the paper engine. None: paper.
    execution: Execution | None = None
