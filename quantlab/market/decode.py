"""From Binance's bytes to the nouns: stream frames and REST answers, prices in ticks, quantities in lots.

Payloads: Binance spot WebSocket streams and REST docs, checked 2026-11-23. Fields are read by their one-letter wire
names; fields not named here are skipped without being parsed.

This is the hot path: a stream's name is looked up once and gives a function bound to its symbol's grid, and msgspec
reads the decimal strings as floats. That loses nothing: a float has 53 bits, a price or quantity is a whole number of
ticks or lots well below 2**50, so rounding `price / tick_size` to the nearest whole number gives exactly the number
that `Decimal` would.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Annotated

import msgspec

from quantlab.model import (
    TIMEFRAMES,
    AggregateTrade,
    Candle,
    DepthSnapshot,
    DepthUpdate,
    Instrument,
    MalformedMessage,
    Quote,
    Trade,
)

MarketEvent = Quote | Trade | DepthUpdate | Candle

#: Where the stream's name begins in a combined frame as Binance writes it: no blanks, stream first. In any other
#: frame the name is not found there, and the frame is read the slow way.
_NAME_START = len(b'{"stream":"')
#: A price this far (in ticks) from the grid is no rounding of a float: the tick size is wrong.
_OFF_GRID_TICKS = 1e-3


class FrameDecoder:
    """Decodes combined-stream frames of the symbols in `instruments` (by symbol, such as "BTCUSDT").

    Known streams: `bookTicker`, `trade`, `aggTrade` (as a `Trade` whose id is the aggregate's), `depth`,
    `depth@100ms` and `kline_*`.
    """

    def __init__(self, instruments: Mapping[str, Instrument]) -> None:
        self._instruments = dict(instruments)
        self._routes: dict[bytes, Callable[[bytes], MarketEvent]] = {}

    def decode(self, raw: bytes) -> MarketEvent | None:
        """The event in `raw`, or None for a stream or symbol that is not ours and for subscription answers.

        Raises MalformedMessage when a frame of a known stream does not have the documented form, and when a quote's
        or trade's price is off the symbol's grid: the tick size changed, and every tick counted with it is wrong.
        Depth levels off the grid are left out instead: orders older than a change of tick size rest there for months
        (a recorded book of 2021 has one at 6.893 with a tick of 0.01), and rounded they would hide a level that is
        real. Quantities are rounded to the nearest lot.
        """
        try:
            route = self._routes.get(raw[_NAME_START : raw.find(b'"', _NAME_START)])
            return self._decode_unrouted(raw) if route is None else route(raw)
        except (msgspec.MsgspecError, ValueError, OverflowError) as error:
            raise MalformedMessage(f"stream frame {raw[:120]!r}: {error}") from error

    def _decode_unrouted(self, raw: bytes) -> MarketEvent | None:
        """The first frame of a stream, one written with blanks or another order of keys, or one not for us."""
        stream = _ENVELOPE.decode(raw).stream
        if stream is None:
            return None
        route = self._route(stream)
        if route is None:
            return None
        self._routes[stream.encode()] = route
        return route(raw)

    def _route(self, stream: str) -> Callable[[bytes], MarketEvent] | None:
        name, _, kind = stream.partition("@")
        instrument = self._instruments.get(name.upper())
        if instrument is None:
            return None
        if kind.startswith("kline_") and kind[6:] in TIMEFRAMES:
            return _candle_route(instrument.symbol, kind[6:])
        make = _ROUTES.get(kind)
        return make(instrument) if make is not None else None


def event_time_ms(event: MarketEvent) -> int | None:
    """The exchange's own time of `event`; None where it gives none (quotes, candles still forming).

    Trades and depth updates carry the frame's event time `E`. A closed candle counts as said at its end. Times of
    successive events go back by a few ms: engine time is their running maximum.
    """
    if isinstance(event, Trade | DepthUpdate):
        return event.time_ms
    if isinstance(event, Candle) and event.closed:
        return event.open_time_ms + TIMEFRAMES[event.timeframe]
    return None


def decode_klines(payload: bytes, symbol: str, timeframe: str, *, as_of_ms: int | None = None) -> list[Candle]:
    """The candles of a `GET /api/v3/klines` answer, oldest first.

    The last row of an answer that reaches the present is still forming: with `as_of_ms` (exchange time) rows that
    end later are marked `closed=False`; without it every row counts as closed. Raises MalformedMessage.
    """
    try:
        rows = _KLINES.decode(payload)
    except msgspec.MsgspecError as error:
        raise MalformedMessage(f"{symbol} {timeframe} klines: {error}") from error
    length_ms = TIMEFRAMES[timeframe]
    latest_ms = as_of_ms - length_ms if as_of_ms is not None else None
    return [
        Candle(symbol, timeframe, row.t, row.o, row.h, row.l, row.c, row.v, latest_ms is None or row.t <= latest_ms)
        for row in rows
    ]


def decode_depth(payload: bytes, instrument: Instrument) -> DepthSnapshot:
    """The snapshot in a `GET /api/v3/depth` answer, in ticks and lots, best first; levels off the grid are left out.
    Raises MalformedMessage.
    """
    try:
        answer = _DEPTH.decode(payload)
        ticks, lots = per_unit(instrument.tick_size), per_unit(instrument.step_size)
        return DepthSnapshot(
            instrument.symbol,
            answer.lastUpdateId,
            _levels(answer.bids, ticks, lots),
            _levels(answer.asks, ticks, lots),
        )
    except (msgspec.MsgspecError, ValueError, OverflowError) as error:
        raise MalformedMessage(f"{instrument.symbol} depth: {error}") from error


def decode_agg_trades(payload: bytes, instrument: Instrument) -> list[AggregateTrade]:
    """The rows of a `GET /api/v3/aggTrades` answer, oldest first. Raises MalformedMessage, also for a price off the
    symbol's grid."""
    try:
        ticks, lots = per_unit(instrument.tick_size), per_unit(instrument.step_size)
        found = []
        for row in _AGG_TRADES.decode(payload):
            price = row.p * ticks
            price_ticks = round(price)
            if not -_OFF_GRID_TICKS < price - price_ticks < _OFF_GRID_TICKS:
                raise _off_grid(instrument, f"trade at {row.p}")
            trade = Trade(instrument.symbol, row.l, price_ticks, round(row.q * lots), row.T, row.m)
            found.append(AggregateTrade(row.a, row.f, trade))
        return found
    except (msgspec.MsgspecError, ValueError, OverflowError) as error:
        raise MalformedMessage(f"{instrument.symbol} aggTrades: {error}") from error


def per_unit(size: Decimal) -> float:
    """How many ticks (lots) of `size` make one unit: the factor from a price (quantity) to its whole number."""
    return float(1 / size)


def _levels(rows: list[tuple[float, float]], ticks: float, lots: float) -> list[tuple[int, int]]:
    """Rows of (price, quantity) in ticks and lots, without those off the grid."""
    levels = []
    for price, quantity in rows:
        exact = price * ticks
        whole = round(exact)
        if -_OFF_GRID_TICKS < exact - whole < _OFF_GRID_TICKS:
            levels.append((whole, round(quantity * lots)))
    return levels


# --- one function a stream, bound to its symbol's grid ---------------------------------------------------------


def _quote_route(instrument: Instrument) -> Callable[[bytes], Quote]:
    symbol, decode = instrument.symbol, _BOOK_TICKER.decode
    ticks, lots = per_unit(instrument.tick_size), per_unit(instrument.step_size)

    def quote(raw: bytes) -> Quote:
        data = decode(raw).data
        bid, ask = data.b * ticks, data.a * ticks
        bid_ticks, ask_ticks = round(bid), round(ask)
        if not -_OFF_GRID_TICKS < bid - bid_ticks + ask - ask_ticks < _OFF_GRID_TICKS:
            raise _off_grid(instrument, f"bid {data.b} or ask {data.a}")
        return Quote(symbol, data.u, bid_ticks, round(data.B * lots), ask_ticks, round(data.A * lots))

    return quote


def _trade_route(instrument: Instrument) -> Callable[[bytes], Trade]:
    symbol, decode = instrument.symbol, _TRADE.decode
    ticks, lots = per_unit(instrument.tick_size), per_unit(instrument.step_size)

    def trade(raw: bytes) -> Trade:
        data = decode(raw).data
        price = data.p * ticks
        price_ticks = round(price)
        if not -_OFF_GRID_TICKS < price - price_ticks < _OFF_GRID_TICKS:
            raise _off_grid(instrument, f"trade at {data.p}")
        return Trade(symbol, data.t, price_ticks, round(data.q * lots), data.E, data.m)

    return trade


def _aggregate_route(instrument: Instrument) -> Callable[[bytes], Trade]:
    symbol, decode = instrument.symbol, _AGGREGATE.decode
    ticks, lots = per_unit(instrument.tick_size), per_unit(instrument.step_size)

    def aggregate(raw: bytes) -> Trade:
        data = decode(raw).data
        price = data.p * ticks
        price_ticks = round(price)
        if not -_OFF_GRID_TICKS < price - price_ticks < _OFF_GRID_TICKS:
            raise _off_grid(instrument, f"trade at {data.p}")
        return Trade(symbol, data.a, price_ticks, round(data.q * lots), data.E, data.m)

    return aggregate


def _depth_route(instrument: Instrument) -> Callable[[bytes], DepthUpdate]:
    symbol, decode = instrument.symbol, _DEPTH_UPDATE.decode
    ticks, lots = per_unit(instrument.tick_size), per_unit(instrument.step_size)

    def depth(raw: bytes) -> DepthUpdate:
        data = decode(raw).data
        return DepthUpdate(symbol, data.U, data.u, data.E, _levels(data.b, ticks, lots), _levels(data.a, ticks, lots))

    return depth


def _candle_route(symbol: str, timeframe: str) -> Callable[[bytes], Candle]:
    decode = _KLINE.decode

    def candle(raw: bytes) -> Candle:
        k = decode(raw).data.k
        return Candle(symbol, timeframe, k.t, k.o, k.h, k.l, k.c, k.v, k.x)

    return candle


def _off_grid(instrument: Instrument, what: str) -> ValueError:
    return ValueError(
        f"{what} is off the tick size {instrument.tick_size}: the exchange's filters changed, reload exchangeInfo"
    )


_ROUTES: dict[str, Callable[[Instrument], Callable[[bytes], MarketEvent]]] = {
    "bookTicker": _quote_route,
    "trade": _trade_route,
    "aggTrade": _aggregate_route,
    "depth": _depth_route,
    "depth@100ms": _depth_route,
}


# --- the wire ----------------------------------------------------------------------------------------------------

_Amount = Annotated[float, msgspec.Meta(ge=0)]


class _BookTickerData(msgspec.Struct, gc=False):
    u: int
    b: _Amount
    B: _Amount
    a: _Amount
    A: _Amount


class _BookTickerFrame(msgspec.Struct, gc=False):
    data: _BookTickerData


class _TradeData(msgspec.Struct, gc=False):
    E: int
    t: int
    p: _Amount
    q: _Amount
    m: bool


class _TradeFrame(msgspec.Struct, gc=False):
    data: _TradeData


class _AggregateData(msgspec.Struct, gc=False):
    E: int
    a: int
    p: _Amount
    q: _Amount
    m: bool


class _AggregateFrame(msgspec.Struct, gc=False):
    data: _AggregateData


class _DepthData(msgspec.Struct, gc=False):
    E: int
    U: int
    u: int
    b: list[tuple[_Amount, _Amount]]
    a: list[tuple[_Amount, _Amount]]


class _DepthFrame(msgspec.Struct, gc=False):
    data: _DepthData


class _KlineBody(msgspec.Struct, gc=False):
    t: int
    o: _Amount
    h: _Amount
    l: _Amount  # noqa: E741 - Binance's name
    c: _Amount
    v: _Amount
    x: bool


class _KlineData(msgspec.Struct, gc=False):
    k: _KlineBody


class _KlineFrame(msgspec.Struct, gc=False):
    data: _KlineData


class _Envelope(msgspec.Struct, gc=False):
    stream: str | None = None


class _KlineRow(msgspec.Struct, array_like=True, gc=False):
    t: int
    o: _Amount
    h: _Amount
    l: _Amount  # noqa: E741 - Binance's name
    c: _Amount
    v: _Amount


class _AggTradeRow(msgspec.Struct, gc=False):
    a: int
    p: _Amount
    q: _Amount
    f: int
    l: int  # noqa: E741 - Binance's name
    T: int
    m: bool


class _DepthAnswer(msgspec.Struct, gc=False):
    lastUpdateId: int
    bids: list[tuple[_Amount, _Amount]]
    asks: list[tuple[_Amount, _Amount]]


_BOOK_TICKER = msgspec.json.Decoder(_BookTickerFrame, strict=False)
_TRADE = msgspec.json.Decoder(_TradeFrame, strict=False)
_AGGREGATE = msgspec.json.Decoder(_AggregateFrame, strict=False)
_AGG_TRADES = msgspec.json.Decoder(list[_AggTradeRow], strict=False)
_DEPTH_UPDATE = msgspec.json.Decoder(_DepthFrame, strict=False)
_KLINE = msgspec.json.Decoder(_KlineFrame, strict=False)
_ENVELOPE = msgspec.json.Decoder(_Envelope)
_KLINES = msgspec.json.Decoder(list[_KlineRow], strict=False)
_DEPTH = msgspec.json.Decoder(_DepthAnswer, strict=False)
