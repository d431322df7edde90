"""What the stream cannot give, asked for by REST: missed trades, candles before and between, the books' snapshots.

By need, and not all at once: the trades that orders at rest missed come first, then the books of symbols in which bots
hold something, then candles, then the other books; a few requests are in flight, and what is more than a batch waits
for the next. Answers are consumed in the order in which they were asked for, so that the input log is the same from run
to run.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence

from quantlab.fleet.group import Group
from quantlab.fleet.missed import MissedTrades, PagesLeft, Unknown
from quantlab.market import Book, decode_klines
from quantlab.model import CandleSource, QuantlabError
from quantlab.model.timeframe import timeframe_ms

#: Levels asked for when a book is built: weight 5, and a bot of this fleet's size never walks past them.
SNAPSHOT_LIMIT = 100
#: Books asked for in one go: weight 80 of a minute's 1,200. The next batch follows after `BATCH_MS` of engine time.
BATCH = 16
BATCH_MS = 1_000
#: After a snapshot that failed or came too old, the next is asked for no sooner (engine time).
RETRY_MS = 1_000
KLINES_LIMIT = 1_000
_IN_FLIGHT = 4

GroupKey = tuple[str, str]


class Backfill:
    """Knows what `groups`, `books` and orders at rest miss, and when it is asked for."""

    def __init__(self, groups: Mapping[GroupKey, Group], books: Mapping[str, Book], missed: MissedTrades) -> None:
        self._groups = groups
        self._books = books
        self._missed = missed
        #: False while candles are owed that were not asked for.
        self.warm = False
        self._not_before_ms: dict[str, int] = {}

    def begin(self) -> None:
        """A connection stands: candles are owed, and no book has to wait."""
        self.warm = False
        self._not_before_ms.clear()

    def may_ask(self, symbol: str, now_ms: int) -> bool:
        """Whether the book of `symbol` may be asked for now."""
        return self._not_before_ms.get(symbol, 0) <= now_ms

    def hold_off(self, symbol: str, until_ms: int) -> None:
        """The book of `symbol` is not asked for before `until_ms`."""
        self._not_before_ms[symbol] = until_ms

    def due(self, now_ms: int, urgent: Collection[str]) -> list[str]:
        """What is asked for now, by the names that the answers have in the input log, in the order in which they are
        consumed: the trades that orders at rest missed, then books of `urgent` symbols."""
        books = [s for s, book in self._books.items() if not book.in_sync and self.may_ask(s, now_ms)]
        first = [symbol for symbol in books if symbol in urgent]
        later = [symbol for symbol in books if symbol not in urgent]
        asked = [f"trades:{symbol}" for symbol in self._missed.due()]
        asked += [f"depth:{symbol}" for symbol in first[:BATCH]]
        if not self.warm:
            self.warm = True
            asked += [f"klines:{s}:{timeframe}" for (s, timeframe), group in self._groups.items() if group.owed]
        asked += [f"depth:{symbol}" for symbol in later[: max(0, BATCH - len(first))]]
        for symbol in (first + later)[BATCH:]:
            self.hold_off(symbol, now_ms + BATCH_MS)
        return asked

    async def fetch(self, rest: CandleSource, names: Sequence[str], answer: Callable[[str, bytes], None]) -> None:
        """Ask `rest` for what `due` named, and hand each answer to `answer`."""
        few = asyncio.Semaphore(_IN_FLIGHT)
        pages = PagesLeft()

        async def in_turn(name: str) -> list[bytes]:
            async with few:
                return await self._answers(rest, name, pages)

        tasks = [(name, asyncio.create_task(in_turn(name))) for name in names]
        try:
            for name, task in tasks:
                try:
                    found = await task
                except Unknown as error:
                    answer(f"unknown:{name}", str(error).encode())
                    continue
                except QuantlabError as error:
                    answer(f"none:{name}", str(error).encode())
                    continue
                for payload in found:
                    answer(name, payload)
                self._whole(name, answer)
        finally:
            for _, task in tasks:
                task.cancel()
            await asyncio.gather(*(task for _, task in tasks), return_exceptions=True)

    async def _answers(self, rest: CandleSource, name: str, pages: PagesLeft) -> list[bytes]:
        what, _, symbol = name.partition(":")
        if what == "trades":
            return await self._missed.pages(rest, symbol, pages)
        if what == "depth":
            return [await rest.depth(symbol, SNAPSHOT_LIMIT)]
        symbol, _, timeframe = symbol.partition(":")
        return await self._history(rest, symbol, timeframe, self._groups[symbol, timeframe])

    def _whole(self, name: str, answer: Callable[[str, bytes], None]) -> None:
        """The last page is here: what the stream told meanwhile may follow."""
        kind, _, rest = name.partition(":")
        symbol, _, timeframe = rest.partition(":")
        if kind == "trades":
            answer(f"whole:{symbol}:trades", b"")
        elif kind == "klines" and self._groups[symbol, timeframe].waiting:
            answer(f"whole:{rest}", b"")

    async def _history(self, rest: CandleSource, symbol: str, timeframe: str, group: Group) -> list[bytes]:
        """Pages of klines, oldest first: enough for the group's lookback, or since its last candle."""
        wanted = max(bot.strategy.lookback for bot in group.bots) + 2
        pages: list[bytes] = []
        if group.series.last_open_time_ms is not None:
            start_ms, full = group.series.last_open_time_ms + timeframe_ms(timeframe), True
            while full:
                page = await rest.klines(symbol, timeframe, start_ms=start_ms, limit=KLINES_LIMIT)
                rows = decode_klines(page, symbol, timeframe)
                pages.append(page)
                full = len(rows) == KLINES_LIMIT
                start_ms = rows[-1].open_time_ms + timeframe_ms(timeframe) if rows else start_ms
            return pages
        end_ms: int | None = None
        while wanted > 0:
            limit = min(wanted, KLINES_LIMIT)
            page = await rest.klines(symbol, timeframe, end_ms=end_ms, limit=limit)
            rows = decode_klines(page, symbol, timeframe)
            if not rows:
                break
            pages.insert(0, page)
            wanted -= len(rows)
            end_ms = rows[0].open_time_ms - 1
            if len(rows) < limit:
                break
        return pages
