"""What the fleet has taken from the displayed books, and what it left.

A simulated fill takes nothing from the real book, so the same level would serve bot after bot, and the same bot at each
look. Here it is gone until the market shows it anew. The rule, by what two looks at a level see: it shrank by some
lots, then those are counted as the ones that the fleet had taken (somebody really took them); it grew, then what was
added is free; it left the book, then nothing of it is remembered.
"""

from __future__ import annotations

from collections.abc import Sequence

from quantlab.model import Side
from quantlab.paper import matching
from quantlab.paper.matching import Level, is_worse

#: By ticks: (lots taken, lots shown when that was last looked at).
_Taken = dict[int, tuple[int, int]]


class Liquidity:
    """The displayed book less what the fleet took. `side` is the taking order's: a buy takes from the asks.

    With `shared` false it remembers nothing: each order meets the whole book, as on a simulator of one bot. With
    `reaches_beyond` the book goes on behind its edge as dense as it is displayed.
    """

    def __init__(self, *, shared: bool = True, reaches_beyond: bool = False) -> None:
        self.shared = shared
        self._reaches_beyond = reaches_beyond
        self._taken: dict[tuple[str, Side], _Taken] = {}

    def left(self, symbol: str, side: Side, shown: Sequence[Level]) -> list[Level]:
        """Of the displayed levels `shown` (best first, from the best on), those that still have lots."""
        known = self._taken.get((symbol, side))
        if not known:
            return list(shown)
        left, still = [], {}
        for ticks, lots in shown:
            taken, before = known.get(ticks, (0, 0))
            taken -= max(0, before - lots)
            if taken > 0:
                still[ticks] = taken, lots
                lots -= taken
            if lots > 0:
                left.append((ticks, lots))
        if shown:  # levels behind those shown were not looked at
            still |= {ticks: seen for ticks, seen in known.items() if is_worse(side, ticks, shown[-1][0])}
        self._taken[symbol, side] = still
        return left

    def beyond(self, side: Side, lots: int, shown: Sequence[Level]) -> Level | None:
        """What `lots` that are left over get behind the edge of `shown`; None where that is nothing."""
        return matching.beyond(side, lots, shown) if self._reaches_beyond else None

    def take(self, symbol: str, side: Side, taken: Sequence[Level], shown: Sequence[Level]) -> None:
        """Remember `taken` (level by level), which stood among `shown`."""
        if not self.shared:
            return
        known = self._taken.setdefault((symbol, side), {})
        displayed = dict(shown)
        for ticks, lots in taken:
            known[ticks] = known.get(ticks, (0, 0))[0] + lots, displayed[ticks]


def crowding(taken: Sequence[Level], alone: Sequence[Level]) -> list[int]:
    """How much worse each part of `taken` was than the same lots of `alone`, the walk that a bot by itself would have
    had: ticks × lots, none below 0. `alone` reaches at least as far."""
    costs = []
    levels = iter(alone)
    ticks, rest = 0, 0
    for got, lots in taken:
        cost = 0
        while lots > 0:
            while rest == 0:
                ticks, rest = next(levels)
            part = min(lots, rest)
            cost += abs(got - ticks) * part
            lots, rest = lots - part, rest - part
        costs.append(cost)
    return costs
