"""The written parts of a report: headline, statement that no order left, tables, accounting, what is simulated."""

from __future__ import annotations

import html
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any

import polars as pl

from quantlab.report.data import RunData
from quantlab.report.table import Table, figure_text, number, text
from quantlab.report.tables import slippage_table, strategy_table
from quantlab.report.traffic import egress_counts, endpoint_table, peak_weight

#: Kinds of events that happened more often are counted, not listed.
_RARE = 45
#: Longer timelines are cut in the table (not in the picture): the ledger has them all.
_EVENT_ROWS = 120


class Block(str):
    """A piece of HTML that a notebook shows as such."""

    def _repr_html_(self) -> str:
        return str(self)


def headline(run: RunData) -> Block:
    """Source, window, result and the statement that no order left."""
    row, capital = run.row, run.capital
    net = run.final_equity - capital
    drawdown = -min(run.curve["drawdown_pct"].to_list(), default=0.0)
    hold = ""
    if run.baselines.height:
        pct = (run.baselines["buy_and_hold"][-1] / capital - 1) * 100
        hold = f"buy and hold {_signed(pct)} %"
    traded = run.by_bot.filter(pl.col("fills") > 0).height
    fees = float(run.by_bot["fees_usdt"].sum())
    tiles = (
        (
            "net result",
            f"{_signed(net)} USDT",
            f"{_signed(net / capital * 100 if capital else 0.0)} % · {hold}".rstrip(" ·"),
        ),
        ("largest drawdown", f"{drawdown:.2f} %", "of the fleet's equity"),
        ("bots that traded", f"{traded} of {run.bots.height}", f"{len(set(run.bots['symbol']))} symbols"),
        ("fills", f"{run.fills.height:,}", f"{run.orders.height:,} orders"),
        ("fees", f"{fees:,.2f} USDT", "in the asset received"),
    )
    cells = "".join(
        f'<div class="ql-tile"><div class="ql-tile-name">{_e(name)}</div><div class="ql-tile-value">{_e(value)}</div>'
        f'<div class="ql-tile-note">{_e(note)}</div></div>'
        for name, value, note in tiles
    )
    error = f'<p class="ql-alarm"><b>The run failed:</b> {_e(row.error)}</p>' if row.error else ""
    return Block(
        f"{banner(run)}<h1>{_e(row.fleet_name)} <span class='ql-id'>{_e(run.run_id)}</span></h1>"
        f'<p class="ql-window">{_e(window(run))} · {_e(str(row.state))} · execution: {_e(str(row.execution))}</p>'
        f'<div class="ql-tiles">{cells}</div>{error}{statement(run)}'
    )


def banner(run: RunData) -> str:
    """The source, in words that cannot be taken for something else."""
    kind = "simulated" if run.source.is_simulated else run.source.kind
    words = {
        "simulated": "Simulated market",
        "mainnet": "Real prices, simulated fills",
        "testnet": "Test network prices, simulated fills",
    }[kind]
    return f'<div class="ql-banner ql-{kind}"><b>{_e(words)}</b> {_e(run.label)}</div>'


def window(run: RunData) -> str:
    """From when to when, in engine time."""
    if run.from_ms is None or run.to_ms is None:
        return "no market time passed"
    hours = (run.to_ms - run.from_ms) / 3_600_000
    return f"{_when(run.from_ms)} to {_when(run.to_ms)} UTC ({hours:.1f} h of market time)"


def statement(run: RunData) -> str:
    """Whether an order left, with the counts of the egress log, and whether that log is as it was written."""
    counts = egress_counts(run.egress)
    orders = max(counts.orders, int(run.requests.get("order_requests", 0)))
    if run.egress_chain.problem:
        return (
            '<p class="ql-statement ql-alarm"><b>THE EGRESS LOG IS NOT AS IT WAS WRITTEN:</b> '
            f"{_e(run.egress_chain.problem)}. Its counts prove nothing.</p>"
        )
    if not counts.requests and not counts.others:
        return '<p class="ql-statement ql-open">The egress log of this run is empty: nothing can be said.</p>'
    refused = f"{counts.refused:,} refused by the guard"
    if run.row.execution != "paper":
        return (
            f'<p class="ql-statement ql-open"><b>Execution: {_e(run.row.execution)}.</b> '
            f"{counts.requests + counts.others:,} requests left, {orders:,} of them order requests; {refused}.</p>"
        )
    if orders or counts.others:
        return (
            f'<p class="ql-statement ql-alarm"><b>NOT ONLY READS LEFT.</b> {counts.requests + counts.others:,} '
            f"requests, {counts.others:,} of them not GET, {orders:,} order requests, {refused}.</p>"
        )
    return (
        f'<p class="ql-statement"><b>No order left:</b> {counts.requests:,} requests, all GET, 0 order requests, '
        f"{refused}; {counts.commands:,} stream command{'' if counts.commands == 1 else 's'}. From the egress log of "
        "the one door.</p>"
    )


