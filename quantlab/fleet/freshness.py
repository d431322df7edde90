"""Which symbols are stale, since when and why; which books stand still where the market moves.

Engine time only: the stream's own silence, on the wall's clock, is the door's to judge.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from quantlab.market import Book
from quantlab.model import Journal

#: How often books are looked at.
LOOK_MS = 15_000
#: A change of the best price is in the depth stream within 100 ms (Binance spot WebSocket docs, checked 2026-11-23):
#: quotes that moved on between so many looks, while the depth stood, say that the depth stream is dead.
LAGGING_LOOKS = 2
#: A book of which nothing at all was heard between so many looks (two minutes), while others moved, may be what is
#: left of a dead stream, or of a halted symbol. Looks are counted and not time: where the whole market stands still the
#: next event's id tells whether something is missing.
QUIET_LOOKS = 8


class Freshness:
    """The stale symbols of a run, and the gap that a lost connection leaves."""

    def __init__(self, books: Mapping[str, Book], journal: Journal) -> None:
        #: Engine time since when each stale symbol is stale.
        self.since_ms: dict[str, int] = {}
        self._books = books
        self._journal = journal
        self._seen: dict[str, _Seen] = {}
        self._lost_ms = 0

    def stale(self, symbol: str, now_ms: int, cause: str) -> None:
        """The book of `symbol` cannot be trusted any more. Said once, until it is whole."""
        if symbol not in self.since_ms:
            self.since_ms[symbol] = now_ms
            self._journal.event(now_ms, "stale", None, {"symbol": symbol, "cause": cause[:300]})

    def whole(self, symbol: str, now_ms: int) -> None:
        """The book of `symbol` is in sync."""
        self._seen.pop(symbol, None)
        since_ms = self.since_ms.pop(symbol, None)
        if since_ms is not None:
            detail = {"symbol": symbol, "since_ms": since_ms, "stale_ms": now_ms - since_ms}
            self._journal.event(now_ms, "in sync", None, detail)

    def lost(self, now_ms: int) -> None:
        """The connection is gone: nothing is known of any symbol from here on."""
        self._lost_ms = self._lost_ms or now_ms
        for symbol in self._books:
            self.since_ms.setdefault(symbol, now_ms)

    def look(self, now_ms: int) -> list[str]:
        """The books that stand still where they should not. The time of an event that ended a gap ends it here."""
        if self._lost_ms:
            gap = {
                "from_ms": self._lost_ms,
                "to_ms": now_ms,
                "candles": "asked for again",
                "trades": "by need",
            }
            self._journal.event(now_ms, "gap", None, gap)
            self._lost_ms = 0
        return [symbol for symbol, book in self._books.items() if book.in_sync and self._stands_still(book, now_ms)]

    def _stands_still(self, book: Book, now_ms: int) -> bool:
        seen = self._seen.get(book.symbol)
        if seen is None or book.depth_id != seen.depth_id:
            self._seen[book.symbol] = _Seen(book.depth_id, book.book_id)
            return False
        if book.book_id != seen.shown_id:
            seen.shown_id, seen.quiet = book.book_id, 0
            seen.ahead += 1
        else:
            seen.quiet += 1
        if seen.ahead >= LAGGING_LOOKS:
            self.stale(book.symbol, now_ms, "its depth stream is silent while its quotes move")
            return True
        if seen.quiet >= QUIET_LOOKS:
            self.stale(book.symbol, now_ms, "nothing is heard of it while others move")
            return True
        return False


@dataclass(slots=True)
class _Seen:
    """A book at the last looks: where its depth and its top stood, at how many looks its top had moved on and its
    depth had not, and at how many since then nothing had."""

    depth_id: int
    shown_id: int
    ahead: int = 0
    quiet: int = 0
