"""What an order that takes gets: levels of the book, one by one, or a price by a slippage model."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from quantlab.model import BookView
from quantlab.paper import matching
from quantlab.paper.draws import Purpose, uniform
from quantlab.paper.execution import Match
from quantlab.paper.liquidity import Liquidity, crowding
from quantlab.paper.slippage import Slippage, worsened
from quantlab.paper.working import Working


class Taking:
    """`seed` is the run's: a model that draws draws the same for the same order."""

    def __init__(self, liquidity: Liquidity, slippage: Slippage, seed: int) -> None:
        self._liquidity, self._slippage, self._seed = liquidity, slippage, seed

    def levels(self, working: Working, book: BookView) -> list[matching.Level]:
        """What the far side shows, less what the fleet took."""
        side = working.order.side
        return self._liquidity.left(working.order.symbol, side, matching.far_side(side, book))

    def matches(self, working: Working, book: BookView, lots: int) -> list[Match]:
        """What `lots` of the order get, best first; nothing is taken yet."""
        order, limit = working.order, working.limit_ticks
        if not self._slippage.walks:
            return self._modelled(working, book, lots)
        shown = matching.far_side(order.side, book)
        taken, left = matching.walk(order.side, lots, self._liquidity.left(order.symbol, order.side, shown), limit)
        alone, _ = matching.walk(order.side, lots, shown, limit)
        worse = crowding(taken, alone)
        matches = [
            Match("depth", ticks, lots, ticks, crowding=cost) for (ticks, lots), cost in zip(taken, worse, strict=True)
        ]
        if left and limit is None and (more := self._liquidity.beyond(order.side, left, shown)):
            matches.append(Match("beyond", *more, more[0]))
        return matches

    def take(self, working: Working, book: BookView, matches: Sequence[Match]) -> None:
        """Remember what is gone from the displayed levels."""
        taken = [(match.price_ticks, match.lots) for match in matches if match.basis == "depth"]
        side = working.order.side
        self._liquidity.take(working.order.symbol, side, taken, matching.far_side(side, book))

    def lots_for_quote(self, working: Working, book: BookView, tick_lots: int) -> int:
        """How many lots an amount of the quote asset (in ticks × lots) is worth to the order."""
        if self._slippage.walks:
            return matching.lots_for_quote(tick_lots, self.levels(working, book))
        best = matching.far_best(working.order.side, book)
        if best is None:
            return 0
        most = max(1, tick_lots // best[0])
        return tick_lots // self._price(working, best[0], most)[0]

    def _modelled(self, working: Working, book: BookView, lots: int) -> list[Match]:
        best = matching.far_best(working.order.side, book)
        if best is None or lots <= 0:
            return []
        price, bps = self._price(working, best[0], lots)
        return [Match("model", price, lots, best[0], slippage_bps=bps)]

    def _price(self, working: Working, best: int, lots: int) -> tuple[int, Decimal]:
        order, instrument = working.order, working.instrument
        notional = instrument.price(best) * instrument.quantity(lots)
        draw = uniform(self._seed, order.bot, order.number, Purpose.SLIPPAGE)
        bps = self._slippage.bps(order.symbol, notional, draw)
        return worsened(order.side, best, bps, working.limit_ticks), bps
