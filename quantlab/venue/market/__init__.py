"""The market behind the venue: candles, a generated world or a recording, all played through one interface."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from quantlab.venue.market.folder import open_folder
from quantlab.venue.market.generated import open_generated
from quantlab.venue.market.synthetic import SyntheticMarket

__all__ = ["SyntheticMarket", "open_market"]


def open_market(
    data: Path | None,
    *,
    exchange_info: Path | None = None,
    derive_filters: bool = False,
    seed: int = 1,
    from_ms: int | None = None,
    hours: float | None = None,
    symbols: Sequence[str] | None = None,
) -> SyntheticMarket:
    if data is None:
        return open_generated(seed=seed, from_ms=from_ms, hours=hours, symbols=symbols)
    return open_folder(
        data, exchange_info=exchange_info, derive_filters=derive_filters, seed=seed, from_ms=from_ms, hours=hours,
        symbols=symbols,
    )  # fmt: skip
