"""What a run remembers each minute: equities, marked at the bid, and the touch of every symbol."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from quantlab.fleet.crew import Crew
from quantlab.market import Book
from quantlab.model import Instrument, Journal

#: The fleet's number among the bots'.
FLEET = -1


class Marks:
    """Writes down the crews' equities: the first is the run's own; the optimist and the pessimist, where they sail, are
    the second and the third."""

    def __init__(
        self, crews: Sequence[Crew], books: Mapping[str, Book], instruments: Mapping[str, Instrument], journal: Journal
    ) -> None:
        self._crews, self._books, self._instruments, self._journal = crews, books, instruments, journal
        self._remembered_ms = 0

    def remember(self, minute_ms: int) -> None:
        """Once a moment."""
        if minute_ms <= self._remembered_ms:
            return
        self._remembered_ms = minute_ms
        for crew in self._crews:
            for bot in crew.bots:
                crew.desk.mark(bot)
        rows, cash_sum, value_sum = [], 0.0, 0.0
        for bot in self._crews[0].bots:
            equity, cash = float(bot.last_equity), float(bot.account.cash)
            rows.append((minute_ms, bot.index, equity, cash, equity - cash))
            cash_sum += cash
            value_sum += equity - cash
        rows.append((minute_ms, FLEET, cash_sum + value_sum, cash_sum, value_sum))
        self._journal.equity(rows)
        if len(self._crews) == 3:
            self._journal.bounds(self._bounds(minute_ms))
        touch = []
        for symbol, book in self._books.items():
            bid, ask = book.best_bid(), book.best_ask()
            if bid and ask:
                tick = float(self._instruments[symbol].tick_size)
                touch.append((minute_ms, symbol, bid[0] * tick, ask[0] * tick))
        self._journal.marks(touch)

    def _bounds(self, minute_ms: int) -> list[tuple[int, int, float, float]]:
        _, optimist, pessimist = self._crews
        pairs = [
            (float(high.last_equity), float(low.last_equity))
            for high, low in zip(optimist.bots, pessimist.bots, strict=True)
        ]
        rows = [(minute_ms, number, high, low) for number, (high, low) in enumerate(pairs)]
        return [*rows, (minute_ms, FLEET, sum(high for high, _ in pairs), sum(low for _, low in pairs))]
