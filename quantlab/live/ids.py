"""Names of orders at the exchange. They follow from the intent alone, so that a restart finds what it had sent."""

from __future__ import annotations

import hashlib
import re

_NAME = re.compile(r"ql([0-9a-f]{12})-(\d{1,6})-(\d{1,9})")


def run_key(run_id: str, created_ms: int) -> str:
    """What tells a run's orders from those of all others, on this account and on any machine."""
    return hashlib.sha256(f"{run_id}\n{created_ms}".encode()).hexdigest()[:12]


def client_id(key: str, bot: int, number: int) -> str:
    """The client order id of an intent: at most 32 characters of those that Binance takes ([a-zA-Z0-9-_]{1,36})."""
    return f"ql{key}-{bot}-{number}"


def intent_of(name: str, key: str) -> tuple[int, int] | None:
    """(bot, number) of an order of the run `key`; None for the orders of others."""
    found = _NAME.fullmatch(name)
    return (int(found[2]), int(found[3])) if found and found[1] == key else None
