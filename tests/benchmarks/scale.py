"""Frames to decisions: the engine on the mix of frames that Binance sent, with 45 and with 1,000 bots, bounds on.

Beside it the floor in the same run: the same frames decoded, and full books kept, and nothing else. The frames are
those of BTCUSDT and ETHUSDT, recorded on 2024-08-08, under as many names as there are symbols; each minute of them ends
with the closing candle of every symbol. Journal and socket are left out of both.
"""

from __future__ import annotations

import gc
import json
import os
import re
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np

from quantlab.fleet.assembly import make_engine
from quantlab.fleet.replay import MemoryJournal
from quantlab.fleet.spec import FleetSpec, load_fleet
from quantlab.market import Book, FrameDecoder, decode_depth
from quantlab.model import DepthUpdate, Instrument, Quote
from tests.market.recorded import hftbacktest, instrument

MINUTE_MS = 60_000
_NAMES = ("BTCUSDT", "ETHUSDT")
_CLOSES = {"BTCUSDT": "61800", "ETHUSDT": "2680"}


def _market(
    folder: Path, symbols: list[str], seconds: int
) -> tuple[dict[str, Instrument], dict[str, bytes], list[bytes]]:
    """The rules, a depth answer and the frames of `symbols`, in time order, for so many seconds."""
    rules: dict[str, Instrument] = {}
    snapshots: dict[str, bytes] = {}
    timed: list[tuple[int, int, bytes]] = []
    for name in _NAMES:
        base = instrument(name, step="0.00001" if name == "BTCUSDT" else "0.0001")
        at_ms = first_ms = 0
        kept: list[tuple[int, bytes]] = []
        answer = b""
        for raw in hftbacktest(folder, name):
            if not raw.startswith(b'{"stream"'):
                answer = answer or raw
                continue
            if found := re.search(rb'"E":(\d+)', raw):
                at_ms = int(found[1])
                first_ms = first_ms or at_ms
            if at_ms and at_ms - first_ms < seconds * 1000:
                kept.append((at_ms, raw))
        for place, symbol in enumerate(symbols[_NAMES.index(name) :: len(_NAMES)]):
            old, new = name.encode(), symbol.encode()
            rules[symbol] = _renamed(base, symbol)
            snapshots[symbol] = answer
            timed += [
                (ms + place, len(timed), raw.replace(old, new).replace(old.lower(), new.lower())) for ms, raw in kept
            ]
    timed.sort(key=lambda each: each[:2])
    return rules, snapshots, list(_with_closes(timed, symbols))


def _renamed(base: Instrument, symbol: str) -> Instrument:
    return Instrument(
        symbol=symbol, base=symbol[:-4], quote="USDT", tick_size=base.tick_size, step_size=base.step_size,
        min_notional=Decimal(5),
    )  # fmt: skip


def _with_closes(timed: list[tuple[int, int, bytes]], symbols: list[str]) -> Iterator[bytes]:
    minute = timed[0][0] // MINUTE_MS
    for ms, _, raw in timed:
        while ms // MINUTE_MS > minute:
            for symbol in symbols:
                yield _close(symbol, minute * MINUTE_MS)
            minute += 1
        yield raw


def _close(symbol: str, open_ms: int) -> bytes:
    price = _CLOSES["BTCUSDT" if int(symbol[1:3]) % 2 == 0 else "ETHUSDT"]
    candle = f'"o":"{price}","h":"{price}","l":"{price}","c":"{price}","v":"1","x":true'
    body = f'{{"e":"kline","E":{open_ms + MINUTE_MS},"s":"{symbol}","k":{{"t":{open_ms},{candle}}}}}'
    return f'{{"stream":"{symbol.lower()}@kline_1m","data":{body}}}'.encode()


def _fleet_of(path: Path, bots: int, symbols: list[str]) -> FleetSpec:
    """The fleet file's bots over and over, dealt over `symbols`, all on one minute."""
    known = load_fleet(path)
    rows = tuple(
        replace(known.bots[n % len(known.bots)], name=f"b{n}", symbol=symbols[n % len(symbols)], timeframe="1m")
        for n in range(bots)
    )
    return replace(known, bots=rows)


