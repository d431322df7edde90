"""The market behind the venue: candles, a generated world or a recording, all played through one interface."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from quantlab.venue.market.folder import open_folder
from quantlab.venue.market.generated import open_generated
from quantlab.venue.market.recorded import RecordedMarket
from quantlab.venue.market.synthetic import SyntheticMarket

__all__ = ["RecordedMarket", "SyntheticMarket", "open_market"]


def open_market(
    data: Path | None,
    *,
    exchange_info: Path | None = None,
    derive_filters: bool = False,
    seed: int = 1,
    from_ms: int | None = None,
    hours: float | None = None,
    symbols: Sequence[str] | None = None,
) -> SyntheticMarket | RecordedMarket:
    """The market to play: a folder of kline Parquet files, a recording (a file), or a generated one (`data` None).

    `exchange_info` or `derive_filters` give a folder its tick and step sizes. `from_ms` and `hours` choose the window
    (by default 24 hours; the whole of a recording). `symbols` asks for these only, and then each must be there;
    otherwise what cannot be played is listed in the market's `left_out`.

    Raises NotFound for what is not there, ConfigurationError for what is wrong, in one line each.
    """
    if data is None:
        return open_generated(seed=seed, from_ms=from_ms, hours=hours, symbols=symbols)
    if data.is_file():
        return RecordedMarket(data, exchange_info=exchange_info, from_ms=from_ms, hours=hours, symbols=symbols)
    return open_folder(
        data,
        exchange_info=exchange_info,
        derive_filters=derive_filters,
        seed=seed,
        from_ms=from_ms,
        hours=hours,
        symbols=symbols,
    )
