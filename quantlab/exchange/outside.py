"""A coroutine from code that waits for it, wherever that runs."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")


def outside_any_loop(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run to the end in a thread of its own: a notebook's kernel has a loop already."""
    with ThreadPoolExecutor(1, thread_name_prefix="outside") as pool:
        return pool.submit(asyncio.run, coroutine).result()
