"""The engine alone: what it does with frames that are late, lost, broken, or not for it."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from quantlab.fleet.assembly import make_engine
from quantlab.fleet.engine import Engine
from quantlab.fleet.replay import MemoryJournal
from quantlab.fleet.spec import FleetSpec
from quantlab.model import ExchangeUnreachable, Instrument, QuantlabError

START_MS = 1_750_000_020_000  # twenty seconds into a minute


def instrument(symbol: str) -> Instrument:
    return Instrument(
        symbol=symbol,
        base=symbol[:-4],
        quote="USDT",
        tick_size=Decimal("0.01"),
        step_size=Decimal("0.001"),
        min_notional=Decimal(5),
    )


class Exchange:
    """REST answers of an exchange whose books all stand at 100 / 100.01."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.down = self.no_history = False
        self.last_update_id = 100

    async def depth(self, symbol: str, limit: int = 100) -> bytes:
        self.asked.append(f"depth {symbol}")
        if self.down:
            raise ExchangeUnreachable("nothing answers")
        book = {"lastUpdateId": self.last_update_id, "bids": [["100.00", "50"]], "asks": [["100.01", "50"]]}
        return json.dumps(book).encode()

    async def klines(self, symbol: str, timeframe: str, **_: Any) -> bytes:
        self.asked.append(f"klines {symbol} {timeframe}")
        if self.no_history:
            raise ExchangeUnreachable("nothing answers")
        first = START_MS - START_MS % 60_000 - 5 * 60_000
        rows = [[first + n * 60_000, "100", "100", "100", "100", "1", first + (n + 1) * 60_000 - 1] for n in range(6)]
        return json.dumps(rows).encode()


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


def frame(stream: str, **data: Any) -> bytes:
    return json.dumps({"stream": stream, "data": data}, separators=(",", ":")).encode()


def depth(symbol: str, first: int, last: int, at_ms: int, bid: str = "100.00") -> bytes:
    return frame(
        f"{symbol.lower()}@depth@100ms", e="depthUpdate", E=at_ms, s=symbol, U=first, u=last, b=[[bid, "51"]], a=[]
    )


def trade(symbol: str, at_ms: int, price: str = "100.00", trade_id: int | None = None) -> bytes:
    """A trade whose id is its time, where none is given."""
    number = at_ms if trade_id is None else trade_id
    return frame(f"{symbol.lower()}@trade", e="trade", E=at_ms, s=symbol, t=number, p=price, q="1", T=at_ms, m=True)


def candle(symbol: str, open_ms: int, closed: bool) -> bytes:
    k = {"t": open_ms, "o": "100", "h": "100", "l": "100", "c": "100", "v": "1", "x": closed}
    return frame(f"{symbol.lower()}@kline_1m", e="kline", E=open_ms + 60_003, s=symbol, k=k)


def kinds(journal: MemoryJournal) -> list[str]:
    return [kind for _, kind, _, _ in journal.events]


async def connect(engine: Engine) -> None:
    engine.mark("connected", "test")
    assert engine.unsettled
    await engine.settle()
    assert not engine.unsettled


