"""The faults in force, set by file or at run time. What one may be is in `fault`, and in docs/faults.md."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from quantlab.model.errors import ConfigurationError, NotFound
from quantlab.venue.fault import CLOCK_KINDS, COMMAND_KINDS, CONNECTION_KINDS, EVENT_KINDS, REQUEST_KINDS, Fault

_ON_STREAMS = frozenset({*EVENT_KINDS, *CONNECTION_KINDS})


class Faults:
    """Asked at each request, command and event; the first fault that strikes happens. `market_ms` tells the market
    time since the market's start."""

    def __init__(self, market_ms: Callable[[], int] = lambda: 0) -> None:
        self._market_ms = market_ms
        self._faults: list[Fault] = []

    def set(self, rows: Iterable[dict[str, Any]]) -> None:
        """Replace all. Raises ConfigurationError for an unknown kind or field, and then changes nothing."""
        if not isinstance(rows, list | tuple):
            raise ConfigurationError("faults are a list of tables")
        self._faults = [Fault.of(row) for row in rows]

    def load(self, path: Path) -> None:
        """Read a JSON list, or TOML with [[fault]] rows. Raises NotFound, and ConfigurationError as `set` does."""
        try:
            text = path.read_text(encoding="utf-8")
            self.set(tomllib.loads(text)["fault"] if path.suffix == ".toml" else json.loads(text))
        except FileNotFoundError:
            raise NotFound(f"no fault file at {path}") from None
        except (KeyError, ValueError) as error:
            raise ConfigurationError(f"{path}: not a list of faults ({error})") from None
        except ConfigurationError as error:
            raise ConfigurationError(f"{path}: {error}") from None

    def rows(self) -> list[dict[str, Any]]:
        """Their tables, each with how often it has struck."""
        return [fault.row for fault in self._faults]

    def request(self, name: str) -> Fault | None:
        """The fault that happens to a request for `name`, a path or a method of the WebSocket API; counts it."""
        return self._first(REQUEST_KINDS, name)

    def command(self, streams: Iterable[str]) -> Fault | None:
        """The fault that happens to a subscription to `streams`; counts it."""
        return next((fault for name in streams if (fault := self._first(COMMAND_KINDS, name))), None)

    def skew_ms(self, name: str) -> int:
        """By how much the venue's clock is wrong for a request for `name`; counts it."""
        fault = self._first(CLOCK_KINDS, name)
        return 0 if fault is None else fault.skew_ms

    def on_streams(self) -> list[Fault]:
        """Those that may strike an event, or those who read it, now."""
        if not self._faults:
            return []
        now = self._market_ms()
        return [fault for fault in self._faults if fault.kind in _ON_STREAMS and fault.is_open(now)]

    def _first(self, kinds: Iterable[str], name: str) -> Fault | None:
        if not self._faults:
            return None
        now = self._market_ms()
        return next((fault for fault in self._faults if fault.kind in kinds and fault.strikes(name, now)), None)
