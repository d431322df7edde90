"""Promise: a bot's file decides with which orders it trades: trailing stops, limits of stops, bounds on slippage."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal

import pytest

from quantlab.fleet.assembly import make_engine
from quantlab.fleet.deal import fleet_toml
from quantlab.fleet.engine import Engine
from quantlab.fleet.replay import MemoryJournal
from quantlab.fleet.spec import FleetSpec, parse_fleet
from quantlab.model import Order, OrderStatus, OrderType
from tests.fleet.test_engine import (  # noqa: F401 - fixtures among them
    START_MS,
    Exchange,
    candle,
    connect,
    exchange,
    frame,
    instrument,
    journal,
    trade,
)

NONE = {"stop_loss_pct": None, "take_profit_pct": None}


@pytest.fixture
def start(fleet: FleetSpec, exchange: Exchange, journal: MemoryJournal) -> Callable[..., object]:  # noqa: F811
    """Runs the fleet, its second bot (ETHUSDT) by the settings given, past a close at which that bot wants in; a frame
    that comes `meanwhile` does so while its order travels."""

    async def go(meanwhile: Callable[[int], bytes] | None = None, **settings: object) -> Engine:
        bots = (fleet.bots[0], replace(fleet.bots[1], **(NONE | settings)), *fleet.bots[2:])
        named = replace(fleet, bots=bots)
        instruments = {symbol: instrument(symbol) for symbol in fleet.symbols}
        engine = make_engine(named, instruments, journal, seed=1, rest=exchange)  # type: ignore[arg-type]
        await connect(engine)
        minute = START_MS - START_MS % 60_000
        minute += 60_000 * (minute // 60_000 % 2)  # the second bot is long in even minutes
        for open_ms in (minute - 60_000, minute):
            engine.frame(candle("ETHUSDT", open_ms, closed=True))
        if meanwhile is not None:
            engine.frame(meanwhile(minute + 60_005))
        engine.frame(trade("ETHUSDT", minute + 61_000))
        return engine

    return go


def open_orders(engine: Engine) -> list[Order]:
    return engine.broker.open_orders(1)


async def test_a_trailing_stop_follows_the_price_up_and_sells(start, journal: MemoryJournal) -> None:  # noqa: F811
    engine = await start(trailing_stop_pct=2.0, take_profit_pct=50.0)
    stop, target = open_orders(engine)
    assert (stop.type, stop.trailing_delta, stop.stop_price) == (OrderType.STOP_LOSS, 200, None)
    assert stop.list_number == target.list_number > 0
    at, update = engine.now_ms, 101
    for price, held in (("110.00", True), ("107.81", True), ("107.80", False)):
        at, update = at + 1_000, update + 1
        fall = {"e": "depthUpdate", "E": at, "s": "ETHUSDT", "U": update - 1, "u": update - 1}
        levels = {"b": [["100.00", "0"], ["107.79", "50"]], "a": [["100.01", "0"], ["110.01", "50"]]}
        engine.frame(frame("ethusdt@depth@100ms", **fall, **levels))
        engine.frame(trade("ETHUSDT", at + 1, price=price))
        engine.frame(trade("ETHUSDT", at + 900, price=price))
        assert bool(engine.bots[1].account.quantity >= Decimal("0.001")) is held, price
    assert journal.fills[-1].price == Decimal("107.79")
    assert open_orders(engine) == [], "the target ended with the stop"


async def test_a_stop_with_a_limit_is_sent_with_it(start) -> None:
    engine = await start(stop_loss_pct=2.0, stop_limit_pct=1.0)
    (stop,) = open_orders(engine)
    assert (stop.type, stop.status) == (OrderType.STOP_LOSS_LIMIT, OrderStatus.NEW)
    assert (stop.stop_price, stop.price) == (Decimal("98.01"), Decimal("97.02"))


@pytest.mark.parametrize(
    ("percent", "ask", "buys"), [(0.2, "100.21", True), (0.2, "100.22", False), (None, "100.22", True)]
)
async def test_what_would_slip_too_far_is_not_bought(
    start,
    journal: MemoryJournal,  # noqa: F811
    percent: float | None,
    ask: str,
    buys: bool,
) -> None:
    """The ask moves while the order travels: the bound is 0.2 % above the 100.01 that the bot saw."""
    moved = {"e": "depthUpdate", "s": "ETHUSDT", "U": 101, "u": 101, "b": [], "a": [["100.01", "0"], [ask, "50"]]}
    engine = await start(lambda at_ms: frame("ethusdt@depth@100ms", E=at_ms, **moved), max_slippage_pct=percent)
    assert [fill.price for fill in journal.fills] == ([Decimal(ask)] if buys else [])
    if not buys:
        assert engine.bots[1].acted == 0.0, "the next close asks again"
        assert open_orders(engine) == []


def test_the_settings_survive_a_deal(fleet: FleetSpec, tmp_path) -> None:
    bot = replace(fleet.bots[1], stop_loss_pct=None, take_profit_pct=4.0, trailing_stop_pct=1.5, max_slippage_pct=0.25)
    again = parse_fleet(fleet_toml(replace(fleet, bots=(bot,))), path=tmp_path / "x.toml").bots[0]
    assert (again.trailing_stop_pct, again.max_slippage_pct, again.take_profit_pct) == (1.5, 0.25, 4.0)
