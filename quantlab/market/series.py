"""The closed candles of one symbol and timeframe, as the frame that strategies are evaluated on."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import NamedTuple

import numpy as np
import polars as pl

from quantlab.model import Candle, ConfigurationError, timeframe_ms

#: Columns of a candle frame: `open_time` in ms (Int64), prices in quote units, `volume` in base units, and the
#: symbol's tick size in every row (Float64), so that an expression can compare in whole ticks.
FRAME_COLUMNS = ("open_time", "open", "high", "low", "close", "volume", "tick")


class Gap(NamedTuple):
    """`missing` candles that never came, the first of which would have opened at `open_time_ms`."""

    open_time_ms: int
    missing: int


class CandleSeries:
    """Closed candles in order of time, from an anchor (the first one given) to the newest.

    Re-anchoring rule: the frame grows from its anchor; when it exceeds 2 × `keep` rows it is cut to its last `keep`
    rows, and the first of these is the new anchor. Where the frame begins can move the last bits of a recursive
    average, so a backtest that must agree with a live run cuts at the same rows. `keep` must be at least the longest
    lookback evaluated on the frame.
    """

    def __init__(self, symbol: str, timeframe: str, tick_size: Decimal, keep: int) -> None:
        if keep < 1:
            raise ConfigurationError(f"{symbol} {timeframe}: a series must keep at least 1 candle, not {keep}")
        self.symbol = symbol
        self.timeframe = timeframe
        self.keep = keep
        #: Candles that were missing when the next one came. The data continues behind a gap.
        self.gaps: list[Gap] = []
        self._length_ms = timeframe_ms(timeframe)
        self._count = 0
        self._times = np.zeros(2 * keep + 1, dtype=np.int64)
        self._values = np.zeros((len(FRAME_COLUMNS) - 1, 2 * keep + 1))
        self._values[-1] = float(tick_size)
        self._frame: pl.DataFrame | None = None

    def append(self, candle: Candle) -> bool:
        """Take the next candle. False when it is not closed, already known, or older than the newest."""
        last_ms = self.last_open_time_ms
        if not candle.closed or (last_ms is not None and candle.open_time_ms <= last_ms):
            return False
        if last_ms is not None:
            missing = (candle.open_time_ms - last_ms) // self._length_ms - 1
            if missing > 0:
                self.gaps.append(Gap(last_ms + self._length_ms, missing))
        at = self._count
        self._times[at] = candle.open_time_ms
        self._values[:-1, at] = (candle.open, candle.high, candle.low, candle.close, candle.volume)
        self._count = at + 1
        if self._count > 2 * self.keep:
            self._cut()
        self._frame = None
        return True

    def extend(self, candles: Iterable[Candle]) -> int:
        """Append each; returns how many were new."""
        return sum(self.append(candle) for candle in candles)

    def frame(self) -> pl.DataFrame:
        """The candles since the anchor, columns as in `FRAME_COLUMNS`. The same object until the next candle."""
        if self._frame is None:
            # One block for all float columns: making a polars series costs more than filling it. Both are copies:
            # polars may keep the array it is given, and ours changes when it is cut.
            rows = self._count
            block = pl.Series(self._values[:, :rows].flatten())
            columns = [block.slice(index * rows, rows).alias(name) for index, name in enumerate(FRAME_COLUMNS[1:])]
            self._frame = pl.Series(FRAME_COLUMNS[0], self._times[:rows].copy()).to_frame().hstack(columns)
        return self._frame

    def __len__(self) -> int:
        return self._count

    @property
    def anchor_ms(self) -> int | None:
        """Open time of the frame's first candle."""
        return int(self._times[0]) if self._count else None

    @property
    def last_open_time_ms(self) -> int | None:
        """Open time of the newest closed candle."""
        return int(self._times[self._count - 1]) if self._count else None

    def _cut(self) -> None:
        kept = slice(self._count - self.keep, self._count)
        self._times[: self.keep] = self._times[kept].copy()
        self._values[:-1, : self.keep] = self._values[:-1, kept].copy()
        self._count = self.keep
