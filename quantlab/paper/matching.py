"""Where an order meets the book: pure functions on whole ticks and lots.

Taking. A walk consumes displayed levels, best first, up to the order's limit and never beyond the edge of
what is displayed: behind it one would be guessing. What a MARKET or IOC order leaves over expires, as on
Binance.

Resting. An order stands behind the whole quantity displayed at its price when it arrives. Its queue advances
by trades at its price on its own side only; cancels ahead of it are not counted (the cautious end of the
queue models in hftbacktest, `RiskAdverseQueueModel`). It is filled at its own limit, never better:

- by trades at its price beyond the queue, partially as they come;
- whole, when a trade prints beyond its price: whoever traded there had to pass this order first;
- when the opposite best reaches its price, up to the quantity displayed there, counted once while they stay
  crossed.
"""

from __future__ import annotations

from collections.abc import Sequence

from quantlab.model import BookView, Side, Trade

#: A level of the book: (ticks, lots).
Level = tuple[int, int]

#: How deep a walk may see, as the depth streams of the bots do.
WALK_LEVELS = 20

_KNOWN_LEVELS = 5000


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


def is_worse(side: Side, ticks: int, limit_ticks: int) -> bool:
    """Is `ticks` a worse price than the limit: above it for a buy, below it for a sale?"""
    return ticks > limit_ticks if side is Side.BUY else ticks < limit_ticks


def far_side(side: Side, book: BookView) -> list[Level]:
    """The levels that an order of `side` would take."""
    return book.asks(WALK_LEVELS) if side is Side.BUY else book.bids(WALK_LEVELS)


def far_best(side: Side, book: BookView) -> Level | None:
    return book.best_ask() if side is Side.BUY else book.best_bid()


def crosses(side: Side, price_ticks: int, book: BookView) -> bool:
    """Would an order of `side` at `price_ticks` take at once?"""
    best = far_best(side, book)
    return best is not None and not is_worse(side, best[0], price_ticks)


def queue_at(side: Side, price_ticks: int, book: BookView) -> int | None:
    """Lots displayed on the own side at `price_ticks`: what an order arriving there stands behind.

    None when the price lies beyond the levels that the book knows: such an order is filled by a trade-through
    only.
    """
    for depth in (WALK_LEVELS, _KNOWN_LEVELS):
        levels = book.bids(depth) if side is Side.BUY else book.asks(depth)
        for ticks, lots in levels:
            if ticks == price_ticks:
                return lots
            if is_worse(side, price_ticks, ticks):
                return 0
    return None if levels else 0


def fill_by_trade(
    side: Side, price_ticks: int, lots: int, queue_lots: int | None, trade: Trade
) -> tuple[int, int | None]:
    """What `trade` does to an order resting with `lots` behind `queue_lots`: (lots filled, queue that remains)."""
    if trade.price_ticks != price_ticks:
        through = is_worse(side, price_ticks, trade.price_ticks)
        return (lots, 0) if through else (0, queue_lots)
    if queue_lots is None or trade.buyer_is_maker is not (side is Side.BUY):
        return 0, queue_lots
    beyond = trade.quantity_lots - queue_lots
    return (min(lots, beyond), 0) if beyond > 0 else (0, -beyond)


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


def triggers(stop_ticks: int, falling: bool, trade: Trade) -> bool:
    """Does `trade` reach the stop? `falling`: it triggers at or below its price, else at or above."""
    return trade.price_ticks <= stop_ticks if falling else trade.price_ticks >= stop_ticks
