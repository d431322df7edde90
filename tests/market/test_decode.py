"""Frames and answers become the nouns without loss: every recorded payload decodes, numbers equal Decimal's, and
what is not ours or not whole never passes for data."""

from __future__ import annotations

import gzip
import json
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantlab.market import FrameDecoder, MarketEvent, decode_depth, decode_klines, event_time_ms
from quantlab.model import Candle, DepthUpdate, Instrument, MalformedMessage, Quote, Trade

from .recorded import (
    CRYPTOFEED_DATES,
    cryptofeed_books,
    cryptofeed_frames,
    cryptofeed_instruments,
    hftbacktest,
    instrument,
    lasota_depth_frames,
    lasota_trade_frames,
)

BTC = instrument()
QUOTE = (
    b'{"stream":"btcusdt@bookTicker","data":{"u":400900217,"s":"BTCUSDT","b":"25.35190000","B":"31.21000000",'
    b'"a":"25.36520000","A":"40.66000000"}}'
)


def decoder(*instruments: Instrument) -> FrameDecoder:
    return FrameDecoder({one.symbol: one for one in instruments})


def assert_equals_the_payload(event: MarketEvent, frame: bytes, known: Instrument) -> None:
    """Every number of `event` against the standard library's JSON and Decimal."""
    data = json.loads(frame)["data"]
    if isinstance(event, Quote):
        assert event.update_id == data["u"]
        assert known.price(event.bid_ticks) == Decimal(data["b"])
        assert known.quantity(event.bid_lots) == Decimal(data["B"])
        assert known.price(event.ask_ticks) == Decimal(data["a"])
        assert known.quantity(event.ask_lots) == Decimal(data["A"])
    elif isinstance(event, Trade):
        assert event.trade_id == data["t" if data["e"] == "trade" else "a"]
        assert known.price(event.price_ticks) == Decimal(data["p"])
        assert known.quantity(event.quantity_lots) == Decimal(data["q"])
        assert (event.time_ms, event.buyer_is_maker) == (data["E"], data["m"])
    elif isinstance(event, DepthUpdate):
        assert (event.first_update_id, event.last_update_id, event.time_ms) == (data["U"], data["u"], data["E"])
        assert event.bids == levels_on_the_grid(data["b"], known)
        assert event.asks == levels_on_the_grid(data["a"], known)
    else:
        k = data["k"]
        assert (event.open_time_ms, event.timeframe, event.closed) == (k["t"], k["i"], k["x"])
        assert [event.open, event.high, event.low, event.close, event.volume] == [float(k[x]) for x in "ohlcv"]
    assert event.symbol == data["s"] == known.symbol


def levels_on_the_grid(rows: list[list[str]], known: Instrument) -> list[tuple[int, int]]:
    """What Decimal makes of the rows: prices on the grid, quantities to the nearest lot (orders older than a change of
    the filters are finer)."""
    levels = [(Decimal(price) / known.tick_size, Decimal(quantity) / known.step_size) for price, quantity in rows]
    return [(int(ticks), round(lots)) for ticks, lots in levels if ticks == int(ticks)]


@pytest.mark.parametrize(("symbol", "step"), [("BTCUSDT", "0.00001"), ("ETHUSDT", "0.0001")])
def test_every_recorded_frame_of_a_busy_symbol(shared_market: Path, symbol: str, step: str) -> None:
    known = instrument(symbol, step=step)
    decode = decoder(known).decode
    counts = {Quote: 0, Trade: 0, DepthUpdate: 0}
    for number, frame in enumerate(hftbacktest(shared_market, symbol)):
        event = decode(frame)
        if event is None:
            assert b'"stream"' not in frame, "only the REST snapshot between the frames is not an event"
            continue
        counts[type(event)] += 1
        if number % 7 == 0 or isinstance(event, DepthUpdate):
            assert_equals_the_payload(event, frame, known)
    expected = {"BTCUSDT": (28040, 9757, 3451), "ETHUSDT": (24077, 6106, 3434)}[symbol]
    assert tuple(counts.values()) == expected


@pytest.mark.parametrize("date", CRYPTOFEED_DATES)
def test_every_recorded_frame_of_thin_symbols(shared_market: Path, date: str) -> None:
    known = cryptofeed_instruments(shared_market, date)
    decode = FrameDecoder(known).decode
    kinds = set()
    for frame in cryptofeed_frames(shared_market, date):
        event = decode(frame)
        assert event is not None
        assert_equals_the_payload(event, frame, known[event.symbol])
        kinds.add(type(event))
    assert kinds >= {Quote, Trade, DepthUpdate, Candle}


@pytest.mark.parametrize("date", CRYPTOFEED_DATES)
def test_recorded_frames_of_symbols_not_asked_for_are_nothing(shared_market: Path, date: str) -> None:
    decode = decoder(BTC).decode
    assert {decode(frame) for frame in cryptofeed_frames(shared_market, date)} == {None}


