"""The count and the log of everything that left, and of everything that was refused."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

import msgspec

from quantlab.exchange.rules import looks_like_order

_log = logging.getLogger(__name__)

_COUNTS = ("asked", "sent", "shared", "kept", "weight")


Egress = Callable[[dict[str, Any]], object]


def unwritten(entry: dict[str, Any]) -> None:
    """Without a journal the counters are all that stays."""


class EgressLog:
    """Counts requests and hands a row for each to `write`: wall_ms, method, host, path, weight, status (0 when no
    answer came), verdict ("sent", "unreachable", "refused") and detail."""

    def __init__(self, write: Egress) -> None:
        self._write = write
        self._by_endpoint: dict[str, dict[str, int]] = {}
        self.order_requests = 0
        self.refusals = 0
        self.stream_connects = 0
        self.stream_commands = 0

    def asked(self, path: str, outcome: str = "", *, method: str = "GET") -> None:
        """A caller's question; `outcome` "shared" or "kept" where it cost nothing."""
        counts = self._counts(method, path)
        counts["asked"] += 1
        if outcome:
            counts[outcome] += 1

    def sent(self, host: str, path: str, weight: int, status: int, detail: str, *, method: str = "GET") -> None:
        """A REST request that reached the wire, whatever came back."""
        counts = self._counts(method, path)
        counts["sent"] += 1
        counts["weight"] += weight
        self.order_requests += looks_like_order(method, path)
        self._row(method, host, path, weight, status, "sent", detail)

    def unreachable(self, host: str, path: str, detail: str, *, method: str = "GET") -> None:
        """An attempt whose connection was never made: nothing left."""
        self._row(method, host, path, 0, 0, "unreachable", detail)

    def connected(self, host: str, path: str) -> None:
        self.stream_connects += 1
        self.order_requests += looks_like_order("GET", path)
        self._row("GET", host, path, 0, 101, "sent", "stream opened")

    def command(self, host: str, frame: bytes) -> None:
        """A stream frame that went out (pings and pongs are not written down)."""
        command = msgspec.json.decode(frame)
        method, streams = str(command["method"]), [str(name) for name in command.get("params", ())]
        self.stream_commands += 1
        self.order_requests += looks_like_order(method, "/stream")
        self._row(method, host, "/stream", 0, 0, "sent", " ".join(streams))

    def refused(self, method: str, host: str, path: str, why: str) -> None:
        """Something the guard kept from leaving."""
        self.refusals += 1
        _log.warning("refused before the socket: %s %s%s: %s", method, host, path, why)
        self._row(method, host, path, 0, 0, "refused", why)

    def counters(self) -> dict[str, Any]:
        """Totals, and the same by endpoint; `order_requests` counts what reached the wire and must be 0."""
        totals = {name: sum(counts[name] for counts in self._by_endpoint.values()) for name in _COUNTS}
        return {
            **totals,
            "order_requests": self.order_requests,
            "refused": self.refusals,
            "stream_connects": self.stream_connects,
            "stream_commands": self.stream_commands,
            "by_endpoint": {name: dict(counts) for name, counts in sorted(self._by_endpoint.items())},
        }

    def _counts(self, method: str, path: str) -> dict[str, int]:
        return self._by_endpoint.setdefault(f"{method} {path}", dict.fromkeys(_COUNTS, 0))

    def _row(self, method: str, host: str, path: str, weight: int, status: int, verdict: str, detail: str) -> None:
        self._write(
            {
                "wall_ms": time.time_ns() // 1_000_000,
                "method": method,
                "host": host,
                "path": path,
                "weight": weight,
                "status": status,
                "verdict": verdict,
                "detail": detail,
            }
        )
