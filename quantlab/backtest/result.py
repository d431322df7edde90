"""What a backtest gives back: figures at once, tables when they are asked for."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from quantlab.backtest import metrics as figures
from quantlab.backtest.plan import Conventions, Plan
from quantlab.backtest.records import REASONS, Floats, Market, Outcome
from quantlab.model.timeframe import DAY_MS

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Crypto trades every day.
YEAR_MS = 365 * DAY_MS


@dataclass(frozen=True, kw_only=True)
class Metrics:
    """The figures of one backtest. `*_pct` in percent, amounts in quote units, times in days; NaN where there is
    nothing to tell one from (no trade, no loss). Ratios are of the returns of equal periods, `period` ms long; the
    drawdown is over every close."""

    net_pnl: float
    return_pct: float
    cagr_pct: float
    buy_and_hold_pct: float
    volatility_pct: float
    sharpe: float
    sortino: float
    calmar: float
    max_drawdown_pct: float
    drawdown_days: float
    probabilistic_sharpe: float
    trades: int
    win_rate_pct: float
    profit_factor: float
    average_trade_pct: float
    exposure_pct: float
    turnover: float
    fees: float
    slippage: float
    orders: int
    fills: int
    refused: int
    halts: int
    days: float
    period: int

    def as_dict(self) -> dict[str, float]:
        return {field.name: getattr(self, field.name) for field in fields(self)}


@dataclass(frozen=True)
class Result:
    """`plans` over the candles of `market` from bar `begin` on. `source` says whose prices they are."""

    plans: tuple[Plan, ...]
    conventions: Conventions
    timeframe: str
    market: Market
    outcome: Outcome
    begin: int
    sample_ms: int
    source: str

    @property
    def symbols(self) -> tuple[str, ...]:
        return tuple(plan.symbol for plan in self.plans)

    @property
    def capital(self) -> float:
        return float(self.conventions.capital_usdt)

    @property
    def from_ms(self) -> int:
        return int(self.market.times[self.begin])

    @property
    def to_ms(self) -> int:
        """The close of the last candle."""
        return int(self.market.times[-1]) + self.market.length_ms

    @property
    def ended(self) -> dict[str, int]:
        """Symbols whose candles end before the last one, such as delisted ones: symbol to the last open time, ms."""
        last = {
            symbol: len(closes) - 1 - int(np.argmin(np.isnan(closes[::-1])))
            for symbol, closes in zip(self.symbols, self.market.closes, strict=True)
        }
        times = self.market.times
        return {symbol: int(times[bar]) for symbol, bar in last.items() if bar < len(times) - 1}

    @cached_property
    def returns(self) -> Floats:
        """Of each period of `sample_ms`."""
        return figures.returns_of(self.outcome.marks, self.capital)

    @cached_property
    def intervals(self) -> dict[str, tuple[float, float]]:
        """Where 90 % of resampled histories lie, by name of the figure in `Metrics` (see `metrics.bootstrap`)."""
        found = figures.bootstrap(self.returns, YEAR_MS / self.sample_ms)
        percent = {"annual_return": "cagr_pct", "drawdown": "max_drawdown_pct"}
        scaled = {name: 100.0 if name in percent else 1.0 for name in found}
        return {
            percent.get(name, name): (low * scaled[name], high * scaled[name]) for name, (low, high) in found.items()
        }  # fmt: skip

    @cached_property
    def metrics(self) -> Metrics:
        return metrics_of(self, self.returns)

    @cached_property
    def equity(self) -> pl.DataFrame:
        """At each close: time (UTC, of the close), equity, drawdown_pct (from 0 down)."""
        curve = self.outcome.curve[self.begin :]
        highest = np.maximum.accumulate(np.maximum(curve, self.capital))
        return pl.DataFrame(
            {
                "time": self._closes(np.arange(self.begin, len(self.market.times))),
                "equity": curve,
                "drawdown_pct": (curve / highest - 1.0) * 100,
            }
        )

    @cached_property
    def fills(self) -> pl.DataFrame:
        """time (UTC), symbol, side, price, quantity, notional, fee, slippage (quote units), reason."""
        rows = self.outcome.fills
        bars = rows["bar"].astype(np.int64)
        times = self.market.times[bars] + np.where(rows["at_open"] > 0, 0, self.market.length_ms)
        return pl.DataFrame(
            {
                "time": _utc(times),
                "symbol": _named(self.symbols, rows["symbol"]),
                "side": np.where(rows["side"] > 0, "BUY", "SELL"),
                "price": rows["price"],
                "quantity": rows["quantity"],
                "notional": rows["price"] * rows["quantity"],
                "fee": rows["fee"],
                "slippage": rows["slippage"],
                "reason": _named(REASONS, rows["reason"]),
            }
        )

    @cached_property
    def trades(self) -> pl.DataFrame:
        """Round trips, from flat to flat: symbol, entry and exit (UTC, the candle's open), candles, quantity,
        entry_price, exit_price, pnl, pnl_pct (of what it cost), fees, mae_pct and mfe_pct (the worst and the best price
        while it was held, against the entry), reason (of the exit)."""
        rows = self.outcome.trips
        entry, leave = rows["entry_bar"].astype(np.int64), rows["exit_bar"].astype(np.int64)
        return pl.DataFrame(
            {
                "symbol": _named(self.symbols, rows["symbol"]),
                "entry": _utc(self.market.times[entry]),
                "exit": _utc(self.market.times[leave]),
                "candles": leave - entry,
                "quantity": rows["quantity"],
                "entry_price": rows["entry_price"],
                "exit_price": rows["exit_price"],
                "pnl": rows["pnl"],
                "pnl_pct": rows["pnl"] / (rows["quantity"] * rows["entry_price"]) * 100,
                "fees": rows["fees"],
                "mae_pct": rows["mae"] * 100,
                "mfe_pct": rows["mfe"] * 100,
                "reason": _named(REASONS, rows["reason"]),
            }
        )

    @cached_property
    def monthly(self) -> pl.DataFrame:
        """month (first day), return_pct, equity at its end, trades (by exit), fees and slippage paid in it."""
        rows = self.equity.group_by(month=pl.col("time").dt.offset_by("-1ms").dt.truncate("1mo"), maintain_order=True)
        ends = rows.agg(pl.col("equity").last())
        before = pl.col("equity").shift(1, fill_value=self.capital)
        ends = ends.with_columns(return_pct=(pl.col("equity") / before - 1) * 100)
        closed = self.trades.group_by(month=pl.col("exit").dt.truncate("1mo")).agg(trades=pl.len())
        paid = self.fills.group_by(month=pl.col("time").dt.truncate("1mo")).agg(pl.col("fee").sum(), "slippage")
        paid = paid.with_columns(pl.col("slippage").list.sum()).rename({"fee": "fees"})
        joined = ends.join(closed, on="month", how="left").join(paid, on="month", how="left")
        return joined.with_columns(pl.col("trades", "fees", "slippage").fill_null(0)).select(
            pl.col("month").dt.date(), "return_pct", "equity", "trades", "fees", "slippage"
        )

    @property
    def buy_and_hold(self) -> Floats:
        """Equity at each close from `begin` on of equal amounts of the symbols, bought at the first open and held;
        before fees and spread."""
        opens, closes = self.market.opens[:, self.begin :], self.market.closes[:, self.begin :]
        shares = np.zeros(closes.shape[1])
        for n in range(closes.shape[0]):
            known = np.flatnonzero(~np.isnan(opens[n]))
            values = pl.Series(closes[n]).fill_nan(None).forward_fill().to_numpy()
            grown = values / opens[n, known[0]] if len(known) else np.ones(closes.shape[1])
            shares += np.where(np.isnan(grown), 1.0, grown) / closes.shape[0]
        return self.capital * shares

    def summary(self) -> dict[str, Any]:
        """For machines: what was tested on what, the figures (None where there is none), what its fills assumed."""
        first, last = _utc(np.array([self.from_ms, self.to_ms]))
        figures_ = self.metrics.as_dict().items()
        return {
            "plans": [{"strategy": type(plan.strategy).__name__, "symbol": plan.symbol} for plan in self.plans],
            "timeframe": self.timeframe,
            "from": first.isoformat(),
            "to": last.isoformat(),
            "source": self.source,
            "metrics": {name: None if value != value else value for name, value in figures_},
            "conventions": self.words(),
        }

    def words(self) -> list[str]:
        """What a reader must know to believe a figure, one line each."""
        ended = [
            f"the candles of {symbol} end at {datetime.fromtimestamp(at / 1000, UTC):%Y-%m-%d %H:%M} UTC: what is held "
            "then is marked at its last bid, and cannot be sold"
            for symbol, at in self.ended.items()
        ]
        return [*self.conventions.words(), *ended]

    def _closes(self, bars: np.ndarray) -> pl.Series:
        return _utc(self.market.times[bars] + self.market.length_ms)

    def __repr__(self) -> str:
        names = ", ".join(f"{type(plan.strategy).__name__} on {plan.symbol}" for plan in self.plans)
        m = self.metrics
        return (
            f"Result({names}, {self.timeframe}, {m.days:.0f} days: {m.return_pct:+.2f} %, Sharpe {m.sharpe:.2f}, "
            f"drawdown {m.max_drawdown_pct:.2f} %, {m.trades:,} trades)"
        )


def metrics_of(result: Result, returns: Floats) -> Metrics:
    """The figures of a backtest whose periods returned `returns`."""
    totals, capital = result.outcome.totals, result.capital
    span_ms = result.to_ms - result.from_ms
    per_year = YEAR_MS / result.sample_ms
    growth = totals.final / capital
    cagr = figures.compounded(growth, YEAR_MS / span_ms)
    trips = int(totals.trips)
    bar_days = result.market.length_ms / DAY_MS
    rows = result.outcome.trips
    average = float(np.mean(rows["pnl"] / (rows["quantity"] * rows["entry_price"]))) if len(rows) else math.nan
    return Metrics(
        net_pnl=totals.final - capital,
        return_pct=(growth - 1.0) * 100,
        cagr_pct=cagr * 100,
        buy_and_hold_pct=_held(result) * 100,
        volatility_pct=figures.volatility(returns, per_year) * 100,
        sharpe=figures.sharpe(returns, per_year),
        sortino=figures.sortino(returns, per_year),
        calmar=figures.calmar(cagr, totals.drawdown),
        max_drawdown_pct=totals.drawdown * 100,
        drawdown_days=totals.drawdown_bars * bar_days,
        probabilistic_sharpe=figures.probabilistic_sharpe(returns, per_year),
        trades=trips,
        win_rate_pct=totals.wins / trips * 100 if trips else math.nan,
        profit_factor=totals.gross_profit / totals.gross_loss if totals.gross_loss > 0 else math.nan,
        average_trade_pct=average * 100,
        exposure_pct=totals.exposure * 100,
        turnover=totals.turnover / capital,
        fees=totals.fees,
        slippage=totals.slippage,
        orders=int(totals.orders),
        fills=int(totals.fills),
        refused=int(totals.refused),
        halts=int(totals.halts),
        days=span_ms / DAY_MS,
        period=result.sample_ms,
    )


def _held(result: Result) -> float:
    """What equal amounts of the symbols returned from their first open to their last close, before fees."""
    opens, closes = result.market.opens[:, result.begin :], result.market.closes[:, result.begin :]
    grown = []
    for first, last in zip(opens, closes, strict=True):
        if not np.isnan(first[0] + last[-1]):
            grown.append(last[-1] / first[0] - 1.0)
            continue
        start, end = int(np.argmin(np.isnan(first))), len(last) - 1 - int(np.argmin(np.isnan(last[::-1])))
        grown.append(last[end] / first[start] - 1.0)
    return float(np.mean(grown))


def _named(names: Sequence[str], numbers: np.ndarray) -> list[str]:
    return [names[int(number)] for number in numbers]


def _utc(times_ms: np.ndarray) -> pl.Series:
    return pl.Series(times_ms.astype(np.int64)).cast(pl.Datetime("ms", "UTC"))
