"""A live run told again from its input log: the same reports at the same places, and nothing that sends."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from quantlab.live.broker import Holdings, LiveBroker
from quantlab.model import BookView, Instrument, Journal, OrderReport


class Retold:
    """Makes the broker of a replay, and hands it the reports that the log holds."""

    def __init__(self, instruments: Mapping[str, Instrument]) -> None:
        self._instruments = instruments
        self._broker: LiveBroker

    def broker(
        self,
        books: Mapping[str, BookView],
        journal: Journal,
        accounts: Sequence[Holdings],
        log: Any,
        on_report: Callable[[OrderReport], None],
    ) -> LiveBroker:
        """A broker without a line: what became of each order stands in the log."""
        self._broker = LiveBroker(
            self._instruments,
            books,
            journal,
            accounts=accounts,
            key="",
            capital_usdt=Decimal(0),
            line=None,
            log=None,
            on_report=on_report,
        )
        return self._broker

    def heard(self, payload: bytes) -> None:
        """A report at its place in the log."""
        self._broker.heard(payload)
