"""Candle intervals, as Binance names them.

Source: Binance spot REST docs, klines, checked 2026-11-23. Weeks start on Monday; `1M` has no fixed length and
is not offered.
"""

from __future__ import annotations

from datetime import UTC, datetime

from quantlab.model.errors import ConfigurationError

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS

#: Length of each interval in ms.
TIMEFRAMES: dict[str, int] = {
    "1m": MINUTE_MS,
    "3m": 3 * MINUTE_MS,
    "5m": 5 * MINUTE_MS,
    "15m": 15 * MINUTE_MS,
    "30m": 30 * MINUTE_MS,
    "1h": HOUR_MS,
    "2h": 2 * HOUR_MS,
    "4h": 4 * HOUR_MS,
    "6h": 6 * HOUR_MS,
    "8h": 8 * HOUR_MS,
    "12h": 12 * HOUR_MS,
    "1d": DAY_MS,
    "3d": 3 * DAY_MS,
    "1w": 7 * DAY_MS,
}


def timeframe_ms(timeframe: str) -> int:
    """Length of `timeframe` in ms; raises ConfigurationError naming the valid ones."""
    try:
        return TIMEFRAMES[timeframe]
    except KeyError:
        valid = " ".join(TIMEFRAMES)
        raise ConfigurationError(f'timeframe "{timeframe}" is not one Binance has ({valid})') from None


def moment_ms(text: str, option: str = "") -> int:
    """A day such as "2024-01-01", or a time such as "2024-01-01T06:00", in ms since 1970; without a zone it is UTC.
    Raises ConfigurationError, naming `option` where it came by one."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        said = f'{option} "{text}"' if option else f'"{text}"'
        raise ConfigurationError(f"{said} is not a date such as 2021-04-18 or 2021-04-18T06:00") from None
    return int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000)
