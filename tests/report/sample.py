"""A run that never happened, but could have: 45 bots on 13 random walks, written through the ledger's own writer.

Fills are drawn so that the accounts add up exactly: prices on ticks, fees in the asset received.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import ROUND_DOWN, Decimal
from pathlib import Path
from typing import Any

from quantlab.ledger import BotRow, Ledger, LedgerWriter, RunRow, fills_sha256
from quantlab.model import Fill, Journal, Order, OrderStatus, OrderType, Receipt, Side, Source

MINUTE_MS = 60_000
START_MS = 1_700_006_400_000
STRATEGIES = (
    "ema_cross",
    "donchian_breakout",
    "keltner_breakout",
    "macd_momentum",
    "rate_of_change",
    "rsi_reversion",
    "bollinger_reversion",
    "vwap_reversion",
    "spread_capture",
)
PRICES = {
    "BTCUSDT": "42000", "ETHUSDT": "2300", "BNBUSDT": "310", "SOLUSDT": "98", "XRPUSDT": "0.57", "ADAUSDT": "0.52",
    "DOGEUSDT": "0.081", "AVAXUSDT": "36", "DOTUSDT": "7.1", "LINKUSDT": "14.6", "LTCUSDT": "66", "ATOMUSDT": "9.8",
    "NEARUSDT": "3.1",
}  # fmt: skip
FEE_RATE = Decimal("0.001")
_CENT = Decimal("0.00000001")


@dataclass
class SampleBot:
    """Bot `index` of the sample and its account."""

    index: int
    strategy: str
    symbol: str
    timeframe: str
    capital: Decimal = Decimal(1000)
    cash: Decimal = Decimal(1000)
    held: Decimal = Decimal(0)
    orders: int = 0
    fills: int = 0
    trades: bool = True

    @property
    def name(self) -> str:
        return f"{self.symbol.removesuffix('USDT').lower()}-{self.strategy.replace('_', '-')}"


@dataclass
class Sample:
    """What was written: bots, the fills in order, and when it began and ended."""

    bots: list[SampleBot]
    fills: list[Fill] = field(default_factory=list)
    end_ms: int = START_MS


def make_bots(count: int = 45) -> list[SampleBot]:
    """`count` bots, five symbols a strategy, some of which never trade."""
    symbols = list(PRICES)
    return [
        SampleBot(
            index=i,
            strategy=STRATEGIES[i // 5 % 9],
            symbol=symbols[(i * 3 + i // 5) % 13],
            timeframe=("1m", "5m", "15m")[i % 3],
            trades=i % 11 != 7,
        )
        for i in range(count)
    ]


def write_sample(journal: Journal, bots: Sequence[SampleBot], *, minutes: int = 1440, seed: int = 1) -> Sample:
    """Play `minutes` of market and write every order, fill, mark, event and request of it to `journal`."""
    rng = random.Random(seed)
    sample = Sample(list(bots))
    middle = {symbol: float(price) for symbol, price in PRICES.items()}
    tick = {symbol: Decimal(10) ** (Decimal(price).adjusted() - 4) for symbol, price in PRICES.items()}
    for path in ("/api/v3/exchangeInfo", "/api/v3/klines", "/api/v3/klines", "/api/v3/depth", "/api/v3/depth"):
        journal.egress(
            request(path, weight=20 if path.endswith("Info") else 5, wall_ms=START_MS + rng.randrange(9_000))
        )
    for minute in range(minutes):
        now_ms = START_MS + minute * MINUTE_MS
        common = rng.gauss(0, 0.0004) - (0.004 if 800 < minute < 830 else 0.0)
        touch: dict[str, tuple[Decimal, Decimal]] = {}
        for symbol in middle:
            middle[symbol] *= 1 + common + rng.gauss(0, 0.0006)
            bid = Decimal(middle[symbol]).quantize(tick[symbol], ROUND_DOWN)
            touch[symbol] = bid, bid + tick[symbol] * rng.choice((1, 1, 1, 2, 3))
        for bot in sample.bots:
            chance = 0.06 if bot.strategy == "spread_capture" else 0.012
            if bot.trades and rng.random() < chance:
                _trade(
                    journal, sample, bot, now_ms + rng.randrange(MINUTE_MS), touch[bot.symbol], tick[bot.symbol], rng
                )
        mark_ms = now_ms + MINUTE_MS
        journal.marks([(mark_ms, symbol, float(bid), float(ask)) for symbol, (bid, ask) in touch.items()])
        rows = [
            (mark_ms, bot.index, float(bot.cash + bot.held * touch[bot.symbol][0]), float(bot.cash),
             float(bot.held * touch[bot.symbol][0]))
            for bot in sample.bots
        ]  # fmt: skip
        rows.append((mark_ms, -1, sum(r[2] for r in rows), sum(r[3] for r in rows), sum(r[4] for r in rows)))
        journal.equity(rows)
        if minute == min(600, minutes // 2):
            journal.event(mark_ms, "stale", None, {"symbol": "ETHUSDT", "cause": "gap in the depth stream"})
            journal.event(mark_ms + 2_000, "in sync", None, {"symbol": "ETHUSDT"})
        sample.end_ms = mark_ms
    if len(sample.bots) > 3:
        halted = {"from": "ACTIVE", "to": "HALTED", "cause": "loss of 10 %"}
        journal.event(sample.end_ms - MINUTE_MS, "bot state", 3, halted)
    journal.wait(journal.event(sample.end_ms, "run ended", None, {"why": "end of run"}))
    return sample


def write_run(home: Path, run_id: str, *, minutes: int = 240, bots: int = 45, seed: int = 1, **row: Any) -> Sample:
    """Write a finished run to the ledger of `home`; returns the sample that it holds."""
    rows = make_bots(bots)
    toml = row.pop("fleet_toml", "[[bot]]\n")
    run = RunRow(
        run_id=run_id,
        created_ms=START_MS + seed,
        state="running",
        market="replay",
        source=row.pop("source", Source(kind="generated", name=f"seed {seed}")),
        fleet_name="forty-five",
        fleet_toml=toml,
        fleet_sha256=hashlib.sha256(toml.encode()).hexdigest(),
        seed=seed,
        settings={"market": "replay", "weight_per_minute": 1200},
        versions={"python": "3.11"},
        **row,
    )
    with Ledger.open(home) as ledger:
        ledger.begin_run(
            run,
            [
                BotRow(
                    bot=bot.index,
                    name=bot.name,
                    strategy=bot.strategy,
                    parameters={},
                    symbol=bot.symbol,
                    timeframe=bot.timeframe,
                    capital=bot.capital,
                )
                for bot in rows
            ],
        )
        path = ledger.path
    with LedgerWriter(path, run_id) as journal:
        written = write_sample(journal, rows, minutes=minutes, seed=seed)
        with Ledger.open(home) as ledger:
            log = ledger.egress_end(run_id)
        requests = {
            "egress_rows": log.rows,
            "egress_head": log.head,
            "asked": 90,
            "sent": 5,
            "weight": 40,
            "peak_weight_60s": 40,
            "order_requests": 0,
            "by_endpoint": {"GET /api/v3/klines": {"asked": 80, "sent": 2, "shared": 70, "kept": 8, "weight": 10}},
        }
        summary = {
            "accounting_ok": True,
            "requests": requests,
            "events": 700_000,
            "events_per_second": 20_000,
            "wall_seconds": 35.0,
            "peak_rss_mb": 200.0,
            "fills_sha256": fills_sha256(written.fills),
            "stood_aside": {bot.name: "no signal in this window" for bot in rows if not bot.trades},
        }
        journal.finish(summary, "finished")
    return written


def request(path: str, *, weight: int, wall_ms: int, verdict: str = "sent", method: str = "GET") -> dict[str, Any]:
    """One row of the egress log."""
    return {
        "wall_ms": wall_ms,
        "method": method,
        "host": "127.0.0.1",
        "path": path,
        "weight": weight,
        "status": 200 if verdict == "sent" else 0,
        "verdict": verdict,
        "detail": "",
    }


def _trade(
    journal: Journal,
    sample: Sample,
    bot: SampleBot,
    time_ms: int,
    touch: tuple[Decimal, Decimal],
    tick: Decimal,
    rng: random.Random,
) -> None:
    """Buy with most of the cash, or sell all that is held."""
    bid, ask = touch
    buying = bot.held * bid < 5
    maker = bot.strategy == "spread_capture"
    slip = tick * rng.choice((-1, 0, 0, 0, 1, 1, 2))
    price = (bid if maker else ask + slip) if buying else (ask if maker else bid - slip)
    step = Decimal("0.00001") if price > 1 else Decimal("0.1")
    quantity = (bot.cash * Decimal("0.95") / price if buying else bot.held).quantize(step, ROUND_DOWN)
    if quantity <= 0:
        return
    bot.orders += 1
    bot.fills += 1
    side = Side.BUY if buying else Side.SELL
    order = Order(
        bot=bot.index, number=bot.orders, symbol=bot.symbol, side=side,
        type=OrderType.LIMIT_MAKER if maker else OrderType.MARKET, quantity=quantity,
        price=price if maker else None, created_ms=time_ms - 80, reason="sample",
    )  # fmt: skip
    journal.order(order)
    base = bot.symbol.removesuffix("USDT")
    fee = ((quantity if buying else quantity * price) * FEE_RATE).quantize(_CENT, ROUND_DOWN)
    fill = Fill(
        bot=bot.index, number=bot.fills, order_number=bot.orders, symbol=bot.symbol, side=side, price=price,
        quantity=quantity, fee=fee, fee_asset=base if buying else "USDT", fee_quote=fee * price if buying else fee,
        maker=maker, time_ms=time_ms,
    )  # fmt: skip
    arrival = (bid + slip, ask + slip)
    receipt = Receipt(
        bot=bot.index, fill_number=bot.fills, basis="trade" if maker else "depth", book_id=time_ms,
        levels=((price, quantity),), queue_ahead=Decimal(0), decision_bid=bid, decision_ask=ask,
        arrival_bid=arrival[0], arrival_ask=arrival[1], latency_ms=rng.randrange(40, 120), response_ms=30,
        fee_rate=FEE_RATE, fee_source="standard", model="sample", seed=1,
    )  # fmt: skip
    journal.fill(fill, receipt)
    order.status, order.filled = OrderStatus.FILLED, quantity
    journal.order(order)
    if buying:
        bot.cash -= quantity * price
        bot.held += quantity - fee
    else:
        bot.cash += quantity * price - fee
        bot.held -= quantity
    sample.fills.append(fill)
