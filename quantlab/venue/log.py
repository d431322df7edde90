"""Everything the venue was asked, in order: a leaked order is seen here."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

from quantlab.venue.masking import masked, names_in

#: What could move money, whether the venue knows it or not.
_ORDER = re.compile(r"order|cancel|withdraw|transfer|convert|borrow|repay|loan|margin", re.IGNORECASE)
_METHOD = re.compile(r'"method"\s*:\s*"([^"]*)"')
_ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})")
#: Methods of the WebSocket API that name orders and only read.
_READS = frozenset(
    "order.status openOrders.status allOrders orderList.status openOrderLists.status allOrderLists "
    "account.rateLimits.orders order.amendments".split()
)
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_MOST_TEXT = 4_000


class RequestLog:
    """Each line: seq, wall_ms, market_ms, kind ("rest", "ws" for an opened socket, "frame"), method, path, query,
    weight, signed, has_key, key (the API key's fingerprint), status, text (of a frame), order (whether it could have
    moved money).

    Signatures and API keys are not kept, wherever they stood.
    """

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
        key: str = "",
        status: int = 0,
        text: str = "",
    ) -> None:
        """Add a line; `key` is the fingerprint of the API key that came with it."""
        self._lines.append(
            {
                "seq": self._cleared + len(self._lines) + 1,
                "wall_ms": time.time_ns() // 1_000_000,
                "market_ms": self._market_ms(),
                "kind": kind,
                "method": masked(method),
                "path": masked(path),
                "query": masked(query),
                "weight": weight,
                "signed": signed,
                "has_key": bool(key),
                "key": key,
                "status": status,
                "text": masked(text)[:_MOST_TEXT],
                "order": is_order(kind, method, text),
            }
        )

    def add_frame(self, path: str, data: str | bytes, *, weight: int = 0, status: int = 0) -> None:
        """A message that a client sent on a socket, text or binary."""
        text = data if isinstance(data, str) else data.decode("utf-8", "replace")
        signed, key = names_in(text)
        methods = _METHOD.findall(_unescaped(text))
        self.add(
            "frame",
            methods[-1] if methods else "?",
            path,
            weight=weight,
            signed=signed,
            key=key,
            status=status,
            text=text,
        )

    def lines(self, after: int = 0) -> list[dict[str, Any]]:
        """Lines with a `seq` above `after`."""
        return self._lines[max(0, after - self._cleared) :]

    def clear(self) -> None:
        """Forget the lines; numbers go on."""
        self._cleared += len(self._lines)
        self._lines.clear()

    def report(self, after: int = 0) -> dict[str, Any]:
        """Lines and their totals."""
        lines = self.lines(after)
        return {
            "requests": lines,
            "count": len(lines),
            "order_requests": sum(line["order"] for line in lines),
            "signed": sum(line["signed"] for line in lines),
            "weight": sum(line["weight"] for line in lines),
        }


def is_order(kind: str, method: str, text: str = "") -> bool:
    """Whether a line could have moved money: a REST request that is no read, a frame whose method names such a deed.

    Where a frame names several methods each counts, and where it names none its whole text does.
    """
    if kind != "frame":
        return method not in _SAFE_METHODS
    plain = _unescaped(text)
    methods = _METHOD.findall(plain) or [plain]
    return any(_ORDER.search(name) is not None and name not in _READS for name in methods)


def _unescaped(text: str) -> str:
    """`text` with JSON's unicode escapes undone: "\\u006frder" is an order too."""
    return _ESCAPE.sub(lambda match: chr(int(match[1], 16)), text)
