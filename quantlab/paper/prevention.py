"""Orders of one account that would meet each other: who has to go.

Source: Binance spot STP FAQ, checked 2026-11-24. The mode is the taker's; here all orders of a run have the same.
TRANSFER is DECREMENT within one account, and NONE, which lets them trade, is not offered.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum

from quantlab.model import Side
from quantlab.paper.matching import Level, is_worse
from quantlab.paper.working import Working


class SelfTrade(StrEnum):
    EXPIRE_MAKER = "expire_maker"
    EXPIRE_TAKER = "expire_taker"
    EXPIRE_BOTH = "expire_both"
    DECREMENT = "decrement"


def meetings(
    side: Side, limit_ticks: int | None, levels: Sequence[Level], resting: Iterable[Working]
) -> Iterator[tuple[Working, int]]:
    """The resting orders that a taker of `side` comes to, in the order in which it does, each with the lots that it
    takes from `levels` (the far side, best first) before."""
    makers = [one for one in resting if not one.dormant and one.order.side is not side]
    makers.sort(key=lambda one: one.price_ticks, reverse=side is Side.SELL)  # stable: at one price, who came first
    for maker in makers:
        price = maker.price_ticks
        if limit_ticks is not None and is_worse(side, price, limit_ticks):
            return
        before = sum(lots for ticks, lots in levels if is_worse(side, price, ticks))
        level = next((lots for ticks, lots in levels if ticks == price), 0)
        yield maker, before + (level if maker.queue_lots is None else min(level, maker.queue_lots))
