"""The guard: whether an order may go. The limits of its bot and of the fleet, symbols that move too fast, and states.

No order of a bot has another way (the desk sends through here, and a test looks for others). Each change of a state is
written down with its cause, and the first of like refusals.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal

from quantlab.fleet.bot import Bot
from quantlab.model import BookView, Broker, Instrument, Journal, Order, Side
from quantlab.risk import Change, FleetGate, FleetLimits, TradingState, Verdict, VolatilityHalts

_ZERO = Decimal(0)


class Guard:
    """`touch(bot)` gives best bid and ask of the bot's symbol, in quote units."""

    def __init__(
        self,
        bots: Sequence[Bot],
        limits: FleetLimits,
        instruments: Mapping[str, Instrument],
        books: Mapping[str, BookView],
        journal: Journal,
        *,
        touch: Callable[[Bot], tuple[Decimal, Decimal]],
    ) -> None:
        self.gate = FleetGate(limits, sum((bot.account.capital for bot in bots), _ZERO))
        self.volatility = VolatilityHalts(limits)
        self._limits_losses = limits.max_daily_loss_pct is not None or limits.max_drawdown_pct is not None
        self._bots, self._instruments, self._books, self._journal, self._touch = (
            bots, instruments, books, journal, touch,
        )  # fmt: skip
        self._on: dict[str, list[Bot]] = defaultdict(list)
        for bot in bots:
            self._on[bot.spec.symbol].append(bot)
        self._broker: Broker

    def trade_through(self, broker: Broker) -> None:
        """Where orders go that are open."""
        self._broker = broker

    # -- orders -----------------------------------------------------------------------------------------------------

    def lets_pass(self, bot: Bot, order: Order, now_ms: int) -> bool:
        """Judge one order, and count it when it may go; else the bot's note says why not."""
        verdict = self._judge(bot, order, now_ms)
        if verdict.ok:
            bot.gate.count(now_ms)
            self.gate.count(now_ms)
            bot.refused = ""
            return True
        bot.note = verdict.reason
        if bot.refused != verdict.limit:
            bot.refused = verdict.limit
            detail = {"limit": verdict.limit, "reason": verdict.reason, "side": str(order.side)}
            self._journal.event(now_ms, "order refused", bot.index, detail)
        return False

    def _judge(self, bot: Bot, order: Order, now_ms: int) -> Verdict:
        bid, ask = self._touch(bot)
        price = order.price or (ask if order.side is Side.BUY else bid)
        symbol = bot.spec.symbol
        if order.side is Side.BUY and self.volatility.watches:
            self._look_at(symbol, now_ms)
            if symbol in self.volatility.halted:
                return Verdict(False, "volatility", self.volatility.halted[symbol])
        verdict = self.gate.judge(
            order,
            now_ms,
            price=price,
            equity=self.equity,
            held=lambda: self._worth(self._bots),
            held_of_symbol=lambda: self._worth(self._on[symbol]),
        )
        if not verdict.ok:
            return verdict
        held = self._worth([bot]) if order.side is Side.BUY else bot.account.quantity * bid
        equity = bot.account.equity(bid)
        return bot.gate.judge(order, now_ms, price=price, position_value=held, equity=equity)

    def only_sales(self, bot: Bot) -> str:
        """Why the bot may not buy now; empty when it may."""
        if bot.gate.state is not TradingState.ACTIVE:
            return bot.gate.cause
        if self.gate.state is not TradingState.ACTIVE:
            return self.gate.cause
        return self.volatility.halted.get(bot.spec.symbol, "")

    def state_of(self, bot: Bot) -> TradingState:
        """The bot's own state, or that of the fleet or of its symbol where that is stricter."""
        if bot.gate.state is TradingState.ACTIVE and self.only_sales(bot):
            return TradingState.REDUCING
        return bot.gate.state

    # -- the fleet ----------------------------------------------------------------------------------------------------

    def equity(self) -> Decimal:
        """Of all bots, each as it was marked last, in quote units."""
        return sum((bot.last_equity for bot in self._bots), _ZERO)

    def check_losses(self, now_ms: int) -> TradingState | None:
        """Mark the fleet. Returns its new state when its loss limits changed it."""
        if not self._limits_losses:
            return None
        before = self.gate.state
        changed = self.gate.mark(self.equity(), now_ms)
        if changed is not None:
            self._fleet_changed(before, now_ms)
        return changed

    def halt(self, cause: str, now_ms: int) -> None:
        """The fleet is halted for the run. Its bots are the desk's to halt."""
        before = self.gate.state
        self.gate.halt(cause)
        self._fleet_changed(before, now_ms)

    def reduce(self, bots: Sequence[Bot], cause: str, now_ms: int) -> None:
        """Only sales pass from now on: of the whole fleet, or of some bots. Open buys are cancelled."""
        if len(bots) == len(self._bots):
            before = self.gate.state
            self.gate.reduce(cause)
            self._fleet_changed(before, now_ms)
        else:
            for bot in bots:
                before = bot.gate.state
                bot.gate.reduce(cause)
                self.bot_changed(bot, before, now_ms)
        self._cancel_buys(bots)

    def release(self, cause: str, now_ms: int) -> None:
        """Whatever a command has reduced may buy again."""
        if self.gate.state is TradingState.REDUCING:
            self.gate.release(cause)
            self._fleet_changed(TradingState.REDUCING, now_ms)
        for bot in self._bots:
            if bot.gate.state is TradingState.REDUCING:
                bot.gate.release(cause)
                self.bot_changed(bot, TradingState.REDUCING, now_ms)

    def bot_changed(self, bot: Bot, before: TradingState, now_ms: int) -> None:
        """Write down that a bot's own state is another now, or again."""
        if bot.gate.state is before is not TradingState.HALTED:
            return
        bot.note = bot.gate.cause
        detail: dict[str, object] = {"from": str(before), "to": str(bot.gate.state), "cause": bot.gate.cause}
        if bot.gate.until_next_day:
            detail["until_next_day"] = True
        self._journal.event(now_ms, "bot state", bot.index, detail)

    def _fleet_changed(self, before: TradingState, now_ms: int) -> None:
        gate = self.gate
        if gate.state is before is not TradingState.HALTED:
            return
        detail: dict[str, object] = {"from": str(before), "to": str(gate.state), "cause": gate.cause}
        if gate.until_next_day:
            detail["until_next_day"] = True
        self._journal.event(now_ms, "fleet state", None, detail)

    # -- symbols ------------------------------------------------------------------------------------------------------

    def look(self, now_ms: int) -> None:
        """Take note of all prices."""
        if self.volatility.watches:
            for symbol in self._on:
                self._look_at(symbol, now_ms)

    def _look_at(self, symbol: str, now_ms: int) -> None:
        book = self._books[symbol]
        bid, ask = book.best_bid(), book.best_ask()
        if not book.in_sync or bid is None or ask is None:
            return
        mid = self._instruments[symbol].tick_size * (bid[0] + ask[0]) / 2
        change = self.volatility.look(symbol, mid, now_ms)
        if change is not None:
            self._symbol_changed(change, now_ms)

    def _symbol_changed(self, change: Change, now_ms: int) -> None:
        states = (TradingState.ACTIVE, TradingState.REDUCING)
        before, after = states if change.halted else states[::-1]
        detail: dict[str, object] = {"symbol": change.symbol, "from": str(before), "to": str(after)}
        detail["cause"] = change.cause
        if change.halted:
            detail["until_ms"] = change.until_ms
            self._cancel_buys(self._on[change.symbol])
        for bot in self._on[change.symbol]:
            if bot.gate.state is TradingState.ACTIVE:
                bot.note = change.cause
        self._journal.event(now_ms, "symbol state", None, detail)

    # -- helpers ------------------------------------------------------------------------------------------------------

    def _worth(self, bots: Iterable[Bot]) -> Decimal:
        """What `bots` hold, at the bid, and what their open buys may add to it."""
        worth = _ZERO
        for bot in bots:
            bid, ask = self._touch(bot)
            worth += bot.account.quantity * bid
            for order in self._broker.open_orders(bot.index):
                if order.side is Side.BUY:
                    worth += order.worth(order.price or ask)
        return worth

    def _cancel_buys(self, bots: Iterable[Bot]) -> None:
        for bot in bots:
            for order in self._broker.open_orders(bot.index):
                if order.side is Side.BUY:
                    self._broker.cancel(bot.index, order.number)