async def trade_once(engine: Engine) -> None:
    """A close at which the first bot wants in, and what follows it."""
    await connect(engine)
    minute = START_MS - START_MS % 60_000
    minute += 60_000 * (1 - minute // 60_000 % 2)  # an odd minute: long
    for open_ms in (minute - 60_000, minute):
        engine.frame(candle("BTCUSDT", open_ms, closed=True))
    engine.frame(trade("BTCUSDT", minute + 62_000))


async def test_a_close_leads_to_a_fill_after_latency(engine: Engine, journal: MemoryJournal) -> None:
    await trade_once(engine)
    fill = journal.fills[0]
    assert (fill.symbol, fill.price) == ("BTCUSDT", Decimal("100.01"))
    assert fill.time_ms > engine.now_ms - 2_000  # the close, and the way to the book
    assert journal.receipts[0].latency_ms >= 1
    assert engine.bots[0].account.quantity == fill.quantity - fill.fee


async def test_time_never_goes_back(engine: Engine) -> None:
    await connect(engine)
    engine.frame(trade("BTCUSDT", START_MS))
    engine.frame(trade("ETHUSDT", START_MS - 4))
    engine.frame(depth("ETHUSDT", 101, 101, START_MS - 2))
    assert engine.now_ms == START_MS


async def test_a_gap_marks_the_symbol_stale_and_a_snapshot_mends_it(
    engine: Engine, journal: MemoryJournal, exchange: Exchange
) -> None:
    await connect(engine)
    engine.frame(depth("BTCUSDT", 101, 105, START_MS))
    assert engine.books["BTCUSDT"].in_sync
    engine.frame(depth("BTCUSDT", 110, 112, START_MS + 100))  # 106 to 109 never came
    assert not engine.books["BTCUSDT"].in_sync
    assert engine.unsettled
    assert engine.books["ETHUSDT"].in_sync
    exchange.last_update_id = 112
    await engine.settle()
    assert engine.books["BTCUSDT"].in_sync
    assert [kind for kind in kinds(journal) if kind in ("stale", "in sync")] == ["stale", "in sync"]


async def test_bots_on_a_stale_book_stand_still_and_others_do_not(engine: Engine, journal: MemoryJournal) -> None:
    await connect(engine)
    engine.frame(depth("BTCUSDT", 200, 201, START_MS))
    minute = START_MS - START_MS % 60_000
    for open_ms in (minute, minute + 60_000, minute + 120_000):
        for symbol in ("BTCUSDT", "ETHUSDT"):
            engine.frame(candle(symbol, open_ms, closed=True))
    engine.frame(trade("ETHUSDT", minute + 190_000))
    assert {fill.symbol for fill in journal.fills} == {"ETHUSDT"}
    assert "out of sync" in engine.bots[0].note


async def test_a_snapshot_that_cannot_be_had_is_asked_for_again_later(
    engine: Engine, journal: MemoryJournal, exchange: Exchange
) -> None:
    exchange.down = True
    await connect(engine)
    assert "answer missing" in kinds(journal)
    engine.frame(depth("BTCUSDT", 101, 102, START_MS))
    assert engine.unsettled  # its time has come: engine time moved on
    exchange.asked.clear()
    await engine.settle()
    engine.frame(depth("BTCUSDT", 103, 104, START_MS + 500))
    assert not engine.unsettled  # too early
    exchange.down, exchange.last_update_id = False, 104
    engine.frame(depth("BTCUSDT", 105, 106, START_MS + 1_500))
    assert engine.unsettled
    await engine.settle()
    assert engine.books["BTCUSDT"].in_sync


async def test_history_that_cannot_be_had_is_asked_for_again_at_the_next_minute(
    engine: Engine, exchange: Exchange
) -> None:
    exchange.no_history = True
    await connect(engine)
    assert not any(len(group.series) for group in engine._candles.groups.values())
    engine.frame(trade("BTCUSDT", START_MS))
    assert not engine.unsettled
    exchange.no_history = False
    engine.frame(trade("BTCUSDT", START_MS + 60_000))
    assert engine.unsettled
    await engine.settle()
    assert all(len(group.series) == 5 for group in engine._candles.groups.values())


async def test_a_reconnect_asks_for_books_and_candles_anew(engine: Engine, exchange: Exchange) -> None:
    await connect(engine)
    engine.mark("disconnected", "test")
    assert not any(book.in_sync for book in engine.books.values())
    exchange.asked.clear()
    engine.mark("reconnected", "test")
    await engine.settle()
    assert sorted({line.split()[0] for line in exchange.asked}) == ["depth", "klines"]
    assert all(book.in_sync for book in engine.books.values())


async def test_the_last_row_of_history_counts_only_when_the_stream_says_so(engine: Engine) -> None:
    await connect(engine)
    group = engine._candles.groups["BTCUSDT", "1m"]
    assert len(group.series) == 5
    assert group.tentative is not None
    engine.frame(candle("BTCUSDT", group.tentative.open_time_ms, closed=True))  # the stream closes it itself
    assert len(group.series) == 6
    other = engine._candles.groups["ETHUSDT", "1m"]
    assert other.tentative is not None
    engine.frame(candle("ETHUSDT", other.tentative.open_time_ms + 60_000, closed=False))  # a later one forms
    assert len(other.series) == 6


@pytest.mark.parametrize(
    "raw",
    [
        b'{"stream":"btcusdt@trade","data":{"E":"x"}}',
        b'{"stream":"btcusdt@bookTicker","data":{"u":1,"b":"100.001","B":"1","a":"100.013","A":"1"}}',
        b'{"stream":"btcusdt@depth@100ms","data":{}}',
        b'{"stream":"btcusdt@depth@100ms","data":',
    ],
)
async def test_a_frame_that_cannot_be_read_stops_its_symbol_alone(
    engine: Engine, journal: MemoryJournal, raw: bytes
) -> None:
    await connect(engine)
    engine.frame(trade("BTCUSDT", START_MS))
    engine.frame(raw)
    assert not engine.books["BTCUSDT"].in_sync
    assert engine.books["ETHUSDT"].in_sync
    assert kinds(journal).count("stale") == 1
    engine.frame(raw)
    assert kinds(journal).count("stale") == 1  # said once


@pytest.mark.parametrize("raw", [b"{}", b'{"result":null,"id":1}', b'{"stream":"xyzusdt@trade","data":{}}'])
async def test_frames_for_nobody_are_passed_over(engine: Engine, raw: bytes) -> None:
    await connect(engine)
    engine.frame(raw)
    assert engine.events == 0


async def test_the_kill_switch_flattens_and_stays(engine: Engine, journal: MemoryJournal) -> None:
    await trade_once(engine)
    assert engine.bots[0].account.quantity > 0
    engine.command("kill", {})
    engine.frame(trade("BTCUSDT", engine.now_ms + 5_000))
    assert engine.bots[0].account.quantity < Decimal("0.001")
    assert all(bot.gate.state == "HALTED" for bot in engine.bots)
    sold = len(journal.fills)
    minute = engine.now_ms - engine.now_ms % 60_000
    for n in range(1, 5):
        engine.frame(candle("BTCUSDT", minute + n * 60_000, closed=True))
    engine.frame(trade("BTCUSDT", engine.now_ms + 5_000))
    assert len(journal.fills) == sold


async def test_the_end_cancels_what_rests(engine: Engine, make_maker: Callable[[Engine], None]) -> None:
    await connect(engine)
    make_maker(engine)
    assert engine.broker.open_orders(2)
    engine.finish("test")
    assert not engine.broker.open_orders(2)
    before = engine.events
    engine.frame(trade("BTCUSDT", engine.now_ms + 60_000))
    assert engine.events == before


@pytest.fixture
def make_maker() -> Callable[[Engine], None]:
    """Moves the XRP book until its maker has rested a quote."""

    def move(engine: Engine) -> None:
        for n in range(1, 4):
            engine.frame(depth("XRPUSDT", 100 + n, 100 + n, START_MS + n * 2_000))

    return move


async def test_a_stop_that_the_price_has_passed_becomes_a_sale(engine: Engine, journal: MemoryJournal) -> None:
    """The stop is refused when it arrives below its trigger: the position is sold, not left without one."""
    await connect(engine)
    minute = START_MS - START_MS % 60_000
    minute += 60_000 * (minute // 60_000 % 2)  # the second bot is long in even minutes
    for open_ms in (minute - 60_000, minute):
        engine.frame(candle("ETHUSDT", open_ms, closed=True))
    at = minute + 60_000
    while not journal.fills:
        at += 5
        engine.frame(trade("ETHUSDT", at))
    fall = {"e": "depthUpdate", "E": at + 1, "s": "ETHUSDT", "U": 101, "u": 101}
    engine.frame(
        frame("ethusdt@depth@100ms", **fall, b=[["100.00", "0"], ["90.00", "50"]], a=[["100.01", "0"], ["90.01", "50"]])
    )
    engine.frame(trade("ETHUSDT", at + 3_000, price="90.00"))
    assert engine.bots[1].account.quantity < Decimal("0.001")
    assert engine.broker.open_orders(1) == []
    assert [fill.side for fill in journal.fills] == ["BUY", "SELL"]
    assert journal.orders < 12  # no storm of refused stops


async def test_pausing_while_a_cancel_travels_sells_nothing(engine: Engine, journal: MemoryJournal) -> None:
    await connect(engine)
    minute = START_MS - START_MS % 60_000
    minute += 60_000 * (minute // 60_000 % 2)
    for open_ms in (minute - 60_000, minute):
        engine.frame(candle("ETHUSDT", open_ms, closed=True))
    engine.frame(trade("ETHUSDT", minute + 62_000))
    held = engine.bots[1].account.quantity
    assert held > 0
    assert len(engine.broker.open_orders(1)) == 2
    engine.frame(candle("ETHUSDT", minute + 60_000, closed=True))  # wants out: its stops are being cancelled
    engine.command("pause", {})
    engine.frame(trade("ETHUSDT", minute + 125_000))
    assert engine.bots[1].account.quantity == held
    assert len(engine.broker.open_orders(1)) == 2  # and it is protected again


async def test_commands_that_name_nobody_are_not_recorded(engine: Engine) -> None:
    recorded: list[str] = []

    class Recorder:
        def frame(self, raw: bytes) -> None:
            recorded.append("frame")

        def entry(self, kind: str, name: str, payload: bytes) -> None:
            recorded.append(name)

    engine._recorder = Recorder()
    for name, arguments in (("kill", {"bot": "nobody"}), ("kill", {"bot": ""}), ("pause", {"bot": "btc"})):
        with pytest.raises(QuantlabError):
            engine.command(name, arguments)
    assert recorded == []
    engine.command("kill", {"bot": "btc"})
    assert recorded == ["kill"]
    assert [str(bot.gate.state) for bot in engine.bots] == ["HALTED", "ACTIVE", "ACTIVE"]