@pytest.mark.parametrize("date", CRYPTOFEED_DATES)
def test_every_recorded_rest_book(shared_market: Path, date: str) -> None:
    known = cryptofeed_instruments(shared_market, date)
    books = 0
    for symbol, answer in cryptofeed_books(shared_market, date):
        snapshot, plain = decode_depth(answer, known[symbol]), json.loads(answer)
        assert snapshot.last_update_id == plain["lastUpdateId"]
        assert snapshot.bids == levels_on_the_grid(plain["bids"], known[symbol])
        assert snapshot.asks == levels_on_the_grid(plain["asks"], known[symbol])
        books += 1
    assert books >= 4


def test_a_level_off_the_grid_hides_no_real_one() -> None:
    answer = b'{"lastUpdateId":1,"bids":[["6.90","2"],["6.893","1.6"],["6.89","5"]],"asks":[["7.004","1"]]}'
    snapshot = decode_depth(answer, instrument(step="1"))
    assert (snapshot.bids, snapshot.asks) == ([(690, 2), (689, 5)], [])
    frame = b'{"stream":"btcusdt@depth","data":{"E":3,"U":1,"u":2,"b":[["6.893","0"],["6.88","1"]],"a":[]}}'
    assert decoder(instrument(step="1")).decode(frame) == DepthUpdate("BTCUSDT", 1, 2, 3, [(688, 1)], [])


def test_recorded_diffs_and_trades_of_another_recorder(shared_market: Path) -> None:
    known = instrument("TRXUSDT", tick="0.0001", step="0.1")
    decode = decoder(known).decode
    for frame in lasota_depth_frames(shared_market):
        event = decode(frame)
        assert isinstance(event, DepthUpdate)
        assert_equals_the_payload(event, frame, known)
    ids = []
    for row, frame in lasota_trade_frames(shared_market):
        trade = decode(frame)
        assert isinstance(trade, Trade)
        assert (known.price(trade.price_ticks), known.quantity(trade.quantity_lots)) == tuple(map(Decimal, row[7:9]))
        ids.append(trade.trade_id)
    assert ids == list(range(ids[0], ids[0] + len(ids)))


def test_recorded_quotes_and_trades_in_tables(shared_market: Path) -> None:
    """Tables of quotes and trades, written as the frames they were."""
    known = instrument(step="0.000001")
    decode = decoder(known).decode
    folder = shared_market / "trades"
    for row in pl.read_parquet(folder / "nautilus_btcusdt_quotes_20210108.parquet").iter_rows(named=True):
        texts = tuple(f"{row[name]:.8f}" for name in ("bid", "bid_size", "ask", "ask_size"))
        frame = QUOTE_FORM % tuple(text.encode() for text in texts)
        event = decode(frame)
        assert event is not None
        assert_equals_the_payload(event, frame, known)
    trades = pl.read_parquet(folder / "nautilus_btcusdt_trades_20210108.parquet")
    assert len(trades) == 2001
    form = (
        '{"stream":"btcusdt@trade","data":{"e":"trade","E":1,"s":"BTCUSDT","t":%d,"p":"%.8f","q":"%.8f","T":1,"m":%s}}'
    )
    for row in trades.iter_rows(named=True):
        maker = str(row["buyer_maker"]).lower()
        frame = (form % (row["trade_id"], row["price"], row["quantity"], maker)).encode()
        event = decode(frame)
        assert event is not None
        assert_equals_the_payload(event, frame, known)


def test_a_recorded_book_of_5000_levels(shared_market: Path) -> None:
    with gzip.open(shared_market / "ws" / "lasota_spot_btcusdt_depth5000_rest_20250414.csv.gz", "rt") as lines:
        rows = [line.rstrip().split(",") for line in lines if line[0].isdigit()]
    for update_id in {row[2] for row in rows}:
        bids = [row[4:6] for row in rows if row[2] == update_id and row[3] == "0"]
        asks = [row[4:6] for row in rows if row[2] == update_id and row[3] == "1"]
        answer = json.dumps({"lastUpdateId": int(update_id), "bids": bids, "asks": asks}).encode()
        snapshot = decode_depth(answer, BTC)
        assert len(snapshot.bids) == len(snapshot.asks) == 5000
        for levels, texts in ((snapshot.bids, bids), (snapshot.asks, asks)):
            decoded = [(BTC.price(ticks), BTC.quantity(lots)) for ticks, lots in levels]
            assert decoded == [(Decimal(price), Decimal(quantity)) for price, quantity in texts]


# A price up to 2**40 ticks: beyond any on Binance, where the largest are near 10**10.
grids = st.sampled_from(["0.01", "0.00001", "0.00000001", "0.1", "1", "0.05", "0.25", "0.5", "10", "0.003"])


@given(tick=grids, step=grids, bid=st.integers(1, 2**40), lots=st.integers(0, 2**40), apart=st.integers(1, 1000))
def test_ticks_and_lots_equal_decimal_on_any_grid(tick: str, step: str, bid: int, lots: int, apart: int) -> None:
    known = instrument(tick=tick, step=step)
    texts = [f"{known.price(bid):f}", f"{known.quantity(lots):f}", f"{known.price(bid + apart):f}"]
    frame = QUOTE_FORM % tuple(text.encode() for text in (texts[0], texts[1], texts[2], texts[1]))
    assert decoder(known).decode(frame) == Quote("BTCUSDT", 1, bid, lots, bid + apart, lots)


