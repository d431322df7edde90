"""Checks of what is about to trade: on paper, with a clock that agrees, and rehearsed before money is at stake."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from quantlab.exchange import Door, DoorConfig
from quantlab.exchange.custody import door_to
from quantlab.ledger import Ledger
from quantlab.ledger.rehearsal import REHEARSAL_DAYS, paper_record
from quantlab.model.errors import QuantlabError
from quantlab.preflight.facts import Facts
from quantlab.preflight.result import Check, Found, severities
from quantlab.vault.rows import UNREACHABLE

#: Binance refuses a stamp that is 1 s ahead of its clock. Source: Binance spot REST docs, "Timing security", checked
#: 2026-11-23.
_GOOD_MS, _LIMIT_MS = 500.0, 1000.0
_SET_CLOCK = "have the system keep time (`timedatectl set-ntp true`), then look again"


def _on_paper(facts: Facts) -> Found:
    if facts.settings.execution == "live":
        return Found("pass", f"QUANTLAB_EXECUTION=live on {facts.settings.market}: orders leave once they are armed")
    return Found("pass", f"QUANTLAB_EXECUTION={facts.settings.execution}: orders are filled here and never leave")


def _clock(facts: Facts) -> Found:
    if not facts.ask_exchange:
        return Found("unknown", "the exchange was not asked (offline)", "`quantlab preflight` without --offline")
    config = door_to(facts.hasty, facts.environment)
    if config is None:
        return Found("not applicable", "a replay starts its own exchange, on this machine's clock")
    _ = facts.audits  # each reads the exchange's clock on the way
    skew_ms = facts.custodian.clock_skew_ms
    if skew_ms is None:
        silent = [audited.seen for audited in facts.audits if audited.seen and audited.seen.status == UNREACHABLE]
        if silent:
            return Found("unknown", f"the exchange does not answer: {silent[0].detail}", "look at the connection")
        try:
            skew_ms = _asked(facts, config)
        except QuantlabError as error:
            return Found("unknown", f"the exchange does not answer: {error}", "look at the connection")
    words = f"this machine is {abs(skew_ms):.0f} ms {'ahead of' if skew_ms > 0 else 'behind'} {config.address}"
    if abs(skew_ms) < _GOOD_MS:
        return Found("pass", words)
    if abs(skew_ms) < _LIMIT_MS:
        return Found("fail", words, _SET_CLOCK, severities("alert", "alert", "alert"))
    return Found("fail", words, _SET_CLOCK)


def _asked(facts: Facts, config: DoorConfig) -> float:
    """Our wall clock minus the exchange's, ms. What leaves for it is written down as everything that leaves is."""
    rows: list[dict[str, Any]] = []
    try:
        with ThreadPoolExecutor(1, thread_name_prefix="preflight") as pool:  # a notebook's kernel has a loop already
            return pool.submit(asyncio.run, _read_clock(config, rows)).result()
    finally:
        if rows:
            with Ledger.open(facts.settings.home) as ledger:
                for row in rows:
                    ledger.log_egress(row)


async def _read_clock(config: DoorConfig, rows: list[dict[str, Any]]) -> float:
    """Asked twice: the first answer pays for the connection, the second measures."""
    async with Door(replace(config, total_s=config.timeout_s), rows.append) as door:
        await door.rest.server_time_ms()
        before_ms = time.time_ns() / 1e6
        began_s = time.monotonic()
        server_ms = await door.rest.server_time_ms()
        round_trip_ms = (time.monotonic() - began_s) * 1000
    return before_ms + round_trip_ms / 2 - server_ms


def _rehearsed(facts: Facts) -> Found:
    mend = f"let the fleet run on paper on mainnet prices for {REHEARSAL_DAYS:g} days, then `quantlab verify`"
    record = paper_record(facts.settings.home, facts.fleet_sha256)
    return Found("pass", record.words) if record.ok else Found("fail", record.words, mend)


CHECKS = (
    Check(
        "paper-mode",
        "Orders stay on paper",
        "an order that leaves by mistake is money",
        severities("block", "block", "block"),
        _on_paper,
    ),
    Check(
        "clock",
        "Clock agrees with the exchange",
        "a request with a stamp of another time is refused, and times in reports would be wrong",
        severities("alert", "block", "block"),
        _clock,
    ),
    Check(
        "tested-on-paper",
        "Tested on paper before live",
        "what was never watched for a week will surprise with real money",
        severities("info", "info", "block"),
        _rehearsed,
    ),
)
