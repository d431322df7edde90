"""`quantlab backtest`: strategies over the candles on disk."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from quantlab.cli.output import Json, emit
from quantlab.model.errors import ConfigurationError


def backtest(
    strategy: Annotated[str | None, typer.Argument(help="Such as ema_cross, or path/to/file.py:Name.")] = None,
    symbols: Annotated[list[str] | None, typer.Argument(help="Such as BTCUSDT; several share one account.")] = None,
    timeframe: Annotated[str | None, typer.Option(help="Such as 1m, 5m, 1h (default: 1m, or the bots' own).")] = None,
    parameter: Annotated[list[str] | None, typer.Option("-p", "--parameter", help="Such as fast=12.")] = None,
    rule: Annotated[
        list[str] | None, typer.Option("-r", "--rule", help="As in a fleet file, such as stop_loss_pct=2.")
    ] = None,
    fleet: Annotated[Path | None, typer.Option(help="Every candle bot of this fleet file, each by itself.")] = None,
    from_: Annotated[str | None, typer.Option("--from", help="First day that is traded, such as 2024-01-01.")] = None,
    to: Annotated[str | None, typer.Option(help="Day to end before.")] = None,
    capital: Annotated[float, typer.Option(help="USDT; a fleet file has its own.", min=0.01)] = 1000.0,
    folder: Annotated[Path | None, typer.Option(help="Another folder than the history of this workbench.")] = None,
    as_json: Json = False,
) -> None:
    """Run a strategy, or a fleet's bots, over the history: orders at the next open, fees, filters, stops."""
    if (fleet is None) == (strategy is None):
        raise ConfigurationError("give a strategy and its symbols, or a --fleet")
    if fleet is not None:
        return _fleet(fleet, timeframe, from_, to, folder, as_json)
    from decimal import Decimal

    from quantlab.backtest import Conventions
    from quantlab.cli.runs import settings
    from quantlab.lab.research import run_backtest
    from quantlab.market.history import History, folder_of

    if not symbols:
        raise ConfigurationError("give a symbol too, such as BTCUSDT")
    chosen = settings()
    found = run_backtest(
        History(folder or chosen.home / folder_of(chosen.market)), strategy or "", symbols, timeframe or "1m",
        parameters=_values(parameter), from_=from_, to=to, base=Path(),
        conventions=Conventions(capital_usdt=Decimal(str(capital))), **_values(rule),
    )  # fmt: skip
    result = found.result
    words = "\n".join(
        [
            f"{result.source}, {timeframe or '1m'}, {result.metrics.days:.1f} days",
            *(
                f"  {row['words']:<50} {row['shown']:>16}  {row['interval']}".rstrip()
                for row in found.table().frame.iter_rows(named=True)
            ),
            *(f"  · {line}" for line in result.words()),
        ]
    )
    emit(result.summary(), as_json, words)
    return None


def _fleet(
    path: Path, timeframe: str | None, from_: str | None, to: str | None, folder: Path | None, as_json: bool
) -> None:
    from quantlab.cli.progress import counting
    from quantlab.cli.runs import settings
    from quantlab.fleet.spec import load_fleet
    from quantlab.lab.research import run_fleet
    from quantlab.market.history import History, folder_of

    chosen = settings()
    history = History(folder or chosen.home / folder_of(chosen.market))
    with counting("bots", quiet=as_json) as show:
        rows = run_fleet(
            history, load_fleet(path), from_=from_, to=to, timeframe=timeframe, on_progress=show
        ).to_dicts()
    plain = [{name: None if value != value else value for name, value in row.items()} for row in rows]
    emit(plain, as_json, "\n".join(map(_line, rows)))


def _line(row: dict[str, Any]) -> str:
    head = f"{row['name']:<28} {row['symbol']:<10} {row['timeframe']:>4}"
    if row["note"]:
        return f"{head}  {row['note']}"
    return (
        f"{head}  {row['return_pct']:+9.2f} %  drawdown {row['max_drawdown_pct']:6.2f} %  Sharpe {row['sharpe']:+7.2f}"
        f"  {row['trades']:>6,} trades"
    )


def _values(pairs: list[str] | None) -> dict[str, Any]:
    """`name=value` pairs; values as in TOML, else text."""
    values: dict[str, Any] = {}
    for pair in pairs or []:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise ConfigurationError(f'"{pair}" is not a pair such as fast=12')
        try:
            values[name.strip()] = json.loads(value)
        except ValueError:
            values[name.strip()] = value
    return values
