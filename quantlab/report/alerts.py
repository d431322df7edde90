"""What is wrong with a running engine, in words: panel and command line show the same lines."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

_STOPPED = (
    "Budget: all requests stand still until {until:%Y-%m-%d %H:%M:%S} UTC, in every process here: the exchange "
    "answered 429 (too many requests) or 418 (this address is banned). Streams go on. Ask nothing from elsewhere at "
    "this address meanwhile: that makes it longer"
)


def alerts(status: Mapping[str, Any]) -> list[str]:
    """One line for each of these that an engine's `status` tells of: the fleet or a symbol may not buy, all requests
    stand still, the clock is off, something is wrong with a key."""
    lines = []
    fleet = status.get("fleet_state") or {"state": "ACTIVE"}
    if fleet["state"] != "ACTIVE":
        lines.append(f"Fleet {fleet['state']}: {fleet['cause']}")
    lines += [f"No buys: {cause}" for cause in (status.get("halted_symbols") or {}).values()]
    stopped_until_ms = (status.get("budget") or {}).get("stopped_until_ms", 0)
    if stopped_until_ms:
        lines.append(_STOPPED.format(until=datetime.fromtimestamp(stopped_until_ms / 1000, UTC)))
    clock_alert = (status.get("clock") or {}).get("alert", "")
    if clock_alert:
        lines.append(f"Clock: {clock_alert}")
    return lines + [f"Key: {line}" for line in (status.get("keys") or {}).get("alerts", ())]
