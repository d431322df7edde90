"""`quantlab selftest`: the first contact with an exchange, before a run trusts it."""

from __future__ import annotations

import asyncio
import os
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from quantlab.cli.output import Json, emit
from quantlab.model.errors import ConfigurationError, QuantlabError

if TYPE_CHECKING:
    from quantlab.exchange import DoorConfig
    from quantlab.selftest import Examination, Finding
    from quantlab.settings import Settings

_COLOURS = {"pass": "blue", "look": "yellow", "fails": "red"}
_SYMBOLS = "BTCUSDT,ETHUSDT"
#: The reference only has to send one frame of each kind.
_REFERENCE_S = 5.0


def selftest(
    market: Annotated[str | None, typer.Option(help="mainnet, testnet or replay (default: the settings').")] = None,
    seconds: Annotated[float, typer.Option(help="How long to listen to the streams.", min=1.0, max=90.0)] = 30.0,
    symbols: Annotated[str, typer.Option(help="Two or more symbols, by commas; the first is asked most.")] = _SYMBOLS,
    out: Annotated[Path | None, typer.Option(help="Where to write the findings (default: under reports/).")] = None,
    as_json: Json = False,
) -> None:
    """Check an exchange against what quantlab expects: read-only, no key, under two minutes and 300 weight.

    Each endpoint and stream that quantlab uses is read by its decoders and compared, field by field, with the replay
    venue; weights with the exchange's own count; its clock with this machine's; the book with the best quotes.
    """
    from quantlab.selftest import compare
    from quantlab.settings import load_settings

    chosen = load_settings(market=market)
    names = [name.strip().upper() for name in symbols.split(",") if name.strip()]
    if len(set(names)) < 2:
        raise ConfigurationError(f'--symbols "{symbols}": give two or more, such as {_SYMBOLS}')
    rows: list[dict[str, Any]] = []
    try:
        with _reference(names) as reference_config, _config(chosen) as config:
            found = asyncio.run(_examined(config, names, seconds, rows, as_json))
            reference = asyncio.run(_examined(reference_config, names, _REFERENCE_S, [], as_json))
    finally:
        _keep_egress(chosen, rows)
    findings = compare(found, reference)
    path = out or _default_path(chosen)
    result = _result(chosen, found, findings, path)
    _write(path, result)
    emit(result, as_json, lambda: _show(findings, found, chosen, path))
    if failed := sum(row.verdict == "fails" for row in findings):
        raise QuantlabError(f"{failed} of {len(findings)} checks failed: {path} says what, attach it to a bug report")


@contextmanager
def _config(chosen: Settings) -> Iterator[DoorConfig]:
    from quantlab.exchange import DoorConfig

    if chosen.market != "replay" or chosen.venue_url:
        yield DoorConfig.for_settings(chosen)
        return
    with _reference([]) as config:
        yield config


@contextmanager
def _reference(symbols: list[str]) -> Iterator[DoorConfig]:
    """A venue of our own at speed 1. It generates whichever market it has: its fields matter, not its prices."""
    from quantlab.environment import scrubbed
    from quantlab.exchange import DoorConfig
    from quantlab.venue.child import VenueChild

    with VenueChild(hours=1.0, seed=1, speed=1.0, environment=scrubbed(os.environ)) as venue:
        if missing := sorted(set(symbols) - set(venue.about["symbols"])):
            raise ConfigurationError(
                f"the reference has no {', '.join(missing)}: choose among {', '.join(venue.about['symbols'])}"
            )
        yield DoorConfig(market="replay", rest_url=venue.url, stream_url=venue.url.replace("http", "ws", 1))


async def _examined(
    config: DoorConfig, symbols: list[str], seconds: float, rows: list[dict[str, Any]], quiet: bool
) -> Examination:
    from quantlab.selftest import examine

    def tell(what: str) -> None:
        if not quiet and sys.stderr.isatty():
            print(f"\r\033[K{config.address}: {what} …", end="", file=sys.stderr, flush=True)

    try:
        return await examine(config, symbols, listen_s=seconds, egress=rows.append, progress=tell)
    finally:
        if not quiet and sys.stderr.isatty():
            print("\r\033[K", end="", file=sys.stderr, flush=True)


def _keep_egress(chosen: Settings, rows: list[dict[str, Any]]) -> None:
    from quantlab.ledger import Ledger

    if rows:
        with Ledger.open(chosen.home) as ledger:
            for row in rows:
                ledger.log_egress(row)


def _result(chosen: Settings, found: Examination, findings: list[Finding], path: Path) -> dict[str, Any]:
    """What the file holds: no path, no address and no name of this machine."""
    import msgspec

    counts = {verdict: sum(row.verdict == verdict for row in findings) for verdict in _COLOURS}
    packages = {name: version(name) for name in ("quantlab", "ccxt", "aiohttp", "msgspec")}
    return {
        "market": chosen.market,
        "ok": not counts["fails"],
        **counts,
        "weight": found.weight,
        "file": path.name,
        "made": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "versions": packages | {"python": platform.python_version(), "system": platform.system()},
        "findings": [row._asdict() for row in findings],
        "examination": msgspec.to_builtins(found),
    }


def _default_path(chosen: Settings) -> Path:
    return chosen.root / "reports" / f"selftest-{chosen.market}-{datetime.now(UTC):%Y%m%d-%H%M%S}.json"


def _write(path: Path, result: dict[str, Any]) -> None:
    import msgspec

    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(result), indent=1) + b"\n")


def _show(findings: list[Finding], found: Examination, chosen: Settings, path: Path) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console()
    table = Table(title=f"First contact: {chosen.market} ({found.address})", title_justify="left")
    for column in ("verdict", "what", "expected", "found"):
        table.add_column(column, overflow="fold")
    for row in findings:
        table.add_row(f"[{_COLOURS[row.verdict]}]{row.verdict}[/]", *(escape(text) for text in row[1:]))
    console.print(table)
    counts = ", ".join(f"{sum(row.verdict == verdict for row in findings)} {verdict}" for verdict in _COLOURS)
    console.print(f"{counts}; {found.weight} weight spent. {path}", highlight=False, markup=False)
