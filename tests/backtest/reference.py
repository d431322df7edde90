"""A backtest written out again in exact decimals, one candle after the other, for the compiled one to be held against.

Quantities and resting prices come from the paper engine's own `order_for_target` and `protective_orders`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Any

from quantlab.backtest import Conventions, Plan
from quantlab.backtest.records import Market
from quantlab.model import Instrument, OrderType, Side
from quantlab.risk.sizing import order_for_target
from quantlab.risk.stops import protective_orders

ZERO, ONE = Decimal(0), Decimal(1)


def exact(value: float) -> Decimal:
    return Decimal(str(float(value)))


@dataclass
class Holding:
    quantity: Decimal = ZERO
    cost: Decimal = ZERO
    acted: float | None = 0.0
    waiting: tuple[Side, Decimal, Decimal | None, str] | None = None
    stop: Decimal | None = None
    limit: Decimal | None = None
    target: Decimal | None = None
    peak: Decimal | None = None
    resting: Decimal | None = None
    entry_bar: int | None = None
    mark: Decimal = ZERO


@dataclass
class Reference:
    """`fills` as (bar, symbol, side, price, quantity, reason), `curve` the equity at each close."""

    plans: list[Plan]
    instruments: list[Instrument]
    conventions: Conventions
    market: Market
    cash: Decimal = ZERO
    fills: list[tuple[int, int, int, Decimal, Decimal, str]] = field(default_factory=list)
    curve: list[Decimal] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.cash = self.conventions.capital_usdt
        self.fee = Decimal(str(self.conventions.paper.fees().taker))
        self.holdings = [Holding() for _ in self.plans]
        self.slip = Decimal(str(self.conventions.terms().fixed)) / 10_000

    def run(self, begin: int) -> Reference:
        closes = self.market.closes
        for t in range(begin, closes.shape[1]):
            self.fill(t, t == begin)
            self.mark(t)
            self.decide(t)
        return self

    # -- within a candle ----------------------------------------------------------------------------------------------

    def fill(self, t: int, first: bool) -> None:
        times = self.market.times
        joined = first or times[t] - times[t - 1] == self.market.length_ms
        for side in (Side.SELL, Side.BUY):
            for i, holding in enumerate(self.holdings):
                order = holding.waiting
                if order is None or order[0] is not side:
                    continue
                holding.waiting = None
                if not (joined and not self.absent(i, t) and self.traded(i, t) and self.at_open(i, t, *order)):
                    holding.acted = None
        for i in range(len(self.plans)):
            if not self.absent(i, t) and self.traded(i, t) and self.holdings[i].entry_bar is not None:
                self.protect(i, t)

    def at_open(self, i: int, t: int, side: Side, amount: Decimal, bound: Decimal | None, why: str) -> bool:
        touch, buys = self.touch(i, exact(self.market.opens[i, t]), side), side is Side.BUY
        price = self.on_tick(i, touch * (1 + self.slip if buys else 1 - self.slip), buys)
        if bound is not None and (price > bound if buys else price < bound):
            return False
        if self.trade(i, t, side, price, amount, why) is None:
            return False
        self.place(i, t)
        return True

    def place(self, i: int, t: int) -> None:
        """The orders that protect what is held now."""
        holding, plan = self.holdings[i], self.plans[i]
        holding.stop = holding.limit = holding.target = holding.peak = holding.resting = None
        if holding.entry_bar is None:
            return
        for order in protective_orders(
            holding.cost / holding.quantity,
            self.instruments[i],
            stop_loss_pct=plan.stop_loss_pct,
            stop_limit_pct=plan.stop_limit_pct,
            trailing_stop_pct=plan.trailing_stop_pct,
            take_profit_pct=plan.take_profit_pct,
        ):
            if order.trailing_delta:
                holding.peak = exact(self.market.opens[i, t])
            elif order.type is OrderType.TAKE_PROFIT:
                holding.target = order.stop_price
            else:
                holding.stop, holding.limit = order.stop_price, order.price

    def protect(self, i: int, t: int) -> None:
        holding, plan = self.holdings[i], self.plans[i]
        opened, high, low, close = (
            exact(rows[i, t]) for rows in (self.market.opens, self.market.highs, self.market.lows, self.market.closes)
        )
        if holding.resting is not None:
            if high >= holding.resting:
                self.sell_all(i, t, max(opened, holding.resting), "stop")
            return
        stop, why, trail = holding.stop, "stop", ONE - exact(plan.trailing_stop_pct or 0) / 100
        if holding.peak is not None:
            holding.peak = max(holding.peak, opened)
            stop, why = holding.peak * trail, "trailing stop"
        if stop is not None and low <= stop:
            at = min(opened, stop)
            if holding.limit is not None and at < holding.limit:
                holding.resting, holding.stop, holding.target = holding.limit, None, None
                if high >= holding.resting:
                    self.sell_all(i, t, holding.resting, "stop")
                return
            self.sell_all(i, t, self.after_costs(i, at, holding.limit), why)
            return
        if holding.target is not None and high >= holding.target:
            self.sell_all(i, t, self.after_costs(i, max(opened, holding.target), None), "target")
            return
        if holding.peak is not None:
            holding.peak = max(holding.peak, high)
            if close <= holding.peak * trail:
                self.sell_all(i, t, self.after_costs(i, holding.peak * trail, None), "trailing stop")

    def after_costs(self, i: int, price: Decimal, limit: Decimal | None) -> Decimal:
        got = price * (1 - self.half(i)) * (1 - self.slip)
        return self.on_tick(i, got if limit is None else max(got, limit), False)

    def sell_all(self, i: int, t: int, price: Decimal, why: str) -> None:
        self.trade(i, t, Side.SELL, price, self.holdings[i].quantity, why)

    def trade(self, i: int, t: int, side: Side, price: Decimal, amount: Decimal, why: str) -> Decimal | None:
        holding, instrument = self.holdings[i], self.instruments[i]
        if side is Side.BUY:
            cost = price if self.conventions.fee_received else price * (1 + self.fee)
            amount = min(amount, self.cash / cost)
        else:
            amount = min(amount, holding.quantity)
        amount = instrument.floor_lots(amount) * instrument.step_size
        if self.dust(i, amount, price):
            return None
        notional = amount * price
        if side is Side.BUY:
            self.cash -= amount * cost
            if holding.entry_bar is None:
                holding.entry_bar, holding.cost = t, holding.quantity * price
            received = amount * (1 - self.fee) if self.conventions.fee_received else amount
            holding.quantity += received
            holding.cost += received * price
        else:
            self.cash += notional * (1 - self.fee)
            left = holding.quantity - amount
            holding.cost *= left / holding.quantity
            holding.quantity = left
            if self.dust(i, instrument.floor_lots(left) * instrument.step_size, price):
                holding.entry_bar = holding.stop = holding.limit = None
                holding.target = holding.peak = holding.resting = None
        self.fills.append((t, i, 1 if side is Side.BUY else -1, price, amount, why))
        return amount

    # -- at a close ---------------------------------------------------------------------------------------------------

    def mark(self, t: int) -> None:
        for i, holding in enumerate(self.holdings):
            if not self.absent(i, t):
                holding.mark = exact(self.market.closes[i, t]) * (1 - self.half(i))
        self.curve.append(self.cash + sum((h.quantity * h.mark for h in self.holdings), ZERO))

    def decide(self, t: int) -> None:
        equity, cash = self.curve[-1], self.cash
        for side in (Side.SELL, Side.BUY):
            for i, holding in enumerate(self.holdings):
                wanted = float(self.market.wanted[i, t])
                if wanted != wanted or self.absent(i, t):
                    continue
                found = self.order(i, t, side, wanted, equity, cash)
                if found is None:
                    continue
                amount, price, bound, why = found
                if amount is None:
                    holding.acted = wanted
                    continue
                most = self.plans[i].max_order_notional_usdt
                if side is Side.BUY and most is not None and amount * price > most:
                    continue
                holding.waiting, holding.acted = (side, amount, bound, why), wanted
                cash = cash - amount * price if side is Side.BUY else cash + amount * price * (1 - self.fee)
                cash = max(cash, ZERO)

    def order(self, i: int, t: int, side: Side, wanted: float, equity: Decimal, cash: Decimal) -> Any:
        """(amount or None, price, bound, why) of what is due on this side, None where nothing is."""
        holding, plan, close = self.holdings[i], self.plans[i], exact(self.market.closes[i, t])
        bid, ask = self.touch(i, close, Side.SELL), self.touch(i, close, Side.BUY)
        share = exact(wanted) * exact(plan.weight)
        target = share * equity
        if plan.max_position_usdt is not None:
            target = min(target, plan.max_position_usdt)
        drift = target - holding.quantity * bid
        changed = holding.acted is None or abs(wanted - holding.acted) > 1e-9
        drifted = plan.rebalance_pct is not None and abs(drift) * 100 > exact(plan.rebalance_pct) * equity
        if (drift > 0) != (side is Side.BUY) or not (changed or drifted):
            return None
        bound = None
        if plan.max_slippage_pct is not None:
            part = exact(plan.max_slippage_pct) / 100
            bound = self.on_tick(i, ask * (1 + part), False) if drift > 0 else self.on_tick(i, bid * (1 - part), True)
        price = bid if drift <= 0 else ask if bound is None else bound
        found = order_for_target(
            float(share),
            equity,
            holding.quantity,
            bid,
            price if drift > 0 else ask,
            self.instruments[i],
            cash=cash,
            max_position=plan.max_position_usdt,
            rebalance_pct=plan.rebalance_pct,
            previous_exposure=-1.0 if changed else float(share),
        )
        return None if found is None else found[1], price, bound, "signal" if changed else "rebalance"

    # -- prices -------------------------------------------------------------------------------------------------------

    def half(self, i: int) -> Decimal:
        return exact(self.conventions.spread_of(self.plans[i].symbol)) / 20_000

    def touch(self, i: int, price: Decimal, side: Side) -> Decimal:
        buys = side is Side.BUY
        return self.on_tick(i, price * (1 + self.half(i) if buys else 1 - self.half(i)), buys)

    def on_tick(self, i: int, price: Decimal, upwards: bool) -> Decimal:
        tick = self.instruments[i].tick_size
        ticks = (price / tick).to_integral_value(ROUND_CEILING if upwards else ROUND_FLOOR)
        return max(ticks, ONE) * tick

    def dust(self, i: int, amount: Decimal, price: Decimal) -> bool:
        instrument = self.instruments[i]
        return amount <= 0 or amount < instrument.min_quantity or amount * price < instrument.min_notional

    def absent(self, i: int, t: int) -> bool:
        return bool(self.market.opens[i, t] != self.market.opens[i, t])

    def traded(self, i: int, t: int) -> bool:
        return bool(self.market.volumes[i, t] > 0)
