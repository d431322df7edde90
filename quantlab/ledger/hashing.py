"""One hash over the fills of a run: two runs with the same hash did the same, to the last digit."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from decimal import Decimal

from quantlab.model import Fill


def fills_sha256(fills: Iterable[Fill]) -> str:
    """SHA-256 over the fills sorted by (engine time, bot index, fill number), one line each, ended by a newline:
    `bot,symbol,side,price,quantity,fee,fee asset,engine time` with plain decimals without trailing zeros and the time
    in integer ms."""
    digest = hashlib.sha256()
    for fill in sorted(fills, key=lambda fill: (fill.time_ms, fill.bot, fill.number)):
        amounts = f"{plain(fill.price)},{plain(fill.quantity)},{plain(fill.fee)}"
        line = f"{fill.bot},{fill.symbol},{fill.side.value},{amounts},{fill.fee_asset},{fill.time_ms}\n"
        digest.update(line.encode())
    return digest.hexdigest()


def plain(value: Decimal) -> str:
    """`value` without exponent and without trailing zeros; zero has no sign."""
    text = f"{value:f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text == "-0" else text
