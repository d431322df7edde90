"""What strategies that are evaluated together have in common is computed once.

polars itself finds that for what it computes row by row, not for rolling windows and recursive averages (2.1, checked
2026-11-24), which are what strategies cost. So each indicator that is `shared` becomes a column of its own while
expressions are built within `sharing()`, and strategies that name the same one name the same column.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import ParamSpec

import polars as pl

P = ParamSpec("P")
_PREFIX = "__shared_"


class Shared:
    """The columns that a group of expressions needs beside those of the frame, in the order they need each other."""

    def __init__(self) -> None:
        self._names: dict[bytes, str] = {}
        self._levels: dict[str, int] = {}
        self._stages: list[dict[str, pl.Expr]] = []

    def column(self, made: pl.Expr) -> pl.Expr:
        """The column that `made` is from now on."""
        key = made.meta.serialize()
        if key not in self._names:
            name = self._names[key] = f"{_PREFIX}{len(self._names)}"
            needs = [self._levels[root] for root in made.meta.root_names() if root in self._levels]
            level = self._levels[name] = max(needs, default=-1) + 1
            if level == len(self._stages):
                self._stages.append({})
            self._stages[level][name] = made
        return pl.col(self._names[key])

    def over(self, frame: pl.LazyFrame) -> pl.LazyFrame:
        """`frame` with all of the columns."""
        for stage in self._stages:
            frame = frame.with_columns(**stage)
        return frame


_collecting: ContextVar[Shared | None] = ContextVar("shared", default=None)


@contextmanager
def sharing() -> Iterator[Shared]:
    """Expressions built in this context hold on a frame that went through `Shared.over`, and there only."""
    found = Shared()
    before = _collecting.set(found)
    try:
        yield found
    finally:
        _collecting.reset(before)


def shared(indicator: Callable[P, pl.Expr]) -> Callable[P, pl.Expr]:
    """For an indicator that costs more than passing over a column."""

    @wraps(indicator)
    def named(*arguments: P.args, **options: P.kwargs) -> pl.Expr:
        made, collected = indicator(*arguments, **options), _collecting.get()
        return made if collected is None else collected.column(made)

    return named
