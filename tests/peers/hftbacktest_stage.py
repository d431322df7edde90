"""The same orders on the same recorded frames, for the paper engine and for hftbacktest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from quantlab.fleet.replay import MemoryJournal
from quantlab.market import Book, FrameDecoder, decode_depth
from quantlab.model import DepthUpdate, Instrument, Order, OrderType, Side, Trade
from quantlab.paper import Account, FixedLatency, PaperBroker, QueueModel, StandardFees, Terms
from tests.market.recorded import hftbacktest, instrument

ORDER_MS = 40
#: A taker is to be alone in its half second.
_EVERY_MS = 700
_LIFE_MS = 20_000
_SIZES = {"BTCUSDT": ("0.05", "0.5", "3"), "ETHUSDT": ("0.5", "5", "60")}


@dataclass
class Stage:
    """One symbol's depth events and trades, and the orders to send: (ms, side, price or None, quantity, life in ms)."""

    instrument: Instrument
    events: list[DepthUpdate | Trade] = field(default_factory=list)
    snapshot: Any = None
    orders: list[tuple[int, Side, Decimal | None, Decimal, int]] = field(default_factory=list)

    def told(self) -> dict[str, Any]:
        """As the runner reads it."""
        tick, step = float(self.instrument.tick_size), float(self.instrument.step_size)
        book, rows, now_ms = Book(self.instrument), [], 0
        book.snapshot(self.snapshot)
        for event in self.events:
            now_ms = max(now_ms, event.time_ms)
            if isinstance(event, Trade):
                rows.append(
                    ["trade", now_ms, event.buyer_is_maker, event.price_ticks * tick, event.quantity_lots * step]
                )
            elif book.apply(event):
                if not rows:
                    rows += [["snapshot", now_ms, True, t * tick, q * step] for t, q in book.bids(5_000)]
                    rows += [["snapshot", now_ms, False, t * tick, q * step] for t, q in book.asks(5_000)]
                rows += [["depth", now_ms, True, t * tick, q * step] for t, q in event.bids]
                rows += [["depth", now_ms, False, t * tick, q * step] for t, q in event.asks]
        orders = [
            [ms, side is Side.BUY, None if price is None else float(price), float(quantity), life_ms]
            for ms, side, price, quantity, life_ms in self.orders
        ]
        return {"tick": tick, "step": step, "order_ms": ORDER_MS, "events": rows, "orders": orders}


def stage_of(folder: Path, symbol: str, *, makers: bool) -> Stage:
    """Market orders of three sizes, or post-only limits at the best price and up to four ticks behind it."""
    made = instrument(symbol, step="0.00001" if symbol == "BTCUSDT" else "0.0001")
    stage, decode = Stage(made), FrameDecoder({symbol: made}).decode
    for raw in hftbacktest(folder, symbol):
        if not raw.startswith(b'{"stream"'):
            stage.snapshot = stage.snapshot or decode_depth(raw, made)
            continue
        event = decode(raw)
        if isinstance(event, DepthUpdate | Trade):
            stage.events.append(event)
    book, due_ms, count, now_ms = Book(made), 0, 0, 0
    book.snapshot(stage.snapshot)
    first = next(i for i, e in enumerate(stage.events) if isinstance(e, DepthUpdate) and book.apply(e))
    stage.events = stage.events[first:]
    last_ms = stage.events[-1].time_ms - _LIFE_MS - 1_000
    for event in stage.events[1:]:
        if event.time_ms > now_ms:
            now_ms = event.time_ms
            due_ms = due_ms or now_ms + 2_000
            if now_ms > due_ms and now_ms < last_ms:
                stage.orders.append(_order(book, symbol, due_ms, count, makers=makers))
                due_ms, count = due_ms + _EVERY_MS, count + 1
        if isinstance(event, DepthUpdate):
            book.apply(event)
    return stage


def _order(
    book: Book, symbol: str, ms: int, count: int, *, makers: bool
) -> tuple[int, Side, Decimal | None, Decimal, int]:
    side = Side.BUY if count % 2 else Side.SELL
    quantity = Decimal(_SIZES[symbol][0 if makers else count // 2 % 3])
    if not makers:
        return ms, side, None, quantity, 0
    best = book.best_bid() if side is Side.BUY else book.best_ask()
    assert best is not None
    behind = count // 2 % 5
    price = (best[0] - behind if side is Side.BUY else best[0] + behind) * book.tick_size
    return ms, side, price, quantity, _LIFE_MS


def ours(stage: Stage, queue: QueueModel) -> list[dict[str, Any]]:
    """What the paper engine makes of it: as the runner's answer, with the basis and the trade of the first fill."""
    symbol, made = stage.instrument.symbol, stage.instrument
    book, journal = Book(made), MemoryJournal()
    account = Account.open(0, made, Decimal(10**12))
    account.quantity = Decimal(10**6)
    broker = PaperBroker(
        {symbol: made},
        {symbol: book},
        journal,
        accounts=[account],
        terms=Terms(
            fees=StandardFees(Decimal(0), Decimal(0), "none"),
            latency=FixedLatency(ORDER_MS, 1),
            queue=queue,
            shared_liquidity=False,
        ),
        seed=1,
        on_report=lambda report: None,
    )
    book.snapshot(stage.snapshot)
    todo: list[tuple[int, int]] = [(ms, n) for n, (ms, *_) in enumerate(stage.orders)]
    ends = [(ms + life, n) for n, (ms, _, _, _, life) in enumerate(stage.orders) if life]
    now_ms = 0
    for event in stage.events:
        if event.time_ms > now_ms:
            for at, number in _due(todo, ends, event.time_ms):
                broker.advance(at)
                if number < 0:
                    broker.cancel(0, -number)
                else:
                    broker.submit(_as_order(stage, number))
            now_ms = event.time_ms
            broker.advance(now_ms)
        if isinstance(event, Trade):
            broker.on_trade(event)
        elif book.apply(event):
            broker.on_book(symbol)
    blank = {"filled": 0.0, "first_ms": None, "last_price": None, "last_quantity": None, "basis": "", "trade_id": 0}
    found: list[dict[str, Any]] = [dict(blank) for _ in stage.orders]
    for fill, receipt in zip(journal.fills, journal.receipts, strict=True):
        row = found[fill.order_number - 1]
        row["filled"] = round(row["filled"] + float(fill.quantity), 9)
        row["first_ms"] = row["first_ms"] or fill.time_ms
        row["last_price"], row["last_quantity"] = float(fill.price), float(fill.quantity)
        row["basis"] = row["basis"] or receipt.basis
        row["trade_id"] = row["trade_id"] or receipt.trade_id
    return found


def _due(todo: list[tuple[int, int]], ends: list[tuple[int, int]], to_ms: int) -> Sequence[tuple[int, int]]:
    """What happens before `to_ms`: orders by number, cancels as the order's number from 1, below zero."""
    due = []
    while todo and todo[0][0] < to_ms:
        due.append(todo.pop(0))
    while ends and ends[0][0] < to_ms:
        at, number = ends.pop(0)
        due.append((at, -number - 1))
    return sorted(due, key=lambda each: each[0])


def _as_order(stage: Stage, number: int) -> Order:
    ms, side, price, quantity, _ = stage.orders[number]
    kind = OrderType.MARKET if price is None else OrderType.LIMIT_MAKER
    return Order(
        bot=0, number=number + 1, symbol=stage.instrument.symbol, side=side, type=kind,
        quantity=quantity, price=price, created_ms=ms,
    )  # fmt: skip
