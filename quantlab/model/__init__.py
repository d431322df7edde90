"""The nouns of quantlab, and the protocols between its rooms. Imports nothing else of ours."""

from quantlab.model.errors import (
    ConfigurationError,
    ExchangeError,
    ExchangeUnreachable,
    MalformedMessage,
    NotFound,
    OutcomeUnknown,
    QuantlabError,
    Refused,
    StaleBook,
    error_of_exit_code,
)
from quantlab.model.instrument import Instrument, instruments_from_exchange_info
from quantlab.model.market import AggregateTrade, BookView, Candle, DepthSnapshot, DepthUpdate, Quote, Trade
from quantlab.model.orders import (
    DesiredQuote,
    Fill,
    Order,
    OrderReport,
    OrderStatus,
    OrderType,
    Position,
    Receipt,
    Side,
    TimeInForce,
)
from quantlab.model.protocols import Broker, CandleSource, Clock, Feed, Journal, Signer, Sink
from quantlab.model.source import Source
from quantlab.model.timeframe import TIMEFRAMES, timeframe_ms

__all__ = [
    "TIMEFRAMES",
    "AggregateTrade",
    "BookView",
    "Broker",
    "Candle",
    "CandleSource",
    "Clock",
    "ConfigurationError",
    "DepthSnapshot",
    "DepthUpdate",
    "DesiredQuote",
    "ExchangeError",
    "ExchangeUnreachable",
    "Feed",
    "Fill",
    "Instrument",
    "Journal",
    "MalformedMessage",
    "NotFound",
    "Order",
    "OrderReport",
    "OrderStatus",
    "OrderType",
    "OutcomeUnknown",
    "Position",
    "QuantlabError",
    "Quote",
    "Receipt",
    "Refused",
    "Side",
    "Signer",
    "Sink",
    "Source",
    "StaleBook",
    "TimeInForce",
    "Trade",
    "error_of_exit_code",
    "instruments_from_exchange_info",
    "timeframe_ms",
]