QUOTE_FORM = b'{"stream":"btcusdt@bookTicker","data":{"u":1,"s":"BTCUSDT","b":"%s","B":"%s","a":"%s","A":"%s"}}'


@pytest.mark.parametrize(
    "frame",
    [
        b'{"result":null,"id":1}',
        b'{"code":2,"msg":"Invalid request: unknown stream"}',
        b'{"stream":"dogeusdt@bookTicker","data":{"u":1}}',
        b'{"stream":"btcusdt@miniTicker","data":{"e":"24hrMiniTicker"}}',
        b'{"stream":"btcusdt@kline_7m","data":{}}',
        b'{"stream":"!ticker@arr","data":[]}',
    ],
)
def test_what_is_not_for_us_is_nothing(frame: bytes) -> None:
    assert decoder(BTC).decode(frame) is None


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"not json",
        b"[]",
        QUOTE[:-20],
        QUOTE.replace(b'"u":400900217,', b""),
        QUOTE.replace(b"25.35190000", b"abc"),
        QUOTE.replace(b"25.35190000", b"nan"),
        QUOTE.replace(b"25.35190000", b"inf"),
        QUOTE.replace(b"25.35190000", b"-1"),
        QUOTE.replace(b'"B":"31.21000000"', b'"B":null'),
    ],
)
def test_a_broken_frame_is_refused(frame: bytes) -> None:
    decode = decoder(instrument(tick="0.0001", step="0.01")).decode
    assert decode(QUOTE) == Quote("BTCUSDT", 400900217, 253519, 3121, 253652, 4066), "the whole frame is read"
    with pytest.raises(MalformedMessage):
        decode(frame)


def test_a_price_off_the_grid_is_refused_by_quotes_and_trades() -> None:
    decode = decoder(BTC).decode
    with pytest.raises(MalformedMessage, match=r"off the tick size 0\.01.*reload exchangeInfo"):
        decode(QUOTE)
    for stream in ("trade", "aggTrade"):
        form = '{"stream":"btcusdt@%s","data":{"E":5,"T":4,"t":7,"a":7,"p":"%s","q":"1","m":true}}'
        assert decode((form % (stream, "10.01")).encode()) == Trade("BTCUSDT", 7, 1001, 100000, 5, True)
        with pytest.raises(MalformedMessage, match="trade at"):
            decode((form % (stream, "10.015")).encode())


def test_blanks_and_another_order_of_keys_make_no_difference() -> None:
    decode = decoder(instrument(tick="0.0001", step="0.01")).decode
    plain = json.loads(QUOTE)
    spaced = json.dumps(plain, indent=1).encode()
    turned = json.dumps({"data": plain["data"], "stream": plain["stream"]}).encode()
    assert decode(spaced) == decode(turned) == decode(QUOTE)


def test_klines_are_closed_only_once_they_ended() -> None:
    row = '[%d,"1.5","2","1","1.75","10",%d,"17",3,"5","8","0"]'
    payload = f"[{row % (0, 59_999)},{row % (60_000, 119_999)}]".encode()
    first = Candle("BTCUSDT", "1m", 0, 1.5, 2.0, 1.0, 1.75, 10.0, True)
    candles = decode_klines(payload, "BTCUSDT", "1m")
    assert candles[0] == first
    assert [candle.closed for candle in candles] == [True, True]
    closed = [c.closed for c in decode_klines(payload, "BTCUSDT", "1m", as_of_ms=119_999)]
    assert closed == [True, False]
    assert [c.closed for c in decode_klines(payload, "BTCUSDT", "1m", as_of_ms=120_000)] == [True, True]
    for broken in (b"{}", payload[:-5], b'{"code":-1121,"msg":"Invalid symbol."}', b"[[1,2]]"):
        with pytest.raises(MalformedMessage):
            decode_klines(broken, "BTCUSDT", "1m")


def test_a_depth_answer_that_is_none_is_refused() -> None:
    good = b'{"lastUpdateId":1,"bids":[["1.00","1"]],"asks":[]}'
    assert decode_depth(good, BTC).bids == [(100, 100000)]
    for broken in (b'{"code":-1003,"msg":"Too many requests."}', good[:-2], good.replace(b"1.00", b"x")):
        with pytest.raises(MalformedMessage, match="BTCUSDT depth"):
            decode_depth(broken, BTC)


def test_event_times() -> None:
    assert event_time_ms(Quote("X", 1, 1, 1, 2, 1)) is None
    assert event_time_ms(Trade("X", 1, 1, 1, 42, True)) == 42
    assert event_time_ms(DepthUpdate("X", 1, 2, 43, [], [])) == 43
    forming = Candle("X", "1m", 60_000, 1, 1, 1, 1, 1, closed=False)
    assert event_time_ms(forming) is None
    assert event_time_ms(Candle("X", "1m", 60_000, 1, 1, 1, 1, 1, closed=True)) == 120_000
