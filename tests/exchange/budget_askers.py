"""Processes that ask an exchange for more than it gives, and what its log says they got.

Run as a module it is one such process: bots that ask a mix of questions one after another, through a `Door` or through
ccxt's own throttle.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import subprocess
import sys
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from quantlab.exchange import Door, DoorConfig
from quantlab.exchange.weight.shared_state import shared_budget
from quantlab.exchange.weight.window import WINDOW_S
from quantlab.model import QuantlabError

SYMBOLS = ("BTCUSDT", "ETHUSDT", "BNBUSDT", "SOLUSDT", "XRPUSDT")
Ask = Callable[[str, dict[str, Any]], Awaitable[object]]


def questions(rng: random.Random) -> tuple[str, dict[str, Any]]:
    """One of the mix: weights 1 to 50."""
    symbol = rng.choice(SYMBOLS)
    return rng.choice(
        (
            ("/api/v3/time", {}),
            ("/api/v3/klines", {"symbol": symbol, "interval": "1m", "limit": rng.randint(1, 100)}),
            ("/api/v3/klines", {"symbol": symbol, "interval": "5m", "limit": rng.randint(1, 100)}),
            ("/api/v3/depth", {"symbol": symbol, "limit": 100}),
            ("/api/v3/depth", {"symbol": symbol, "limit": 500}),
            ("/api/v3/ticker/bookTicker", {"symbol": symbol}),
            ("/api/v3/ticker/bookTicker", {}),
            ("/api/v3/aggTrades", {"symbol": symbol, "limit": 10}),
            ("/api/v3/trades", {"symbol": symbol, "limit": 10}),
            ("/api/v3/exchangeInfo", {"symbol": symbol}),
        )
    )


async def bots(count: int, seed: int, ask: Ask, storm_s: float) -> None:
    """`count` bots that never tire. After `storm_s` all are cut off in the middle, and each wants its book at once."""

    async def bot(number: int, first: Iterable[tuple[str, dict[str, Any]]]) -> None:
        rng = random.Random(f"{seed} {number}")
        for path, params in first:
            await ask(path, params)
        while True:
            with suppress(QuantlabError):
                await ask(*questions(rng))

    tasks = [asyncio.create_task(bot(number, ())) for number in range(count)]
    await asyncio.sleep(storm_s)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    books = [("/api/v3/depth", {"symbol": symbol, "limit": 1000}) for symbol in SYMBOLS]
    tasks = [asyncio.create_task(bot(number, books[number % len(books) :][:1])) for number in range(count)]
    await asyncio.gather(*tasks)


async def through_the_door(url: str, count: int, seed: int, limit: int, window_s: float, storm_s: float) -> None:
    config = DoorConfig(
        market="replay",
        rest_url=url,
        stream_url=url.replace("http", "ws"),
        weight_per_minute=limit,
        total_s=10 * window_s,
    )
    door = Door(config)
    door.budget = shared_budget(config, window_s)
    async with door:
        await bots(count, seed, door.rest.ask, storm_s)


async def through_ccxt(url: str, count: int, seed: int, storm_s: float) -> None:
    """One plain instance with the throttle set to 1,200 weight a minute, as its manual has it (5 a `rateLimit`)."""
    from ccxt.async_support import binance

    from quantlab.exchange.client import IMPLICIT_METHODS

    client = binance({"enableRateLimit": True, "rateLimit": 250})
    client.urls["api"]["public"] = f"{url}/api/v3"

    async def ask(path: str, params: dict[str, Any]) -> object:
        return await getattr(client, IMPLICIT_METHODS[path])(params)

    try:
        await bots(count, seed, ask, storm_s)
    finally:
        await client.close()


Asker = Callable[[int], subprocess.Popen[bytes]]


def start(
    kind: str, url: str, count: int, seed: int, *, storm_s: float, limit: int = 1200, window_s: float = WINDOW_S
) -> subprocess.Popen[bytes]:
    """One more process that asks: `kind` is "door" or "ccxt"."""
    named = {"url": url, "count": count, "seed": seed, "limit": limit, "window": window_s, "storm": storm_s}
    options = [f"--{name}={value}" for name, value in named.items()]
    root = Path(__file__).resolve().parents[2]
    return subprocess.Popen([sys.executable, "-m", "tests.exchange.budget_askers", kind, *options], cwd=root)


class Use(NamedTuple):
    """What the exchange's log says: the heaviest window, and the share of what anybody could have had."""

    peak: int
    share: float
    requests: int


def use_of(rows: Iterable[dict[str, Any]], limit: int, window_s: float = WINDOW_S) -> Use:
    """`share` is of the weight that `limit` allows until a sixth of a window after the last whole one: in n windows and
    a bit, n + 1 times the limit."""
    rest = sorted((row["wall_ms"], row["weight"]) for row in rows if row["kind"] == "rest")
    window_ms = window_s * 1000
    running: deque[tuple[int, int]] = deque()
    used = peak = 0
    for wall_ms, weight in rest:
        running.append((wall_ms, weight))
        used += weight
        while running[0][0] <= wall_ms - window_ms:
            used -= running.popleft()[1]
        peak = max(peak, used)
    first, last = rest[0][0], rest[-1][0]
    whole = int((last - first) / window_ms)
    until = first + (whole + 1 / 6) * window_ms
    spent = sum(weight for wall_ms, weight in rest if wall_ms <= until)
    return Use(peak, spent / ((whole + 1) * limit), len(rest))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=("door", "ccxt"))
    parser.add_argument("--url")
    parser.add_argument("--count", type=int)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--limit", type=int)
    parser.add_argument("--window", type=float)
    parser.add_argument("--storm", type=float)
    given = parser.parse_args()
    if given.kind == "door":
        asking = through_the_door(given.url, given.count, given.seed, given.limit, given.window, given.storm)
    else:
        asking = through_ccxt(given.url, given.count, given.seed, given.storm)
    asyncio.run(asking)
