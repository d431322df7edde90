"""One run, as a notebook holds it: a client of the engine's socket and of the ledger, never a part of the engine."""

from __future__ import annotations

import html
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import polars as pl

from quantlab.lab.progress import ProgressLine
from quantlab.model import NotFound, QuantlabError
from quantlab.settings import Settings

if TYPE_CHECKING:
    from quantlab.lab.panel import Panel
    from quantlab.ledger import RunRow
    from quantlab.report import RunData
    from quantlab.report.picture import Picture
    from quantlab.report.table import Table

#: How a run was launched from here: fleet file, hours, speed, seed.
Again = tuple[Path, float | None, float | Literal["max"] | None, int]

_OVER = ("finished", "stopped", "killed", "failed")


def log_path(home: Path, run_id: str) -> Path:
    """Where the engine of `run_id` writes what it has to say."""
    return home / "logs" / f"{run_id}.log"


class Run:
    """A run going on or past. Frames are polars and end with a `source` column; amounts are USDT, times engine time in
    UTC."""

    def __init__(
        self,
        settings: Settings,
        run_id: str,
        *,
        process: subprocess.Popen[bytes] | None = None,
        again: Again | None = None,
    ) -> None:
        self.id = run_id
        self.settings = settings
        self.again = again
        self._process = process

    # -- what it is -------------------------------------------------------------------------------------------------

    @property
    def state(self) -> str:
        """One of starting, running, paused, stopping, finished, stopped, killed, failed."""
        status = self.live()
        if status is not None:
            return str(status["state"])
        try:
            row = self.row()
        except NotFound:
            self._raise_if_dead()
            return "starting"
        if row.state in _OVER or self._engine_is_here():
            return row.state
        return "failed" if self._process is None or self._process.poll() is not None else row.state

    @property
    def source(self) -> str:
        """Where its prices came from, in words."""
        return self.row().source.label()

    @property
    def summary(self) -> dict[str, Any] | None:
        """What `summary.json` says; None until the run has ended."""
        return self.row().summary

    def row(self) -> RunRow:
        """The run's row of the ledger. Raises NotFound while the engine has not begun it."""
        from quantlab.ledger import Ledger

        if not (self.settings.home / "quantlab.sqlite").exists():
            raise NotFound(f'run "{self.id}" has not begun yet')
        with Ledger.open(self.settings.home, create=False) as ledger:
            return ledger.run(self.id)

    def live(self) -> dict[str, Any] | None:
        """What the engine says now; None when it does not run (any more)."""
        from quantlab.fleet.control import send

        if not self._engine_is_here():
            return None
        try:
            status = send(self.settings.home, "status")
        except QuantlabError:
            return None
        return status if status["run_id"] == self.id else None

    # -- frames -----------------------------------------------------------------------------------------------------

    def status(self) -> pl.DataFrame:
        """One row a bot: state, position, equity, pnl, drawdown, fills, last fill and a note; from the engine while it
        runs, from the ledger after."""
        from quantlab.lab.frames import live_status, past_status

        live = self.live()
        return live_status(live) if live is not None else past_status(self.data())

    def bots(self) -> pl.DataFrame:
        """The bots with their results so far: capital, equity, net, drawdown, fills, win rate, fees, slippage."""
        from quantlab.lab.frames import readable

        data = self.data()
        return readable(data.by_bot, data.source)

    def fills(self) -> pl.DataFrame:
        """Every fill."""
        return self._frame("fills")

    def orders(self) -> pl.DataFrame:
        """Every order with its last state."""
        return self._frame("orders")

    def equity(self, bot: int | None = None) -> pl.DataFrame:
        """Equity, cash and position value at each minute; bot -1 is the whole fleet."""
        return self._frame("equity") if bot is None else self._frame("equity").filter(pl.col("bot") == bot)

    def events(self) -> pl.DataFrame:
        """What happened: commands, halts, stale marks, reconnects."""
        return self._frame("events")

    def data(self) -> RunData:
        """All frames of the run at this moment, as the report reads them."""
        from quantlab.report import open_run

        return open_run(self.id, self.settings.home)

    # -- commands ---------------------------------------------------------------------------------------------------

    def pause(self) -> Run:
        """No bot sends a new order until `resume`; resting orders stay."""
        return self._send("pause")

    def resume(self) -> Run:
        """Bots act again, each at its next close; what `reduce` held back may buy again. A killed bot stays halted."""
        return self._send("resume")

    def reduce(self, bot: str | None = None) -> Run:
        """Only sales pass until `resume`: of every bot, or of the one named. Open buys are cancelled."""
        return self._send("reduce", **({"bot": bot} if bot else {}))

    def stop(self) -> Run:
        """End the run gracefully: resting orders are cancelled, positions stay, the report is made."""
        return self._send("stop")

    def kill(self, bot: str | None = None) -> Run:
        """Cancel all orders, sell all positions at market, halt: every bot, or the one named. The run goes on,
        halted, until `stop`."""
        return self._send("kill", **({"bot": bot} if bot else {}))

    def wait(self, timeout: float | None = None, *, progress: bool = True) -> Run:
        """Return when the run is over and its report made; shows a progress bar. Interrupt at will: the run goes on.

        Raises QuantlabError with the engine's own words when the run failed, TimeoutError after `timeout` seconds.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        bar = ProgressLine(progress)
        try:
            while (state := self.state) not in _OVER:
                bar.show(self.live())
                self._pause_until(deadline)
            bar.end(state)
            while self._process is not None and self._process.poll() is None:  # it makes the report
                self._pause_until(deadline)
        finally:
            bar.close()
        if state == "failed":
            raise QuantlabError(f"run {self.id} failed: {self.row().error or self._last_words()}")
        return self

    # -- results ----------------------------------------------------------------------------------------------------

    def plot(self) -> Picture:
        """The fleet's equity beside buy-and-hold and cash, with its drawdown."""
        from quantlab.report.figures import equity_figure

        return equity_figure(self.data())

    def table(self, by: Literal["bot", "strategy", "symbol", "timeframe"] = "bot") -> Table:
        """The results as a table to read, best first; `.frame` is the data, `.write_csv` exports it."""
        from quantlab.report.sections import bot_section, strategy_section

        data = self.data()
        if by != "bot":
            return strategy_section(data, by=by)
        table = bot_section(data)
        table.frame = table.frame.sort("net_pnl", "bot", descending=[True, False])
        return table

    def report(self) -> Path:
        """The path of `report.html`, made if it is not there yet."""
        from quantlab.lab.drift_child import leave_drift
        from quantlab.lab.link import LinkedPath
        from quantlab.report import report_process

        reports = self.settings.root / "reports"
        path = reports / self.id / "report.html"
        if not path.exists():
            leave_drift(self.id, home=self.settings.home, reports=reports)
            path = report_process(self.id, home=self.settings.home, reports=reports)
        return LinkedPath(path)

    def panel(self) -> Panel:
        """The control panel: buttons, live table, equity. Shows this run, and the next one that it starts."""
        from quantlab.lab.panel import Panel

        return Panel(self)

    def again_now(self) -> Run:
        """Start a new run of the same fleet, as long and as fast as this one; returns it."""
        from quantlab.lab.launch import launch

        fleet, hours, speed, seed = self.again or (self._fleet_file(), None, None, self.row().seed)
        return launch(self.settings, fleet, hours=hours, speed=speed, seed=seed)

    # -- helpers ----------------------------------------------------------------------------------------------------

    def _frame(self, name: str) -> pl.DataFrame:
        from quantlab.lab.frames import readable
        from quantlab.ledger import Ledger

        with Ledger.open(self.settings.home, create=False) as ledger:
            return readable(getattr(ledger, name)(self.id), ledger.run(self.id).source)

    def _fleet_file(self) -> Path:
        """The fleet as this run had it, as a file again."""
        path = self.settings.home / "fleets" / f"{self.id}.toml"
        path.parent.mkdir(mode=0o700, exist_ok=True)
        path.write_text(self.row().fleet_toml, encoding="utf-8")
        return path

    def _send(self, command: str, **arguments: Any) -> Run:
        from quantlab.fleet.control import send
        from quantlab.fleet.process import running

        engine = running(self.settings.home)
        if engine is None or engine.run_id != self.id:
            raise NotFound(f'run "{self.id}" does not go on (any more): lab.attach() finds the one that does')
        send(self.settings.home, command, **arguments)
        return self

    def _engine_is_here(self) -> bool:
        from quantlab.fleet.process import running

        engine = running(self.settings.home)
        return engine is not None and engine.run_id == self.id

    def _raise_if_dead(self) -> None:
        """Say why the engine never began the run, when it has ended without."""
        if self._process is None:
            raise NotFound(f'no run is called "{self.id}" here')
        if self._process.poll() is not None:
            raise QuantlabError(f"run {self.id} did not begin: {self._last_words()}")

    def _last_words(self) -> str:
        log = log_path(self.settings.home, self.id)
        lines = log.read_text(errors="replace").strip().splitlines() if log.exists() else []
        return lines[-1].removeprefix("quantlab: ") if lines else "it left no word"

    def _pause_until(self, deadline: float | None) -> None:
        if deadline is not None and time.monotonic() > deadline:
            raise TimeoutError(f"run {self.id} goes on: .wait() again, or .stop() it")
        time.sleep(0.25)

    def _repr_html_(self) -> str:
        try:
            state, source = self.state, self.source
        except QuantlabError as error:
            return f"<b>{html.escape(self.id)}</b>: {html.escape(str(error))}"
        return f"<b>{html.escape(self.id)}</b> · {html.escape(state)} · {html.escape(source)}"

    def __repr__(self) -> str:
        return f"Run({self.id!r})"
