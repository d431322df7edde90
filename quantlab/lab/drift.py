"""A paper run beside the backtest of the same bots over the same candles, and why they differ."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from quantlab.backtest import Result, backtest
from quantlab.backtest.drift import Place, drift_of
from quantlab.backtest.recorded import recorded_candles
from quantlab.lab.research import conventions_of, plan_of
from quantlab.model import NotFound, QuantlabError, timeframe_ms

if TYPE_CHECKING:
    from quantlab.report import RunData
    from quantlab.report.picture import Picture
    from quantlab.report.table import Table

_SIDES = {"BUY": 1, "SELL": -1}


class PaperAgainstBacktest:
    """One row a bot in `frame`: name, strategy, symbol, timeframe, paper_pnl, backtest_pnl, the fields of
    `backtest.drift.Drift` (quote units), and `note` where it could not be tested. Shown as headline, picture, table."""

    def __init__(self, frame: pl.DataFrame, source: str) -> None:
        self.frame, self.source = frame, source

    @cached_property
    def table(self) -> Table:
        """One row a bot, the largest drift first, to be looked at."""
        from quantlab.report import drift

        return drift.table(self.frame, self.source)

    def plot(self) -> Picture:
        """Each bot's result on paper against its backtest's, and the drift by cause."""
        from quantlab.report import drift

        return drift.figure(self.frame, self.source)

    def _repr_html_(self) -> str:
        from quantlab.report import drift

        shown = (drift.headline(self.frame), self.plot(), self.table)
        return "".join(block._repr_html_() for block in shown)

    def __repr__(self) -> str:
        known = self.frame.filter(pl.col("note") == "")
        return f"PaperAgainstBacktest({known.height} bots, drift {known['total'].sum():+,.2f} USDT)"


def against_backtest(
    home: Path, run: RunData, *, on_progress: Callable[[str, int, int], None] | None = None
) -> PaperAgainstBacktest:
    """Backtest each candle bot of `run` over the candles that the run saw, with the spread that it saw. Raises NotFound
    where it kept no input log."""
    from quantlab.fleet.recorder import recording_path
    from quantlab.fleet.spec import parse_fleet

    path = recording_path(home, run.run_id)
    if not path.exists():
        raise NotFound(f'run "{run.run_id}" kept no input log at {path}: its candles are not known any more')
    if run.from_ms is None:
        raise NotFound(f'run "{run.run_id}" was over before its first mark')
    fleet = parse_fleet(run.row.fleet_toml, path=Path(run.row.fleet_name))
    frames, instruments = recorded_candles(path, {(bot.symbol, bot.timeframe) for bot in fleet.bots})
    spreads = _spreads(run)
    rows: list[dict[str, Any]] = []
    for index, bot in enumerate(fleet.bots):
        row: dict[str, Any] = {
            "name": bot.name, "strategy": bot.strategy, "symbol": bot.symbol, "timeframe": bot.timeframe, "note": ""
        }  # fmt: skip
        try:
            length_ms = timeframe_ms(bot.timeframe)
            result = backtest(
                [plan_of(bot)],
                {bot.symbol: frames[bot.symbol, bot.timeframe]},
                instruments,
                timeframe=bot.timeframe,
                conventions=replace(conventions_of(bot, fleet), spread_bps=spreads.get(bot.symbol, 2.0)),
                from_ms=(run.row.engine_from_ms or run.from_ms) - length_ms,  # the first candle that closed within it
                source=run.label,
            )
            row |= _drifted(run, index, result, length_ms)
        except QuantlabError as error:
            row["note"] = str(error)
        rows.append(row)
        if on_progress is not None:
            on_progress("backtests", index + 1, len(fleet.bots))
    return PaperAgainstBacktest(pl.DataFrame(rows, infer_schema_length=None), f"{run.label} · run {run.run_id}")


def _drifted(run: RunData, bot: int, result: Result, length_ms: int) -> dict[str, float]:
    candle = pl.col("time_ms") // length_ms
    side = pl.col("side").replace_strict(_SIDES, return_dtype=pl.Int64)
    # What was decided at the last close fills in a candle that is not there any more: it goes into the rest.
    known = candle < result.to_ms // length_ms
    fills = run.fills.filter(pl.col("bot") == bot, known).select(
        candle=candle, side=side, price="price", quantity="quantity", fee="fee_quote"
    )  # fmt: skip
    orders = run.orders.filter(bot=bot).select(candle=pl.col("created_ms") // length_ms, side=side)
    made, times = result.outcome.fills, result.market.times
    tested = pl.DataFrame(
        {
            "candle": times[made["bar"].astype(np.int64)] // length_ms,
            "side": made["side"].astype(np.int64),
            "price": made["price"],
            "quantity": made["quantity"],
            "fee": made["fee"],
        }
    )
    equity = run.equity.filter(bot=bot)
    capital = float(run.bots.filter(bot=bot)["capital"][0])
    # Both are worth what the run's last mark says, which lies between two closes.
    last_bid = float(run.marks.filter(symbol=result.symbols[0])["bid"][-1])
    held = result.outcome.totals.cash + float(result.outcome.quantities[0]) * last_bid
    paper_pnl, tested_pnl = (float(equity["equity"][-1]) if equity.height else capital) - capital, held - capital
    found = drift_of(
        fills,
        tested,
        asked_on_paper=set(orders.iter_rows()),
        asked_in_test=_asked(result, length_ms),
        mark=last_bid,
        paper_pnl=paper_pnl,
        tested_pnl=tested_pnl,
        dust=10.0 / last_bid,
    )
    return {"paper_pnl": paper_pnl, "backtest_pnl": tested_pnl, **found._asdict()}


def _asked(result: Result, length_ms: int) -> set[Place]:
    """Where the strategy's answer changed: the candle after, and which way."""
    wanted, times = result.market.wanted[0], result.market.times
    steps = np.diff(np.nan_to_num(wanted[result.begin - 1 :] if result.begin else wanted))
    bars = np.flatnonzero(steps) + max(result.begin, 1) + 1
    sides = np.sign(steps[steps != 0]).astype(int)
    return {
        (int(times[bar]) // length_ms, int(side)) for bar, side in zip(bars, sides, strict=True) if bar < len(times)
    }


def _spreads(run: RunData) -> dict[str, float]:
    """The median spread of each symbol that the run saw, basis points."""
    spread = (pl.col("ask") - pl.col("bid")) / (pl.col("ask") + pl.col("bid")) * 20_000
    return dict(run.marks.group_by("symbol").agg(spread.median()).iter_rows())
