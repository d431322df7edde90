"""The manifest of a run: what one needs to run it again and get the same fills."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import msgspec

from quantlab.exchange.walls.seal import MEANING, is_sealed
from quantlab.fleet.plan import RunPlan
from quantlab.fleet.spec import FleetSpec
from quantlab.model import Source
from quantlab.strategies import source_sha256

#: The packages whose versions can change a number in a run.
_PACKAGES = ("quantlab", "ccxt", "aiohttp", "msgspec", "numpy", "polars")

#: How orders are filled, in one paragraph: it stands in every manifest and report.
FILL_CONVENTION = (
    "Market orders are decided at a candle's close, reach the book after a drawn latency, and walk the displayed "
    "depth; what lies beyond the displayed levels expires. Resting orders queue behind the displayed quantity and "
    "advance by trades only. What one bot takes is gone for the others until the market shows the level anew, unless "
    "the fleet file says otherwise. Fees are taken in the asset received. Equity is marked at the bid; open positions "
    "are not closed at the end. The market does not answer to the orders."
)
#: The same for a run whose orders left.
LIVE_CONVENTION = (
    "Orders went to the exchange and were filled there, against whatever stood in its book. A market buy left as a "
    "limit that takes at once or expires. Fees are those that the exchange reported. Equity is marked at the bid; open "
    "positions are not closed at the end."
)


def manifest(plan: RunPlan, source: Source) -> dict[str, Any]:
    """Versions, settings without secrets, hashes and seed of a run."""
    fleet = plan.fleet
    sealed = is_sealed()
    return {
        "run_id": plan.run_id,
        "versions": versions(),
        "settings": plan.settings.public(),
        "source": msgspec.to_builtins(source),
        "seed": plan.seed,
        "length_ms": plan.length_ms,
        "fleet": {"name": fleet.name, "sha256": fleet.sha256, "bots": len(fleet.bots)},
        "strategies": _strategies(fleet),
        "fill_convention": FILL_CONVENTION if plan.execution is None else LIVE_CONVENTION,
        "paper": fleet.paper.described() if plan.execution is None else None,
        "preflight": plan.preflight,
        "sealed": sealed,
        "seal": MEANING if sealed else None,
    }


def versions() -> dict[str, str]:
    return {"python": platform.python_version()} | {name: version(name) for name in _PACKAGES}


def _strategies(fleet: FleetSpec) -> Mapping[str, str]:
    """SHA-256 of the source of each strategy in use."""
    return {spec.strategy: source_sha256(spec.make_strategy()) for spec in fleet.bots}