def _history(symbol: str, upto_ms: int, count: int) -> bytes:
    price = _CLOSES["BTCUSDT" if int(symbol[1:3]) % 2 == 0 else "ETHUSDT"]
    rng = np.random.default_rng(int(symbol[1:3]))
    rows = []
    for n in range(count):
        open_ms = upto_ms - (count - n) * MINUTE_MS
        p = f"{float(price) * (1 + rng.normal(0, 0.001)):.2f}"
        rows.append(f'[{open_ms},"{p}","{p}","{p}","{p}","1",{open_ms + MINUTE_MS - 1}]')
    return f"[{','.join(rows)}]".encode()


def measure(folder: Path, fleet_file: Path, *, bots: int, symbols: int, seconds: int) -> dict[str, float]:
    """CPU µs a frame of floor and engine, percentiles of a frame (ms), the longest minute's closes together (ms), what
    the engine added to the memory (MiB)."""
    names = [f"S{n:02d}USDT" for n in range(symbols)]
    rules, snapshots, frames = _market(folder, names, seconds)
    fleet = _fleet_of(fleet_file, bots, names)
    before_mb = _resident_mb()
    journal = MemoryJournal()
    engine = make_engine(fleet, rules, journal, seed=1)
    engine.mark("connected", "bench")
    engine.ask()
    first_ms = int(re.search(rb'"E":(\d+)', frames[0] + frames[1] + frames[2] + frames[3])[1])  # type: ignore[index]
    for symbol in names:
        engine.answer(f"depth:{symbol}", snapshots[symbol])
        if (symbol, "1m") in engine.series:
            engine.answer(f"klines:{symbol}:1m", _history(symbol, first_ms - first_ms % MINUTE_MS, 1_000))
            engine.answer(f"whole:{symbol}:1m", b"")
    gc.collect()
    gc.freeze()
    floor_s = _floor(frames, rules, snapshots)
    spent = np.zeros(len(frames))
    clock, frame = time.perf_counter, engine.frame
    for place, raw in enumerate(frames):
        began = clock()
        frame(raw)
        spent[place] = clock() - began
    closes = np.array([b"@kline_" in raw for raw in frames])
    edges = np.flatnonzero(np.diff(closes.astype(int)) == 1)
    longest = max((float(spent[edge + 1 : edge + 1 + symbols].sum()) for edge in edges), default=0.0)
    gc.unfreeze()
    return {
        "frames": len(frames), "fills": len(journal.fills), "orders": journal.orders,
        "floor_us": floor_s / len(frames) * 1e6, "engine_us": float(spent.sum()) / len(frames) * 1e6,
        "p50_ms": float(np.percentile(spent[~closes], 50)) * 1e3,
        "p99_ms": float(np.percentile(spent[~closes], 99)) * 1e3,
        "closes_ms": longest * 1e3, "memory_mb": _resident_mb() - before_mb,
    }  # fmt: skip


def _resident_mb() -> float:
    """What this process has in memory now. Source: proc_pid_statm(5)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def _floor(frames: list[bytes], rules: dict[str, Instrument], snapshots: dict[str, bytes]) -> float:
    books = {symbol: Book(rules[symbol]) for symbol in rules}
    for symbol, book in books.items():
        book.snapshot(decode_depth(snapshots[symbol], rules[symbol]))
    decode = FrameDecoder(rules).decode
    began = time.perf_counter()
    for raw in frames:
        event: Any = decode(raw)
        if type(event) is DepthUpdate:
            books[event.symbol].apply(event)
        elif type(event) is Quote:
            books[event.symbol].overlay(event)
    return time.perf_counter() - began


def main() -> None:
    """`python -m tests.benchmarks.scale FOLDER FLEET BOTS SYMBOLS SECONDS`: one measurement, as JSON."""
    folder, fleet, bots, symbols, seconds = sys.argv[1:]
    found = measure(Path(folder), Path(fleet), bots=int(bots), symbols=int(symbols), seconds=int(seconds))
    print(json.dumps(found))


if __name__ == "__main__":
    main()
