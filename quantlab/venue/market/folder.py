"""A folder of kline Parquet files, opened as a market: which symbols, which window, on which grid."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from quantlab.model import TIMEFRAMES, ConfigurationError, NotFound
from quantlab.model.timeframe import DAY_MS, HOUR_MS
from quantlab.venue.market.candles import CandleTable, find_files, read_table, time_span, timeframe_of, utc
from quantlab.venue.market.filters import derive_row, exchange_info_of, grids, read_exchange_info, rows_for
from quantlab.venue.market.synthetic import SyntheticMarket

DEFAULT_HOURS = 24.0
#: Kept before the window when nobody says where to begin, so that strategies can warm up.
_WARM_UP_MS = 7 * DAY_MS
#: Candles before the window that also count when tick and step are derived: a short window may show few decimals.
_DERIVE_FROM_MS = 7 * DAY_MS


def open_folder(
    folder: Path,
    *,
    exchange_info: Path | None,
    derive_filters: bool,
    seed: int,
    from_ms: int | None,
    hours: float | None,
    symbols: Sequence[str] | None,
) -> SyntheticMarket:
    """Open `folder` as a market of `hours` (24) from `from_ms` (seven days after its first candle).

    Tick and step come from `exchange_info`; with `derive_filters` from the decimals of the candles, whatever it says.

    Raises NotFound when folder, files, asked symbols or candles in the window are missing; ConfigurationError when a
    file is damaged, off the grid, or no grid is given. Symbols that nobody asked for by name are left out instead.
    """
    files = find_files(folder, symbols)
    if exchange_info is None and not derive_filters:
        raise ConfigurationError(
            f"{folder}: candles do not say their tick and step; give --exchange-info FILE, or --derive-filters"
        )
    body = None if exchange_info is None or derive_filters else read_exchange_info(exchange_info)
    base_ms = _common_timeframe(files)
    start_ms, end_ms = _window(folder, files, base_ms, from_ms, hours)

    left_out: dict[str, str] = {}
    known = grids(body) if body is not None else {}
    tables: list[CandleTable] = []
    for symbol, path in files.items():
        if body is not None and symbol not in known:
            left_out[symbol] = f"no row with filters in {exchange_info}"
            continue
        table = read_table(path, base_ms, start_ms, end_ms)
        played = table.rows(start_ms, end_ms)
        if played.start == played.stop:
            left_out[symbol] = f"no candle between {utc(start_ms)} and {utc(end_ms)}"
            continue
        tables.append(table)
    if symbols and left_out:
        raise NotFound("; ".join(f"{symbol}: {why}" for symbol, why in left_out.items()))
    if not tables:
        raise NotFound(f"{folder}: nothing to play: " + "; ".join(f"{s}: {why}" for s, why in left_out.items()))
    info = _exchange_info(body, tables, start_ms, end_ms)
    return SyntheticMarket(
        "candles", folder.name, tables, grids(info), info,
        seed=seed, start_ms=start_ms, end_ms=end_ms, left_out=left_out,
    )  # fmt: skip


def _common_timeframe(files: dict[str, Path]) -> int:
    lengths = {path: timeframe_of(path) for path in files.values()}
    if len(set(lengths.values())) > 1:
        names = {length: name for name, length in TIMEFRAMES.items()}
        (first, one), (second, other) = sorted(
            ((path, length) for path, length in lengths.items()), key=lambda entry: entry[1]
        )[:: len(lengths) - 1]
        raise ConfigurationError(
            f"{first.parent}: {first.name} has {names[one]} candles and {second.name} {names[other]}; "
            "one folder holds one timeframe"
        )
    return next(iter(lengths.values()))


def _window(
    folder: Path, files: dict[str, Path], base_ms: int, from_ms: int | None, hours: float | None
) -> tuple[int, int]:
    """Start and end of what is played, on whole candles."""
    spans = [span for span in map(time_span, files.values()) if span[1] >= 0]
    if not spans:
        raise NotFound(f"{folder}: no candles in any file")
    first, last = min(span[0] for span in spans), max(span[1] for span in spans) + base_ms
    length = int((DEFAULT_HOURS if hours is None else hours) * HOUR_MS)
    if length < base_ms:
        raise ConfigurationError(f"{hours} hours are less than one candle of {base_ms // 60_000} minutes")
    if from_ms is None:
        from_ms = first + _WARM_UP_MS if first + _WARM_UP_MS + length <= last else first
        midnight = -(-from_ms // DAY_MS) * DAY_MS
        from_ms = midnight if midnight + length <= last else from_ms
    start_ms = from_ms - from_ms % base_ms
    if not first <= start_ms < last:
        raise NotFound(f"{folder}: no candle at {utc(start_ms)}; it holds {utc(first)} to {utc(last)}")
    return start_ms, min(last, start_ms + length - length % base_ms)


def _exchange_info(
    body: dict[str, Any] | None, tables: Sequence[CandleTable], start_ms: int, end_ms: int
) -> dict[str, Any]:
    if body is not None:
        return rows_for(body, [table.symbol for table in tables])
    return exchange_info_of([derive_row(table, start_ms - _DERIVE_FROM_MS, end_ms) for table in tables], start_ms)
