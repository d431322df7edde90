"""The egress log of what a notebook asks: the same table as a run's, under no run."""

from __future__ import annotations

from pathlib import Path
from typing import Any


class LabEgress:
    """Writes each request to the ledger of `home`; makes the ledger when the first request comes."""

    def __init__(self, home: Path) -> None:
        from quantlab.ledger import Ledger, LedgerWriter

        with Ledger.open(home) as ledger:
            path = ledger.path
        self._writer = LedgerWriter(path, None)

    def write(self, entry: dict[str, Any]) -> None:
        """Queue one row; it is on disk within 10 ms."""
        self._writer.egress(entry)

    def close(self) -> None:
        """Commit what is queued. May be called twice."""
        self._writer.close()
