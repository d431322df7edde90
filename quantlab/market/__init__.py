"""What the bots see: frames decoded once, order books, candle series, spreads and volume."""

from quantlab.market.book import Book
from quantlab.market.decode import (
    FrameDecoder,
    MarketEvent,
    decode_agg_trades,
    decode_depth,
    decode_klines,
    event_time_ms,
)
from quantlab.market.series import FRAME_COLUMNS, CandleSeries, Gap
from quantlab.market.spreads import depth_within, spread_table
from quantlab.market.streams import stream_names

__all__ = [
    "FRAME_COLUMNS",
    "Book",
    "CandleSeries",
    "FrameDecoder",
    "Gap",
    "MarketEvent",
    "decode_agg_trades",
    "decode_depth",
    "decode_klines",
    "depth_within",
    "event_time_ms",
    "spread_table",
    "stream_names",
]
