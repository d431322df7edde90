"""The same engine over a recorded input log: the same log gives the same fills, bit for bit."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import msgspec

from quantlab.fleet.assembly import LiveBroker, make_engine
from quantlab.fleet.engine import Engine
from quantlab.fleet.spec import FleetSpec
from quantlab.model import Fill, Instrument, MalformedMessage, Order, Receipt, instruments_from_exchange_info
from quantlab.recording import Entry, Kind, Recording


class Retold(Protocol):
    """What an exchange said of a live run's orders, told again."""

    broker: LiveBroker

    def heard(self, payload: bytes) -> None:
        """A report at its place in the log."""
        ...


class MemoryJournal:
    """A `Journal` that keeps orders, fills and events in memory: nothing waits, nothing is written."""

    def __init__(self) -> None:
        self.fills: list[Fill] = []
        self.receipts: list[Receipt] = []
        self.events: list[tuple[int, str, int | None, dict[str, Any]]] = []
        self.orders = 0

    def order(self, order: Order) -> int:
        self.orders += 1
        return 0

    def fill(self, fill: Fill, receipt: Receipt) -> int:
        self.fills.append(fill)
        self.receipts.append(receipt)
        return 0

    def equity(self, rows: Sequence[tuple[int, int, float, float, float]]) -> int:
        return 0

    def bounds(self, rows: Sequence[tuple[int, int, float, float]]) -> int:
        return 0

    def marks(self, rows: Sequence[tuple[int, str, float, float]]) -> int:
        return 0

    def event(self, time_ms: int, kind: str, bot: int | None, detail: dict[str, Any]) -> int:
        self.events.append((time_ms, kind, bot, detail))
        return 0

    def egress(self, entry: dict[str, Any]) -> int:
        return 0

    def wait(self, ticket: int) -> None:
        return None


def replay(
    path: Path,
    fleet: FleetSpec,
    *,
    seed: int,
    length_ms: int | None = None,
    on_progress: Callable[[Engine], None] | None = None,
    live: Callable[[Mapping[str, Instrument]], Retold] | None = None,
) -> tuple[Engine, MemoryJournal]:
    """Run `fleet` over the input log at `path`; returns the engine at its end and what it would have written. `live`
    tells again what an exchange said, in the log of a run whose orders left.

    Raises MalformedMessage when the file does not begin with the exchange's symbols, as every input log does.
    """
    recording = Recording(path)
    entries = iter(recording)
    first = next(entries, None)
    if first is None or first.kind is not Kind.ANSWER or first.name != "exchangeInfo":
        raise MalformedMessage(f"{path.name} is not the input log of a run: it does not begin with exchangeInfo")
    journal = MemoryJournal()
    instruments = instruments_from_exchange_info(first.payload)
    told = None if live is None else live(instruments)
    engine = make_engine(
        fleet, instruments, journal, seed=seed, length_ms=length_ms,
        synthesised=bool(recording.header.get("synthesised")), live_broker=told.broker if told else None,
    )  # fmt: skip
    for count, _ in enumerate(consumed(engine, entries, told), start=1):
        if on_progress is not None and count % 20_000 == 0:
            on_progress(engine)
    if not engine.over:
        engine.finish("end of recording")
    return engine, journal


def consumed(engine: Engine, entries: Iterable[Entry], told: Retold | None = None) -> Iterator[Entry]:
    """Each of `entries`, once `engine` has consumed it."""
    frame = engine.frame
    for entry in entries:
        if entry.kind is Kind.FRAME:
            frame(entry.payload)
        elif entry.kind is Kind.ANSWER and entry.name == "execution" and told is not None:
            told.heard(entry.payload)
        elif entry.kind is Kind.ANSWER:
            engine.answer(entry.name, entry.payload)
        elif entry.kind is Kind.MARK:
            engine.mark(entry.name, entry.payload.decode())
        else:
            _command(engine, entry.name, msgspec.json.decode(entry.payload))
        yield entry


def _command(engine: Engine, name: str, arguments: dict[str, Any]) -> None:
    if name == "ask":
        engine.ask()
    elif name == "take up":
        engine.take_up(arguments["length_ms"])
    elif name == "finish":
        engine.finish(arguments["why"])
    else:
        engine.command(name, arguments)
