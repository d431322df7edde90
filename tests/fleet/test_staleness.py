"""What is missing is marked and asked for by need: gaps, dead streams, candles left out; and a change of connection
without a hole changes nothing."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from quantlab.fleet.assembly import make_engine
from quantlab.fleet.backfill import BATCH, Backfill
from quantlab.fleet.engine import Engine
from quantlab.fleet.freshness import LAGGING_LOOKS, LOOK_MS, QUIET_LOOKS
from quantlab.fleet.missed import MissedTrades
from quantlab.fleet.replay import MemoryJournal
from quantlab.fleet.spec import FleetSpec
from quantlab.market import Book
from quantlab.model import ExchangeUnreachable

from .test_engine import START_MS, Exchange, candle, connect, depth, frame, instrument, kinds, trade, trade_once

MINUTE_MS = START_MS - START_MS % 60_000


@pytest.fixture
def exchange() -> Exchange:
    return Exchange()


@pytest.fixture
def journal() -> MemoryJournal:
    return MemoryJournal()


@pytest.fixture
def engine(fleet: FleetSpec, exchange: Exchange, journal: MemoryJournal) -> Engine:
    instruments = {symbol: instrument(symbol) for symbol in fleet.symbols}
    return make_engine(fleet, instruments, journal, seed=1, rest=exchange)  # type: ignore[arg-type]


def quote(symbol: str, update_id: int) -> bytes:
    data = {"u": update_id, "s": symbol, "b": "100.00", "B": "40", "a": "100.01", "A": "40"}
    return frame(f"{symbol.lower()}@bookTicker", **data)


def told(journal: MemoryJournal, kind: str) -> list[dict[str, Any]]:
    return [detail for _, name, _, detail in journal.events if name == kind]


# --- dead streams --------------------------------------------------------------------------------------------------


async def test_a_depth_stream_that_the_quotes_leave_behind_is_stale(engine: Engine, journal: MemoryJournal) -> None:
    await connect(engine)
    for n in range(1, LAGGING_LOOKS + 3):
        at = START_MS + n * LOOK_MS
        engine.frame(depth("ETHUSDT", 100 + n, 100 + n, at))  # alive
        engine.frame(quote("BTCUSDT", 100 + n))  # its depth is not
    assert (engine.books["BTCUSDT"].in_sync, engine.books["ETHUSDT"].in_sync) == (False, True)
    assert [(detail["symbol"], "depth stream is silent" in detail["cause"]) for detail in told(journal, "stale")] == [
        ("BTCUSDT", True)
    ]
    assert not engine.unsettled, "a snapshot says nothing about a stream that does not move"
    engine.frame(depth("BTCUSDT", 120, 121, engine.now_ms + 1))
    assert engine.unsettled, "it moves again"


async def test_an_hour_in_which_the_whole_market_stands_is_no_dead_stream(
    engine: Engine, journal: MemoryJournal
) -> None:
    """Its last quotes were ahead of the depth, as they always are by a moment."""
    await connect(engine)
    engine.frame(depth("BTCUSDT", 101, 101, START_MS))
    engine.frame(quote("BTCUSDT", 102))
    engine.frame(trade("BTCUSDT", START_MS + LOOK_MS))
    engine.frame(quote("BTCUSDT", 103))
    engine.frame(trade("BTCUSDT", START_MS + 3_600_000 + LOOK_MS))
    engine.frame(depth("BTCUSDT", 102, 103, START_MS + 3_600_000 + LOOK_MS))
    assert told(journal, "stale") == []


async def test_a_symbol_of_which_nothing_is_heard_is_stale(engine: Engine, journal: MemoryJournal) -> None:
    await connect(engine)
    for n in range(1, QUIET_LOOKS + 3):
        engine.frame(depth("ETHUSDT", 100 + n, 100 + n, START_MS + n * LOOK_MS))
    assert {detail["symbol"] for detail in told(journal, "stale")} == {"BTCUSDT", "XRPUSDT"}
    assert engine.books["ETHUSDT"].in_sync


async def test_a_quiet_book_without_a_newer_quote_is_no_dead_stream(engine: Engine, journal: MemoryJournal) -> None:
    await connect(engine)
    for n in range(1, QUIET_LOOKS - 1):
        engine.frame(depth("ETHUSDT", 100 + n, 100 + n, START_MS + n * LOOK_MS))
    assert told(journal, "stale") == []


async def test_since_when_a_symbol_is_stale_is_said(engine: Engine, journal: MemoryJournal, exchange: Exchange) -> None:
    await connect(engine)
    engine.frame(depth("BTCUSDT", 200, 201, START_MS))
    for n in (1, 2, 3):
        engine.frame(depth("ETHUSDT", 100 + n, 100 + n, MINUTE_MS + n * 60_000 - 1))
        engine.frame(candle("BTCUSDT", MINUTE_MS + (n - 1) * 60_000, closed=True))
    assert engine.bots[0].note == "book out of sync: standing still since 2025-06-15 15:07:00 UTC"
    exchange.last_update_id = 201
    await engine.settle()
    whole = told(journal, "in sync")[0]
    assert (whole["symbol"], whole["since_ms"]) == ("BTCUSDT", START_MS)
    assert whole["stale_ms"] == engine.now_ms - START_MS
    engine.frame(candle("BTCUSDT", MINUTE_MS + 180_000, closed=True))
    assert "out of sync" not in engine.bots[0].note


# --- the connection ------------------------------------------------------------------------------------------------


async def test_a_handover_is_written_down_and_changes_nothing(engine: Engine, journal: MemoryJournal) -> None:
    await connect(engine)
    engine.mark("handover", "planned, before 24 h")
    assert "handover" in kinds(journal)
    assert not engine.unsettled
    assert all(book.in_sync for book in engine.books.values())


async def test_a_lost_connection_leaves_a_gap_with_two_ends(engine: Engine, journal: MemoryJournal) -> None:
    await connect(engine)
    engine.frame(trade("BTCUSDT", START_MS))
    engine.mark("silent", "test")
    engine.mark("disconnected", "and another dial failed")
    engine.mark("reconnected", "test")
    await engine.settle()
    engine.frame(trade("BTCUSDT", START_MS + 7_000))
    engine.frame(trade("BTCUSDT", START_MS + 8_000))
    (gap,) = told(journal, "gap")
    assert (gap["from_ms"], gap["to_ms"], gap["trades"]) == (START_MS, START_MS + 7_000, "by need")
    assert {detail["symbol"] for detail in told(journal, "in sync")} == {"BTCUSDT", "ETHUSDT", "XRPUSDT"}


async def test_a_trade_that_comes_twice_counts_once(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    await connect(engine)
    heard: list[int] = []
    monkeypatch.setattr(engine.broker, "resting", {"BTCUSDT": ()})
    monkeypatch.setattr(engine.broker, "on_trade", lambda trade: heard.append(trade.trade_id))
    for at in (START_MS, START_MS + 5, START_MS, START_MS + 5, START_MS + 9):  # the test's ids are its times
        engine.frame(trade("BTCUSDT", at))
    assert heard == [START_MS, START_MS + 5, START_MS + 9]
    engine.mark("reconnected", "an exchange that counts anew")
    engine.frame(trade("BTCUSDT", START_MS + 20, trade_id=1))
    engine.answer("unknown:trades:BTCUSDT", b"the exchange counts its trades anew")
    assert heard[-1] == 1


# --- what is asked, and in which order -----------------------------------------------------------------------------


async def test_books_of_which_bots_hold_something_are_asked_for_first(
    engine: Engine, exchange: Exchange, journal: MemoryJournal
) -> None:
    await trade_once(engine)
    engine.mark("disconnected", "test")
    engine.mark("reconnected", "test")
    exchange.asked.clear()
    await engine.settle()
    assert journal.fills[0].symbol == "BTCUSDT"
    asked = [line.split()[:2] for line in exchange.asked]
    assert asked == [
        ["depth", "BTCUSDT"], ["klines", "BTCUSDT"], ["klines", "ETHUSDT"], ["depth", "ETHUSDT"], ["depth", "XRPUSDT"],
    ]  # fmt: skip


async def test_many_books_are_asked_for_in_batches_and_few_at_once() -> None:
    symbols = [f"S{n:02d}USDT" for n in range(40)]
    books = {symbol: Book(instrument(symbol)) for symbol in symbols}
    asked: list[str] = []
    in_flight = most = 0

    class Slow(Exchange):
        async def depth(self, symbol: str, limit: int = 100) -> bytes:
            nonlocal in_flight, most
            in_flight += 1
            most = max(most, in_flight)
            asked.append(symbol)
            await asyncio.sleep(0.001)
            in_flight -= 1
            if symbol == "S02USDT":
                raise ExchangeUnreachable("nothing answers")
            return b"{}"

    backfill = Backfill({}, books, MissedTrades(0, play=print, lose=print))
    backfill.begin()
    answered: list[str] = []
    await backfill.fetch(Slow(), backfill.due(1_000, {"S30USDT"}), lambda name, payload: answered.append(name))
    assert asked == ["S30USDT", *symbols[: BATCH - 1]]
    assert answered[:4] == ["depth:S30USDT", "depth:S00USDT", "depth:S01USDT", "none:depth:S02USDT"]
    assert most == 4
    assert not backfill.may_ask("S20USDT", 1_500)
    assert backfill.may_ask("S20USDT", 2_000)


# --- candles -------------------------------------------------------------------------------------------------------


async def test_a_candle_that_the_stream_left_out_is_asked_for(
    engine: Engine, journal: MemoryJournal, exchange: Exchange
) -> None:
    await connect(engine)
    engine.frame(candle("BTCUSDT", MINUTE_MS, closed=True))
    group = engine._candles.groups["BTCUSDT", "1m"]
    held = len(group.series)
    engine.frame(candle("BTCUSDT", MINUTE_MS + 180_000, closed=True))
    assert told(journal, "candles missing")[0]["before_ms"] == MINUTE_MS + 180_000
    assert engine.unsettled
    assert len(group.series) == held, "nothing is appended behind a hole that can be filled"
    rows = [[MINUTE_MS + n * 60_000, "100", "100", "100", "100", "1", 0] for n in (1, 2, 3, 4)]

    async def klines(symbol: str, timeframe: str, **_: Any) -> bytes:
        return str(rows).replace("'", '"').encode()

    exchange.klines = klines  # type: ignore[method-assign]
    acted = engine.bots[0].target
    await engine.settle()
    times = [group.series.frame()["open_time"][at] for at in range(-4, 0)]
    assert times == [MINUTE_MS + n * 60_000 for n in range(4)]
    assert group.series.gaps == []
    assert engine.bots[0].target != acted, "the bots act on the close that waited"


async def test_a_hole_that_nobody_can_fill_stays_a_marked_gap(engine: Engine, exchange: Exchange) -> None:
    await connect(engine)
    engine.frame(candle("BTCUSDT", MINUTE_MS, closed=True))

    async def klines(symbol: str, timeframe: str, **_: Any) -> bytes:
        return b"[]"

    exchange.klines = klines  # type: ignore[method-assign]
    engine.frame(candle("BTCUSDT", MINUTE_MS + 180_000, closed=True))
    await engine.settle()
    group = engine._candles.groups["BTCUSDT", "1m"]
    assert [gap.missing for gap in group.series.gaps] == [2]
    engine.frame(candle("BTCUSDT", MINUTE_MS + 240_000, closed=True))
    assert not engine.unsettled


async def test_a_candle_closed_while_its_history_travels_is_neither_lost_nor_half(
    engine: Engine, exchange: Exchange
) -> None:
    """On an exchange the stream goes on meanwhile: the answer's last row was still forming when it was made."""
    answered = exchange.klines

    async def slow(symbol: str, timeframe: str, **options: Any) -> bytes:
        page = await answered(symbol, timeframe, **options)
        if symbol == "BTCUSDT":
            engine.frame(candle("BTCUSDT", MINUTE_MS, closed=True))  # whole, while the answer has it half
        return page

    exchange.klines = slow  # type: ignore[method-assign]
    await connect(engine)
    group = engine._candles.groups["BTCUSDT", "1m"]
    assert group.waiting == []
    assert group.series.last_open_time_ms == MINUTE_MS
    assert len(group.series) == 6


