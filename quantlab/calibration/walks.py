"""The cost of market orders by walking the books of an input log, at regular moments."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import polars as pl

from quantlab.market import Book, FrameDecoder, decode_depth
from quantlab.model import (
    DepthUpdate,
    Instrument,
    MalformedMessage,
    Quote,
    Side,
    instruments_from_exchange_info,
)
from quantlab.paper.matching import Level, far_side, walk
from quantlab.recording import Kind, Recording

#: Sizes of orders, in quote units.
SIZES = (100, 1_000, 5_000, 10_000, 50_000, 100_000)

_SCHEMA = {
    "time_ms": pl.Int64,
    "symbol": pl.String,
    "side": pl.String,
    "notional": pl.Float64,
    "spread_bps": pl.Float64,
    "cost_bps": pl.Float64,
}


def walked_costs(
    path: Path,
    *,
    sizes: Sequence[float] = SIZES,
    every_ms: int = 10_000,
    symbols: Sequence[str] = (),
    on_progress: Callable[[int], None] | None = None,
) -> pl.DataFrame:
    """What a market order of each size would have paid beyond the best price, every `every_ms` of market time.

    Columns: time_ms, symbol, side (BUY or SELL), notional (quote units), spread_bps (of mid), cost_bps (mean price of
    the walk against the best; null where the levels that are known do not hold so much). Of `symbols`, or of all that
    the log has books of. `on_progress` hears the market time now and then. Raises MalformedMessage for what is not the
    input log of a run.
    """
    entries = iter(Recording(path))
    first = next(entries, None)
    if first is None or first.kind is not Kind.ANSWER or first.name != "exchangeInfo":
        raise MalformedMessage(f"{path.name} is not the input log of a run: it does not begin with exchangeInfo")
    known = instruments_from_exchange_info(first.payload)
    wanted = {name: known[name] for name in symbols} if symbols else known
    books = {name: Book(instrument) for name, instrument in wanted.items()}
    decode = FrameDecoder(wanted).decode
    rows: list[tuple[int, str, str, float, float, float | None]] = []
    now_ms = next_ms = 0
    for entry in entries:
        if entry.kind is Kind.ANSWER:
            kind, _, symbol = entry.name.partition(":")
            if kind == "depth" and symbol in books:
                books[symbol].snapshot(decode_depth(entry.payload, wanted[symbol]), now_ms)
        if entry.kind is not Kind.FRAME:
            continue
        try:
            event = decode(entry.payload)
        except MalformedMessage:
            continue  # the book notices the hole by its update ids
        if isinstance(event, Quote):
            books[event.symbol].overlay(event)
        elif isinstance(event, DepthUpdate):
            if event.time_ms >= next_ms:
                for symbol, book in books.items():
                    rows += _costs(event.time_ms, book, wanted[symbol], sizes)
                next_ms = event.time_ms - event.time_ms % every_ms + every_ms
                if on_progress is not None:
                    on_progress(event.time_ms)
            now_ms = max(now_ms, event.time_ms)
            books[event.symbol].apply(event)
    return pl.DataFrame(rows, schema=_SCHEMA, orient="row")


def _costs(
    time_ms: int, book: Book, instrument: Instrument, sizes: Sequence[float]
) -> list[tuple[int, str, str, float, float, float | None]]:
    bid, ask = book.best_bid(), book.best_ask()
    if not book.in_sync or bid is None or ask is None:
        return []
    spread_bps = 2 * (ask[0] - bid[0]) / (ask[0] + bid[0]) * 10_000
    lot_worth = float(instrument.tick_size * instrument.step_size)
    rows = []
    for side, best in ((Side.BUY, ask[0]), (Side.SELL, bid[0])):
        levels = far_side(side, book)
        for size in sizes:
            lots = round(size / (best * lot_worth))
            if lots:
                rows.append((time_ms, book.symbol, str(side), float(size), spread_bps, _cost(side, lots, best, levels)))
    return rows


def _cost(side: Side, lots: int, best: int, levels: Sequence[Level]) -> float | None:
    taken, left = walk(side, lots, levels)
    if left:
        return None
    mean = sum(ticks * part for ticks, part in taken) / lots
    return abs(mean / best - 1) * 10_000
