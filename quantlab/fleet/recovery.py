"""Taking up a run where its ledger ends. A crash and a normal stop are the same thing here.

This is the way where the run's input log cannot be gone on with: there is none, it is damaged, the exchange's rules
have changed, or orders really left. In all other cases `rejoin` goes on in the log itself.

Accounts are folded from the fills; orders that were open are cancelled as unknown; missed closes are not traded: the
exposure is judged anew at the next one. Halts, the pause and the day's loss stay in force.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from decimal import Decimal

import msgspec

from quantlab.exchange import Door
from quantlab.fleet.engine import Engine
from quantlab.fleet.guard import Guard
from quantlab.fleet.marks import FLEET
from quantlab.fleet.plan import RunPlan
from quantlab.ledger import Ledger, RunRow
from quantlab.model import ExchangeError, Fill, Instrument, Journal, Order, Refused, Source
from quantlab.model.timeframe import DAY_MS, MINUTE_MS
from quantlab.risk import Change, LossGuard, TradingState


class _State(msgspec.Struct):
    """The detail of a "bot state" or "fleet state" event."""

    to: TradingState
    cause: str
    until_next_day: bool = False

    def restore(self, gate: LossGuard) -> None:
        if self.to is TradingState.HALTED:
            gate.halt(self.cause, until_next_day=self.until_next_day)
        elif self.to is TradingState.REDUCING:
            gate.reduce(self.cause)


@dataclass(frozen=True)
class Past:
    """What the ledger knows of a run that is taken up again. Equities are by bot, and of the fleet, in quote units."""

    row: RunRow
    fills: list[Fill]
    orders: list[Order]
    last_ms: int
    peaks: dict[int, float]
    equity: dict[int, float]
    day_equity: dict[int, float]
    touches: dict[str, tuple[float, float]]
    #: The last state of each bot, and of the fleet (None), where it ever changed.
    states: dict[int | None, _State] = field(default_factory=dict)
    symbols: list[Change] = field(default_factory=list)
    paused: bool = False

    @property
    def start_ms(self) -> int:
        return self.row.engine_from_ms or 0


def past_of(ledger: Ledger, plan: RunPlan) -> Past | None:
    """The past of the plan's run, None when it is new. Raises Refused when fleet file or seed are not those it was
    started with: its accounts would not be its own."""
    run_id = plan.run_id
    if run_id not in ledger.run_ids():
        return None
    row = ledger.run(run_id)
    if row.fleet_sha256 != plan.fleet.sha256 or row.seed != plan.seed:
        changed = "fleet file" if row.fleet_sha256 != plan.fleet.sha256 else "seed"
        raise Refused(f'run "{run_id}" was started with another {changed}: give the run a new --run-id')
    last_ms = ledger.last_engine_ms(run_id)
    states: dict[int | None, _State] = {}
    symbols: dict[str, Change] = {}
    paused = False
    for kind, bot, detail in ledger.events(run_id).select("kind", "bot", "detail").iter_rows():
        if kind in ("bot state", "fleet state"):
            states[bot] = msgspec.json.decode(detail, type=_State)
        elif kind == "symbol state":
            state = json.loads(detail)
            halted = state["to"] != TradingState.ACTIVE
            symbols[state["symbol"]] = Change(state["symbol"], halted, state["cause"], state.get("until_ms", 0))
        elif kind in ("command pause", "command resume"):
            paused = kind == "command pause"
    return Past(
        row=row,
        fills=ledger.fill_rows(run_id),
        orders=ledger.order_rows(run_id),
        last_ms=last_ms,
        peaks=ledger.equity_peaks(run_id),
        equity=ledger.equity_at(run_id, last_ms),
        day_equity=ledger.equity_at(run_id, last_ms - last_ms % DAY_MS),
        touches=ledger.last_marks(run_id),
        states=states,
        symbols=list(symbols.values()),
        paused=paused,
    )


async def check_same_market(past: Past, door: Door, plan: RunPlan, source: Source) -> None:
    """Raise Refused when the run would go on in another market, or in a replay's past."""
    then = past.row.source
    if past.row.market != plan.settings.market or (then.kind, then.name) != (source.kind, source.name):
        raise Refused(f'run "{plan.run_id}" was on {then.label()}, this is {source.label()}: give it a new --run-id')
    if plan.settings.market != "replay":
        return
    try:
        now_ms = (await door.venue_clock())["market_ms"]
    except ExchangeError:
        return  # not our venue: it does not tell
    if now_ms < past.last_ms - MINUTE_MS:
        raise Refused(
            f'the venue plays a time that run "{plan.run_id}" has behind it, it would trade the same market twice: '
            "give it a new --run-id"
        )


def restore(engine: Engine, past: Past, journal: Journal) -> None:
    """Bring accounts, counters and states to where the ledger ends, and cancel what was open."""
    open_orders = [order for order in past.orders if not order.status.is_final]
    engine.sail_alone()
    engine.broker.restore(past.fills, open_orders, past.last_ms)
    engine.resume_at(past.last_ms)
    for order in past.orders:
        engine.bots[order.bot].orders = max(engine.bots[order.bot].orders, order.number)
    for fill in past.fills:
        bot = engine.bots[fill.bot]
        bot.fills += 1
        bot.last_fill_ms = fill.time_ms
    engine.desk.paused = past.paused
    for bot in engine.bots:
        capital = bot.account.capital
        peak = _money(past.peaks.get(bot.index), capital)
        bot.mark(peak)
        bot.mark(_money(past.equity.get(bot.index), capital))
        _restore_losses(bot.gate, past, bot.index)
        if state := past.states.get(bot.index):
            state.restore(bot.gate)
        bot.touch = _touch(past, bot.spec.symbol, engine.instruments[bot.spec.symbol])
        # What it holds is what it acted upon; the next close says whether that is still wanted.
        bot.acted = 1.0 if bot.account.quantity > 0 else 0.0
        bot.unprotected = bool(bot.account.quantity)
        bot.note = (state and state.cause) or "resumed: waiting for its next close"
    _restore_fleet(engine.desk.guard, past)
    journal.wait(journal.event(past.last_ms, "resumed", None, {"fills": len(past.fills), "open": len(open_orders)}))


def _restore_fleet(guard: Guard, past: Past) -> None:
    _restore_losses(guard.gate, past, FLEET)
    if state := past.states.get(None):
        state.restore(guard.gate)
    for change in past.symbols:
        guard.volatility.restore(change)


def _restore_losses(gate: LossGuard, past: Past, number: int) -> None:
    gate.restore(
        peak_equity=_money(past.peaks.get(number), gate.capital),
        last_equity=_money(past.equity.get(number), gate.capital),
        day_equity=_money(past.day_equity.get(number), gate.capital),
        time_ms=past.last_ms,
    )


def _money(value: float | None, otherwise: Decimal) -> Decimal:
    return otherwise if value is None else Decimal(str(value))


def _touch(past: Past, symbol: str, instrument: Instrument) -> tuple[Decimal, Decimal]:
    bid, ask = past.touches.get(symbol, (0.0, 0.0))
    tick = instrument.tick_size
    return round(Decimal(str(bid)) / tick) * tick, round(Decimal(str(ask)) / tick) * tick
