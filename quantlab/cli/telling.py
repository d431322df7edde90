"""What is said to the engine that runs here, and what it answers: behind `status`, `tell` and `stop`."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from quantlab.cli.runs import settings
from quantlab.model import QuantlabError


def status() -> dict[str, Any]:
    """What the engine here says; without one, the last run of the ledger."""
    from quantlab.fleet.control import send
    from quantlab.fleet.process import running
    from quantlab.ledger import Ledger

    chosen = settings()
    if running(chosen.home) is not None:
        return send(chosen.home, "status")
    with Ledger.open(chosen.home, create=False) as ledger:
        row = ledger.run(ledger.latest_run_id())
    return {"run_id": row.run_id, "state": row.state, "summary": row.summary, "error": row.error}


def print_status(answer: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    from quantlab.report.alerts import alerts

    console = Console()
    if "bots" not in answer:
        console.print(f"no engine runs here; the last run was {answer['run_id']} ({answer['state']})", highlight=False)
        if answer["error"]:
            console.print(answer["error"], highlight=False)
        return
    when = datetime.fromtimestamp(answer["engine_time_ms"] / 1000, UTC)
    table = Table(title=f"{answer['run_id']} · {answer['state']} · {when:%Y-%m-%d %H:%M:%S} UTC · {answer['label']}")
    for name in ("bot", "strategy", "symbol", "tf", "state"):
        table.add_column(name)
    for name in ("position", "equity", "result", "drawdown %", "fills"):
        table.add_column(name, justify="right")
    table.add_column("note")
    for bot in answer["bots"]:
        table.add_row(
            bot["name"],
            bot["strategy"],
            bot["symbol"],
            bot["timeframe"],
            bot["state"],
            f"{bot['position']:g}",
            f"{bot['equity']:.2f}",
            f"{bot['pnl']:+.2f}",
            f"{bot['drawdown_pct']:.2f}",
            str(bot["fills"]),
            bot["note"],
        )
    console.print(table)
    for line in alerts(answer):
        console.print(line, highlight=False, markup=False)


def tell(command: str, bot: str | None) -> dict[str, Any]:
    """Give the engine here a command; returns its state."""
    from quantlab.fleet.control import send

    only: dict[str, Any] = {"bot": bot} if bot else {}
    return send(settings().home, command, **only)


def stop(*, kill: bool) -> dict[str, Any]:
    """Send the stop and wait until the engine has written its summary."""
    from quantlab.fleet.control import send
    from quantlab.fleet.process import running
    from quantlab.ledger import Ledger

    chosen = settings()
    if kill:
        send(chosen.home, "kill")
        _wait_flat(chosen.home)
    answer = send(chosen.home, "stop")
    deadline = time.monotonic() + 60.0
    while running(chosen.home) is not None:
        if time.monotonic() > deadline:
            raise QuantlabError("the engine did not end within 60 s: see its log under .quantlab/logs")
        time.sleep(0.1)
    with Ledger.open(chosen.home, create=False) as ledger:
        row = ledger.run(answer["run_id"])
    return {"run_id": row.run_id, "state": row.state, "summary": row.summary}


def _wait_flat(home: Path) -> None:
    from quantlab.fleet.control import send

    deadline = time.monotonic() + 30.0
    while time.monotonic() < deadline:
        still = [bot["name"] for bot in send(home, "status")["bots"] if not bot["flat"]]
        if not still:
            return
        time.sleep(0.2)
    raise QuantlabError(
        f"halted, but {' '.join(still)} still hold: `quantlab status` says why, `quantlab stop` ends the run"
    )
