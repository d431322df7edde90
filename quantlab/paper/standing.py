"""Where the fleet's resting orders stand in their queues."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from quantlab.model import BookView
from quantlab.paper.matching import shown_at
from quantlab.paper.queues import QueueModel, advance, join
from quantlab.paper.working import Working


class Standing:
    """`resting` are the orders by symbol, in the order in which they came. Where the fleet shares what the book shows
    (`shared`), its orders stand behind each other too."""

    def __init__(self, resting: Mapping[str, Sequence[Working]], model: QueueModel, *, shared: bool) -> None:
        self._resting, self._model, self._shared = resting, model, shared

    def join(self, working: Working, book: BookView) -> None:
        """Stand behind what is displayed at the price, and behind what of the fleet rests there already."""
        shown = shown_at(working.order.side, working.price_ticks, book)
        working.shown_lots, working.looked_id = shown or 0, book.depth_id
        queue = join(self._model, shown)
        working.queue_lots = None if queue is None else queue + self._before(working)

    def look(self, working: Working, book: BookView) -> None:
        """A depth event tells what is displayed at the order's price now."""
        working.looked_id = book.depth_id
        shown = shown_at(working.order.side, working.price_ticks, book)
        if shown is None:
            return
        before, traded, queue = working.shown_lots, working.traded_lots, working.queue_lots
        working.shown_lots, working.traded_lots = shown, 0
        if queue is None:  # it came to a price that the book did not know: no more than this can stand before it
            working.queue_lots = shown + self._before(working)
        elif queue and (shown != before or traded):
            ours = min(self._before(working), queue)
            rest = queue - ours
            working.queue_lots = ours + (
                min(rest, shown) if before is None else advance(self._model, rest, before, shown, traded)
            )

    def look_anew(self, symbol: str) -> None:
        """The book of `symbol` began anew: what it showed before and shows now tells nothing of cancels."""
        for working in self._resting.get(symbol, ()):
            working.shown_lots = None

    def step_up(self, working: Working, lots: int) -> None:
        """`lots` of a resting order are gone otherwise than by a trade at its price: who stands behind it moves up."""
        resting = self._resting.get(working.order.symbol, ())
        if not self._shared or working not in resting:
            return
        place = resting.index(working)
        for other in self._beside(working):
            if other.queue_lots and resting.index(other) > place:
                other.queue_lots = max(0, other.queue_lots - lots)

    def _before(self, working: Working) -> int:
        """Lots of the fleet that rest before it at its price."""
        if not self._shared:
            return 0
        resting = self._resting.get(working.order.symbol, ())
        place = resting.index(working) if working in resting else len(resting)
        return sum(other.lots for other in self._beside(working) if resting.index(other) < place)

    def _beside(self, working: Working) -> Iterator[Working]:
        """The fleet's other orders that rest on the same side at the same price, in the order in which they came."""
        order = working.order
        for other in self._resting.get(order.symbol, ()):
            if (
                other is not working
                and not other.dormant
                and other.order.side is order.side
                and other.price_ticks == working.price_ticks
            ):
                yield other
