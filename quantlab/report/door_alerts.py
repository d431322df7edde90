"""What is wrong between a running engine and the exchange, in words: panel and command line show the same lines."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

_STOPPED = (
    "Budget: all requests stand still until {until:%Y-%m-%d %H:%M:%S} UTC, in every process here: the exchange "
    "answered 429 (too many requests) or 418 (this address is banned). Streams go on. Ask nothing from elsewhere at "
    "this address meanwhile: that makes it longer"
)


def door_alerts(status: Mapping[str, Any]) -> list[str]:
    """One line for each of these that an engine's `status` tells of: all requests stand still; the clock is off."""
    lines = []
    stopped_until_ms = (status.get("budget") or {}).get("stopped_until_ms", 0)
    if stopped_until_ms:
        lines.append(_STOPPED.format(until=datetime.fromtimestamp(stopped_until_ms / 1000, UTC)))
    clock_alert = (status.get("clock") or {}).get("alert", "")
    if clock_alert:
        lines.append(f"Clock: {clock_alert}")
    return lines
