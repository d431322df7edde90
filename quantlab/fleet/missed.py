"""What traded while no connection stood, in the symbols in which orders rest.

A queue advances by trades only, so an order can be carried over a gap when the exchange tells all trades in it, and
else nobody knows what became of it. What the stream tells meanwhile waits: an order meets its trades in their order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Annotated

import msgspec

from quantlab.model import AggregateTrade, CandleSource, MalformedMessage, QuantlabError, Trade
from quantlab.model.timeframe import MINUTE_MS

_PAGE = 1_000
#: Pages that one recovery may ask for: weight 4 each (checked 2026-11-23), together half a minute's 1,200.
PAGES = 150
_NO_ID = -1


class Unknown(QuantlabError):
    """What was missed cannot be told."""


@dataclass(slots=True)
class Gap:
    """`last` is the newest trade before it, `waiting` came by stream since, `missed` (by id) is what answers told."""

    last: Trade
    asked: bool = False
    missed: dict[int, AggregateTrade] = field(default_factory=dict)
    waiting: list[Trade] = field(default_factory=list)

    def is_after(self, trade: Trade) -> bool:
        """By its time, where no trade before the gap is known."""
        return self.last.trade_id != _NO_ID or trade.time_ms >= self.last.time_ms


class MissedTrades:
    """The gaps of a run, by symbol. `play(trade)` brings a trade to the orders at rest, `lose(symbol, why)` takes back
    those of which it is not known what became. A gap longer than `longest_ms` is not closed."""

    def __init__(self, longest_ms: int, *, play: Callable[[Trade], None], lose: Callable[[str, str], None]) -> None:
        self.gaps: dict[str, Gap] = {}
        self._longest_ms = longest_ms
        self._play, self._lose = play, lose

    def begin(self, resting: Iterable[str], newest: Mapping[str, Trade], now_ms: int) -> None:
        """A connection stands again; `newest` were the last trades before, and until `now_ms` others had none."""
        for symbol in resting:
            self.gaps.setdefault(symbol, Gap(newest.get(symbol) or Trade(symbol, _NO_ID, 0, 0, now_ms, False)))
        for gap in self.gaps.values():
            gap.asked = False

    def due(self) -> list[str]:
        """The symbols to ask for now."""
        due = [symbol for symbol, gap in self.gaps.items() if not gap.asked]
        for symbol in due:
            self.gaps[symbol].asked = True
        return due

    def ask_again(self, symbol: str) -> None:
        """No answer came."""
        if symbol in self.gaps:
            self.gaps[symbol].asked = False
            self.gaps[symbol].missed.clear()

    def take_page(self, symbol: str, rows: Iterable[AggregateTrade]) -> None:
        """A page of what the exchange says. An aggregate that was told in part before the gap is left out."""
        if (gap := self.gaps.get(symbol)) is None:
            return  # it was given up meanwhile
        after = (row for row in rows if row.first_trade_id > gap.last.trade_id)
        gap.missed |= {row.trade.trade_id: row for row in after if gap.is_after(row.trade)}

    def close(self, symbol: str) -> list[Trade]:
        """All of it is known: the orders meet it and what waited, in their order. Returns what only the exchange's
        answer told; the stream may still tell the newest of it."""
        if (gap := self.gaps.pop(symbol, None)) is None:
            return []
        told = {trade.trade_id for trade in gap.waiting}
        missed = [row.trade for row in gap.missed.values() if told.isdisjoint(row.ids())]
        for trade in sorted([*missed, *gap.waiting], key=lambda trade: trade.trade_id):
            self._play(trade)
        return missed

    def give_up(self, symbol: str, why: str) -> None:
        """It will not be known."""
        if (gap := self.gaps.pop(symbol, None)) is None:
            return
        self._lose(symbol, why)
        for trade in gap.waiting:
            self._play(trade)

    def too_old(self, now_ms: int) -> list[str]:
        """The symbols whose gap is open for too long."""
        return [symbol for symbol, gap in self.gaps.items() if now_ms - gap.last.time_ms > self._longest_ms]

    async def pages(self, rest: CandleSource, symbol: str, left: PagesLeft) -> list[bytes]:
        """Ask for the trades of the gap, from the newest backwards; oldest page first. Raises Unknown when they are too
        many, too long ago, or not kept, besides what `rest` raises."""
        pages: list[bytes] = []
        if symbol not in self.gaps:
            return pages  # given up while it waited for its turn
        last = self.gaps[symbol].last
        oldest: _Row | None = None
        while True:
            left.take()
            from_id = None if oldest is None else max(0, oldest.a - _PAGE)
            page = await rest.agg_trades(symbol, from_id=from_id, limit=_PAGE)
            rows = _rows(page, symbol)
            if not rows:
                return pages
            if oldest is None and rows[-1].T - last.time_ms > self._longest_ms:
                raise Unknown(f"the gap is longer than {self._longest_ms // MINUTE_MS} minutes")
            if oldest is None and rows[-1].l < last.trade_id:
                if last.time_ms >= rows[-1].T:
                    return pages  # the answer is older than what the stream had told
                raise Unknown("the exchange counts its trades anew")
            if oldest is not None and rows[0].a >= oldest.a:
                raise Unknown("the exchange keeps no trades that old")
            oldest = rows[0]
            pages.insert(0, page)
            if oldest.f <= last.trade_id + 1 or (last.trade_id == _NO_ID and last.time_ms > oldest.T):
                return pages


class PagesLeft:
    """How many pages one recovery may still ask for."""

    def __init__(self) -> None:
        self._left = PAGES

    def take(self) -> None:
        """Count one. Raises Unknown when none is left."""
        if not self._left:
            raise Unknown(f"more than {PAGES} requests are needed for what was missed")
        self._left -= 1


class _Row(msgspec.Struct, gc=False):
    a: Annotated[int, msgspec.Meta(ge=0)]
    f: int
    l: int  # noqa: E741 - Binance's name
    T: int


_ROWS = msgspec.json.Decoder(list[_Row])


def _rows(page: bytes, symbol: str) -> list[_Row]:
    try:
        return _ROWS.decode(page)
    except msgspec.MsgspecError as error:
        raise MalformedMessage(f"{symbol} aggTrades: {error}") from error
