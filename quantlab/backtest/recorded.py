"""The candles that a run saw, out of its input log."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import polars as pl

from quantlab.market import FrameDecoder
from quantlab.market.decode import decode_klines
from quantlab.market.history import SCHEMA
from quantlab.model import Candle, Instrument, MalformedMessage, instruments_from_exchange_info
from quantlab.recording import Kind, Recording

_MARK = b"@kline_"


def recorded_candles(
    path: Path, series: Collection[tuple[str, str]]
) -> tuple[dict[tuple[str, str], pl.DataFrame], dict[str, Instrument]]:
    """The closed candles of each (symbol, timeframe), as the frames of a history, and the instruments of that time.

    A candle that only an answer told counts as closed when a later one is known; the stream's word on it stands above
    the answer's, as in the run. Raises MalformedMessage for what is not the input log of a run.
    """
    entries = iter(Recording(path))
    first = next(entries, None)
    if first is None or first.kind is not Kind.ANSWER or first.name != "exchangeInfo":
        raise MalformedMessage(f"{path.name} is not the input log of a run: it does not begin with exchangeInfo")
    instruments = instruments_from_exchange_info(first.payload)
    decode = FrameDecoder(instruments).decode
    answered: dict[tuple[str, str], dict[int, Candle]] = {each: {} for each in series}
    streamed: dict[tuple[str, str], dict[int, Candle]] = {each: {} for each in series}
    for entry in entries:
        if entry.kind is Kind.ANSWER:
            kind, _, name = entry.name.partition(":")
            symbol, _, timeframe = name.partition(":")
            if kind == "klines" and (symbol, timeframe) in answered:
                for candle in decode_klines(entry.payload, symbol, timeframe):
                    answered[symbol, timeframe][candle.open_time_ms] = candle
        elif entry.kind is Kind.FRAME and _MARK in entry.payload[:80]:
            try:
                event = decode(entry.payload)
            except MalformedMessage:
                continue
            if isinstance(event, Candle) and event.closed and (event.symbol, event.timeframe) in streamed:
                streamed[event.symbol, event.timeframe][event.open_time_ms] = event
    frames = {}
    for each in series:
        known = answered[each]
        newest = max(known, default=None)
        if newest is not None and newest >= max(streamed[each], default=0):
            del known[newest]  # it was still forming, and nobody closed it
        rows = sorted((known | streamed[each]).values(), key=lambda candle: candle.open_time_ms)
        table = [(c.open_time_ms, c.open, c.high, c.low, c.close, c.volume) for c in rows]
        frames[each] = pl.DataFrame(table, schema=SCHEMA, orient="row")
    return frames, instruments
