"""Everything the venue was asked, in order: a leaked order is seen here."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

#: What could move money, whether the venue knows it or not.
_ORDER = re.compile(r"order|cancel|withdraw|transfer|convert|borrow|repay|loan|margin", re.IGNORECASE)


class RequestLog:
    """Each line: seq, wall_ms, market_ms, kind (rest, ws, frame), method, path, query, weight, signed, has_key,
    status."""

    def __init__(self, market_ms: Callable[[], int]) -> None:
        self._market_ms = market_ms
        self._lines: list[dict[str, Any]] = []
        self._cleared = 0

    def add(
        self,
        kind: str,
        method: str,
        path: str,
        *,
        query: str = "",
        weight: int = 0,
        signed: bool = False,
        has_key: bool = False,
        status: int = 0,
        text: str = "",
    ) -> None:
        self._lines.append(
            {
                "seq": self._cleared + len(self._lines) + 1,
                "wall_ms": time.time_ns() // 1_000_000,
                "market_ms": self._market_ms(),
                "kind": kind,
                "method": method,
                "path": path,
                "query": query,
                "weight": weight,
                "signed": signed,
                "has_key": has_key,
                "status": status,
                "text": text,
                "order": is_order(kind, method, path, text),
            }
        )

    def lines(self, after: int = 0) -> list[dict[str, Any]]:
        return [line for line in self._lines if line["seq"] > after]

    def clear(self) -> None:
        self._cleared += len(self._lines)
        self._lines.clear()

    def report(self, after: int = 0) -> dict[str, Any]:
        lines = self.lines(after)
        return {
            "requests": lines,
            "count": len(lines),
            "order_requests": sum(line["order"] for line in lines),
            "signed": sum(line["signed"] for line in lines),
            "weight": sum(line["weight"] for line in lines),
        }


def is_order(kind: str, method: str, path: str, text: str) -> bool:
    """Whether a line could have moved money: any REST request that is no read, any frame that is no subscription."""
    if kind == "frame":
        return _ORDER.search(text) is not None
    return method != "GET" or (_ORDER.search(path) is not None and "test" not in path and kind == "rest")