def bot_section(run: RunData) -> Table:
    """One row a bot."""
    columns = (
        text("name", "bot"),
        text("strategy", "strategy"),
        text("symbol", "symbol"),
        text("timeframe", "tf"),
        number("capital", "capital", 0),
        number("final_equity", "equity"),
        number("net_pnl", "net", signed=True),
        number("net_pct", "%", signed=True),
        number("max_drawdown_pct", "max dd %"),
        number("fills", "fills", 0),
        number("win_rate_pct", "win %", 0),
        number("fees_usdt", "fees"),
        number("slippage_bps", "slip bps", 2),
        text("note", "note", wrap=True),
    )
    return Table(
        run.by_bot,
        columns,
        source=run.label,
        caption="USDT. Win %: sales with a gain after fees. Slip: price paid against the middle at the decision, "
        "weighted by notional; below zero was earned",
        total=_total(run.by_bot, "name"),
    )


def strategy_section(run: RunData, *, by: str = "strategy") -> Table:
    """The bots summed up by strategy (or symbol, timeframe)."""
    columns = (
        text(by, by),
        number("bots", "bots", 0),
        number("traded", "traded", 0),
        number("capital", "capital", 0),
        number("net_pnl", "net", signed=True),
        number("net_pct", "%", signed=True),
        number("best_pct", "best bot %", signed=True),
        number("worst_pct", "worst bot %", signed=True),
        number("max_drawdown_pct", "max dd % of a bot"),
        number("fills", "fills", 0),
        number("turnover_usdt", "turnover", 0),
        number("fees_usdt", "fees"),
    )
    frame = strategy_table(run.by_bot, by=by)
    total = _total(frame, by)
    caption = "USDT, best result first"
    if run.source.kind in ("candles", "generated") and "spread_capture" in run.bots["strategy"].to_list():
        caption += ". The books of this market are synthesised: spread_capture's result is not evidence"
    return Table(frame, columns, source=run.label, caption=caption, total=total)


def slippage_section(run: RunData, *, by: str = "strategy") -> Table:
    """What was paid against the middle, split into its parts."""
    columns = (
        text(by, by),
        number("fills", "fills", 0),
        number("maker_pct", "resting %", 0),
        number("notional_usdt", "notional", 0),
        number("latency_ms", "latency ms", 0),
        number("half_spread_bps", "half-spread"),
        number("latency_bps", "latency"),
        number("depth_bps", "depth"),
        number("cost_bps", "sum bps"),
        number("cost_usdt", "sum USDT"),
        number("crowding_usdt", "crowding USDT"),
    )
    return Table(
        slippage_table(run.slippage, by=by),
        columns,
        source=run.label,
        caption="From the receipts. bps of the middle at the decision, weighted by notional; latency: median of the "
        "drawn time to the book; crowding: the part of the sum that was paid because bots had taken from each other",
    )


def request_section(run: RunData) -> Table:
    """What the bots asked of the exchange, what left for it, what that cost and what came back."""
    frame = endpoint_table(run.egress, run.requests.get("by_endpoint", {}))
    counts = ("asked", "sent", "shared", "kept", "weight", "refused")
    total: dict[str, Any] = {"path": "all", **{name: frame[name].sum() for name in counts}}
    columns = (
        text("method", "method"),
        text("host", "host"),
        text("path", "path"),
        *(number(name, name, 0) for name in counts),
        text("statuses", "answers", wrap=True),
    )
    chain = run.egress_chain
    before = f"{chain.before_chain:,} rows from before the log was chained, " if chain.before_chain else ""
    caption = (
        "Shared: joined a request in flight. Kept: answered from memory. Peak weight in any 60 s: "
        f"{run.requests.get('peak_weight_60s', 0):,} held by the budget, {peak_weight(run.egress):,} by the log. "
        f"Egress log: {before}{chain.rows:,} chained rows, last link {chain.head}"
    )
    return Table(frame, columns, source=run.label, caption=caption, total=total)


