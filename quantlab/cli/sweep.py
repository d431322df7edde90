"""`quantlab sweep`: many combinations of parameters over the candles on disk, and whether the best holds up."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from quantlab.cli.output import Json, emit
from quantlab.model.errors import ConfigurationError

if TYPE_CHECKING:
    from quantlab.lab.sweeps import Judgement, Sweep


def sweep(
    strategy: Annotated[str, typer.Argument(help="Such as ema_cross, or path/to/file.py:Name.")],
    symbols: Annotated[list[str], typer.Argument(help="Such as BTCUSDT; several share one account.")],
    parameter: Annotated[
        list[str],
        typer.Option("-p", "--parameter", help="Values to try: fast=5:50:5 (from:to:step), slow=50,100,200, or one."),
    ],
    timeframe: Annotated[str, typer.Option(help="Such as 1m, 5m, 1h.")] = "1m",
    search: Annotated[str, typer.Option(help="grid (all), random or optuna.")] = "grid",
    trials: Annotated[int, typer.Option(help="Combinations that random and optuna try.", min=1)] = 100,
    score: Annotated[str, typer.Option(help="sharpe, sortino, calmar, return_pct or profit_factor.")] = "sharpe",
    seed: Annotated[int, typer.Option(help="One seed gives one result.", min=0)] = 1,
    validate: Annotated[bool, typer.Option("--validate", help="Does the best hold up? Ends with 1 if not.")] = False,
    train: Annotated[int, typer.Option(help="Candles that a walk-forward chooses on.", min=2)] = 1_000,
    test: Annotated[int, typer.Option(help="Candles that a choice is traded on.", min=1)] = 200,
    from_: Annotated[str | None, typer.Option("--from", help="First day that is traded, such as 2024-01-01.")] = None,
    to: Annotated[str | None, typer.Option(help="Day to end before.")] = None,
    capital: Annotated[float, typer.Option(help="USDT.", min=0.01)] = 1000.0,
    rows: Annotated[int, typer.Option(help="Best combinations to show.", min=1)] = 10,
    page: Annotated[Path | None, typer.Option(help="Leave an HTML page with maps and pictures here.")] = None,
    folder: Annotated[Path | None, typer.Option(help="Another folder than the history of this workbench.")] = None,
    as_json: Json = False,
) -> None:
    """Backtest many combinations of parameters over the history; with --validate, ask whether the best means anything.

    Parameters of the strategy and rules such as stop_loss_pct are searched alike.
    """
    from quantlab.backtest import Conventions
    from quantlab.backtest.space import parse_values
    from quantlab.cli.progress import counting
    from quantlab.cli.runs import settings
    from quantlab.lab.sweeps import run_sweep
    from quantlab.market.history import History, folder_of

    chosen = settings()
    space = dict(parse_values(text) for text in parameter)
    if len(space) < len(parameter):
        raise ConfigurationError("-p: give each parameter once, as in fast=5,10,20")
    with counting("backtests", quiet=as_json) as show:
        found = run_sweep(
            History(folder or chosen.home / folder_of(chosen.market)), strategy, symbols, timeframe, space,
            search=search, trials=trials, score=score, seed=seed, from_=from_, to=to, base=Path(),
            conventions=Conventions(capital_usdt=Decimal(str(capital))), on_progress=show or _nobody,
        )  # fmt: skip
    judged = None
    if validate:
        with counting("validation", quiet=as_json) as show:
            judged = found.validate(train, test, on_progress=show or _nobody)
    if page is not None:
        _write(page, found, judged)
    emit(_summary(found, judged, rows), as_json, _words(found, judged, rows, page))
    if judged is not None and not judged.passed:
        raise typer.Exit(1)


def _nobody(done: int, of: int) -> None:
    """For where nobody looks at a bar."""


def _words(found: Sweep, judged: Judgement | None, rows: int, page: Path | None) -> str:
    swept = found.swept
    names = list(swept.space.values)
    widths = [max(len(name), 6) for name in names]
    head = "  ".join(f"{name:>{width}}" for name, width in zip(names, widths, strict=True))
    lines = [
        f"{swept.source}, {swept.stage.timeframe}, {swept.trials[0].metrics.days:.1f} days; "
        f"{len(swept.trials):,} combinations by {swept.search}, {len(swept.skipped):,} that cannot be",
        f"  {head}  {'net %':>9}  {'Sharpe':>7}  {'drawdown %':>10}  {'trades':>7}",
    ]
    for row in found.table(rows).frame.iter_rows(named=True):
        given = "  ".join(f"{row[name]!s:>{width}}" for name, width in zip(names, widths, strict=True))
        lines.append(
            f"  {given}  {row['return_pct']:>+9.2f}  {row['sharpe']:>7.2f}  {row['max_drawdown_pct']:>10.2f}  "
            f"{row['trades']:>7,}"
        )
    lines.append(f"  best plateau: {', '.join(f'{name}={value}' for name, value in found.stable.items())}")
    lines.append(
        f"  the best one's true Sharpe ratio is above zero with a probability of {found.deflated_sharpe:.3f}, "
        f"given that {len(swept.trials):,} were tried"
    )
    if judged is not None:
        for check in judged.checks:
            shown = check.why if check.found != check.found else f"{check.found:.3f}, {check.bound}"
            lines.append(f"  {'yes' if check.passed else 'no ':<3}  {check.question} {shown}")
        lines.append("  the best holds up" if judged.passed else "  the best does not hold up")
    lines += [f"  · {line}" for line in swept.conventions.words()]
    if page is not None:
        lines.append(f"  page: {page}")
    return "\n".join(lines)


def _summary(found: Sweep, judged: Judgement | None, rows: int) -> dict[str, Any]:
    """For machines; None where a figure cannot be told."""
    swept = found.swept
    summary: dict[str, Any] = {
        "strategy": swept.strategy,
        "symbols": list(swept.symbols),
        "timeframe": swept.stage.timeframe,
        "source": swept.source,
        "search": swept.search,
        "seed": swept.seed,
        "combinations": len(swept.trials),
        "skipped": len(swept.skipped),
        "best": found.best,
        "stable": found.stable,
        "deflated_sharpe": _known(found.deflated_sharpe),
        "rows": [
            {name: _known(value) for name, value in row.items()}
            for row in found.table(rows).frame.iter_rows(named=True)
        ],
        "conventions": swept.conventions.words(),
    }
    if judged is not None:
        overfitting = judged.validation.overfitting
        summary["validation"] = {
            "passed": judged.passed,
            "probability_of_overfitting": overfitting.probability if overfitting else None,
            "checks": [
                {"question": each.question, "found": _known(each.found), "bound": each.bound, "passed": each.passed,
                 "why": each.why}
                for each in judged.checks
            ],
        }  # fmt: skip
    return summary


def _known(value: Any) -> Any:
    return None if isinstance(value, float) and value - value != 0 else value


def _write(path: Path, found: Sweep, judged: Judgement | None) -> None:
    body = found._repr_html_() + (judged._repr_html_() if judged is not None else "")
    title = f"{found.swept.strategy} on {', '.join(found.swept.symbols)}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>body{{font-family:'
        f"Helvetica Neue,Arial,sans-serif;max-width:960px;margin:2em auto;padding:0 1em;color:#1f2328}}</style></head>"
        f"<body>{body}</body></html>",
        encoding="utf-8",
    )
