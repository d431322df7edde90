"""The desk: from what strategies want to the orders that bots send. Every order passes the guard here.

The desk never reads a clock: each call says at which engine time it happens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

from quantlab.fleet.bot import Bot
from quantlab.fleet.guard import Guard
from quantlab.model import (
    CONDITIONAL,
    BookView,
    Broker,
    Instrument,
    Journal,
    Order,
    OrderReport,
    OrderStatus,
    OrderType,
    Side,
    TimeInForce,
)
from quantlab.paper import WOULD_TRIGGER
from quantlab.risk import FleetLimits, TradingState, order_for_target, protective_orders

_NOT_TAKEN = (OrderStatus.REJECTED, OrderStatus.EXPIRED, OrderStatus.EXPIRED_IN_MATCH)
_PAUSED = "paused"
_STALE = "book out of sync: standing still"


class Desk:
    """Decides for all bots of a run and hears their reports."""

    def __init__(
        self,
        bots: Sequence[Bot],
        instruments: Mapping[str, Instrument],
        books: Mapping[str, BookView],
        journal: Journal,
        limits: FleetLimits,
    ) -> None:
        self.bots = bots
        self.paused = False
        self.guard = Guard(bots, limits, instruments, books, journal, touch=self.touch)
        #: Since when (engine time) each symbol is stale whose book is not whole.
        self.stale_since_ms: Mapping[str, int] = {}
        self._instruments = instruments
        self._books = books
        self._broker: Broker

    def trade_through(self, broker: Broker) -> None:
        """Where orders go; its reports must come to `hear`."""
        self._broker = broker
        self.guard.trade_through(broker)

    # -- what strategies want -------------------------------------------------------------------------------------

    def want_exposure(self, bot: Bot, exposure: float | None, now_ms: int) -> None:
        """At a candle's close the bot's strategy wants `exposure`; None while its lookback is not filled."""
        if exposure is None:
            bot.note = bot.warming_up
            return
        bot.target = min(max(exposure, 0.0), 1.0)
        if not self.may_trade(bot):
            return
        if not self._rebalance(bot, now_ms) and bot.unprotected and not self._broker.open_orders(bot.index):
            self._protect(bot, now_ms)

    def _rebalance(self, bot: Bot, now_ms: int) -> bool:
        """Bring the bot from what it holds to its target, once no order of its own is in the way: a protective order
        holds the balance that a sale needs. True when something was sent or is being cancelled."""
        bid, ask = self.touch(bot)
        instrument = self._instruments[bot.spec.symbol]
        wanted = order_for_target(
            bot.target,
            bot.account.equity(bid),
            bot.account.quantity,
            bid,
            self._bound(bot, Side.BUY, ask) or ask,
            instrument,
            cash=bot.account.cash,
            max_position=bot.spec.risk.max_position_usdt,
            rebalance_pct=bot.spec.rebalance_pct,
            previous_exposure=bot.acted,
        )
        if wanted is None:
            bot.acted = bot.target
            bot.note = "" if bot.account.quantity else "flat: no signal"
            return False
        side, quantity = wanted
        if side is Side.BUY and (why := self.guard.only_sales(bot)):
            bot.note = why
            return False
        if self.cancel_all(bot):
            bot.clearing = True
            return True
        reason = f"exposure {bot.acted:g} to {bot.target:g}"
        bound = self._bound(bot, side, bid if side is Side.SELL else ask)
        if bound is None:
            sent = self.send(bot, side, OrderType.MARKET, quantity, now_ms, reason=reason)
        else:
            sent = self.send(bot, side, OrderType.LIMIT, quantity, now_ms, price=bound, take_only=True, reason=reason)
        if sent:
            bot.acted = bot.target
        return sent

    # -- what the exchange says -----------------------------------------------------------------------------------

    def hear(self, report: OrderReport) -> None:
        """A report reached its bot: everything in it is on disk."""
        bot = self.bots[report.bot]
        now_ms = report.time_ms
        if report.reject_reason:
            bot.note = f"order rejected: {report.reject_reason}"
        if report.fills:
            bot.fills += len(report.fills)
            bot.last_fill_ms = report.fills[-1].time_ms
            bot.note = ""
            self.check_limits(bot, now_ms)
            self.check_fleet(now_ms)
        if not report.status.is_final:
            return
        if report.order_number in bot.protective:
            bot.protective.discard(report.order_number)
            if report.status is OrderStatus.REJECTED:
                self._unprotected(bot, report)
        if not self._broker.open_orders(bot.index):
            self._go_on(bot, report, now_ms)

    def _go_on(self, bot: Bot, report: OrderReport, now_ms: int) -> None:
        """None of the bot's orders is open any more: what waited for that happens now."""
        refused = report.status in _NOT_TAKEN and not report.fills
        if bot.gate.state is TradingState.HALTED:
            if not refused:
                self._flatten(bot, now_ms, bot.gate.cause)
        elif bot.leaving:
            reason, bot.leaving = bot.leaving, ""
            self._flatten(bot, now_ms, reason)
        elif not bot.strategy.uses_book:
            cleared, bot.clearing = bot.clearing, False
            if cleared and self.may_trade(bot) and self._rebalance(bot, now_ms):
                return
            if refused and not bot.unprotected:
                bot.acted = 1.0 if bot.account.quantity else 0.0  # it did not happen: the next close asks again
            if not bot.unprotected:
                self._protect(bot, now_ms)

    def _unprotected(self, bot: Bot, report: OrderReport) -> None:
        """A stop or target was refused. One that the price has passed already is what it would have been: a sale. Any
        other is tried again at the next close."""
        bot.unprotected = True
        if report.reject_reason == WOULD_TRIGGER.reason:
            bot.leaving, bot.unprotected = "the price had passed its stop or target", False
            self.cancel_all(bot)

    # -- limits, pause, kill --------------------------------------------------------------------------------------

    def mark(self, bot: Bot) -> bool:
        """Mark the bot at the bid. False while no price is known for what it holds: its last equity stays."""
        bid, _ = self.touch(bot)
        if not bid and bot.account.quantity:
            return False
        bot.mark(bot.account.equity(bid))
        return True

    def check_limits(self, bot: Bot, now_ms: int) -> None:
        """Mark the bot and apply its loss limits: a breach cancels, flattens and halts it."""
        if not self.mark(bot):
            return
        before = bot.gate.state
        if bot.gate.mark(bot.last_equity, now_ms) is not None:
            self._changed(bot, before, now_ms)
        elif before is TradingState.HALTED and not self.is_flat(bot) and not self._broker.open_orders(bot.index):
            self._flatten(bot, now_ms, bot.gate.cause)

    def check_fleet(self, now_ms: int) -> None:
        """Apply the fleet's own loss limits: a breach halts every bot, as long as it halts the fleet."""
        if self.guard.check_losses(now_ms) is TradingState.HALTED:
            gate = self.guard.gate
            for bot in self.bots:
                if bot.gate.state is not TradingState.HALTED or not gate.until_next_day:
                    self._halt(bot, f"the fleet: {gate.cause}", now_ms, until_next_day=gate.until_next_day)

    def is_flat(self, bot: Bot) -> bool:
        """Whether the bot holds nothing that could be sold: nothing at all, or dust."""
        instrument = self._instruments[bot.spec.symbol]
        lots = instrument.floor_lots(bot.account.quantity)
        bid, _ = self.touch(bot)
        return not lots or instrument.quantity(lots) * bid < instrument.min_notional

    def kill(self, bots: Sequence[Bot], now_ms: int, cause: str) -> None:
        """The kill switch: cancel everything, flatten, halt. A bot whose book is stale flattens once it is whole."""
        if len(bots) == len(self.bots):
            self.guard.halt(cause, now_ms)
        for bot in bots:
            self._halt(bot, cause, now_ms)

    def _halt(self, bot: Bot, cause: str, now_ms: int, *, until_next_day: bool = False) -> None:
        before = bot.gate.state
        bot.gate.halt(cause, until_next_day=until_next_day)
        self._changed(bot, before, now_ms)

    def book_whole(self, symbol: str, now_ms: int) -> None:
        """The book of `symbol` is whole again: halted bots flatten now, positions without a stop get theirs."""
        for bot in self.bots:
            if bot.spec.symbol != symbol or self._broker.open_orders(bot.index):
                continue
            if bot.gate.state is TradingState.HALTED:
                self._flatten(bot, now_ms, bot.gate.cause)
            elif bot.unprotected and not bot.strategy.uses_book:
                self._protect(bot, now_ms)

    def pause(self) -> None:
        """Bots stand still: quotes are cancelled; stops, targets and positions stay."""
        self.paused = True
        for bot in self.bots:
            for order in self._broker.open_orders(bot.index):
                if order.type not in CONDITIONAL:
                    self._broker.cancel(bot.index, order.number)

    def resume(self, now_ms: int) -> None:
        """Bots act again, each at its next close, and may buy."""
        self.paused = False
        self.guard.release("resumed", now_ms)

    # -- what the quoter shares -----------------------------------------------------------------------------------

    def may_trade(self, bot: Bot) -> bool:
        """False, with the reason in the bot's note, while it must stand still."""
        if bot.gate.state is TradingState.HALTED:
            return False
        if self.paused:
            bot.note = _PAUSED
            return False
        if not self._books[bot.spec.symbol].in_sync:
            bot.note = self._stale_note(bot.spec.symbol)
            return False
        if bot.note == _PAUSED or bot.note.startswith(_STALE):
            bot.note = ""
        return True

    def _stale_note(self, symbol: str) -> str:
        since_ms = self.stale_since_ms.get(symbol)
        if not since_ms:
            return _STALE
        return f"{_STALE} since {datetime.fromtimestamp(since_ms / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC"

    def touch(self, bot: Bot) -> tuple[Decimal, Decimal]:
        """Best bid and ask; where a side is empty, the last known prices stay in force."""
        book = self._books[bot.spec.symbol]
        bid, ask = book.best_bid(), book.best_ask()
        if bid is not None and ask is not None:
            instrument = self._instruments[bot.spec.symbol]
            bot.touch = instrument.price(bid[0]), instrument.price(ask[0])
        return bot.touch

    def send(
        self,
        bot: Bot,
        side: Side,
        type_: OrderType,
        quantity: Decimal,
        now_ms: int,
        *,
        price: Decimal | None = None,
        stop_price: Decimal | None = None,
        take_only: bool = False,
        trailing_delta: int = 0,
        list_number: int = 0,
        reason: str,
    ) -> bool:
        """Send one order, if the guard lets it pass; else the bot's note says why not. `take_only`: what a limit does
        not get at once expires."""
        order = Order(
            bot=bot.index,
            number=bot.orders + 1,
            symbol=bot.spec.symbol,
            side=side,
            type=type_,
            quantity=quantity,
            price=price,
            stop_price=stop_price,
            time_in_force=TimeInForce.IOC if take_only else TimeInForce.GTC,
            trailing_delta=trailing_delta,
            list_number=list_number,
            created_ms=now_ms,
            reason=reason,
        )
        if not self.guard.lets_pass(bot, order, now_ms):
            return False
        bot.orders += 1
        self._broker.submit(order)
        return True

    def cancel_all(self, bot: Bot) -> bool:
        """Ask for the cancel of all the bot's orders; True while any is open or on its way."""
        orders = self._broker.open_orders(bot.index)
        for order in orders:
            self._broker.cancel(bot.index, order.number)
        return bool(orders)

    def _bound(self, bot: Bot, side: Side, touch: Decimal) -> Decimal | None:
        """The worst price that an order may take, where the bot's file sets one."""
        percent = bot.spec.max_slippage_pct
        if percent is None:
            return None
        instrument, share = self._instruments[bot.spec.symbol], Decimal(str(percent)) / 100
        ticks = touch * (1 + share if side is Side.BUY else 1 - share) / instrument.tick_size
        rounding = ROUND_FLOOR if side is Side.BUY else ROUND_CEILING
        return ticks.to_integral_value(rounding=rounding) * instrument.tick_size

    # -- helpers --------------------------------------------------------------------------------------------------

    def _changed(self, bot: Bot, before: TradingState, now_ms: int) -> None:
        bot.clearing, bot.leaving = False, ""
        self.guard.bot_changed(bot, before, now_ms)
        if bot.gate.state is TradingState.HALTED and not self.cancel_all(bot):
            self._flatten(bot, now_ms, bot.gate.cause)

    def _flatten(self, bot: Bot, now_ms: int, reason: str) -> None:
        """Sell what the bot holds, where it can be sold."""
        if self.is_flat(bot) or not self._books[bot.spec.symbol].in_sync:
            return
        instrument = self._instruments[bot.spec.symbol]
        quantity = instrument.quantity(instrument.floor_lots(bot.account.quantity))
        self.send(bot, Side.SELL, OrderType.MARKET, quantity, now_ms, reason=f"flatten: {reason}")
        if bot.gate.state is TradingState.HALTED:
            bot.target = bot.acted = 0.0

    def _protect(self, bot: Bot, now_ms: int) -> None:
        """Rest the stop and the target that the bot's file asks for, around its average price."""
        spec = bot.spec
        bot.unprotected = False
        if spec.stop_loss_pct is None and spec.trailing_stop_pct is None and spec.take_profit_pct is None:
            return
        instrument = self._instruments[spec.symbol]
        quantity = instrument.quantity(instrument.floor_lots(bot.account.quantity))
        average = bot.account.position.average_price
        if quantity < instrument.min_quantity or quantity * average < instrument.min_notional:
            return
        orders = protective_orders(
            average,
            instrument,
            stop_loss_pct=spec.stop_loss_pct,
            stop_limit_pct=spec.stop_limit_pct,
            trailing_stop_pct=spec.trailing_stop_pct,
            take_profit_pct=spec.take_profit_pct,
        )
        of_list = bot.orders + 1 if len(orders) > 1 else 0
        for each in orders:
            if self.send(
                bot, Side.SELL, each.type, quantity, now_ms,
                price=each.price, stop_price=each.stop_price, trailing_delta=each.trailing_delta,
                list_number=of_list, reason=f"{'trailing ' if each.trailing_delta else ''}{each.type.value.lower()}",
            ):  # fmt: skip
                bot.protective.add(bot.orders)
            else:
                bot.unprotected = True
