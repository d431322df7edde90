"""Many combinations of parameters over the same candles: made ready once, in chunks, on the threads of this machine or
on a cluster.

A chunk is evaluated in one polars query, which computes what its strategies have in common once, and then simulated
one combination after the other. Only what is made of each result comes back.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from quantlab.backtest.engine import Stage, answers, run
from quantlab.backtest.plan import Conventions, Plan
from quantlab.backtest.records import Floats
from quantlab.backtest.result import Metrics, Result

T = TypeVar("T")

#: Bytes of target exposures that a chunk may hold at a time.
_CHUNK_BYTES = 64_000_000
_MOST_A_CHUNK = 64


class Cluster(Protocol):
    """What a Dask client offers, as far as it is needed here."""

    def scatter(self, data: Any, *, broadcast: bool = ...) -> Any: ...
    def submit(self, function: Callable[..., Any], /, *arguments: Any, pure: bool = ...) -> Any: ...


class Trial(NamedTuple):
    """One combination: its figures, and the returns of its samples, (samples,)."""

    metrics: Metrics
    returns: Floats


def trial_of(result: Result) -> Trial:
    return Trial(result.metrics, result.returns)


@dataclass(frozen=True)
class Job(Generic[T]):
    """What all chunks share. `begin` is the first bar that is traded, the same for all combinations, so that they
    compare. `digest` makes of each result (figures, no tables) what is to come back."""

    stage: Stage
    conventions: Conventions
    begin: int
    sample_ms: int
    digest: Callable[[Result], T]


def evaluate(job: Job[T], combinations: Sequence[Sequence[Plan]]) -> list[T]:
    """Each combination, one plan a symbol, over the candles of `job`. Raises ConfigurationError."""
    stage = job.stage
    return [
        job.digest(run(stage, plans, job.conventions, market, job.begin, job.sample_ms, source="", keep=False))
        for plans, market in zip(combinations, answers(stage, combinations), strict=True)
    ]


def evaluate_all(
    job: Job[T],
    combinations: Sequence[Sequence[Plan]],
    *,
    client: Cluster | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> list[T]:
    """All combinations, in their order, on every core of this machine, or on the cluster of `client` (a
    `distributed.Client`). `on_progress` is called with how many are done and how many there are."""
    bars = len(job.stage.market.times)
    cores = os.cpu_count() or 1
    fair = -(-len(combinations) // (2 * cores))
    size = max(1, min(_MOST_A_CHUNK, _CHUNK_BYTES // (8 * bars * len(job.stage.frames)), fair))
    chunks = [combinations[start : start + size] for start in range(0, len(combinations), size)]
    done: dict[int, list[T]] = {}
    for number, found in _on_threads(job, chunks, cores) if client is None else _on_cluster(job, chunks, client):
        done[number] = found
        if on_progress is not None:
            on_progress(sum(map(len, done.values())), len(combinations))
    return [each for number in range(len(chunks)) for each in done[number]]


def _on_threads(job: Job[T], chunks: Sequence[Any], cores: int) -> Iterator[tuple[int, list[T]]]:
    if len(chunks) == 1 or cores == 1:
        yield from ((number, evaluate(job, chunk)) for number, chunk in enumerate(chunks))
        return
    with ThreadPoolExecutor(cores, thread_name_prefix="sweep") as pool:
        waiting: Mapping[Future[list[T]], int] = {
            pool.submit(evaluate, job, chunk): number for number, chunk in enumerate(chunks)
        }
        left = set(waiting)
        try:
            while left:
                done, left = wait(left, return_when=FIRST_COMPLETED)
                yield from ((waiting[each], each.result()) for each in done)
        finally:
            pool.shutdown(cancel_futures=True)


def _on_cluster(job: Job[T], chunks: Sequence[Any], client: Cluster) -> Iterator[tuple[int, list[T]]]:
    """The candles travel once to each worker."""
    sent = client.scatter(job, broadcast=True)
    tasks = [client.submit(evaluate, sent, chunk, pure=False) for chunk in chunks]
    try:
        yield from ((number, task.result()) for number, task in enumerate(tasks))
    finally:
        for task in tasks:
            task.cancel()
