"""When waiting for room is over, and what is then said."""

from __future__ import annotations

import time

from quantlab.exchange.weight.line import Waiter
from quantlab.exchange.weight.window import State, WeightRule
from quantlab.model.errors import ExchangeError, ExchangeUnreachable, QuantlabError


def refusal(waiter: Waiter, rule: WeightRule, state: State | None, now: float) -> QuantlabError | None:
    """Why `waiter` need not wait any longer, or None while it may. `state` is None where another process holds it."""
    stop = state.stop if state is not None else None
    if stop is not None and stop.until_s > max(now, waiter.deadline):
        until = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(stop.until_wall_ms / 1000))
        words = f"{stop.text}; nothing is asked from this address until {until} UTC"
        return ExchangeError(words, status=stop.status, code=stop.code)
    if state is not None and waiter.weight > (limit := rule.limit_now(state, now)):
        return ExchangeUnreachable(
            f"{waiter.what} costs {waiter.weight} weight, and {limit} a minute is all there is now: Binance allows no "
            "more or has just said it was too much, or another process of quantlab runs with a lower setting"
        )
    if now < waiter.deadline:
        return None
    if state is None:
        return ExchangeUnreachable(
            f"{waiter.what} found the weight budget held by another process of quantlab, which does not go on: "
            "end that process, or let it go on"
        )
    return ExchangeUnreachable(
        f"{waiter.what} found no room in the budget of {rule.limit_now(state, now)} weight a minute in time: "
        "ask less often, or raise QUANTLAB_WEIGHT_PER_MINUTE (Binance allows 6000 an address)"
    )
