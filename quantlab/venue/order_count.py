"""The unfilled order count of the account, by the wall clock's intervals.

Source: Binance spot REST docs, "Unfilled order count", and FAQ "Spot unfilled order count rules", checked 2026-11-23.
An order's first fill takes one away from each interval; that some fills take away more is left out.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from quantlab.venue.errors import VenueError

_SECONDS = {"SECOND": 1, "MINUTE": 60, "HOUR": 3_600, "DAY": 86_400}


class OrderCount:
    """`limits` are the ORDERS rows of exchangeInfo's `rateLimits`."""

    def __init__(self, limits: Iterable[Mapping[str, Any]], wall: Callable[[], float] = time.time) -> None:
        self._limits = [dict(row) for row in limits if row["rateLimitType"] == "ORDERS"]
        self._wall = wall
        self._counts = [(-1, 0)] * len(self._limits)  # (interval, orders placed in it)

    def take(self, orders: int) -> None:
        """Count new orders. Raises VenueError 429 (-1015) with Retry-After where they are too many, and counts none."""
        now = self._wall()
        for row, count in zip(self._limits, self._now(now), strict=True):
            if count + orders > row["limit"]:
                words = f"Too many new orders; current limit is {row['limit']} orders per {_span(row)}."
                retry_s = _length_s(row) - int(now % _length_s(row))
                raise VenueError(-1015, words, 429, {"Retry-After": str(retry_s)})
        self._change(now, orders)

    def filled(self) -> None:
        """An order had its first fill."""
        self._change(self._wall(), -1)

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The limits and what is used of them."""
        return [{**row, "count": count} for row, count in zip(self._limits, self._now(self._wall()), strict=True)]

    def _now(self, now: float) -> list[int]:
        return [
            count if interval == int(now // _length_s(row)) else 0
            for row, (interval, count) in zip(self._limits, self._counts, strict=True)
        ]

    def _change(self, now: float, by: int) -> None:
        self._counts = [
            (int(now // _length_s(row)), max(0, count + by))
            for row, count in zip(self._limits, self._now(now), strict=True)
        ]


def _length_s(row: Mapping[str, Any]) -> int:
    return _SECONDS[row["interval"]] * int(row["intervalNum"])


def _span(row: Mapping[str, Any]) -> str:
    return f"{row['intervalNum']} {row['interval']}"
