"""The venue as a process: `quantlab venue`, by hand or as the child of a run."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from quantlab.model.errors import ConfigurationError
from quantlab.venue import keyfile
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
    hold: bool = True,
    faults: Path | None = None,
    keys: Path | None = None,
    ready_file: Path | None = None,
    end_with_parent: bool = False,
    skip_to_ms: int | None = None,
) -> None:
    """Serve on loopback until interrupted. `speed` is market seconds a second (None: as fast as the run reads).

    When listening it prints one line, and writes what it plays to `ready_file` as JSON. With `end_with_parent` it ends
    when its standard input does. Raises the taxonomy's errors for data or a port it cannot have, and when the market
    breaks while it is played. `skip_to_ms` plays the market up to that time before anybody connects: for a run that
    is resumed. `keys` is an owner-only file of API keys, as `keyfile` has it.
    """
    from quantlab.venue.market import open_market

    known = [] if keys is None else keyfile.load(keys)  # first: a market takes seconds to make
    market = open_market(
        data,
        exchange_info=exchange_info,
        derive_filters=derive_filters,
        seed=seed,
        from_ms=from_ms,
        hours=hours,
        symbols=None,
    )
    if skip_to_ms is not None:
        market.advance(min(skip_to_ms, market.end_ms), frozenset())
    venue = Venue(market, speed=speed, port=port, hold=hold)
    for key in known:
        venue.keys.add(key)
    if faults is not None:
        venue.faults.load(faults)
    asyncio.run(_serve(venue, ready_file, end_with_parent))


async def _serve(venue: Venue, ready_file: Path | None, end_with_parent: bool) -> None:
    over = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, over.set)
    if end_with_parent:
        _watch_parent(over)
    async with venue:
        left_out: dict[str, str] = getattr(venue.market, "left_out", {})
        if ready_file is not None:
            temporary = ready_file.with_suffix(".new")
            about = {**venue.clock(), "url": venue.url, "left_out": left_out}
            temporary.write_text(json.dumps(about), encoding="utf-8")
            temporary.replace(ready_file)
        market = venue.market
        count = f"{len(market.symbols)} symbols" + (f", {len(left_out)} left out" if left_out else "")
        print(f"{market.kind} market {market.name} at {venue.url}, {count}", flush=True)
        await _first(over.wait(), venue.failed())


async def _first(*waits: Coroutine[Any, Any, object]) -> None:
    """Wait for the first of `waits`; raises what it raised."""
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
    for task in done:
        task.result()


def _watch_parent(over: asyncio.Event) -> None:
    """Set `over` when standard input ends: a parent that dies closes its end of the pipe."""
    try:
        descriptor = sys.stdin.fileno()
        asyncio.get_running_loop().add_reader(descriptor, _at_end, descriptor, over)
    except (AttributeError, OSError, ValueError):
        raise ConfigurationError("--end-with-parent needs a pipe as standard input") from None


def _at_end(descriptor: int, over: asyncio.Event) -> None:
    if not os.read(descriptor, 1024):
        over.set()
