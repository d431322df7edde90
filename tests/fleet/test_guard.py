"""Promise: no order of any bot goes around the limits of the fleet, and every state is written down with its cause."""

from __future__ import annotations

import ast
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import quantlab
from quantlab.fleet.assembly import make_engine
from quantlab.fleet.engine import Engine
from quantlab.fleet.replay import MemoryJournal
from quantlab.fleet.spec import parse_fleet
from quantlab.model import CandleSource, ConfigurationError
from quantlab.risk import TradingState
from tests.fleet.conftest import FLEET, TOGGLE
from tests.fleet.test_engine import START_MS, Exchange, candle, connect, depth, frame, instrument, trade

MINUTE = START_MS - START_MS % 60_000
#: The first minute after the start in which the first bot is long, the second one flat.
ODD = MINUTE + 60_000 * (1 - MINUTE // 60_000 % 2)


def fleet_with(tmp_path: Path, limits: str, *, phases: tuple[int, ...] = (0, 0, 0)) -> Any:
    (tmp_path / "toggle.py").write_text(TOGGLE)
    rows = "".join(
        f'[[bot]]\nname = "b{n}"\nstrategy = "toggle.py:Toggle"\nparameters = {{ phase = {phase} }}\n'
        f'symbol = "{"BTCUSDT" if n < 2 else "ETHUSDT"}"\ntimeframe = "1m"\n'
        for n, phase in enumerate(phases)
    )
    return parse_fleet(f"[fleet]\nlimits = {{ {limits} }}\n{rows}", path=tmp_path / "fleet.toml")


def make(fleet: Any, source: CandleSource) -> tuple[Engine, MemoryJournal]:
    journal = MemoryJournal()
    return make_engine(fleet, {s: instrument(s) for s in fleet.symbols}, journal, seed=1, rest=source), journal


async def enter(engine: Engine) -> None:
    """The close at which all bots of phase 0 want in, and what follows it."""
    await connect(engine)
    for symbol in engine.books:
        for open_ms in (ODD - 60_000, ODD):
            engine.frame(candle(symbol, open_ms, closed=True))
    engine.frame(trade("BTCUSDT", ODD + 62_000))


def told(journal: MemoryJournal, kind: str) -> list[dict[str, Any]]:
    return [{"bot": bot, **detail} for _, name, bot, detail in journal.events if name == kind]


@pytest.mark.parametrize(
    ("limits", "bought", "refused"),
    [
        ("", [0, 1, 2], []),
        ("max_position_usdt = 3000", [0, 1, 2], []),
        ("max_position_usdt = 2000", [0, 1], ["fleet max_position_usdt"]),
        ("max_symbol_pct = 34", [0, 2], ["fleet max_symbol_pct"]),
        ("max_symbol_pct = 20", [], ["fleet max_symbol_pct"] * 3),
        ("max_orders_per_minute = 2", [0, 1], ["fleet max_orders_per_minute"]),
        ("max_order_notional_usdt = 900", [], ["fleet max_order_notional_usdt"] * 3),
    ],
)
async def test_a_limit_of_the_fleet_holds_against_bots_that_keep_theirs(
    tmp_path: Path, limits: str, bought: list[int], refused: list[str]
) -> None:
    """What is on its way counts: the three bots decide at one moment, before any of them has a fill."""
    engine, journal = make(fleet_with(tmp_path, limits), Exchange())  # type: ignore[arg-type]
    await enter(engine)
    assert sorted(fill.bot for fill in journal.fills) == bought
    assert [entry["limit"] for entry in told(journal, "order refused")] == refused
    for bot in engine.bots:
        assert bool(bot.account.quantity) is (bot.refused == "")


async def test_a_refusal_is_told_once_until_an_order_passes(tmp_path: Path) -> None:
    engine, journal = make(fleet_with(tmp_path, "max_order_notional_usdt = 900"), Exchange())  # type: ignore[arg-type]
    await enter(engine)
    engine.frame(candle("BTCUSDT", ODD + 120_000, closed=True))
    assert engine.bots[0].note.startswith("the order is worth")
    assert len(told(journal, "order refused")) == 3


async def test_a_loss_of_the_fleet_halts_and_flattens_every_bot(tmp_path: Path) -> None:
    engine, journal = make(fleet_with(tmp_path, "max_drawdown_pct = 3"), Exchange())  # type: ignore[arg-type]
    await enter(engine)
    held = [bot.account.quantity for bot in engine.bots]
    assert all(held)
    fall(engine, ODD + 62_500, "90.00", "90.01", ("BTCUSDT",))
    engine.frame(trade("BTCUSDT", ODD + 130_000, price="90.00"))
    engine.frame(trade("ETHUSDT", ODD + 140_000))
    (state,) = told(journal, "fleet state")
    assert (state["to"], state["bot"]) == ("HALTED", None)
    assert state["cause"].startswith("drawdown of 6.7")
    assert {(entry["bot"], entry["to"]) for entry in told(journal, "bot state")} == {(n, "HALTED") for n in range(3)}
    assert all(bot.account.quantity < Decimal("0.001") for bot in engine.bots)


async def test_bots_alone_would_have_kept_what_the_fleet_sold(tmp_path: Path) -> None:
    """The control: without the limit the same fall halts nobody."""
    engine, journal = make(fleet_with(tmp_path, ""), Exchange())  # type: ignore[arg-type]
    await enter(engine)
    fall(engine, ODD + 62_500, "90.00", "90.01", ("BTCUSDT",))
    engine.frame(trade("BTCUSDT", ODD + 130_000, price="90.00"))
    assert all(bot.account.quantity for bot in engine.bots)
    assert not told(journal, "fleet state")


async def test_a_flash_crash_stops_buys_on_its_symbol_and_on_no_other(tmp_path: Path) -> None:
    """Seen at the order itself: the crash lies between two looks."""
    limits = "halt_move_pct = 5"
    engine, journal = make(fleet_with(tmp_path, limits), Exchange())  # type: ignore[arg-type]
    await connect(engine)
    for symbol in engine.books:
        engine.frame(candle(symbol, ODD - 60_000, closed=True))
    engine.frame(trade("BTCUSDT", ODD + 58_000))
    fall(engine, ODD + 59_000, "90.00", "90.01", ("BTCUSDT",))
    for symbol in engine.books:
        engine.frame(candle(symbol, ODD, closed=True))
    engine.frame(trade("BTCUSDT", ODD + 62_000, price="90.00"))
    assert [fill.bot for fill in journal.fills] == [2]
    (state,) = told(journal, "symbol state")
    assert (state["symbol"], state["to"]) == ("BTCUSDT", "REDUCING")
    states = [engine.desk.guard.state_of(bot) for bot in engine.bots]
    assert states == [TradingState.REDUCING, TradingState.REDUCING, TradingState.ACTIVE]
    minute = ODD + 60_000
    for n in range(1, 25):
        engine.frame(depth("BTCUSDT", 101 + n, 101 + n, minute + n * 60_000, bid="90.00"))
    assert [(entry["symbol"], entry["to"]) for entry in told(journal, "symbol state")][1:] == [("BTCUSDT", "ACTIVE")]


async def test_reducing_lets_sales_pass_and_no_buy_until_resumed(tmp_path: Path) -> None:
    engine, journal = make(fleet_with(tmp_path, "", phases=(0, 1, 0)), Exchange())  # type: ignore[arg-type]
    await enter(engine)
    assert sorted(fill.bot for fill in journal.fills) == [0, 2]
    engine.command("reduce", {})
    for symbol in engine.books:
        engine.frame(candle(symbol, ODD + 60_000, closed=True))  # bots 0 and 2 want out, bot 1 wants in
    engine.frame(trade("BTCUSDT", ODD + 125_000))
    assert [(fill.bot, fill.side) for fill in journal.fills[2:]] in (
        [(0, "SELL"), (2, "SELL")],
        [(2, "SELL"), (0, "SELL")],
    )
    assert engine.bots[1].note == "reduce command"
    engine.command("resume", {})
    assert [(entry["from"], entry["to"]) for entry in told(journal, "fleet state")] == [
        ("ACTIVE", "REDUCING"), ("REDUCING", "ACTIVE"),
    ]  # fmt: skip
    for symbol in engine.books:
        engine.frame(candle(symbol, ODD + 120_000, closed=True))
    engine.frame(trade("BTCUSDT", ODD + 185_000))
    assert {fill.bot for fill in journal.fills[4:]} == {0, 2}


async def test_reducing_one_bot_takes_its_quotes_to_buy_away(tmp_path: Path) -> None:
    (tmp_path / "toggle.py").write_text(TOGGLE)
    engine, journal = make(parse_fleet(FLEET, path=tmp_path / "fleet.toml"), Exchange())  # type: ignore[arg-type]
    await connect(engine)
    for n in range(1, 4):
        engine.frame(depth("XRPUSDT", 100 + n, 100 + n, START_MS + n * 2_000))
    assert [order.side for order in engine.broker.open_orders(2)] == ["BUY"]
    engine.command("reduce", {"bot": "xrp-maker"})
    for n in range(4, 9):
        engine.frame(depth("XRPUSDT", 100 + n, 100 + n, START_MS + n * 2_000))
    assert engine.broker.open_orders(2) == []
    assert [(entry["bot"], entry["to"]) for entry in told(journal, "bot state")] == [(2, "REDUCING")]
    assert engine.desk.guard.state_of(engine.bots[0]) is TradingState.ACTIVE


def fall(engine: Engine, at_ms: int, bid: str, ask: str, symbols: tuple[str, ...]) -> None:
    """The books of `symbols` drop from 100.00 / 100.01."""
    for symbol in symbols:
        data = {"e": "depthUpdate", "E": at_ms, "s": symbol, "U": 101, "u": 101}
        levels = {"b": [["100.00", "0"], [bid, "50"]], "a": [["100.01", "0"], [ask, "50"]]}
        engine.frame(frame(f"{symbol.lower()}@depth@100ms", **data, **levels))


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ("max_symbol_pct = 120", "max_symbol_pct = 120: must be a percentage"),
        ("max_symbol = 20", 'max_symbol is not a limit of the fleet; did you mean "max_symbol_pct"?'),
        ('halt_move_pct = "5"', "halt_move_pct must be a number above zero"),
    ],
)
def test_a_limit_that_is_none_is_refused_by_line_and_name(tmp_path: Path, limits: str, words: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        fleet_with(tmp_path, limits)
    assert str(refused.value).startswith("fleet.toml:2:") and words in str(refused.value)


def test_nothing_but_the_desk_submits_an_order() -> None:
    """Each order of a bot passes `Guard.lets_pass`: `Desk.send` calls it, and nobody else calls a broker's submit."""
    root = Path(quantlab.__file__).parent
    callers = set()
    for path in (root / "fleet").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "submit":
                callers.add(path.name)
    assert callers == {"desk.py"}
    source = ast.parse((root / "fleet" / "desk.py").read_text())
    (send,) = [node for node in ast.walk(source) if isinstance(node, ast.FunctionDef) and node.name == "send"]
    calls = {node.attr: node.lineno for node in ast.walk(send) if isinstance(node, ast.Attribute)}
    assert calls["lets_pass"] < calls["submit"]
