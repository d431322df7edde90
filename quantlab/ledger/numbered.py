"""The journal as an engine writes it that may be run again: each call has a number, and each call is on disk once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from quantlab.ledger.writer import LedgerWriter
from quantlab.model import Fill, Order, QuantlabError, Receipt


class NumberedJournal:
    """A `Journal` over `writer`, which puts the number of each call on disk in the transaction of its rows.

    An engine that is run again over its own input log makes the same calls in the same order. So it is told of
    (`on_disk`, and `fills` by bot and number) what its ledger has: those calls are not written again, the fills among
    them must be the ledger's own, and nothing at all is written before `go_on`.

    Raises QuantlabError when the calls are not those of the ledger.
    """

    def __init__(
        self,
        writer: LedgerWriter,
        *,
        on_disk: int | None = None,
        fills: Mapping[tuple[int, int], Fill] | None = None,
    ) -> None:
        self.calls = 0
        self._newest = 0
        self._writer = writer
        self._on_disk = on_disk or 0
        self._fills = fills or {}
        #: Calls that are on no disk yet; None once the engine is not told again what it did.
        self._held: list[tuple[int, Callable[[], int]]] | None = None if on_disk is None else []

    def order(self, order: Order) -> int:
        if self._held is not None:
            order = replace(order)  # the engine goes on changing its own
        return self._call(lambda: self._writer.order(order))

    def fill(self, fill: Fill, receipt: Receipt) -> int:
        if self._held is not None and self.calls < self._on_disk:
            written = self._fills.get((fill.bot, fill.number))
            if written != fill:
                raise QuantlabError(f"bot {fill.bot}, fill {fill.number}: the log gives {fill}, the ledger {written}")
        return self._call(lambda: self._writer.fill(fill, receipt))

    def equity(self, rows: Sequence[tuple[int, int, float, float, float]]) -> int:
        return self._call(lambda: self._writer.equity(rows))

    def bounds(self, rows: Sequence[tuple[int, int, float, float]]) -> int:
        return self._call(lambda: self._writer.bounds(rows))

    def marks(self, rows: Sequence[tuple[int, str, float, float]]) -> int:
        return self._call(lambda: self._writer.marks(rows))

    def event(self, time_ms: int, kind: str, bot: int | None, detail: dict[str, Any]) -> int:
        return self._call(lambda: self._writer.event(time_ms, kind, bot, detail))

    def egress(self, entry: dict[str, Any]) -> int:
        """Not the engine's: it is not counted."""
        return self._writer.egress(entry)

    def wait(self, ticket: int) -> None:
        """As the writer's; nothing is waited for that is only told again."""
        if self._held is None:
            self._writer.wait(ticket)

    def settle(self) -> None:
        """Return when every call so far is on disk."""
        self._writer.wait(self._newest)

    def go_on(self) -> int:
        """The engine is where it was: write what the ledger did not have yet. Returns how many calls that were."""
        if self.calls < self._on_disk:
            raise QuantlabError(f"the log ends before the ledger does: at {self.calls} of {self._on_disk} calls")
        held, self._held = self._held or [], None
        ticket = 0
        for number, write in held:
            self._writer.number = number
            ticket = write()
        self._writer.wait(ticket)
        return len(held)

    def _call(self, write: Callable[[], int]) -> int:
        self.calls += 1
        if self._held is None:
            self._writer.number = self.calls
            self._newest = write()
            return self._newest
        if self.calls > self._on_disk:
            self._held.append((self.calls, write))
        return 0
