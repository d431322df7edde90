"""Starting runs and reporting on them: the assembly behind `run` and `report`."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from quantlab.environment import popen_secretly, scrubbed
from quantlab.model import ConfigurationError, NotFound, QuantlabError, Refused, error_of_exit_code
from quantlab.settings import Settings, load_settings

#: Where `quantlab demo` keeps its database: beside the user's, never in it.
DEMO_HOME = ".quantlab-demo"
_START_TIMEOUT_S = 90.0


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    fleet: Path
    run_id: str | None = None
    length_ms: int | None = None
    speed: float | None = None
    seed: int = 1
    reports: Path | None = None
    report: bool = True
    record: bool = True
    quiet: bool = False
    checkpoint_s: float = 120.0
    #: The engine runs behind a seal of the kernel, in a process of its own (`sealed`).
    sealed: bool = False


def settings() -> Settings:
    """The settings of this working directory."""
    return load_settings()


def _keys(chosen: Settings) -> Any:
    """The watch over the keys of a run, None where there are none: then nothing of the vault is loaded."""
    from quantlab.ledger.keys import holds_keys

    given = chosen.binance_api_key is not None or chosen.binance_api_secret is not None
    with suppress(QuantlabError):  # a vault that cannot be read is told about below
        if not given and not holds_keys(chosen.home, chosen.market):
            return None
    from quantlab.cli.custody import keys_of_run

    return keys_of_run(chosen, say)


def preflight_of(chosen: Settings, fleet_sha256: str | None, watch: Any) -> dict[str, Any] | None:
    """What the security checklist says before a run. A replay without keys has nothing to check: None."""
    if chosen.market == "replay" and watch is None:
        return None
    return checked(chosen, "this run", fleet_sha256)


def checked(chosen: Settings, what: str, fleet_sha256: str | None = None) -> dict[str, Any]:
    """What the security checklist says, for whoever starts something: lines that fail are told, and those that block
    refuse it. On paper the exchange is not asked: nothing there could block."""
    from quantlab.preflight import handed, mode_of, preflight

    result = preflight(chosen, ask_exchange=mode_of(chosen) != "paper", fleet_sha256=fleet_sha256)
    if not result.ok:
        lines = "; ".join(f"{line.what}: {line.detail}" for line in result.blocked)
        raise Refused(f"pre-flight refuses {what}: {lines}. `quantlab preflight` says how to mend it")
    failed = [line.id for line in result.alerts if line.verdict == "fail"]
    if failed:
        say(f"pre-flight: look at {', '.join(failed)}: `quantlab preflight` says how to mend it")
    return handed(result)


def say(line: str) -> None:
    """Something worth knowing that stops nothing."""
    print(f"note: {line}", file=sys.stderr, flush=True)


def new_run_id(prefix: str = "run") -> str:
    return datetime.now(UTC).strftime(f"{prefix}-%Y%m%d-%H%M%S")


def run_here(options: RunOptions) -> dict[str, Any]:
    """Run in this process, or in a sealed one of its own; returns the summary. The report is made by a process of its
    own, which is not sealed."""
    chosen = settings()
    options = replace(
        options, run_id=_checked(options.run_id or new_run_id()), reports=options.reports or chosen.root / "reports"
    )
    if options.sealed:
        from quantlab.cli.sealed import run_sealed

        summary = run_sealed(options, chosen)
    else:
        summary = run_engine(options)
    reports = options.reports or chosen.root
    folder = reports / str(summary["run_id"])
    if options.report:
        _report_in_child(str(summary["run_id"]), chosen, reports)
    if not options.quiet:
        _print_summary(summary, folder)
    return summary | {"folder": str(folder)}


def run_engine(options: RunOptions, preflight: dict[str, Any] | None = None) -> dict[str, Any]:
    """The engine, in this process; `run_id` and `reports` are given. Nothing in the process connects anywhere but
    through the door (`wall`), from before the fleet's file is read. A sealed one has nothing to do with keys: what the
    checklist said (`preflight`) is handed in."""
    os.environ.setdefault("POLARS_MAX_THREADS", "1")  # small frames: a second thread costs the venue its core
    from quantlab.cli.progress import Progress
    from quantlab.exchange.walls import wall
    from quantlab.fleet.plan import RunPlan
    from quantlab.fleet.session import Session
    from quantlab.fleet.spec import load_fleet

    assert options.run_id is not None and options.reports is not None
    wall.stand()
    chosen = settings()
    fleet = load_fleet(options.fleet)
    watch = None
    if not options.sealed:
        watch = _keys(chosen)
        chosen = settings()  # a pair may have left .env just now
        if chosen.execution == "live":
            from quantlab.cli.live import check_live

            check_live(chosen)
        preflight = preflight_of(chosen, fleet.sha256, watch)
    with ExitStack() as stack:
        chosen = stack.enter_context(venue_for(chosen, options))
        execution = None
        if chosen.execution == "live":
            from quantlab.cli.live import execution_of

            execution = execution_of(chosen, fleet, preflight)
        progress = stack.enter_context(Progress(options.run_id, quiet=options.quiet))
        plan = RunPlan(
            run_id=options.run_id,
            fleet=fleet,
            settings=chosen,
            seed=options.seed,
            length_ms=options.length_ms,
            reports=options.reports,
            record=options.record,
            checkpoint_s=options.checkpoint_s,
            on_progress=progress.show,
            watch=watch,
            preflight=preflight,
            execution=execution,
        )
        return _loop_run(Session(plan).run())


def start(options: RunOptions, arguments: list[str]) -> dict[str, Any]:
    """Start the run as a detached process and return once it is trading. It outlives this shell."""
    from quantlab.fleet.process import running
    from quantlab.fleet.spec import load_fleet

    chosen = settings()
    if options.sealed:
        from quantlab.cli.sealed import check_sealable

        check_sealable(chosen)  # no strategy's code runs outside the seal, so its file is not loaded here
    else:
        load_fleet(options.fleet)  # a wrong file is said here, in the terminal, not in a log
    engine = running(chosen.home)
    if engine is not None:
        raise Refused(f'run "{engine.run_id}" already runs here: `quantlab stop` ends it')
    if not options.sealed:
        _keys(chosen)  # here, where a person reads it and may be asked for the password
    run_id = _checked(options.run_id or new_run_id())
    log = chosen.home / "logs" / f"{run_id}.log"
    log.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    command = [sys.executable, "-m", "quantlab", *arguments, "--foreground", "--json"]
    if options.run_id is None:
        command += ["--run-id", run_id]
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    with os.fdopen(descriptor, "wb") as output:
        process = popen_secretly(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
    deadline = time.monotonic() + _START_TIMEOUT_S
    while not _is_trading(chosen.home, run_id):
        code = process.poll()
        if code == 0:
            break  # a short replay can be over before it was seen
        if code is not None:
            raise _error_of(code, log)
        if time.monotonic() > deadline:
            raise QuantlabError(f"run {run_id} did not begin to trade within {_START_TIMEOUT_S:.0f} s: see {log}")
        time.sleep(0.1)
    if not options.quiet:
        print(f"run {run_id} trades in the background: `quantlab status` shows it, `quantlab stop` ends it")
    return {"run_id": run_id, "pid": process.pid, "log": str(log)}


def make_report(run_ids: list[str]) -> Path:
    """Make the report of the runs named (default: the newest); returns its path."""
    from quantlab.lab.drift_child import leave_drift
    from quantlab.ledger import Ledger
    from quantlab.report import make_report as make

    home, reports = home_of(run_ids[0] if run_ids else None)
    if not run_ids:
        with Ledger.open(home, create=False) as ledger:
            run_ids = [ledger.latest_run_id()]
    if len(run_ids) == 1:
        leave_drift(run_ids[0], home=home, reports=reports)
    return make(run_ids, home=home, reports=reports)


def home_of(run_id: str | None) -> tuple[Path, Path]:
    """The home whose ledger has `run_id` (the user's, else the demo's) and the folder of reports."""
    from quantlab.ledger import Ledger

    chosen = settings()
    reports = chosen.root / "reports"
    for home in (chosen.home, chosen.root / DEMO_HOME):
        if (home / "quantlab.sqlite").exists():
            with Ledger.open(home, create=False) as ledger:
                known = ledger.run_ids()
            if known and (run_id is None or run_id in known):
                return home, reports
    if run_id is None:
        raise NotFound("no run yet: `make demo` makes one in a minute")
    raise NotFound(f'no run is called "{run_id}": `quantlab status` names the last one')


def _checked(run_id: str) -> str:
    allowed = run_id.replace("-", "").replace("_", "").replace(".", "")
    if not (0 < len(run_id) <= 64 and allowed.isalnum() and allowed.isascii() and not run_id.startswith((".", "-"))):
        raise ConfigurationError(f'--run-id "{run_id}" may hold letters, digits, dots, dashes (at most 64)')
    return run_id


@contextmanager
def venue_for(chosen: Settings, options: RunOptions) -> Iterator[Settings]:
    """A replay without a venue named gets one of its own, for as long as the run lasts."""
    if chosen.market != "replay" or chosen.venue_url:
        yield chosen
        return
    from quantlab.venue.child import VenueChild

    hours = max(options.length_ms / 3_600_000, 0.02) if options.length_ms else 24.0
    with VenueChild(
        hours=hours,
        seed=options.seed,
        speed=options.speed,
        skip_to_ms=_reached(chosen, str(options.run_id)),
        environment=scrubbed(os.environ),
    ) as venue:
        yield chosen.with_venue(venue.url)


def _reached(chosen: Settings, run_id: str) -> int | None:
    """The engine time that a run to be resumed has reached; None for a new one."""
    from quantlab.ledger import Ledger, database_path

    if not database_path(chosen.home).exists():
        return None
    with Ledger.open(chosen.home) as ledger:
        return ledger.last_engine_ms(run_id) or None


def _loop_run(coroutine: Any) -> dict[str, Any]:
    try:
        import uvloop
    except ImportError:  # not made for every platform; asyncio's own loop does the same, a little slower
        result: dict[str, Any] = asyncio.run(coroutine)
    else:
        from quantlab.exchange.walls.wall import walled

        result = uvloop.run(coroutine, loop_factory=walled(uvloop.Loop))
    return result


def _report_in_child(run_id: str, chosen: Settings, reports: Path) -> None:
    """The report needs a kernel, pandas and plots: none of it belongs into the engine's process."""
    from quantlab.lab.drift_child import leave_drift
    from quantlab.report import report_process

    leave_drift(run_id, home=chosen.home, reports=reports)
    report_process(run_id, home=chosen.home, reports=reports)


