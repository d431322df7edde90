"""The verbs. Each imports what it needs when it runs, so that `quantlab --help` is immediate."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from quantlab.cli import backtest as backtest_command
from quantlab.cli import calibrate as calibrate_command
from quantlab.cli import data as data_commands
from quantlab.cli import latency as latency_command
from quantlab.cli import live as live_commands
from quantlab.cli import preflight as preflight_command
from quantlab.cli import selftest as selftest_command
from quantlab.cli import sweep as sweep_command
from quantlab.cli import vault as vault_commands
from quantlab.cli.output import Json, emit
from quantlab.model.errors import ConfigurationError
from quantlab.model.timeframe import moment_ms

app = typer.Typer(
    name="quantlab",
    help="Paper trading on real Binance prices: on paper no order ever leaves.",
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Every command takes --debug. Exit codes: 0 done, 1 failed, 2 wrong usage or configuration, 3 refused for "
    "safety, 4 exchange unreachable, 5 nothing found, 130 interrupted.",
)
app.add_typer(vault_commands.app)
app.add_typer(live_commands.app)
app.add_typer(data_commands.app)
app.command()(preflight_command.preflight)
app.command()(selftest_command.selftest)
app.command()(latency_command.latency)
app.command()(calibrate_command.calibrate)
app.command()(backtest_command.backtest)
app.command()(sweep_command.sweep)

Speed = Annotated[str, typer.Option(help="Market seconds a second, or 'max'. Replay only.")]
Seed = Annotated[int, typer.Option(help="Seed of every random draw.", min=0)]
Sealed = Annotated[
    bool, typer.Option("--sealed", help="The kernel keeps the engine from every host but the exchange. Linux.")
]
Hours = Annotated[float | None, typer.Option(help="Hours of market time.", min=0.01)]


@app.command()
def demo(
    data: Annotated[Path | None, typer.Option(help="Folder of kline Parquet files, or a recording.")] = None,
    exchange_info: Annotated[
        Path | None, typer.Option(help="The exchangeInfo of that time, .json or .json.gz.")
    ] = None,
    derive_filters: Annotated[bool, typer.Option(help="Derive tick and step from the candles.")] = False,
    from_: Annotated[str | None, typer.Option("--from", help="Start, such as 2021-04-18 (UTC).")] = None,
    hours: Annotated[float, typer.Option(help="Hours of market time.", min=0.01)] = 24.0,
    seed: Seed = 1,
    speed: Speed = "max",
    fleet: Annotated[Path | None, typer.Option(help="Fleet file instead of the 45 bots.")] = None,
    sealed: Sealed = False,
    as_json: Json = False,
) -> None:
    """Run 45 bots on a replayed market and leave an HTML report. Needs no settings, no keys, no network."""
    from quantlab.cli.demo import run_demo

    if derive_filters and exchange_info:
        raise ConfigurationError("--exchange-info and --derive-filters exclude each other: give one")
    if (derive_filters or exchange_info) and not data:
        raise ConfigurationError("--exchange-info and --derive-filters describe --data: give the folder too")
    summary = run_demo(
        data=data,
        exchange_info=exchange_info,
        derive_filters=derive_filters,
        from_ms=moment_ms(from_, "--from") if from_ else None,
        hours=hours,
        seed=seed,
        speed=_speed(speed),
        fleet=fleet,
        sealed=sealed,
        quiet=as_json,
    )
    emit(summary, as_json)


@app.command()
def run(
    fleet: Annotated[Path, typer.Option(help="The fleet file.")] = Path("notebooks/fleet.toml"),
    run_id: Annotated[str | None, typer.Option(help="Name of the run; an existing one is resumed.")] = None,
    minutes: Annotated[float | None, typer.Option(help="Minutes of market time.", min=0.1)] = None,
    hours: Hours = None,
    speed: Speed = "max",
    seed: Seed = 1,
    foreground: Annotated[bool, typer.Option("--foreground", help="Stay here, with a progress bar.")] = False,
    reports: Annotated[Path | None, typer.Option(help="Where run folders go (default: reports/).")] = None,
    report: Annotated[bool, typer.Option(help="Make the HTML report at the end.")] = True,
    record: Annotated[bool, typer.Option(help="Keep the input log, so that the run can be verified.")] = True,
    checkpoint_every: Annotated[
        float, typer.Option(help="Seconds between two checkpoints: what a restart has to run over again.", min=0.1)
    ] = 120.0,
    sealed: Sealed = False,
    gate: Annotated[int | None, typer.Option(hidden=True)] = None,
    as_json: Json = False,
) -> None:
    """Start a fleet on paper: in the background, or here with --foreground."""
    from quantlab.cli import runs

    if minutes is not None and hours is not None:
        raise ConfigurationError("--minutes and --hours exclude each other: give one")
    length = hours if hours is not None else minutes / 60 if minutes is not None else None
    options = runs.RunOptions(
        fleet=fleet,
        run_id=run_id,
        length_ms=None if length is None else round(length * 3_600_000),
        speed=_speed(speed),
        seed=seed,
        reports=reports,
        report=report,
        record=record,
        quiet=as_json,
        checkpoint_s=checkpoint_every,
        sealed=sealed,
    )
    if gate is not None:
        from quantlab.cli.sealed import run_behind_seal

        run_behind_seal(options, gate)
        return
    result = runs.run_here(options) if foreground else runs.start(options, sys.argv[1:])
    emit(result, as_json)
    if result.get("ended") == "SIGINT":
        raise KeyboardInterrupt


@app.command()
def status(as_json: Json = False) -> None:
    """The fleet that runs here, bot by bot; else the last run."""
    from quantlab.cli import telling

    result = telling.status()
    emit(result, as_json, lambda: telling.print_status(result))


@app.command()
def tell(
    command: Annotated[Literal["pause", "resume", "reduce", "kill"], typer.Argument(help="What the fleet is to do.")],
    bot: Annotated[str | None, typer.Option(help="One bot only, for reduce and kill.")] = None,
    as_json: Json = False,
) -> None:
    """Pause or resume the fleet here, let only sales pass (reduce), or cancel everything and flatten (kill)."""
    from quantlab.cli import telling

    result = telling.tell(command, bot)
    emit(result, as_json, lambda: telling.print_status(result))


@app.command()
def stop(
    kill: Annotated[
        bool, typer.Option("--kill", help="Cancel all orders, flatten all positions, halt; then stop.")
    ] = False,
    as_json: Json = False,
) -> None:
    """End the run here gracefully: resting orders are cancelled, positions stay, the report is made."""
    from quantlab.cli import telling

    result = telling.stop(kill=kill)
    emit(result, as_json, lambda: print(f"run {result['run_id']} {result['state']}"))


@app.command()
def report(
    run: Annotated[list[str] | None, typer.Argument(help="Run ids (default: the newest).")] = None,
    as_json: Json = False,
) -> None:
    """Make report.html of a run: self-contained, opens offline."""
    from quantlab.cli import runs

    path = runs.make_report(run or [])
    emit({"report": str(path)}, as_json, lambda: print(path))


@app.command()
def verify(
    run: Annotated[str | None, typer.Argument(help="Run id (default: the newest).")] = None,
    egress: Annotated[bool, typer.Option("--egress", help="Only the log of what left.")] = False,
    as_json: Json = False,
) -> None:
    """Replay a run from its input log and compare every fill, both sums of the accounts and the egress log."""
    from quantlab.cli import check

    result = check.verify(run, egress_only=egress)
    emit(result, as_json, lambda: check.print_verdict(result))
    if not result["ok"]:
        raise typer.Exit(1)


@app.command()
def venue(
    data: Annotated[
        Path | None, typer.Option(help="Folder of kline Parquet files or a recording; none: generated.")
    ] = None,
    port: Annotated[int, typer.Option(help="Port on loopback; 0 takes a free one.", min=0, max=65535)] = 8900,
    speed: Speed = "1",
    exchange_info: Annotated[
        Path | None, typer.Option(help="The exchangeInfo of that time, .json or .json.gz.")
    ] = None,
    derive_filters: Annotated[bool, typer.Option(help="Derive tick and step from the candles.")] = False,
    from_: Annotated[str | None, typer.Option("--from", help="Start, such as 2021-04-18 (UTC).")] = None,
    hours: Hours = None,
    seed: Seed = 1,
    faults: Annotated[Path | None, typer.Option(help="File of faults to play.")] = None,
    keys: Annotated[Path | None, typer.Option(help="Owner-only JSON file of API keys that it knows.")] = None,
    ready_file: Annotated[Path | None, typer.Option(hidden=True)] = None,
    end_with_parent: Annotated[bool, typer.Option(hidden=True)] = False,
    skip_to_ms: Annotated[int | None, typer.Option(hidden=True)] = None,
) -> None:
    """Serve a replayed market on loopback, speaking Binance's API."""
    from quantlab.venue import serve

    serve(
        data=data,
        port=port,
        speed=_speed(speed),
        exchange_info=exchange_info,
        derive_filters=derive_filters,
        from_ms=moment_ms(from_, "--from") if from_ else None,
        hours=hours,
        seed=seed,
        faults=faults,
        keys=keys,
        ready_file=ready_file,
        end_with_parent=end_with_parent,
        skip_to_ms=skip_to_ms,
    )


