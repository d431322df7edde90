"""Faults to play, set by file or at run time. Each is a table: `match` (part of a path or stream name), `kind`, and
what the kind needs.

REST: "status" (status, code, msg, retry_after), "latency" (ms), "drop" (the connection ends unanswered), "html",
"truncate". Streams: "gap" (depth updates are left out), "silence" (nothing is sent), "disconnect" (once, at the next
step). `times` bounds how often it happens (default: always).
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quantlab.model.errors import ConfigurationError, NotFound

REST_KINDS = ("status", "latency", "drop", "html", "truncate")
STREAM_KINDS = ("gap", "silence", "disconnect")


@dataclass
class Fault:
    match: str
    kind: str
    status: int = 503
    code: int = -1000
    msg: str = "An unknown error occurred while processing the request."
    retry_after: int | None = None
    ms: float = 0.0
    times: int | None = None

    def __post_init__(self) -> None:
        if self.kind not in REST_KINDS + STREAM_KINDS:
            raise ConfigurationError(f'fault kind "{self.kind}": there are {", ".join(REST_KINDS + STREAM_KINDS)}')

    def strikes(self, name: str) -> bool:
        """Whether it happens to `name` now; counts it."""
        if self.match not in name or self.times == 0:
            return False
        if self.times is not None:
            self.times -= 1
        return True


class Faults:
    """The faults in force."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []

    def set(self, rows: Iterable[dict[str, Any]]) -> None:
        """Replace all. Raises ConfigurationError for an unknown kind or field."""
        try:
            self._faults = [Fault(**row) for row in rows]
        except TypeError as error:
            raise ConfigurationError(f"fault: {error}") from None

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
        return [vars(fault) for fault in self._faults]

    def rest(self, path: str) -> Fault | None:
        return next((f for f in self._faults if f.kind in REST_KINDS and f.strikes(path)), None)

    def stream(self, name: str) -> Fault | None:
        if not self._faults:
            return None
        return next((f for f in self._faults if f.kind in STREAM_KINDS and f.strikes(name)), None)
