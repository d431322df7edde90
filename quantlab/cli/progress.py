"""Progress lines: for a run in the foreground, and for work that can be counted."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any


class Progress:
    """Shows market time, events a second and the fleet's result; silent when `quiet` or not on a terminal."""

    def __init__(self, run_id: str, *, quiet: bool) -> None:
        self._run_id = run_id
        self._bar: Any = None
        self._task: Any = None
        self._quiet = quiet or not sys.stderr.isatty()

    def __enter__(self) -> Progress:
        if not self._quiet:
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                TextColumn("{task.percentage:>3.0f} %"),
                TextColumn("{task.fields[words]}"),
                TimeElapsedColumn(),
                console=Console(stderr=True),
            )
            self._bar.start()
            self._task = self._bar.add_task(self._run_id, total=1.0, words="warming up")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def show(self, status: dict[str, Any]) -> None:
        """Show what the control socket's "status" answers."""
        if self._bar is None:
            return
        result = sum(bot["pnl"] for bot in status["bots"])
        fills = sum(bot["fills"] for bot in status["bots"])
        words = (
            f"{status['events']:,} events · {status['events_per_second']:,}/s · {fills:,} fills · {result:+,.2f} USDT"
        )
        self._bar.update(self._task, completed=status["progress"] or 0.0, words=words)


@contextmanager
def counting(what: str, *, quiet: bool) -> Iterator[Callable[[int, int], None] | None]:
    """A bar to be told (done, of); None when `quiet` or not on a terminal."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, of: bar.update(task, completed=done, total=of)
