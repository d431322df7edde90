"""Fits a fleet to a market that lacks some of its symbols or timeframes, and writes it down as a fleet file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from quantlab.fleet.spec import FleetSpec, parse_fleet
from quantlab.model import TIMEFRAMES, ConfigurationError


def deal(fleet: FleetSpec, symbols: Sequence[str], intervals: Sequence[str]) -> tuple[FleetSpec, list[str]]:
    """Deal the bots of missing symbols over those there are, in turn; move a timeframe that does not exist to the next
    coarser one that does.

    Returns the fleet and one line for each kind of change (none: the fleet as it was). Raises ConfigurationError when
    there is nothing to deal over.
    """
    lengths = list(TIMEFRAMES)
    offered = [name for name in lengths if name in intervals]
    if not symbols or not offered:
        raise ConfigurationError("the market has no symbol with candles in this window: widen --from or --hours")
    nearest = {n: next((o for o in offered if lengths.index(o) >= lengths.index(n)), offered[-1]) for n in lengths}
    missing = [symbol for symbol in fleet.symbols if symbol not in symbols]
    moved = [name for name in lengths if nearest[name] != name and any(bot.timeframe == name for bot in fleet.bots)]
    if not missing and not moved:
        return fleet, []
    bots, dealt = [], 0
    for bot in fleet.bots:
        symbol = bot.symbol
        if symbol in missing:
            symbol = symbols[dealt % len(symbols)]
            dealt += 1
        bots.append(replace(bot, symbol=symbol, timeframe=nearest[bot.timeframe]))
    words = [f"no {name} candles here: its bots run on {nearest[name]}" for name in moved]
    if missing:
        words.insert(0, f"no {' '.join(missing)} here: their {dealt} bots are dealt over {' '.join(symbols)}")
    text = fleet_toml(replace(fleet, bots=tuple(bots)))
    return parse_fleet(text, path=bots[0].base / "dealt-fleet.toml"), words


def fleet_toml(fleet: FleetSpec) -> str:
    """The fleet file that `fleet` would be read from; strategies' files are named by absolute path."""
    parts = [f"[fleet]\nname = {_value(fleet.name)}\n"]
    for table, settings in (("fleet.limits", fleet.limits), ("paper", fleet.paper)):
        values = {key: getattr(settings, key) for key in settings.__dataclass_fields__}
        lines = [f"{key} = {_value(value)}" for key, value in values.items() if value not in (None, (), {})]
        parts.append(f"[{table}]\n" + "\n".join(lines) + "\n")
    for bot in fleet.bots:
        rows: list[tuple[str, Any]] = [
            ("name", bot.name),
            ("strategy", _absolute(bot.strategy, bot.base)),
            ("parameters", dict(bot.parameters)),
            ("symbol", bot.symbol),
            ("timeframe", bot.timeframe),
            ("capital_usdt", bot.capital_usdt),
            ("stop_loss_pct", bot.stop_loss_pct),
            ("stop_limit_pct", bot.stop_limit_pct),
            ("trailing_stop_pct", bot.trailing_stop_pct),
            ("take_profit_pct", bot.take_profit_pct),
            ("rebalance_pct", bot.rebalance_pct),
            ("max_slippage_pct", bot.max_slippage_pct),
            ("risk", {key: getattr(bot.risk, key) for key in bot.risk.__dataclass_fields__}),
        ]
        lines = [f"{key} = {_value(value)}" for key, value in rows if value not in (None, {})]
        parts.append("[[bot]]\n" + "\n".join(lines) + "\n")
    return "\n".join(parts)


def _absolute(strategy: str, base: Path) -> str:
    file, colon, name = strategy.rpartition(":")
    return f"{(base / file).resolve()}:{name}" if colon else strategy


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{k} = {_value(v)}" for k, v in value.items() if v is not None) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_value, value)) + "]"
    return str(value)
