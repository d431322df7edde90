"""How wide the spread and how thick the book is: from what was traded before, by figures measured on Binance.

Spread against daily volume: medians of 371 live USDT pairs, `GET /api/v3/ticker/24hr` of 2024-01-05 (20 bps at 0.1
million USDT a day, 6 at 10 million, 1 tick for the largest). Size at the touch: the same answer and recorded frames of
2024-08-08; about 3 % of a minute's volume in large pairs, and 150 USDT or more where hardly anything trades.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from quantlab.model.timeframe import DAY_MS, HOUR_MS, MINUTE_MS
from quantlab.venue.market.candles import CandleTable
from quantlab.venue.market.filters import Grid

_DAILY_VOLUME = np.log([1e5, 1e6, 1e7, 5e7, 1e8, 3e8, 1e9, 3e9])
_SPREAD_BPS = np.log([20.0, 11.0, 6.0, 2.9, 1.6, 0.6, 0.05, 0.002])
#: What one unit of a quote asset is roughly worth in USDT: only to place a pair in the table above.
_ROUGH_WORTH = {"BTC": 50_000.0, "ETH": 2_500.0, "BNB": 500.0, "TRY": 0.03, "BRL": 0.2}
_TOUCH_SHARE = 0.03
_TOUCH_FLOOR_USDT = 150.0
#: Bound of a touch, in 1e-8 units of the base: a price that fell to nothing would make it longer than an integer.
_MOST_UNITS = 2e16
_TRAILING_MS = 6 * HOUR_MS
_LEVEL_SPACING_BPS = 2.5


@dataclass(frozen=True)
class Liquidity:
    """Medians around which an hour's quotes are drawn."""

    spread_bps: float
    touch_lots: float
    #: Mean of (high − low) / close of the candles before, for telling a wild candle from a usual one.
    range_bps: float


@dataclass
class LiquidityTable:
    """Liquidity of one symbol by hour; an hour's is measured on the six hours before it, never on its future."""

    table: CandleTable
    grid: Grid
    _hours: dict[int, Liquidity] = field(default_factory=dict)
    _spacing: dict[int, int] = field(default_factory=dict)

    def at(self, hour_ms: int) -> Liquidity:
        if hour_ms not in self._hours:
            self._hours[hour_ms] = self._measure(hour_ms)
        return self._hours[hour_ms]

    def level_spacing(self, time_ms: int) -> int:
        """Ticks between two levels of the book behind the touch; it changes at midnight only."""
        day = time_ms - time_ms % DAY_MS
        if day not in self._spacing:
            at = min(int(np.searchsorted(self.table.open_ms, day)), len(self.table.open_ms) - 1)
            ticks = self.table.open[at] / self.grid.tick * _LEVEL_SPACING_BPS / 1e4
            scale = 10 ** max(0, int(np.floor(np.log10(max(ticks, 1.0)))))
            self._spacing[day] = max(1, int(max(step for step in (1, 2, 5) if step * scale <= max(ticks, 1.0)) * scale))
        return self._spacing[day]

    def _measure(self, hour_ms: int) -> Liquidity:
        table = self.table
        first, last = np.searchsorted(table.open_ms, (hour_ms - max(_TRAILING_MS, 6 * table.base_ms), hour_ms))
        if first == last:  # the data begin here, or after a long gap: the last candles known, else the first
            first, last = (max(0, last - 60), last) if last else (0, min(60, len(table.open_ms)))
        close, volume = table.close[first:last], table.volume[first:last]
        minutes = table.base_ms / MINUTE_MS
        usdt_per_minute = float((close * volume).mean()) / minutes * _ROUGH_WORTH.get(self.grid.quote, 1.0)
        lot_usdt = float(close[-1]) * self.grid.step * _ROUGH_WORTH.get(self.grid.quote, 1.0)
        spread = np.exp(np.interp(np.log(max(usdt_per_minute * 1440, 1.0)), _DAILY_VOLUME, _SPREAD_BPS))
        return Liquidity(
            spread_bps=float(spread),
            touch_lots=min(
                max(_TOUCH_FLOOR_USDT, _TOUCH_SHARE * usdt_per_minute) / lot_usdt, _MOST_UNITS / self.grid.step_units
            ),
            range_bps=max(float(((table.high - table.low)[first:last] / close).mean()) * 1e4, 0.01),
        )
