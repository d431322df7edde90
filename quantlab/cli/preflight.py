"""`quantlab preflight`: the checklist as a table, what fails first, and what to type about it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from quantlab.cli.output import Json, emit
from quantlab.model.errors import ConfigurationError, Refused

if TYPE_CHECKING:
    from quantlab.preflight import Line, Mode, Result

_COLOURS = {"pass": "blue", "fail": "yellow", "unknown": "magenta", "not applicable": "dim"}
State = Annotated[
    list[str] | None, typer.Option(help="State that this is true: dedicated, 2fa, anti-phishing, withdrawal-whitelist.")
]


def preflight(
    mode: Annotated[
        str | None, typer.Option(help="paper, testnet or live (default: what the settings are about to do).")
    ] = None,
    offline: Annotated[bool, typer.Option("--offline", help="Do not ask the exchange.")] = False,
    html: Annotated[Path | None, typer.Option(help="Write it as a page of its own, too.")] = None,
    state: State = None,
    unstate: Annotated[list[str] | None, typer.Option(help="Take a statement back.")] = None,
    as_json: Json = False,
) -> None:
    """Go through the security checklist: what was seen, why it matters, how to mend it. Exit 3 where a line blocks."""
    from quantlab.cli.runs import settings
    from quantlab.preflight import preflight as look
    from quantlab.preflight import state as put
    from quantlab.preflight import unstate as take_back

    chosen = settings()
    wanted = _mode(mode)
    both = set(state or ()) & set(unstate or ())
    if both:
        raise ConfigurationError(f"--state and --unstate of {', '.join(sorted(both))} contradict each other: give one")
    put(chosen.home, state or ())
    take_back(chosen.home, unstate or ())
    result = look(chosen, ask_exchange=not offline, mode=wanted, progress=_teller(quiet=as_json))
    if html is not None:
        html.write_text(result.to_html(), encoding="utf-8")
    emit(result.to_json(), as_json, lambda: show(result))
    if not result.ok:
        names = ", ".join(line.id for line in result.blocked)
        raise Refused(f"pre-flight for {result.mode} is blocked by {names}: each line says how to mend it")


def show(result: Result) -> None:
    """Print the table, then why and how to mend for each line that failed."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from quantlab.preflight.page import SIGNS

    console = Console()
    table = Table(title=f"Pre-flight: {result.mode}", title_justify="left")
    for column in ("verdict", "what", "seen", "if it fails"):
        table.add_column(column, overflow="fold")
    for line in result.worst_first():
        words = f"[{_COLOURS[line.verdict]}]{SIGNS[line.verdict]} {line.verdict}[/]"
        table.add_row(words, escape(line.what), escape(line.detail), _weight(line, result.mode))
    console.print(table)
    for line in result.worst_first():
        if line.counts:
            console.print(f"\n[bold]{SIGNS[line.verdict]} {escape(line.what)}[/] ({line.id})")
            console.print(f"  why: {line.why}", markup=False, highlight=False)
            console.print(f"  mend: {line.mend}", markup=False, highlight=False)
    console.print(f"\n{result.verdict_in_words()}", markup=False, highlight=False)


def _weight(line: Line, mode: Mode) -> str:
    return {"block": "blocks", "alert": "alerts", "info": "is said"}[line.severity[mode]]


def _mode(text: str | None) -> Mode | None:
    if text is None or text == "paper":
        return None if text is None else "paper"
    if text == "testnet":
        return "testnet"
    if text == "live":
        return "live"
    raise ConfigurationError(f'--mode "{text}" is not one of: paper, testnet, live')


def _teller(*, quiet: bool) -> Callable[[int, int, str], object] | None:
    """Says on a terminal what is looked at just now; nothing anywhere else."""
    if quiet or not sys.stderr.isatty():
        return None

    def tell(done: int, of: int, what: str) -> None:
        line = "" if done == of else f"{done + 1}/{of} {what} …"
        print(f"\r\033[K{line}", end="", file=sys.stderr, flush=True)

    return tell