def events_section(run: RunData) -> Table:
    """What happened, first the rare."""
    events = run.notable_events
    counts = events.group_by("kind").len()
    rare = counts.filter(pl.col("len") <= _RARE)["kind"].to_list()
    shown = events.filter(pl.col("kind").is_in(rare)).head(_EVENT_ROWS)
    frame = shown.with_columns(time=pl.from_epoch("time_ms", "ms").dt.strftime("%m-%d %H:%M:%S"))
    others = [f"{n:,} × {kind}" for kind, n in counts.sort("kind").iter_rows() if kind not in rare]
    caption = "Engine time, UTC"
    if others:
        caption += ". Not listed: " + ", ".join(others)
    columns = (text("time", "time"), text("kind", "event"), text("name", "bot"), text("words", "detail", wrap=True))
    return Table(frame, columns, source=run.label, caption=caption)


def accounting_section(run: RunData) -> Block:
    """Both sums of the accounts, from the ledger's fills alone, and the engine's own verdict."""
    books, quote = run.fleet_books, run.quote
    held: dict[str, Fraction] = {quote: books.cash}
    for bot, symbol in run.bots.select("bot", "symbol").iter_rows():
        base = symbol.removesuffix(quote)
        held[base] = held.get(base, Fraction(0)) + run.books[bot].held
    off = [bot for bot, sums in run.books.items() if sums.difference]
    wrong = [asset for asset, sums in run.assets.items() if sums.balance != held.get(asset, Fraction(0))]
    verdict = run.summary.get("accounting_ok")
    good = not off and not wrong and verdict is not False
    words = "The money adds up" if good else "THE MONEY DOES NOT ADD UP"
    engine = {True: "agree with both", False: "DO NOT AGREE", None: "gave no verdict: the run did not end"}[verdict]
    lines = (
        ("cash", books.cash),
        ("+ positions at cost", books.cost),
        ("+ fees at the fill's price", books.fees),
        ("\N{MINUS SIGN} gross realised result", -books.realised),
    )
    terms = pl.DataFrame([(name, float(value)) for name, value in lines], schema=["term", "amount"], orient="row")
    first = Table(
        terms,
        (text("term", "the fleet"), number("amount", quote, 8)),
        source=run.label,
        caption="The sum holds for each bot by itself, exactly",
        total={"term": "= starting capital", "amount": float(books.capital)},
    )
    flows = [
        (
            asset,
            *(float(v) or None for v in (s.deposits, s.received, -s.given, -s.fees)),
            float(s.balance),
            float(held.get(asset, 0)),
        )
        for asset, s in sorted(run.assets.items(), key=lambda item: (item[0] != quote, item[0]))
    ]
    names = ("deposited", "received", "given", "fees", "balance", "held by bots")
    second = Table(
        pl.DataFrame(flows, schema={"asset": pl.String, **dict.fromkeys(names, pl.Float64)}, orient="row"),
        (text("asset", "asset"), *(number(name, name, 8) for name in names)),
        source=run.label,
        caption="Deposits + signed fill quantities \N{MINUS SIGN} fees in that asset = balance",
    )
    tone = "ql-statement" if good else "ql-statement ql-alarm"
    return Block(
        f'<p class="{tone}"><b>{words}.</b> {len(run.books)} bots checked, {len(off)} off; {len(run.assets)} assets '
        f"checked, {len(wrong)} off. The engine's own accounts {engine}.</p>"
        f"{first._repr_html_()}{second._repr_html_()}"
    )


def _total(frame: pl.DataFrame, name: str) -> dict[str, Any]:
    """The last row: what can be added up."""
    sums = ("capital", "final_equity", "net_pnl", "fills", "fees_usdt", "bots", "traded", "turnover_usdt")
    total: dict[str, Any] = {column: frame[column].sum() for column in sums if column in frame.columns}
    total[name] = "fleet"
    total["net_pct"] = total["net_pnl"] / total["capital"] * 100 if total["capital"] else None
    return total


def _signed(value: float) -> str:
    return figure_text(value, 2, signed=True)


def _when(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M")


def _e(words: str) -> str:
    return html.escape(words)
