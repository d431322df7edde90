"""A fleet and a venue in one process, so that after each step the fleet's books and candles can be held against the
venue's own."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from quantlab.fleet.plan import RunPlan
from quantlab.fleet.session import Session
from quantlab.fleet.spec import load_fleet
from quantlab.model.timeframe import HOUR_MS, MINUTE_MS, timeframe_ms
from quantlab.settings import load_settings
from quantlab.venue import Venue
from quantlab.venue.market import open_market

FLEET = Path(__file__).parents[2] / "notebooks" / "fleet.toml"
NIGHT = Path(__file__).with_name("night.toml")

#: Levels compared, of either side; and how often, in market time. Candles are looked at off the minute's end.
_LEVELS = 10
_BOOKS_MS, _CANDLES_MS = 20_000, 15 * MINUTE_MS
_PAGE = 1_000


@dataclass
class Seen:
    """What comparing showed. A book is "equal", "wrong", "behind" (an event was kept from it) or "stale"."""

    books: Counter[str] = field(default_factory=Counter)
    #: Of the equal books, whether the touch is the venue's too.
    touches: Counter[str] = field(default_factory=Counter)
    candles: int = 0
    #: Series whose newest candle was still waited for: nothing on the stream had told yet that it was closed.
    late: int = 0
    wrong: list[str] = field(default_factory=list)
    #: (hours of market time, MiB) of resident memory, each hour.
    memory: list[tuple[float, float]] = field(default_factory=list)


class Watched:
    """A market that looks at the fleet before each step: by then the step before was read to its end."""

    def __init__(self, market: Any) -> None:
        self.market = market
        self.session: Session | None = None
        self.seen = Seen()
        self._told: dict[tuple[str, str], set[int]] = defaultdict(set)
        self._books_ms = self._candles_ms = self._memory_ms = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.market, name)

    def advance(self, to_ms: int, wanted: frozenset[str]) -> list[tuple[str, bytes]]:
        now_ms = self.market.now_ms - self.market.start_ms
        engine = getattr(self.session, "_engine", None)
        if engine is not None and not engine.unsettled:
            if now_ms >= self._books_ms:
                self._books_ms = now_ms + _BOOKS_MS
                self.look_at_books(engine)
            if now_ms >= self._candles_ms and now_ms % MINUTE_MS == 30_000:
                self._candles_ms = now_ms + _CANDLES_MS
                self.look_at_candles(engine)
            if now_ms >= self._memory_ms:
                self._memory_ms = now_ms + HOUR_MS
                self.seen.memory.append((now_ms / HOUR_MS, resident_mb()))
        return self.market.advance(to_ms, wanted)

    def look_at_books(self, engine: Any) -> None:
        for symbol, book in engine.books.items():
            found = self._state_of(book)
            self.seen.books[found] += 1
            if found == "wrong":
                self._say(f"{symbol}: book {book._depth_id} differs")
            if found == "equal":
                self.seen.touches[self._touch_of(book)] += 1

    def _state_of(self, book: Any) -> str:
        """The depth, without the quote that may lie over it: the venue's own is as of its last depth event."""
        if not book.in_sync:
            return "stale"
        truth = self.market.depth(book.symbol, 100)
        if truth["lastUpdateId"] != book._depth_id:
            return "behind"
        for ours, theirs in ((book._bids, truth["bids"]), (book._asks, truth["asks"])):
            if _levels(book, ours.top(_LEVELS)) != [(Decimal(p), Decimal(q)) for p, q in theirs[:_LEVELS]]:
                return "wrong"
        return "equal"

    def _touch_of(self, book: Any) -> str:
        """The touch, quote included. Where a quote was kept from the book it is the depth's, and older."""
        truth = self.market.book_ticker(book.symbol)
        theirs = [(Decimal(truth[f"{side}Price"]), Decimal(truth[f"{side}Qty"])) for side in ("bid", "ask")]
        return "equal" if _levels(book, [book.best_bid(), book.best_ask()]) == theirs else "behind"

    def look_at_candles(self, engine: Any, *, at_the_end: bool = False) -> None:
        """Each series against the venue's klines over the same time: none lost, none twice, none wrong."""
        now_ms = self.market.now_ms
        for (symbol, timeframe), group in engine._candles.groups.items():
            rows = group.series.frame().rows()
            if (group.owed or not rows) and not at_the_end:
                continue
            length_ms = timeframe_ms(timeframe)
            truth = self.market.klines(symbol, timeframe, rows[0][0], now_ms - now_ms % length_ms - 1, _PAGE)
            theirs = [(row[0], *map(float, row[1:6])) for row in truth]
            until_ms = theirs[-1][0] if len(theirs) == _PAGE else now_ms
            ours = [row[:6] for row in rows if row[0] <= until_ms]
            self.seen.candles += len(ours)
            if ours and theirs and ours[-1][0] < theirs[-1][0]:
                self.seen.late += 1
                theirs.pop()
            mine, true = Counter(ours), Counter(theirs)
            apart = {row[0] for row in (mine - true) + (true - mine)}
            for open_ms in sorted(apart - self._told[symbol, timeframe]):
                self._told[symbol, timeframe].add(open_ms)
                self._say(f"{symbol} {timeframe}: candle {open_ms} is lost, twice, or another")

    def _say(self, words: str) -> None:
        hour = (self.market.now_ms - self.market.start_ms) / HOUR_MS
        self.seen.wrong.append(f"{hour:.2f} h {words}")


@dataclass
class Night:
    summary: dict[str, Any]
    seen: Seen
    faults: list[dict[str, Any]]
    session: Session
    requests: dict[str, Any]


async def play(home: Path, faults: Path | Sequence[dict[str, Any]], *, hours: float, seed: int = 1) -> Night:
    """Run the fleet of the notebooks over `hours` of generated market with `faults`, in lock-step."""
    market = Watched(open_market(None, seed=seed, hours=hours))
    async with Venue(market) as venue:
        if isinstance(faults, Path):
            venue.faults.load(faults)
        else:
            venue.faults.set(faults)
        environ = {
            "QUANTLAB_MARKET": "replay",
            "QUANTLAB_VENUE_URL": venue.url,
            "QUANTLAB_TIMEOUT_SECONDS": "5",
        }
        settings = load_settings(home, environ=environ)
        fleet = load_fleet(FLEET)
        reports = home / "reports"
        plan = RunPlan(run_id="night", fleet=fleet, settings=settings, seed=seed, reports=reports, record=False)
        session = market.session = Session(plan)
        summary = await session.run()
        engine = session._engine
        market.look_at_books(engine)
        market.look_at_candles(engine, at_the_end=True)
        return Night(summary, market.seen, venue.faults.rows(), session, venue.log.report())


def resident_mb() -> float:
    """Resident memory of this process, MiB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


def _levels(book: Any, levels: list[tuple[int, int]]) -> list[tuple[Decimal, Decimal]]:
    return [(ticks * book.tick_size, lots * book.step_size) for ticks, lots in levels]
