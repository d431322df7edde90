"""The number by which the exchange orders the events of a stream: the same on every connection, and growing.

Source: Binance spot WebSocket streams docs, payloads, checked 2026-11-23: `u` of bookTicker and diff depth, `t` of
trade, `a` of aggTrade, `lastUpdateId` of partial depth, (`t`, `x`, `L`) of a candle: its open time, whether it is
closed, and its last trade. All others carry the event time `E`.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

EventNumber = tuple[int, ...]

_NAME_START = len(b'{"stream":"')


def event_number(raw: bytes) -> tuple[bytes, EventNumber] | None:
    """(stream, number) of a combined frame; None for what has no number, such as statistics of all symbols."""
    stream = raw[_NAME_START : raw.find(b'"', _NAME_START)]
    kind = stream.partition(b"@")[2]
    try:
        if not raw.startswith(b'{"stream":"'):
            stream = _NAMED.decode(raw).stream.encode()
            kind = stream.partition(b"@")[2]
        return stream, _reader(kind)(raw)
    except msgspec.MsgspecError:
        return None


def _reader(kind: bytes) -> Callable[[bytes], EventNumber]:
    if kind == b"bookTicker" or kind in (b"depth", b"depth@100ms", b"depth@1000ms"):
        return lambda raw: (_BOOK.decode(raw).data.u,)
    if kind == b"trade":
        return lambda raw: (_TRADE.decode(raw).data.t,)
    if kind == b"aggTrade":
        return lambda raw: (_AGGREGATE.decode(raw).data.a,)
    if kind.startswith(b"kline_"):
        return _candle
    if kind.startswith(b"depth"):
        return lambda raw: (_PARTIAL.decode(raw).data.lastUpdateId,)
    return lambda raw: (_TIMED.decode(raw).data.E,)


def _candle(raw: bytes) -> EventNumber:
    k = _CANDLE.decode(raw).data.k
    return k.t, int(k.x), k.L


class _Stream(msgspec.Struct, gc=False):
    stream: str


class _Update(msgspec.Struct, gc=False):
    u: int


class _Trade(msgspec.Struct, gc=False):
    t: int


class _Aggregate(msgspec.Struct, gc=False):
    a: int


class _Partial(msgspec.Struct, gc=False):
    lastUpdateId: int


class _Time(msgspec.Struct, gc=False):
    E: int


class _Kline(msgspec.Struct, gc=False):
    t: int
    x: bool
    L: int = -1


class _Candle(msgspec.Struct, gc=False):
    k: _Kline


class _UpdateFrame(msgspec.Struct, gc=False):
    data: _Update


class _TradeFrame(msgspec.Struct, gc=False):
    data: _Trade


class _AggregateFrame(msgspec.Struct, gc=False):
    data: _Aggregate


class _PartialFrame(msgspec.Struct, gc=False):
    data: _Partial


class _TimeFrame(msgspec.Struct, gc=False):
    data: _Time


class _CandleFrame(msgspec.Struct, gc=False):
    data: _Candle


_NAMED = msgspec.json.Decoder(_Stream)
_BOOK = msgspec.json.Decoder(_UpdateFrame)
_TRADE = msgspec.json.Decoder(_TradeFrame)
_AGGREGATE = msgspec.json.Decoder(_AggregateFrame)
_PARTIAL = msgspec.json.Decoder(_PartialFrame)
_TIMED = msgspec.json.Decoder(_TimeFrame)
_CANDLE = msgspec.json.Decoder(_CandleFrame)