def _is_trading(home: Path, run_id: str) -> bool:
    from quantlab.fleet.control import send
    from quantlab.fleet.process import running

    engine = running(home)
    if engine is None or engine.run_id != run_id:
        return False
    try:
        return bool(send(home, "status")["engine_time_ms"])
    except QuantlabError:
        return False


def _error_of(code: int, log: Path) -> QuantlabError:
    """The error with which a detached run ended at once, in its own words and class."""
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.startswith("quantlab: ")]
    line = lines[-1].removeprefix("quantlab: ") if lines else f"the run ended at once: see {log}"
    return error_of_exit_code(code, line)


def _print_summary(summary: dict[str, Any], folder: Path) -> None:
    requests, report = summary["requests"], folder / "report.html"
    print(
        f"{summary['run_id']}: {summary['bots']} bots, {summary['bots_traded']} traded, {summary['fills']} fills, "
        f"net {summary['net_pnl_usdt']} USDT after {summary['fees_usdt']} USDT fees. {summary['label']}.\n"
        f"{summary['events']:,} events at {summary['events_per_second']:,}/s, {requests['sent']} requests "
        f"({requests['weight']} weight), {requests['order_requests']} orders left, "
        f"accounts {'agree' if summary['accounting_ok'] else 'DO NOT AGREE'}.\n"
        + (f"report: {report}" if report.exists() else "no report was made: `quantlab report` makes one")
    )
