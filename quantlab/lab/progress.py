"""The progress of a run, in a notebook as in a terminal."""

from __future__ import annotations

import sys
import time
from typing import Any


class ProgressLine:
    """A line of text that redraws itself, in a notebook as in a terminal."""

    def __init__(self, shown: bool) -> None:
        self._shown = shown
        self._last = ""

    def show(self, status: dict[str, Any] | None) -> None:
        if status is None or not status["engine_time_ms"]:
            return self._draw(self._last or "starting")
        progress = status["progress"]
        bar = ""
        if progress is not None:
            bar = _bar(progress)
        fills = sum(bot["fills"] for bot in status["bots"])
        when = time.strftime("%Y-%m-%d %H:%M", time.gmtime(status["engine_time_ms"] / 1000))
        return self._draw(f"{bar}{when} UTC · {status['state']} · {status['events']:,} events · {fills:,} fills")

    def show_time(self, time_ms: int) -> None:
        """How far a look through a record has come, market time."""
        self._draw(f"{time.strftime('%Y-%m-%d %H:%M', time.gmtime(time_ms / 1000))} UTC")

    def count(self, what: str, done: int, of: int) -> None:
        """How much of a countable work is done."""
        part = min(1.0, done / max(1, of))
        self._draw(f"{_bar(part)}{what} {part:.0%}")

    def end(self, state: str) -> None:
        self._draw(f"{state}: making the report" if state != "failed" else state)

    def close(self) -> None:
        if self._last:
            sys.stdout.write("\n")

    def _draw(self, line: str) -> None:
        if self._shown and line != self._last:
            sys.stdout.write("\r" + line.ljust(len(self._last)))
            sys.stdout.flush()
            self._last = line


def _bar(part: float) -> str:
    return "\N{FULL BLOCK}" * round(part * 30) + "\N{LIGHT SHADE}" * (30 - round(part * 30)) + " "
