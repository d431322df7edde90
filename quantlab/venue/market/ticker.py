"""`GET /api/v3/ticker/24hr`: one row from the candles of a day, the touch and the latest trade."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from quantlab.model.timeframe import DAY_MS


@dataclass(frozen=True)
class Span:
    """What happened over some time: prices and sums, quote or base units; `trades` is their number."""

    open: float
    high: float
    low: float
    close: float
    volume: float
    quote: float
    trades: int


def merged(spans: Sequence[Span]) -> Span | None:
    """One span of several that follow one another; None of none."""
    if not spans:
        return None
    return Span(
        open=spans[0].open,
        high=max(span.high for span in spans),
        low=min(span.low for span in spans),
        close=spans[-1].close,
        volume=sum(span.volume for span in spans),
        quote=sum(span.quote for span in spans),
        trades=sum(span.trades for span in spans),
    )


def ticker_row(
    touch: dict[str, Any], day: Span | None, before: float, latest: dict[str, Any] | None, now_ms: int
) -> dict[str, Any]:
    """The row, zeros where nothing traded. `touch` is the symbol's `ticker/bookTicker`, `before` the close before the
    day, `latest` the newest trade as `GET /api/v3/trades` gives it."""
    day = day or Span(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0)
    return {
        "symbol": touch["symbol"],
        "priceChange": f"{day.close - day.open:.8f}",
        "priceChangePercent": f"{(day.close / day.open - 1) * 100 if day.open else 0.0:.3f}",
        "weightedAvgPrice": f"{day.quote / day.volume if day.volume else 0.0:.8f}",
        "prevClosePrice": f"{before:.8f}",
        "lastPrice": latest["price"] if latest else f"{day.close:.8f}",
        "lastQty": latest["qty"] if latest else "0.00000000",
        **{name: touch[name] for name in ("bidPrice", "bidQty", "askPrice", "askQty")},
        "openPrice": f"{day.open:.8f}",
        "highPrice": f"{day.high:.8f}",
        "lowPrice": f"{day.low:.8f}",
        "volume": f"{day.volume:.8f}",
        "quoteVolume": f"{day.quote:.8f}",
        "openTime": now_ms - DAY_MS,
        "closeTime": now_ms,
        "firstId": max(0, latest["id"] - day.trades + 1) if latest and day.trades else -1,
        "lastId": latest["id"] if latest else -1,
        "count": day.trades,
    }
