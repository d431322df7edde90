"""`quantlab latency`: how long a question takes to the exchange and back from here, as lines for a fleet file."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from statistics import median
from typing import TYPE_CHECKING, Annotated, Any

import typer

from quantlab.cli.output import Json, emit

if TYPE_CHECKING:
    from quantlab.exchange import Door

#: Between two questions: weight 1 each, and no queue of our own in what is measured.
_PAUSE_S = 0.1


def latency(
    samples: Annotated[int, typer.Option(help="Round trips to measure, weight 1 each.", min=21, max=1000)] = 100,
    as_json: Json = False,
) -> None:
    """Measure round trips to the exchange, as a line for a fleet file's [paper] table.

    What is measured is a read. Order latency cannot be measured without sending orders: it is a proxy, and the receipts
    of a run that uses it say so.
    """
    from quantlab.cli.progress import counting
    from quantlab.lab.reader import MarketReader
    from quantlab.paper import MeasuredLatency
    from quantlab.settings import load_settings

    reader = MarketReader(load_settings())
    try:
        with counting("round trips", quiet=as_json) as show:
            trips = reader.ask(lambda door: _measure(door, samples, show))
        quantiles = MeasuredLatency.of(trips).round_trips_ms
        label = reader.label
    finally:
        reader.close()
    words = f"[paper]  # {samples} reads, {label}, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC: a proxy for orders\n"
    words += f"round_trips_ms = [{', '.join(f'{each:g}' for each in quantiles)}]"
    emit({"samples": samples, "median_ms": round(median(trips), 2), "round_trips_ms": list(quantiles)}, as_json, words)


async def _measure(door: Door, samples: int, show: Any) -> list[float]:
    """Round trips in ms. The first one opens the connection and does not count."""
    await door.rest.read_clock()
    trips = []
    for count in range(samples):
        reading = await door.rest.read_clock()
        trips.append((reading.answered_s - reading.sent_s) * 1000)
        if show is not None:
            show(count + 1, samples)
        await asyncio.sleep(_PAUSE_S)
    return trips
