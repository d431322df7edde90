"""How far a resting order has come in its queue. Whole lots; `queue` is what stands before the order.

A book tells how much is displayed at a price, not whose it is. What can be known: trades at the price take from the
front, and no more can stand before an order than is displayed. What must be assumed: where in the queue the cancels
were that explain the rest of a decrease.

- pessimistic: all behind the order (`RiskAdverseQueueModel` in hftbacktest 2.4.4).
- proportional: anywhere in the queue with equal probability, so that the share before the order shrinks as the whole
  does (`ProbQueueModel` with `PowerProbQueueFunc` of n = 1 there; E. Rigtorp, "Estimating order queue position",
  2013-06-08, with f(x) = x; both read 2026-11-23).
- optimistic: the order stands at the front from the beginning: nothing was before it. A bound, no model of anything.
"""

from __future__ import annotations

from enum import StrEnum


class QueueModel(StrEnum):
    PESSIMISTIC = "pessimistic"
    PROPORTIONAL = "proportional"
    OPTIMISTIC = "optimistic"


def join(model: QueueModel, shown: int | None) -> int | None:
    """The queue of an order that arrives where `shown` lots are displayed; None where that is not known."""
    return 0 if model is QueueModel.OPTIMISTIC else shown


def advance(model: QueueModel, queue: int, before: int, shown: int, traded: int) -> int:
    """The queue once `shown` lots are displayed where it was `before`, and `traded` lots traded there in between. The
    trades themselves have been taken off `queue` when they came."""
    cancelled = before - shown - traded
    if model is QueueModel.PROPORTIONAL and cancelled > 0 and before > 0:
        queue -= queue * cancelled // before
    return min(queue, shown)
