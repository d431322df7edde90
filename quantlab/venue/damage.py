"""What faults make of a step's events and of an answer's content."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from quantlab.venue.fault import CONNECTION_KINDS, Fault

Event = tuple[str, bytes]

#: The last digits of the first price of an event, trade or candle: prices have eight decimals, ticks have fewer.
_PRICE = re.compile(rb'("(?:p|b|c)":(?:\[\[)?"\d+\.\d{3})\d{5}"')
_PAGE = b"<html><body>maintenance</body></html>"


class Damage:
    """Strikes events, and keeps those that others are to overtake."""

    def __init__(self) -> None:
        self._held: list[tuple[int, Event]] = []

    @property
    def idle(self) -> bool:
        """Whether nothing is kept."""
        return not self._held

    def strike(
        self, events: Iterable[Event], faults: Sequence[Fault], ms: int
    ) -> tuple[list[Event], dict[str, list[Fault]]]:
        """What `faults` leave of `events` at `ms` of market time, and by stream what happens to those who read it."""
        sent: list[Event] = []
        readers: dict[str, list[Fault]] = {}
        on_events = [fault for fault in faults if fault.kind not in CONNECTION_KINDS]
        on_readers = [fault for fault in faults if fault.kind in CONNECTION_KINDS and fault.kind != "lifetime"]
        for event in events:
            stream = event[0]
            readers_fault = next((fault for fault in on_readers if fault.strikes(stream, ms)), None)
            if readers_fault is not None:
                readers.setdefault(stream, []).append(readers_fault)
            fault = next((fault for fault in on_events if fault.strikes(stream, ms)), None)
            if fault is not None and fault.kind == "reorder":
                self._held.append((fault.by, event))
                continue
            if fault is None:
                sent.append(event)
            elif fault.kind == "duplicate":
                sent += (event, event)
            elif fault.kind in ("malformed", "off_grid"):
                sent.append((stream, _spoilt(event[1], fault.kind)))
            if self._held:
                sent += self._overtaken(stream)
        return sent, readers

    def _overtaken(self, stream: str) -> list[Event]:
        """The kept events of `stream` that enough others have overtaken now."""
        held = [(left - (event[0] == stream), event) for left, event in self._held]
        self._held = [row for row in held if row[0] > 0]
        return [event for left, event in held if left <= 0]


def _spoilt(data: bytes, kind: str) -> bytes:
    """An event cut short, or with a price between two ticks."""
    return data[: len(data) // 2] if kind == "malformed" else _PRICE.sub(rb'\g<1>77777"', data, count=1)


def damaged(content: bytes, fault: Fault) -> tuple[bytes, dict[str, str]]:
    """An answer's content as `fault` leaves it, and headers that go with it."""
    match fault.kind:
        case "html":
            return _PAGE, {"Content-Type": "text/html"}
        case "empty":
            return b"", {}
        case "string":
            return msgspec.json.encode(fault.body or "temporarily unavailable"), {}
        case "truncate":
            return content[: len(content) // 2], {}
    return content, {}


def aged(answer: dict[str, Any], back: int) -> dict[str, Any]:
    """A depth answer as if it were `back` updates older."""
    return {**answer, "lastUpdateId": max(0, answer["lastUpdateId"] - back)}
