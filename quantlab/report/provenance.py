"""How a run was made, and what it does not show: fill convention, limits of the simulator, seed, hashes, versions."""

from __future__ import annotations

import html
from collections.abc import Iterable
from typing import Any

from quantlab.report.data import RunData
from quantlab.report.sections import Block

#: What no figure above contains, whatever the market.
LIMITS = (
    "No order was sent: nobody reacted to these orders, and they took no liquidity from anybody else.",
    "The queue in front of a resting order is estimated from displayed quantities.",
    "Withdrawals, deposits, taxes, the time to move money and an exchange's outages are not simulated.",
    "One window of one market is one sample: it says little about the next.",
)
#: What follows from where the prices came from.
_SOURCE_LIMITS = {
    "generated": ("All prices are made up. They show that the machinery works, and nothing about any market.",),
    "candles": (
        "Prices inside each candle, books and trades are synthesised: spreads and slippage follow the synthesiser.",
    ),
    "recording": ("Prices are recorded: the fills are what this model makes of that day.",),
    "mainnet": (),
    "testnet": ("Prices of the test network are not those of the market.",),
}


def convention(run: RunData) -> Block:
    """How orders were filled, and what the simulator leaves out."""
    convention = run.manifest.get("fill_convention", "")
    limits = "".join(f"<li>{html.escape(line)}</li>" for line in (*LIMITS, *_SOURCE_LIMITS.get(run.source.kind, ())))
    return Block(f"<p>{html.escape(convention)}</p><ul>{limits}</ul>")


def settings(run: RunData) -> Block:
    """What the run was made with: seed, hashes, versions and settings without secrets."""
    row = run.row
    facts: list[tuple[str, Any]] = [
        ("run", run.run_id),
        ("source", f"{run.label} ({run.source.kind})"),
        ("fleet", f"{row.fleet_name}, SHA-256 {row.fleet_sha256}"),
        ("seed", row.seed),
        ("fills, SHA-256", run.summary.get("fills_sha256", "the run did not end")),
        ("events", f"{run.summary.get('events', 0):,} at {run.summary.get('events_per_second', 0):,} a second"),
        (
            "wall time",
            f"{run.summary.get('wall_seconds', 0):,} s, peak memory {run.summary.get('peak_rss_mb', 0):,} MB",
        ),
        ("fills assume", ", ".join(f"{name} {value}" for name, value in (run.manifest.get("paper") or {}).items())),
        ("sealed", run.manifest.get("seal") or "no: the guard and the wall inside the process kept orders in"),
        ("versions", ", ".join(f"{name} {version}" for name, version in run.versions.items())),
        ("settings", ", ".join(f"{name} {_plain(value)}" for name, value in run.manifest_settings.items())),
    ]
    rows = "".join(
        f'<tr><td>{html.escape(name)}</td><td class="ql-wrap">{html.escape(str(value))}</td></tr>'
        for name, value in facts
    )
    return Block(f'<div class="ql-scroll"><table class="ql-table"><tbody>{rows}</tbody></table></div>')


def _plain(value: Any) -> str:
    if isinstance(value, Iterable) and not isinstance(value, str):
        return " ".join(str(part) for part in value) or "none"
    return str(value)
