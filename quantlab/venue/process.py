"""The venue as a process: `quantlab venue`, by hand or as the child of a run."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

from quantlab.venue.server import Venue


def serve(
    *,
    data: Path | None,
    port: int,
    speed: float | None,
    exchange_info: Path | None = None,
    derive_filters: bool = False,
    from_ms: int | None = None,
    hours: float | None = None,
    seed: int = 1,
    faults: Path | None = None,
    ready_file: Path | None = None,
    end_with_parent: bool = False,
) -> None:
    """Serve on loopback until interrupted. `speed` is market seconds a second (None: as fast as the run reads).

    When listening it prints one line, and writes what it plays to `ready_file` as JSON. With `end_with_parent` it ends
    when its standard input does. Raises the taxonomy's errors for data or a port it cannot have.
    """
    from quantlab.venue.market import open_market

    market = open_market(
        data,
        exchange_info=exchange_info,
        derive_filters=derive_filters,
        seed=seed,
        from_ms=from_ms,
        hours=hours,
        symbols=None,
    )
    venue = Venue(market, speed=speed, port=port)
    if faults is not None:
        venue.faults.load(faults)
    asyncio.run(_serve(venue, ready_file, end_with_parent))


async def _serve(venue: Venue, ready_file: Path | None, end_with_parent: bool) -> None:
    over = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, over.set)
    if end_with_parent:
        loop.add_reader(sys.stdin.fileno(), _at_end, over)
    async with venue:
        about = {**venue.clock(), "url": venue.url, "left_out": getattr(venue.market, "left_out", {})}
        if ready_file is not None:
            temporary = ready_file.with_suffix(".new")
            temporary.write_text(json.dumps(about), encoding="utf-8")
            temporary.replace(ready_file)
        print(
            f"{venue.market.kind} market {venue.market.name} at {venue.url}, {len(venue.market.symbols)} symbols",
            flush=True,
        )
        await over.wait()


def _at_end(over: asyncio.Event) -> None:
    if not os.read(sys.stdin.fileno(), 1024):
        over.set()
