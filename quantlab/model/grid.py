"""What a symbol's name and its prices tell where no exchangeInfo does."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from quantlab.model.errors import ConfigurationError

#: Quote assets of Binance spot, to split a symbol where no exchangeInfo names its parts.
_QUOTES = ("USDT", "FDUSD", "USDC", "TUSD", "BUSD", "BTC", "ETH", "BNB", "EUR", "TRY", "BRL", "DAI")


def split_symbol(symbol: str) -> tuple[str, str]:
    """("BTC", "USDT") of "BTCUSDT", by the quote assets that Binance has; ConfigurationError for others."""
    for quote in _QUOTES:
        if symbol.endswith(quote) and symbol != quote:
            return symbol.removesuffix(quote), quote
    raise ConfigurationError(f"{symbol}: its quote asset is not one of {', '.join(_QUOTES)}; give an exchangeInfo file")


def decimals_of(values: NDArray[np.float64]) -> int:
    """Decimal places needed to write every value, at most eight."""
    for places in range(8):
        scaled = values * 10.0**places
        if np.all(np.abs(scaled - np.rint(scaled)) <= 1e-6 + scaled * 1e-15):
            return places
    return 8
