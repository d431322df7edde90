"""How often a stream's socket may be used: messages in a second, and dials in five minutes.

Source: Binance spot WebSocket streams docs, "WebSocket Limits", checked 2026-11-23: 5 incoming messages a second, each
ping, pong and command counted; 300 connections in 5 minutes for an address. Who goes on beyond is cut off, and may be
banned. Both are kept with room to spare: the exchange counts when a message arrives, and other processes dial too.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable

MESSAGES, MESSAGES_S = 4, 1.0
DIALS, DIALS_S = 200, 300.0


class Pace:
    """At most `most` times in any `window_s` seconds of `clock`."""

    def __init__(self, most: int, window_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.window_s = window_s
        self._clock = clock
        self._taken: deque[float] = deque(maxlen=most)

    def wait_s(self) -> float:
        """Seconds until there is room; 0 when there is."""
        taken = self._taken
        if len(taken) < (taken.maxlen or 0):
            return 0.0
        return max(0.0, taken[0] + self.window_s - self._clock())

    def take(self) -> bool:
        """Count one, if there is room."""
        if self.wait_s() > 0:
            return False
        self._taken.append(self._clock())
        return True

    async def turn(self) -> None:
        """Wait for room and count one."""
        while (pause_s := self.wait_s()) > 0:  # noqa: ASYNC110 - it is time that is waited for
            await asyncio.sleep(pause_s)
        self.take()


_dials: dict[str, Pace] = {}


def dials_to(address: str) -> Pace:
    """The pace of dials to `address`, one for the whole process: every feed of it counts."""
    return _dials.setdefault(address, Pace(DIALS, DIALS_S))
