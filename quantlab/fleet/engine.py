"""The engine: a function of its input log. Frames, answers, commands and marks go in, in one order; orders come out.

Live, the door pushes into it as a `Sink`; in a replay a recording does. It reads engine time only: the running
maximum of the exchange's stamps. Nothing here knows a socket, a disk or a clock.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Protocol

import msgspec
from msgspec.structs import replace

from quantlab.fleet.backfill import RETRY_MS, Backfill
from quantlab.fleet.bot import Bot
from quantlab.fleet.candles import Candles
from quantlab.fleet.crew import Crew
from quantlab.fleet.freshness import LOOK_MS, Freshness
from quantlab.fleet.marks import Marks
from quantlab.fleet.missed import MissedTrades
from quantlab.market import Book, FrameDecoder, decode_agg_trades, decode_depth, decode_klines
from quantlab.model import (
    Candle,
    CandleSource,
    DepthUpdate,
    Instrument,
    Journal,
    MalformedMessage,
    QuantlabError,
    Quote,
    Trade,
)
from quantlab.model.timeframe import MINUTE_MS

#: After a frame that could not be read: a changed tick size lasts, and each snapshot costs weight.
MALFORMED_RETRY_MS = 60_000


#: How long after an answer has told a trade the stream may tell it too (its time is the event's, not the trade's).
STREAM_LATE_MS = 10_000

_GAP = "gap in the depth stream"


class Recorder(Protocol):
    """Keeps the input log. `kind` is one of "frame", "answer", "command", "mark"."""

    def frame(self, raw: bytes) -> None: ...

    def entry(self, kind: str, name: str, payload: bytes) -> None: ...


class Engine:
    """Consumes the input log and drives books, candles, bots and broker. Implements `Sink`."""

    def __init__(
        self,
        crews: Sequence[Crew],
        books: Mapping[str, Book],
        instruments: Mapping[str, Instrument],
        journal: Journal,
        *,
        rest: CandleSource | None = None,
        recorder: Recorder | None = None,
        length_ms: int | None = None,
        start_ms: int = 0,
        recover_ms: int = 30 * MINUTE_MS,
    ) -> None:
        self.books = books
        self.now_ms = 0
        self.start_ms = start_ms
        self.events = 0
        self.over = False
        self.unsettled = False
        self.instruments = instruments
        self._journal = journal
        self._recorder = recorder
        self._rest = rest
        self._length_ms = length_ms
        self._decode = FrameDecoder(instruments).decode
        self._look_ms = self._next_minute_ms = 0
        #: The newest trade of each symbol: on a bad line, and after a restart, one may come twice. Ids that begin again
        #: (testnet resets each month) come at a later time.
        self._trades: dict[str, Trade] = {}
        self._fresh = Freshness(self.books, journal)
        self._sail(crews)
        self._candles = Candles(
            self.bots, instruments, closed_at=self._closed_at, wants=self._wants, missing=self._missing
        )
        self._missed = MissedTrades(recover_ms, play=self._play_missed, lose=self._lose_track)
        self._backfill = Backfill(self._candles.groups, self.books, self._missed)

    def _sail(self, crews: Sequence[Crew]) -> None:
        """The first crew is the run's own; those beside it bound its result."""
        self.crews = crews
        own = crews[0]
        self.bots, self.desk, self.broker = own.bots, own.desk, own.broker
        for crew in crews:
            crew.desk.stale_since_ms = self._fresh.since_ms
        self._marks = Marks(crews, self.books, self.instruments, self._journal)

    def sail_alone(self) -> None:
        """The run's own crew is where its ledger says; of those beside it nothing is known any more."""
        if len(self.crews) > 1:
            self._sail(self.crews[:1])
            self._journal.event(self.now_ms, "bounds lost", None, {"why": "they are known from the input log alone"})

    def __getstate__(self) -> dict[str, Any]:
        """All but what it is given anew where it goes on: whom it asks, where it writes, how it reads frames."""
        return self.__dict__ | {"_rest": None, "_recorder": None, "_decode": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._decode = FrameDecoder(self.instruments).decode

    @property
    def until_ms(self) -> int | None:
        """Engine time at which the run is over by itself."""
        return self.start_ms + self._length_ms if self.start_ms and self._length_ms is not None else None

    @property
    def bounds(self) -> tuple[Decimal, Decimal] | None:
        """The equity of the optimist and of the pessimist, as they were marked last; None where none sails beside."""
        if len(self.crews) == 1:
            return None
        optimist, pessimist = (crew.desk.guard.equity() for crew in self.crews[1:])
        return optimist, pessimist

    @property
    def series(self) -> list[tuple[str, str]]:
        """The (symbol, timeframe) pairs whose candles this fleet needs."""
        return list(self._candles.groups)

    # -- Sink: the input log, live ----------------------------------------------------------------------------------

    def frame(self, raw: bytes) -> None:
        """Consume one stream frame. The hot path: everything rare is behind one test."""
        if self.over:
            return
        if self._recorder is not None:
            self._recorder.frame(raw)
        try:
            event = self._decode(raw)
        except MalformedMessage as error:
            self._on_malformed(raw, error)
            return
        if type(event) is Quote:
            self.events += 1
            symbol = event.symbol
            if not self.books[symbol].overlay(event):
                return
            for crew in self.crews:
                if symbol in crew.broker.resting or symbol in crew.quoters:
                    crew.book_moved(symbol, self.now_ms)
        elif type(event) is Trade:
            self.events += 1
            if event.time_ms > self.now_ms:
                self._advance(event.time_ms)
            symbol = event.symbol
            last = self._trades.get(symbol)
            if last is None or event.trade_id > last.trade_id or event.time_ms > last.time_ms:
                self._trades[symbol] = event
                if self._missed.gaps and symbol in self._missed.gaps:
                    self._missed.gaps[symbol].waiting.append(event)
                else:
                    for crew in self.crews:
                        if symbol in crew.broker.resting:
                            crew.broker.on_trade(event)
        elif type(event) is DepthUpdate:
            self.events += 1
            if event.time_ms > self.now_ms:
                self._advance(event.time_ms)
            self._on_depth(event)
        elif type(event) is Candle:
            self.events += 1
            self._candles.take(event)

    def mark(self, kind: str, detail: str) -> None:
        """The connection's state changed. After a "handover" nothing is missing: it is only written down."""
        if self._recorder is not None:
            self._recorder.entry("mark", kind, detail.encode())
        self._journal.event(self.now_ms, kind, None, {"detail": detail})
        if kind in ("disconnected", "silent"):
            self._fresh.lost(self.now_ms)
            for book in self.books.values():
                book.reset()
        elif kind in ("connected", "reconnected"):
            self._look_ms = 0
            self._candles.owe_all()
            self._backfill.begin()
            self._missed.begin(self._resting(), self._trades, self.now_ms)
            self.unsettled = True

    def answer(self, name: str, payload: bytes) -> None:
        """Consume one REST answer: "klines:SYMBOL:TIMEFRAME", "depth:SYMBOL", "trades:SYMBOL", "none:…" for one that
        failed, "unknown:…" for what cannot be told, or "whole:SYMBOL:TIMEFRAME" (or ":trades") after a last page."""
        if self._recorder is not None:
            self._recorder.entry("answer", name, payload)
        kind, _, rest = name.partition(":")
        try:
            if kind == "depth":
                book = self.books[rest]
                shown_id = book.depth_id
                if book.snapshot(decode_depth(payload, self.instruments[rest]), self.now_ms):
                    if book.depth_id != shown_id:
                        for crew in self.crews:
                            crew.broker.look_anew(rest)
                    self._note_sync(rest)
                else:
                    self._hold_off(rest, RETRY_MS)
            elif kind == "klines":
                symbol, _, timeframe = rest.partition(":")
                self._candles.take_page(symbol, timeframe, decode_klines(payload, symbol, timeframe))
            elif kind == "trades":
                self._missed.take_page(rest, decode_agg_trades(payload, self.instruments[rest]))
            elif kind == "whole":
                symbol, _, timeframe = rest.partition(":")
                if timeframe == "trades":
                    self._close_gap(symbol)
                else:
                    self._candles.history_whole(symbol, timeframe)
            elif kind == "unknown":
                self._missed.give_up(rest.partition(":")[2], payload.decode())
            elif kind == "none":
                self._go_without(rest, payload.decode())
        except MalformedMessage as error:
            self._go_without(name, str(error))

    def _go_without(self, asked: str, error: str) -> None:
        """An answer failed: a book's is asked for again after a while, a history's at the next minute."""
        what, _, symbol = asked.partition(":")
        if what == "klines":
            self._backfill.warm = False
        elif what == "trades":
            self._missed.ask_again(symbol)
        else:
            self._hold_off(symbol, RETRY_MS)
        self._journal.event(self.now_ms, "answer missing", None, {"asked": asked, "error": error[:300]})

    async def settle(self) -> None:
        """Ask for the candles and books that are missing, those that bots hold something in first, and consume the
        answers in the order in which they were asked for."""
        asked = self.ask()
        if self._rest is not None:
            await self._backfill.fetch(self._rest, asked, self.answer)

    def ask(self) -> list[str]:
        """What is asked for now, as the names of the answers. It is part of the input log: who asks for what, and when,
        changes what is asked for next."""
        if self._recorder is not None:
            self._recorder.entry("command", "ask", b"{}")
        self.unsettled = False
        return self._backfill.due(self.now_ms, set().union(*(crew.held() for crew in self.crews)))

    def command(self, name: str, arguments: Mapping[str, Any]) -> None:
        """Consume a command: "pause", "resume"; "reduce" and "kill" of all bots, or the one named by `bot`."""
        only = arguments.get("bot")
        if only is not None and name not in ("reduce", "kill"):
            raise QuantlabError(f"{name} is for the whole fleet: only reduce and kill take a bot")
        chosen = [bot for bot in self.bots if only is None or bot.spec.name == only]
        if not chosen:
            raise QuantlabError(f'no bot is called "{only}": `quantlab status` lists them')
        if self._recorder is not None:
            self._recorder.entry("command", name, msgspec.json.encode(arguments))
        self._journal.event(self.now_ms, f"command {name}", None if only is None else chosen[0].index, {})
        for crew in self.crews:
            crew.command(name, [bot.index for bot in chosen], self.now_ms)

    def finish(self, why: str) -> None:
        """The run ends: resting orders and orders on their way are cancelled, positions stay and are marked."""
        self.over = True
        if self._recorder is not None:
            self._recorder.entry("command", "finish", msgspec.json.encode({"why": why}))
        for crew in self.crews:
            crew.broker.end(self.now_ms, why)
        if self.start_ms:
            self._marks.remember(self.now_ms)

    def take_up(self, length_ms: int | None) -> None:
        """The run goes on where its input log ended, by a crash or by `finish`: as after a reconnect. `length_ms` is
        its length from now on, from its very start."""
        if self._recorder is not None:
            self._recorder.entry("command", "take up", msgspec.json.encode({"length_ms": length_ms}))
        self.over = False
        self._length_ms = length_ms
        self._fresh.lost(self.now_ms)
        for book in self.books.values():
            book.doubt()
        is_open = sum(len(self.broker.open_orders(bot.index)) for bot in self.bots)
        self._journal.event(self.now_ms, "resumed", None, {"fills": sum(b.fills for b in self.bots), "open": is_open})

    def attach(self, rest: CandleSource, recorder: Recorder | None) -> None:
        """Ask `rest` and write to `recorder` from now on: the engine has been brought to where its input log ends."""
        self._rest, self._recorder = rest, recorder

    # -- engine time ------------------------------------------------------------------------------------------------

    def _advance(self, to_ms: int) -> None:
        """Move engine time to `to_ms`: what was due before happens first, against the book as it stood."""
        for crew in self.crews:
            crew.advance(to_ms)
        if to_ms >= self._look_ms:
            self._look(to_ms)
        self.now_ms = to_ms

    def _look(self, to_ms: int) -> None:
        """What is rare: minutes end, and books are looked at that stand still."""
        if to_ms >= self._next_minute_ms:
            if self._next_minute_ms:
                self._close_minute(self._next_minute_ms)
            self.start_ms = self.start_ms or to_ms
            self._next_minute_ms = to_ms - to_ms % MINUTE_MS + MINUTE_MS
            if self.until_ms is not None and to_ms >= self.until_ms:
                self.over = True
        self._look_ms = to_ms - to_ms % LOOK_MS + LOOK_MS
        for symbol in self._fresh.look(to_ms):
            self.books[symbol].reset()  # its next event asks for a snapshot
        for crew in self.crews:
            crew.desk.guard.look(to_ms)

    def _closed_at(self, close_ms: int) -> None:
        if close_ms > self.now_ms:
            self._advance(close_ms)

    def resume_at(self, time_ms: int) -> None:
        """Take engine time up where a run left it: what is older is no news."""
        self.now_ms = time_ms
        for crew in self.crews:
            crew.broker.now_ms = time_ms

    def _close_minute(self, minute_ms: int) -> None:
        """A minute of engine time ended: apply loss limits, remember, and ask again for what failed."""
        for symbol in self._missed.too_old(minute_ms):
            self._missed.give_up(symbol, "nobody told what was traded meanwhile")
        if not self._backfill.warm or self._missed.gaps:
            self.unsettled = True
        for crew in self.crews:
            crew.close_minute(minute_ms)
        self._marks.remember(minute_ms)

    # -- events -----------------------------------------------------------------------------------------------------

    def _on_depth(self, update: DepthUpdate) -> None:
        symbol = update.symbol
        book = self.books[symbol]
        if not book.apply(update):
            return
        if book.in_sync:
            if symbol in self._fresh.since_ms:
                self._note_sync(symbol)
            for crew in self.crews:
                if symbol in crew.broker.resting or symbol in crew.quoters:
                    crew.book_moved(symbol, self.now_ms)
            return
        if self._backfill.warm:
            self._fresh.stale(symbol, self.now_ms, _GAP)
        if self._backfill.may_ask(symbol, self.now_ms):
            self.unsettled = True

    def _on_malformed(self, raw: bytes, error: MalformedMessage) -> None:
        """A frame that cannot be read, or is off the grid: its symbol stands still until a new snapshot."""
        symbol = raw.partition(b'"stream":"')[2].partition(b"@")[0].decode(errors="replace").upper()
        book = self.books.get(symbol)
        if book is None:
            return
        book.reset()
        self._hold_off(symbol, MALFORMED_RETRY_MS)
        self._fresh.stale(symbol, self.now_ms, str(error))

    def _note_sync(self, symbol: str) -> None:
        """The book of `symbol` is whole: what waited for it goes on."""
        self._fresh.whole(symbol, self.now_ms)
        for crew in self.crews:
            crew.book_whole(symbol, self.now_ms)

    def _hold_off(self, symbol: str, pause_ms: int) -> None:
        """The book of `symbol` is not asked for again so soon."""
        self._backfill.hold_off(symbol, self.now_ms + pause_ms)

    def _wants(self, bot: Bot, exposure: float | None) -> None:
        """At a close: the bots of that number in all crews follow one strategy."""
        for crew in self.crews:
            crew.desk.want_exposure(crew.bots[bot.index], exposure, self.now_ms)

    def _resting(self) -> set[str]:
        """The symbols in which orders of any crew rest."""
        return set().union(*(crew.broker.resting for crew in self.crews))

    def _play_missed(self, trade: Trade) -> None:
        for crew in self.crews:
            crew.play_missed(trade, self.now_ms)

    def _close_gap(self, symbol: str) -> None:
        missed = self._missed.close(symbol)
        if not missed:
            return
        self._journal.event(self.now_ms, "missed trades", None, {"symbol": symbol, "trades": len(missed)})
        newest = max(missed, key=lambda trade: trade.trade_id)
        if symbol not in self._trades or newest.trade_id > self._trades[symbol].trade_id:
            self._trades[symbol] = replace(newest, time_ms=newest.time_ms + STREAM_LATE_MS)

    def _lose_track(self, symbol: str, why: str) -> None:
        for crew in self.crews:
            crew.lose_track(symbol, f"what became of it in the gap is not known: {why}", self.now_ms)

    def _missing(self, candle: Candle) -> None:
        """The stream left candles out before `candle`: it waits until they were asked for."""
        detail = {"symbol": candle.symbol, "timeframe": candle.timeframe, "before_ms": candle.open_time_ms}
        self._journal.event(self.now_ms, "candles missing", None, detail)
        self._backfill.warm = False
        self.unsettled = True
