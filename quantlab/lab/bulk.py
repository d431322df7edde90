"""Whole months of candles from Binance's archive into the history, each checked against its SHA-256."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from quantlab.exchange.archive import ARCHIVE, Archive, month_path
from quantlab.exchange.outside import outside_any_loop
from quantlab.lab.egress import LabEgress
from quantlab.market.history import History, read_file
from quantlab.model import ConfigurationError, NotFound

#: For one file: a slow line takes a minute for the longest.
_TIMEOUT_S = 300.0


def bulk(
    history: History,
    home: Path,
    symbols: Sequence[str],
    timeframe: str,
    from_ms: int,
    to_ms: int,
    *,
    now_ms: int,
    address: str = ARCHIVE,
    on_progress: Callable[[str, int, int], None] | None = None,
) -> dict[str, int]:
    """The whole months between `from_ms` and `to_ms` that the archive has and the history has not. Interrupted, it goes
    on with the month it was at. Returns how many candles are new by symbol. What leaves is in the egress log of `home`.
    Raises ConfigurationError for a wrong checksum, NotFound where the archive has none of the months,
    ExchangeUnreachable."""
    months = whole_months(from_ms, min(to_ms, now_ms))
    if not months:
        raise ConfigurationError("there is no whole month in that span: pull it without the archive")
    egress = LabEgress(home)
    try:
        return outside_any_loop(
            _bulk(history, Archive(address, _TIMEOUT_S, egress.write), symbols, timeframe, months, now_ms, on_progress)
        )
    finally:
        egress.close()


def whole_months(from_ms: int, to_ms: int) -> list[tuple[int, int]]:
    """(year, month) of each month that begins at `from_ms` or later and is over at `to_ms`."""
    first = datetime.fromtimestamp(from_ms / 1000, UTC)
    year, month = first.year, first.month
    if _begin_ms(year, month) < from_ms:
        year, month = _next(year, month)
    found = []
    while _begin_ms(*_next(year, month)) <= to_ms:
        found.append((year, month))
        year, month = _next(year, month)
    return found


async def _bulk(
    history: History, archive: Archive, symbols: Sequence[str], timeframe: str, months: Sequence[tuple[int, int]],
    now_ms: int, on_progress: Callable[[str, int, int], None] | None,
) -> dict[str, int]:  # fmt: skip
    new = dict.fromkeys(symbols, 0)
    async with archive:
        for symbol in symbols:
            known, there = _sources(history, symbol, timeframe), 0
            for number, (year, month) in enumerate(months, 1):
                path = month_path(symbol, timeframe, year, month)
                name = Path(path).name
                if name in known:
                    there += 1
                else:
                    summed = await archive.read(f"{path}.CHECKSUM")
                    zipped = await archive.read(path) if summed is not None else None
                    if summed is not None and zipped is not None:
                        new[symbol] += await asyncio.to_thread(_kept, history, name, zipped, summed, now_ms)
                        there += 1
                if on_progress is not None:
                    on_progress(symbol, number, len(months))
            if not there:
                raise NotFound(f"the archive has no {timeframe} candles of {symbol} in these months")
    return new


def _kept(history: History, name: str, zipped: bytes, summed: bytes, now_ms: int) -> int:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(zipped)
        path.with_name(f"{name}.CHECKSUM").write_bytes(summed)
        found = read_file(path)
        return history.add(
            found.symbol, found.timeframe, found.frame, source=name, sha256=found.sha256, now_ms=now_ms
        )  # fmt: skip


def _sources(history: History, symbol: str, timeframe: str) -> set[str]:
    try:
        return set(history.sources(symbol, timeframe))
    except NotFound:
        return set()


def _next(year: int, month: int) -> tuple[int, int]:
    return (year + 1, 1) if month == 12 else (year, month + 1)


def _begin_ms(year: int, month: int) -> int:
    return int(datetime(year, month, 1, tzinfo=UTC).timestamp() * 1000)