@app.command()
def lab(
    port: Annotated[int, typer.Option(help="Port on loopback.", min=1, max=65535)] = 8888,
    browser: Annotated[bool, typer.Option(help="Open a browser.")] = True,
) -> None:
    """Open JupyterLab on the start notebook."""
    from quantlab.cli.runs import settings
    from quantlab.lab.jupyter import open_jupyter

    open_jupyter(settings().root, port=port, browser=browser)


@app.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Interface (default: API_HOST, 127.0.0.1).")] = None,
    port: Annotated[int | None, typer.Option(help="Port (default: API_PORT).", min=0, max=65535)] = None,
) -> None:
    """Serve the HTTP API: health, fleet status, stop."""
    from quantlab.cli.runs import checked, settings
    from quantlab.server import serve as serve_api

    chosen = settings()
    if host is not None:
        chosen = chosen.model_copy(update={"api_host": host})
    serve_api(chosen, port=port, preflight=lambda: checked(chosen, "this server"))


@app.command()
def panic(
    labels: Annotated[list[str] | None, typer.Argument(help="Labels or fingerprints (default: every key).")] = None,
    drill: Annotated[bool, typer.Option("--drill", help="Rehearse it on a replay venue, with a stopwatch.")] = False,
    as_json: Json = False,
) -> None:
    """A key may be in the wrong hands: where to delete it, then revoke it here and halt what uses it. No password."""
    if drill:
        from quantlab.cli.drill import print_steps, rehearse

        result = rehearse()
        emit(result, as_json, lambda: print_steps(result))
        if not result["ok"]:
            raise typer.Exit(1)
        return
    from quantlab.cli.panic import aloud
    from quantlab.cli.panic import panic as act

    emit(act(labels or None, aloud), as_json)


@app.command()
def version() -> None:
    """Print the version."""
    from importlib.metadata import version as installed

    print(installed("quantlab"))


def _speed(text: str) -> float | None:
    """Market seconds a second; None is as fast as it goes."""
    if text == "max":
        return None
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= 100_000:
        raise ConfigurationError(f'--speed "{text}" is neither a number above 0 nor "max"')
    return value