async def test_the_input_log_tells_a_replay_all_of_it(fleet: FleetSpec, exchange: Exchange) -> None:
    """A candle left out, answers, waiting candles: a second engine, fed the log alone, ends the same."""
    log: list[tuple[str, str, bytes]] = []

    class Recorder:
        def frame(self, raw: bytes) -> None:
            log.append(("frame", "", raw))

        def entry(self, kind: str, name: str, payload: bytes) -> None:
            log.append((kind, name, payload))

    instruments = {symbol: instrument(symbol) for symbol in fleet.symbols}
    live = make_engine(fleet, instruments, MemoryJournal(), seed=1, rest=exchange, recorder=Recorder())  # type: ignore[arg-type]
    await connect(live)
    for n in (0, 1, 3, 4, 5):
        live.frame(depth("BTCUSDT", 101 + n, 101 + n, MINUTE_MS + n * 60_000 + 58_000))
        live.frame(candle("BTCUSDT", MINUTE_MS + n * 60_000, closed=True))
        if live.unsettled:
            await live.settle()
    live.frame(trade("BTCUSDT", MINUTE_MS + 400_000))
    journal = MemoryJournal()
    again = make_engine(fleet, instruments, journal, seed=1)
    for kind, name, payload in log:
        if kind == "frame":
            again.frame(payload)
        elif kind == "answer":
            again.answer(name, payload)
        else:
            again.mark(name, payload.decode())
    assert any(name.startswith("whole:") for _, name, _ in log)
    series = [engine._candles.groups["BTCUSDT", "1m"].series.frame() for engine in (live, again)]
    assert series[0].equals(series[1])
    assert live._journal.fills == journal.fills  # type: ignore[attr-defined]
    assert journal.fills
