"""Which streams a fleet needs, by Binance's names (spot WebSocket docs, checked 2026-11-23)."""

from __future__ import annotations

from collections.abc import Iterable

from quantlab.model import ConfigurationError, timeframe_ms

#: Streams that one connection may carry.
MAX_STREAMS = 1024


def stream_names(symbols: Iterable[str], candles: Iterable[tuple[str, str]]) -> list[str]:
    """The streams for the books and trades of `symbols` and for `candles` (symbol, timeframe), each once, in order.

    Raises ConfigurationError for an unknown timeframe, and for more streams than one connection may carry.
    """
    names = [
        f"{symbol.lower()}@{kind}"
        for symbol in dict.fromkeys(symbols)
        for kind in ("bookTicker", "trade", "depth@100ms")
    ]
    for symbol, timeframe in dict.fromkeys(candles):
        timeframe_ms(timeframe)
        names.append(f"{symbol.lower()}@kline_{timeframe}")
    if len(names) > MAX_STREAMS:
        raise ConfigurationError(
            f"{len(names)} streams are more than the {MAX_STREAMS} of one connection: use fewer symbols"
        )
    return names
