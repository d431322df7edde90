"""What a run amounts to, as frames: pure functions over the ledger's frames, shared by reports and notebooks.

Amounts are USDT as floats, for display; exact sums are in `accounting.py`. Times are engine time in ms.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

import polars as pl

from quantlab.model import Receipt

#: The bot number under which the ledger keeps the sum over the whole fleet.
FLEET = -1
#: What buying and holding costs at the start: Binance's taker fee of a regular user. Source: Binance spot fee
#: schedule (VIP 0, no BNB discount), checked 2026-11-23.
TAKER_FEE = 0.001


def equity_frame(equity: pl.DataFrame, bot: int = FLEET) -> pl.DataFrame:
    """The equity of one bot (default: the fleet) over time: time_ms, equity, cash, drawdown_pct."""
    rows = equity.filter(pl.col("bot") == bot).sort("time_ms")
    return rows.select("time_ms", "equity", "cash", drawdown_pct=drawdown(pl.col("equity")))


def drawdown(equity: pl.Expr) -> pl.Expr:
    """Fall below the highest equity so far, percent, as zero or below."""
    return (equity / equity.cum_max() - 1) * 100


def bot_table(
    bots: pl.DataFrame,
    equity: pl.DataFrame,
    fills: pl.DataFrame,
    slippage: pl.DataFrame,
    notes: Mapping[str, str] | None = None,
) -> pl.DataFrame:
    """One row a bot: what it was, what it made, what it paid, and why it stood aside if it did.

    `slippage` is `slippage_frame`'s; `notes` are words by bot name. Bots without equity rows end at their capital.
    """
    ends = (
        equity.filter(pl.col("bot") != FLEET)
        .sort("time_ms")
        .group_by("bot")
        .agg(final_equity=pl.col("equity").last(), max_drawdown_pct=drawdown(pl.col("equity")).min().abs())
    )
    traded = fills.group_by("bot").agg(
        fills=pl.len(),
        turnover_usdt=(pl.col("price") * pl.col("quantity")).sum(),
        fees_usdt=pl.col("fee_quote").sum(),
    )
    paid = slippage.group_by("bot").agg(slippage_bps=_weighted("cost_bps"))
    wins = closed_trades(fills).group_by("bot").agg(closed=pl.len(), win_rate_pct=(pl.col("net_usdt") > 0).mean() * 100)
    table = bots.select("bot", "name", "strategy", "symbol", "timeframe", pl.col("capital").cast(pl.Float64))
    for part in (ends, traded, paid, wins):
        table = table.join(part.with_columns(pl.col("bot").cast(table["bot"].dtype)), on="bot", how="left")
    return table.with_columns(
        pl.col("final_equity").fill_null(pl.col("capital")),
        pl.col("max_drawdown_pct", "turnover_usdt", "fees_usdt").fill_null(0.0),
        pl.col("fills", "closed").fill_null(0).cast(pl.Int64),
        note=pl.col("name").replace_strict(dict(notes or {}), default="", return_dtype=pl.String),
    ).select(
        "bot",
        "name",
        "strategy",
        "symbol",
        "timeframe",
        "capital",
        "final_equity",
        net_pnl=pl.col("final_equity") - pl.col("capital"),
        net_pct=(pl.col("final_equity") / pl.col("capital") - 1) * 100,
        max_drawdown_pct=pl.col("max_drawdown_pct"),
        fills=pl.col("fills"),
        closed=pl.col("closed"),
        win_rate_pct=pl.col("win_rate_pct"),
        turnover_usdt=pl.col("turnover_usdt"),
        fees_usdt=pl.col("fees_usdt"),
        slippage_bps=pl.col("slippage_bps"),
        note=pl.col("note"),
    ).sort("bot")  # fmt: skip


def strategy_table(by_bot: pl.DataFrame, *, by: str = "strategy") -> pl.DataFrame:
    """`bot_table` summed up by strategy (or by "symbol", "timeframe"), best result first."""
    return (
        by_bot.group_by(by)
        .agg(
            bots=pl.len(),
            traded=(pl.col("fills") > 0).sum(),
            capital=pl.col("capital").sum(),
            net_pnl=pl.col("net_pnl").sum(),
            net_pct=pl.col("net_pnl").sum() / pl.col("capital").sum() * 100,
            best_pct=pl.col("net_pct").max(),
            worst_pct=pl.col("net_pct").min(),
            max_drawdown_pct=pl.col("max_drawdown_pct").max(),
            fills=pl.col("fills").sum(),
            turnover_usdt=pl.col("turnover_usdt").sum(),
            fees_usdt=pl.col("fees_usdt").sum(),
        )
        .sort("net_pnl", by, descending=[True, False])
    )


def closed_trades(fills: pl.DataFrame) -> pl.DataFrame:
    """Each sale with its result after fees: bot, number, symbol, time_ms, quantity, gross_usdt, net_usdt.

    The position's average cost is what leaves with a sale; the fee of a purchase leaves with it in proportion.
    """
    rows = []
    held: dict[int, tuple[float, float, float]] = {}
    columns = ("bot", "number", "symbol", "time_ms", "side", "price", "quantity", "fee", "fee_quote")
    for bot, number, symbol, time_ms, side, price, quantity, fee, fee_quote in (
        fills.sort("time_ms", "bot", "number").select(columns).iter_rows()
    ):
        have, cost, fees = held.get(bot, (0.0, 0.0, 0.0))
        if side == "BUY":
            received = quantity - fee
            held[bot] = (have + received, cost + received * price, fees + fee_quote)
            continue
        share = min(1.0, quantity / have) if have > 0 else 1.0
        gross = quantity * price - cost * share
        rows.append((bot, number, symbol, time_ms, quantity, gross, gross - fee_quote - fees * share))
        held[bot] = (have - quantity, cost * (1 - share), fees * (1 - share))
    schema: dict[str, Any] = {"bot": pl.Int64, "number": pl.Int64, "symbol": pl.String, "time_ms": pl.Int64}
    amounts = dict.fromkeys(("quantity", "gross_usdt", "net_usdt"), pl.Float64)
    return pl.DataFrame(rows, schema=schema | amounts, orient="row")


def slippage_frame(fills: pl.DataFrame, bots: pl.DataFrame, receipts: Iterable[Receipt]) -> pl.DataFrame:
    """What each fill paid against the middle of the touch at its bot's decision, in bps of that middle.

    half_spread_bps: from the middle to the touch when the bot decided; latency_bps: what the touch moved until the
    order arrived; depth_bps: from the touch at arrival to the fill's price; cost_bps: their sum. A negative cost was
    earned, as a resting order does. crowding_usdt, a part of it: what the fill cost more because other bots had taken
    what stood before. Fills without a touch on record are left out.
    """
    quotes = [
        (
            r.bot,
            r.fill_number,
            *(None if v is None else float(v) for v in _touch(r)),
            r.latency_ms,
            r.basis,
            float(r.crowding),
        )
        for r in receipts
    ]
    prices: dict[str, Any] = dict.fromkeys(("decision_bid", "decision_ask", "arrival_bid", "arrival_ask"), pl.Float64)
    schema = {"bot": pl.Int64, "number": pl.Int64} | prices | {"latency_ms": pl.Int64, "basis": pl.String}
    schema["crowding_usdt"] = pl.Float64
    touch = pl.DataFrame(quotes, schema=schema, orient="row")
    keys = [pl.col("bot", "number").cast(pl.Int64)]
    frame = (
        fills.select("bot", "number", "symbol", "side", "price", "quantity", "maker", "time_ms")
        .with_columns(*keys)
        .join(touch, on=["bot", "number"], how="inner")
        .join(bots.select(pl.col("bot").cast(pl.Int64), "strategy"), on="bot", how="left")
        .filter(pl.col("decision_bid").is_not_null() & pl.col("decision_ask").is_not_null())
    )
    buys = pl.col("side") == "BUY"
    mid = (pl.col("decision_bid") + pl.col("decision_ask")) / 2
    sign = pl.when(buys).then(1.0).otherwise(-1.0)
    decided = pl.when(buys).then(pl.col("decision_ask")).otherwise(pl.col("decision_bid"))
    # A resting order does not cross the spread: all of its cost or gain is price against the middle.
    arrived = pl.when(buys).then(pl.col("arrival_ask")).otherwise(pl.col("arrival_bid")).fill_null(decided)
    bps = 1e4 / mid
    taker = ~pl.col("maker").cast(pl.Boolean)
    return frame.select(
        "bot",
        "number",
        "strategy",
        "symbol",
        "time_ms",
        pl.col("maker").cast(pl.Boolean),
        "basis",
        "latency_ms",
        "crowding_usdt",
        notional_usdt=pl.col("price") * pl.col("quantity"),
        half_spread_bps=pl.when(taker).then(sign * (decided - mid) * bps).otherwise(0.0),
        latency_bps=pl.when(taker).then(sign * (arrived - decided) * bps).otherwise(0.0),
        depth_bps=pl.when(taker).then(sign * (pl.col("price") - arrived) * bps).otherwise(0.0),
        cost_bps=sign * (pl.col("price") - mid) * bps,
    )


def slippage_table(slippage: pl.DataFrame, *, by: str = "strategy") -> pl.DataFrame:
    """`slippage_frame` by strategy or symbol, weighted by notional: bps, and what it came to in USDT."""
    parts = ("half_spread_bps", "latency_bps", "depth_bps", "cost_bps")
    return (
        slippage.group_by(by)
        .agg(
            fills=pl.len(),
            maker_pct=pl.col("maker").mean() * 100,
            notional_usdt=pl.col("notional_usdt").sum(),
            latency_ms=pl.col("latency_ms").median(),
            cost_usdt=(pl.col("cost_bps") * pl.col("notional_usdt")).sum() / 1e4,
            crowding_usdt=pl.col("crowding_usdt").sum(),
            **{name: _weighted(name) for name in parts},
        )
        .sort("cost_usdt", by, descending=[True, False])
    )


def spread_table(marks: pl.DataFrame) -> pl.DataFrame:
    """The quoted spread of each symbol over the run, in bps of the middle: median and the 10th and 90th percentile."""
    spread = (pl.col("ask") - pl.col("bid")) / (pl.col("ask") + pl.col("bid")) * 2e4
    return (
        marks.with_columns(spread_bps=spread)
        .group_by("symbol")
        .agg(
            p10_bps=pl.col("spread_bps").quantile(0.1),
            median_bps=pl.col("spread_bps").median(),
            p90_bps=pl.col("spread_bps").quantile(0.9),
        )
        .sort("median_bps", "symbol")
    )


def baselines(
    marks: pl.DataFrame, capital: float, symbols: Sequence[str] | None = None, *, taker_fee: float = TAKER_FEE
) -> pl.DataFrame:
    """What doing nothing clever would have made of `capital`: time_ms, buy_and_hold, cash.

    Buy-and-hold puts equal amounts into each symbol at its first ask, pays `taker_fee` (a fraction) once, and is marked
    at the bid, as the fleet is. A symbol without a quote keeps its last. Cash stays as it is.
    """
    if symbols is not None:
        marks = marks.filter(pl.col("symbol").is_in(list(symbols)))
    if marks.is_empty():
        return pl.DataFrame(schema={"time_ms": pl.Int64, "buy_and_hold": pl.Float64, "cash": pl.Float64})
    entry = marks.sort("time_ms").group_by("symbol").agg(entry=pl.col("ask").first())
    growth = marks.join(entry, on="symbol").with_columns(growth=pl.col("bid") / pl.col("entry") * (1 - taker_fee))
    wide = growth.pivot(on="symbol", index="time_ms", values="growth", aggregate_function="last").sort("time_ms")
    each = pl.mean_horizontal(pl.exclude("time_ms").forward_fill().fill_null(1.0))
    return wide.select(pl.col("time_ms").cast(pl.Int64), buy_and_hold=each * capital, cash=pl.lit(float(capital)))


def _touch(receipt: Receipt) -> tuple[Decimal | None, ...]:
    return receipt.decision_bid, receipt.decision_ask, receipt.arrival_bid, receipt.arrival_ask


def _weighted(name: str) -> pl.Expr:
    """The mean of `name`, weighted by notional."""
    return (pl.col(name) * pl.col("notional_usdt")).sum() / pl.col("notional_usdt").sum()
