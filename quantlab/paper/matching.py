"""Where an order meets the book: pure functions on whole ticks and lots.

Taking. A walk consumes displayed levels, best first, up to the order's limit and never beyond the edge of
what is displayed. What a MARKET order leaves over expires, or meets a book that goes on as it was displayed (`beyond`);
that of an IOC order expires, and a FOK order takes all of it or nothing.

Resting. An order stands behind the whole quantity displayed at its price when it arrives. Its queue advances
by trades at its price on its own side, and by cancels as the queue model says (`queues.py`). It is filled at its own
limit, never better:

- by trades at its price beyond the queue, partially as they come;
- whole, when a trade prints beyond its price: whoever traded there had to pass this order first;
- when the opposite best reaches its price, up to the quantity displayed there, counted once while they stay
  crossed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from quantlab.model import BookView, Side, Trade

#: A level of the book: (ticks, lots).
Level = tuple[int, int]

#: How deep a walk may see: as deep as the snapshots that books begin with. Behind their edge only levels are known that
#: changed since, and a walk over a hole there pays more than it would have: never less.
WALK_LEVELS = 100


def walk(side: Side, lots: int, levels: Sequence[Level], limit_ticks: int | None = None) -> tuple[list[Level], int]:
    """Take `lots` from `levels` (the far side, best first), no worse than `limit_ticks`.

    Returns what each level gave, best first, and the lots that remain.
    """
    taken: list[Level] = []
    for ticks, shown in levels:
        if lots <= 0 or (limit_ticks is not None and is_worse(side, ticks, limit_ticks)):
            break
        part = min(lots, shown)
        if part > 0:
            taken.append((ticks, part))
            lots -= part
    return taken, lots


def lots_for_quote(tick_lots: int, levels: Sequence[Level]) -> int:
    """How many lots an amount of the quote asset (`tick_lots`: in ticks × lots) buys, or a sale of how many brings it:
    at most the amount, as near to it as whole lots come. Where `levels` do not suffice, at the worst of them."""
    wanted = 0
    for ticks, shown in levels:
        part = min(shown, tick_lots // ticks)
        wanted, tick_lots = wanted + part, tick_lots - part * ticks
        if part < shown:
            return wanted
    return wanted + (tick_lots // levels[-1][0] if levels else 0)


def is_worse(side: Side, ticks: int, limit_ticks: int) -> bool:
    """Is `ticks` a worse price than the limit: above it for a buy, below it for a sale?"""
    return ticks > limit_ticks if side is Side.BUY else ticks < limit_ticks


def far_side(side: Side, book: BookView) -> list[Level]:
    """The levels that an order of `side` would take."""
    return book.asks(WALK_LEVELS) if side is Side.BUY else book.bids(WALK_LEVELS)


def far_best(side: Side, book: BookView) -> Level | None:
    return book.best_ask() if side is Side.BUY else book.best_bid()


def shown_at(side: Side, price_ticks: int, book: BookView) -> int | None:
    """Lots displayed on the own side of an order at its price; None beyond the levels that are known."""
    return book.bid_lots(price_ticks) if side is Side.BUY else book.ask_lots(price_ticks)


def crosses(side: Side, price_ticks: int, book: BookView) -> bool:
    """Would an order of `side` at `price_ticks` take at once?"""
    best = far_best(side, book)
    return best is not None and not is_worse(side, best[0], price_ticks)


def beyond(side: Side, lots: int, shown: Sequence[Level]) -> Level | None:
    """What `lots` would get behind the levels `shown`, if the book went on there as dense as it is displayed: one
    (ticks, lots) at the mean price, rounded against the order. At most as much again as is displayed; None where two
    levels or more are not there to tell a density."""
    if len(shown) < 2 or lots <= 0:
        return None
    displayed = sum(level[1] for level in shown)
    span = abs(shown[-1][0] - shown[0][0]) + 1
    lots = min(lots, displayed)
    away = max(1, math.ceil(math.ceil(lots * span / displayed) / 2))
    ticks = shown[-1][0] + (away if side is Side.BUY else -away)
    return (ticks, lots) if ticks > 0 else None


def fill_by_trade(
    side: Side, price_ticks: int, lots: int, queue_lots: int | None, trade: Trade
) -> tuple[int, int | None]:
    """What `trade` does to an order resting with `lots` behind `queue_lots`: (lots filled, queue that remains)."""
    if trade.price_ticks != price_ticks:
        through = is_worse(side, price_ticks, trade.price_ticks)
        return (lots, 0) if through else (0, queue_lots)
    if queue_lots is None or not is_at_price(side, price_ticks, trade):
        return 0, queue_lots
    beyond = trade.quantity_lots - queue_lots
    return (min(lots, beyond), 0) if beyond > 0 else (0, -beyond)


def is_at_price(side: Side, price_ticks: int, trade: Trade) -> bool:
    """Did `trade` take from the queue in which an order of `side` rests at `price_ticks`?"""
    return trade.price_ticks == price_ticks and trade.buyer_is_maker is (side is Side.BUY)


def fill_by_cross(
    side: Side, price_ticks: int, lots: int, crossed_lots: int, opposite: Level | None
) -> tuple[int, int]:
    """What the opposite best does to a resting order: (lots filled, lots counted while they stay crossed).

    `crossed_lots` is the second figure of the last call, so that one displayed quantity fills once however
    often the book is looked at; it falls back to 0 when the prices part.
    """
    if opposite is None or is_worse(side, opposite[0], price_ticks):
        return 0, 0
    filled = max(0, min(lots, opposite[1] - crossed_lots))
    return filled, crossed_lots + filled
