"""Faults to play, set by file or at run time. Each is a table: `match` (part of a path or stream name), `kind`, and
what the kind needs.

Requests: "status" (status, code, msg, retry_after; or body, and headers), "latency" (ms), "drop" (the connection ends
unanswered), "html", "truncate" (half of the answer), "stale_snapshot" (a depth answer's lastUpdateId lies `back`
updates in the past). "status" and "drop" also meet the opening of a socket.
Streams: "gap" (events are left out), "silence" (nothing is sent), "disconnect" (the connection ends).
`times` bounds how often it happens: once for disconnect, always for the others.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from quantlab.model.errors import ConfigurationError, NotFound

REQUEST_KINDS = ("status", "latency", "drop", "html", "truncate", "stale_snapshot")
STREAM_KINDS = ("gap", "silence", "disconnect")

_TYPES: dict[str, type | tuple[type, ...]] = {
    "match": str,
    "status": int,
    "code": int,
    "msg": str,
    "body": str,
    "headers": dict,
    "retry_after": int,
    "ms": (int, float),
    "back": int,
    "times": int,
}


@dataclass
class Fault:
    match: str
    kind: str
    status: int = 503
    code: int = -1000
    msg: str = "An unknown error occurred while processing the request."
    body: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    retry_after: int | None = None
    ms: float = 0.0
    back: int = 1_000
    times: int | None = None

    def __post_init__(self) -> None:
        if self.kind not in REQUEST_KINDS + STREAM_KINDS:
            known = ", ".join(REQUEST_KINDS + STREAM_KINDS)
            raise ConfigurationError(f'fault kind "{self.kind}": there are {known}')
        for name, types in _TYPES.items():
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, types)):
                raise ConfigurationError(f'fault "{self.kind}": {name} = {value!r} has the wrong type')
        if self.times is None and self.kind == "disconnect":
            self.times = 1

    def strikes(self, name: str) -> bool:
        """Whether it happens to `name` now; counts it."""
        if self.match not in name or self.times == 0:
            return False
        if self.times is not None:
            self.times -= 1
        return True


class Faults:
    """The faults in force. The first that matches happens."""

    def __init__(self) -> None:
        self._requests: list[Fault] = []
        self._streams: list[Fault] = []

    def set(self, rows: Iterable[dict[str, Any]]) -> None:
        """Replace all. Raises ConfigurationError for an unknown kind or field, and then changes nothing."""
        try:
            faults = [Fault(**row) for row in rows]
        except TypeError as error:
            raise ConfigurationError(f"faults are a list of tables: {error}") from None
        self._requests = [fault for fault in faults if fault.kind in REQUEST_KINDS]
        self._streams = [fault for fault in faults if fault.kind in STREAM_KINDS]

    def load(self, path: Path) -> None:
        """Read a JSON list, or TOML with [[fault]] rows."""
        try:
            text = path.read_text(encoding="utf-8")
            self.set(tomllib.loads(text)["fault"] if path.suffix == ".toml" else json.loads(text))
        except FileNotFoundError:
            raise NotFound(f"no fault file at {path}") from None
        except (KeyError, ValueError) as error:
            raise ConfigurationError(f"{path}: not a list of faults ({error})") from None

    def rows(self) -> list[dict[str, Any]]:
        return [asdict(fault) for fault in (*self._requests, *self._streams)]

    @property
    def any_on_streams(self) -> bool:
        return bool(self._streams)

    def request(self, path: str) -> Fault | None:
        """The fault that happens to a request for `path`; counts it."""
        return next((fault for fault in self._requests if fault.strikes(path)), None)

    def stream(self, name: str) -> Fault | None:
        """The fault that happens to an event of stream `name`; counts it."""
        return next((fault for fault in self._streams if fault.strikes(name)), None)
