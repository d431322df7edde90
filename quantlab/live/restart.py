"""What became of the orders that were open when a run broke off: the exchange is asked before anything is done.

The rule: an order that is still open is cancelled, its trades are taken into the ledger, and so are those of an order
that was filled meanwhile. An intent that the exchange does not know, after its stamp can have run out, never arrived.
Bots then begin as after a paper run's restart: with what they hold, and without open orders.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from quantlab.exchange.trading.orders import GIVEN_UP_S, OrderClient, Row
from quantlab.live.fills import fill_of, receipt_of
from quantlab.live.ids import client_id, intent_of
from quantlab.live.reports import of_row, of_trades
from quantlab.model import ExchangeError, Fill, Instrument, Journal, Order, OrderStatus, Receipt

_AGAIN_S = 0.5


async def resolve(
    client: OrderClient,
    journal: Journal,
    key: str,
    instruments: Mapping[str, Instrument],
    orders: Sequence[Order],
    fills: Sequence[Fill],
    receipts: Sequence[Receipt],
    time_ms: int,
) -> int:
    """Close every open order of `orders` in the ledger as the exchange says; returns how many there were.

    Raises what asking raises: a run whose orders cannot be asked for does not start.
    """
    counts: dict[int, int] = {}
    for fill in fills:
        counts[fill.bot] = max(counts.get(fill.bot, 0), fill.number)
    trade_of = {(receipt.bot, receipt.fill_number): receipt.trade_id for receipt in receipts}
    pending = [order for order in orders if not order.status.is_final]
    rows = await _found(client, key, pending)
    ticket = 0
    for order, row in zip(pending, rows, strict=True):
        if row is None:
            ticket = journal.order(replace(order, status=OrderStatus.REJECTED))
            detail = {"order": order.number, "outcome": "it never reached the exchange"}
            journal.event(time_ms, "order resolved", order.bot, detail)
            continue
        row = await _closed(client, order, client_id(key, order.bot, order.number), row)
        report = of_row((order.bot, order.number), row, "query")
        own = [fill for fill in fills if (fill.bot, fill.order_number) == (order.bot, order.number)]
        known = {trade_of.get((fill.bot, fill.number)) for fill in own}
        filled = sum((fill.quantity for fill in own), order.quantity * 0)
        while report.executed is not None and filled < report.executed:
            answer = await client.trades(order.symbol, order_id=report.order_id)
            for trade in of_trades((order.bot, order.number), report.order_id, answer).trades:
                if trade.trade_id in known:
                    continue
                known.add(trade.trade_id)
                counts[order.bot] = counts.get(order.bot, 0) + 1
                fill = fill_of(order, trade, counts[order.bot], instruments[order.symbol])
                journal.fill(fill, receipt_of(fill, trade, report.order_id))
                filled += trade.quantity
            if filled < report.executed:
                await asyncio.sleep(_AGAIN_S)  # the list of trades comes a moment after the order's state
        ticket = journal.order(replace(order, status=report.status or OrderStatus.CANCELED, filled=filled))
        detail = {"order": order.number, "outcome": str(report.status), "exchange_id": report.order_id}
        journal.event(time_ms, "order resolved", order.bot, detail)
    for name, symbol in await _strays(client, key):
        await client.cancel(symbol, name)
        ticket = journal.event(time_ms, "order resolved", None, {"client_id": name, "outcome": "stray: cancelled"})
    journal.wait(ticket)
    return len(pending)


async def _found(client: OrderClient, key: str, orders: Sequence[Order]) -> list[Row | None]:
    """Each order as the exchange knows it. Those that it does not know are asked for again when they can no longer be
    on their way."""
    names = [client_id(key, order.bot, order.number) for order in orders]
    rows = [await client.find(order.symbol, name) for order, name in zip(orders, names, strict=True)]
    if None in rows:
        await asyncio.sleep(GIVEN_UP_S)
        for index, row in enumerate(rows):
            if row is None:
                rows[index] = await client.find(orders[index].symbol, names[index])
    return rows


async def _closed(client: OrderClient, order: Order, name: str, row: Row) -> Row:
    """The order's last state: it is cancelled where it is still open."""
    while not _status(row).is_final:
        await client.cancel(order.symbol, name)
        again = await client.find(order.symbol, name)
        if again is None:
            raise ExchangeError(f"order {name} was there and is not any more: look at the account, then start again")
        row = again
        if not _status(row).is_final:
            await asyncio.sleep(_AGAIN_S)
    return row


def _status(row: Row) -> OrderStatus:
    return of_row((0, 0), row, "query").status or OrderStatus.NEW


async def _strays(client: OrderClient, key: str) -> list[tuple[str, str]]:
    """Open orders of this run that its ledger has closed."""
    rows = await client.open_orders()
    return [
        (str(row["clientOrderId"]), str(row["symbol"]))
        for row in rows
        if intent_of(str(row.get("clientOrderId")), key) is not None
    ]
