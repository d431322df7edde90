"""One run from start to end: lock, ledger, door, engine, control socket, summary.

This is the engine's process. Whoever starts it (command line, notebook, server) hands in a plan and reads the ledger.
"""

from __future__ import annotations

import asyncio
import gc
import resource
import signal
import sys
import time
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from decimal import Decimal
from typing import Any

from quantlab.exchange import Door, DoorConfig
from quantlab.fleet.assembly import make_engine
from quantlab.fleet.checkpoint import Checkpoint, checkpoint_path, identity, save
from quantlab.fleet.control import ControlServer, socket_path
from quantlab.fleet.engine import Engine
from quantlab.fleet.keywatch import KeyWatcher
from quantlab.fleet.manifest import manifest
from quantlab.fleet.plan import LiveRun, RunPlan
from quantlab.fleet.process import EngineLock
from quantlab.fleet.recorder import LogRecorder, next_part, recording_path
from quantlab.fleet.recovery import Past, check_same_market, past_of, restore
from quantlab.fleet.rejoin import rejoin
from quantlab.fleet.rows import bot_rows, run_row
from quantlab.fleet.sources import is_played, source_of
from quantlab.fleet.summary import status, summarise, write_json
from quantlab.ledger import Ledger, LedgerWriter, NumberedJournal
from quantlab.market import stream_names
from quantlab.model import ConfigurationError, Instrument, QuantlabError, Source, instruments_from_exchange_info
from quantlab.recording import Recording
from quantlab.risk import TradingState

#: How often progress is told, and the end looked for.
_WATCH_S = 0.25
#: Frames leave no cycles behind: looking for some each 700 allocations is work for nothing.
_GC_THRESHOLD = (50_000, 20, 50)
#: How long the feed may take to end before it is cancelled.
_END_S = 5.0


class Session:
    """Runs a plan: `await Session(plan).run()` returns the summary, which also lies in the run's folder."""

    def __init__(self, plan: RunPlan) -> None:
        self.plan = plan
        self._why: str | None = None
        self._began = self._streaming = 0.0
        self._events_before = 0
        self._early_egress: list[dict[str, Any]] = []
        self._egress: Callable[[dict[str, Any]], object] = self._early_egress.append
        self._door: Door
        self._engine: Engine
        self._source: Source
        self._keys: KeyWatcher | None = None
        self._live: LiveRun | None = None

    async def run(self) -> dict[str, Any]:
        """Run to the end. Nothing is written before the exchange has answered and the fleet fits it; a failure after
        that leaves the run "failed" in the ledger, with the reason. Raises the taxonomy's errors."""
        plan, home = self.plan, self.plan.settings.home
        self._began = time.monotonic()
        with EngineLock(home, plan.run_id, str(socket_path(home))), Ledger.open(home) as ledger:
            past = past_of(ledger, plan)
            async with Door(DoorConfig.for_settings(plan.settings), egress=lambda entry: self._egress(entry)) as door:
                self._door = door
                self._source = await source_of(door, plan.settings)
                if past is not None:
                    await check_same_market(past, door, plan, self._source)
                exchange_info = await door.rest.exchange_info(plan.fleet.symbols)
                instruments = self._instruments(exchange_info)
                if past is None:
                    ledger.begin_run(run_row(plan, self._source), bot_rows(plan.fleet))
                with LedgerWriter(ledger.path, plan.run_id) as journal:
                    try:
                        self._keep_egress(journal)
                        return await self._trade(ledger, journal, past, instruments, exchange_info)
                    except BaseException as error:
                        self._failed(journal, error)
                        raise

    async def _trade(
        self,
        ledger: Ledger,
        journal: LedgerWriter,
        past: Past | None,
        instruments: dict[str, Instrument],
        exchange_info: bytes,
    ) -> dict[str, Any]:
        plan = self.plan
        async with AsyncExitStack() as stack:
            if plan.execution is not None:
                opened = plan.execution.opened(plan.run_id, ledger, journal, self._door, instruments)
                self._live = live = await stack.enter_async_context(opened)
                await live.check(sum((bot.capital_usdt for bot in plan.fleet.bots), Decimal(0)), is_new=past is None)
                if past is not None and await live.resolve():
                    past = past_of(ledger, plan)
            recorder = await self._begin(journal, past, instruments, exchange_info)
            if recorder is not None:
                stack.callback(recorder.close)
            engine = self._engine
            folder = plan.reports / plan.run_id
            folder.mkdir(parents=True, exist_ok=True)
            about = manifest(plan, self._source)
            write_json(folder / "manifest.json", about)
            await self._follow(journal, recorder)
            timing = self._timing()
            if self._live is not None:
                await self._live.end(self._why or "end of run")
            engine.finish(self._why or "end of run")
            self._save_state(recorder)
            journal.wait(journal.event(engine.now_ms, "run ended", None, {"why": self._why or "end of data"}))
            if recorder is not None:
                recorder.close()
                about["recording"] = {"file": recorder.path.name, "sha256": recorder.sha256()}
                write_json(folder / "manifest.json", about)
            summary = summarise(ledger, plan.run_id, self._source, engine, self._door.counters(), timing)
            summary["ended"] = self._why or "end of run"
            if self._live is not None:
                summary["live"] = self._live.state()
            if self._keys is not None:
                summary["key_alerts"] = self._keys.state["alerts"]
            journal.finish(summary, "stopped" if self._why else "finished")
            write_json(folder / "summary.json", summary)
            return summary

    async def _follow(self, journal: LedgerWriter, recorder: LogRecorder | None) -> None:
        """Deliver the stream to the engine until the run is over."""
        loop = asyncio.get_running_loop()
        streams = stream_names(self.plan.fleet.symbols, self._engine.series)
        journal.run_state("running")
        gc.collect()
        gc.freeze()  # what exists now lives as long as the run: the collector need not look at it again
        gc.set_threshold(*_GC_THRESHOLD)
        feed = asyncio.create_task(self._door.feed.run(streams, self._engine))
        signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        for number in signals:
            loop.add_signal_handler(number, self.stop, number.name)
        try:
            async with ControlServer(self.plan.settings.home, self._command):
                watch = asyncio.create_task(self._watch(journal))
                keys = asyncio.create_task(self._watch_keys(journal))
                clock = asyncio.create_task(self._door.clock.run())
                state = asyncio.create_task(self._keep_state(recorder))
                live = [asyncio.create_task(self._live.run())] if self._live else []
                try:
                    await asyncio.wait({feed, watch, *live}, return_when=asyncio.FIRST_COMPLETED)
                    await self._door.feed.stop()
                    await asyncio.wait({feed}, timeout=_END_S)  # it may be waiting for an answer that never comes
                finally:
                    tasks = (feed, watch, keys, clock, state, *live)
                    for task in tasks:
                        task.cancel()
                    ended = await asyncio.gather(*tasks, return_exceptions=True)
                for error in ended:
                    if isinstance(error, Exception):
                        raise error
        finally:
            for number in signals:
                loop.remove_signal_handler(number)

    async def _watch(self, journal: LedgerWriter) -> None:
        """Tell progress until the run is over: by its length, by a command, or because the data ends."""
        seen = -1
        while not self._engine.over:
            await asyncio.sleep(_WATCH_S)
            events = self._engine.events
            if events > self._events_before and not self._streaming:
                self._streaming = time.monotonic() - _WATCH_S
            journal.progress(self._engine.now_ms, self._engine.start_ms)
            if self.plan.on_progress is not None:
                self.plan.on_progress(self.status())
            if events == seen and await is_played(self._door, self.plan.settings):
                return
            seen = events

    async def _watch_keys(self, journal: LedgerWriter) -> None:
        """Look after the keys until cancelled, where the plan has any."""
        if self.plan.watch is not None:
            self._keys = KeyWatcher(self.plan.watch, self._engine, journal)
            await self._keys.run()

    async def _keep_state(self, recorder: LogRecorder | None) -> None:
        """Keep the engine's state now and then, so that a restart does not run over the whole log."""
        while True:
            await asyncio.sleep(self.plan.checkpoint_s)
            self._save_state(recorder)

    def _save_state(self, recorder: LogRecorder | None) -> None:
        """A checkpoint that cannot be written costs time at the next start and nothing else."""
        journal, fleet = self._numbered, self.plan.fleet
        if journal is None or recorder is None:
            return
        journal.settle()
        log = Recording(recorder.path)
        kept = Checkpoint(self._engine, recorder.position, journal.calls)
        with suppress(OSError):
            save(checkpoint_path(log.path), kept, journal, run=identity(log, fleet.sha256, self.plan.seed))

    def stop(self, why: str) -> None:
        """End the run gracefully: resting orders are cancelled, positions stay, the summary is written."""
        self._why = self._why or why
        self._engine.over = True

    def status(self) -> dict[str, Any]:
        """The run as it stands now."""
        engine, plan = self._engine, self.plan
        found = status(plan.run_id, self._source, engine, self._door.counters(), self._timing(), _state_of(engine))
        door = {"clock": self._door.clock.snapshot(), "budget": self._door.budget.snapshot()}
        return (
            found
            | {"keys": self._keys.state if self._keys else None}
            | door
            | ({"live": self._live.state()} if self._live else {})
        )

    def _command(self, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
        if name == "stop":
            self.stop("stop command")
        elif name == "keys":
            if self._keys is not None:
                return self.status() | {"asked": self._keys.look()}
        elif name != "status":
            if name == "resume" and self._keys is not None:
                self._keys.check_resume()
            self._engine.command(name, arguments)
        return self.status()

    @staticmethod
    def _failed(journal: LedgerWriter, error: BaseException) -> None:
        """Say in the ledger how the run ended, where the ledger can still be written."""
        interrupted = isinstance(error, asyncio.CancelledError | KeyboardInterrupt)
        with suppress(QuantlabError):
            journal.run_state(
                "stopped" if interrupted else "failed",
                error="interrupted" if interrupted else str(error) or type(error).__name__,
            )

    def _keep_egress(self, journal: LedgerWriter) -> None:
        """What was asked before the ledger had this run goes into its egress log first."""
        for entry in self._early_egress:
            journal.egress(entry)
        self._egress = journal.egress

    def _instruments(self, exchange_info: bytes) -> dict[str, Instrument]:
        instruments = instruments_from_exchange_info(exchange_info)
        missing = [symbol for symbol in self.plan.fleet.symbols if symbol not in instruments]
        if missing:
            raise ConfigurationError(
                f"the exchange has no {' '.join(missing)}: take its bots out of the fleet file, or let "
                "`quantlab demo` deal them over the symbols there are"
            )
        return instruments

    async def _begin(
        self, journal: LedgerWriter, past: Past | None, instruments: dict[str, Instrument], exchange_info: bytes
    ) -> LogRecorder | None:
        """Make the engine: anew, or where its input log ended, or else its ledger. Returns what writes its log."""
        plan, live = self.plan, self._live
        counts = plan.record and live is None
        self._numbered: NumberedJournal | None = None
        if past is not None and counts:
            try:
                rejoined = await rejoin(plan, past, journal, instruments, self._door.rest, self._told_again)
            except QuantlabError as error:
                journal.event(past.last_ms, "log not taken up", None, {"why": str(error)[:300]})
                if past.row.journal_calls == 0:  # it ended before anything happened
                    past = None
            else:
                self._engine, self._numbered = rejoined.engine, rejoined.journal
                self._events_before = rejoined.engine.events
                return rejoined.recorder
        recorder = None
        if plan.record:
            part = next_part(plan.settings.home, plan.run_id) if past is not None else 0
            recorder = LogRecorder.begin(recording_path(plan.settings.home, plan.run_id, part), self._header())
            recorder.entry("answer", "exchangeInfo", exchange_info)
        if counts and past is None:
            self._numbered = NumberedJournal(journal)
        self._engine = make_engine(
            plan.fleet,
            instruments,
            self._numbered or journal,
            seed=plan.seed,
            rest=self._door.rest,
            recorder=recorder,
            length_ms=plan.length_ms,
            start_ms=past.start_ms if past else 0,
            synthesised=self._synthesised,
            live_broker=live.broker if live else None,
        )
        if past is not None:
            journal.uncounted()
            restore(self._engine, past, journal)
        return recorder

    def _told_again(self, engine: Engine) -> None:
        self._engine = engine
        if self.plan.on_progress is not None:
            self.plan.on_progress(self.status())

    @property
    def _synthesised(self) -> bool:
        """Whether the books are made from candles."""
        return self._source.kind == "candles"

    def _header(self) -> dict[str, Any]:
        plan = self.plan
        return {
            "run_id": plan.run_id,
            "seed": plan.seed,
            "fleet_toml": plan.fleet.text,
            "fleet_folder": str(plan.fleet.bots[0].base.resolve()),
            "length_ms": plan.length_ms,
            "synthesised": self._synthesised,
        }

    def _timing(self) -> dict[str, float]:
        now = time.monotonic()
        return {
            "wall_seconds": now - self._began,
            "stream_seconds": now - self._streaming if self._streaming else 0.0,
            "events": self._engine.events - self._events_before,
            "peak_rss_mb": _peak_rss_mb(),
        }


def _state_of(engine: Engine) -> str:
    if engine.over:
        return "stopping"
    if engine.desk.paused:
        return "paused"
    return "reducing" if engine.desk.guard.gate.state is TradingState.REDUCING else "running"


def _peak_rss_mb() -> float:
    """Peak resident memory of this process, MiB (`ru_maxrss` is in KiB on Linux, in bytes on macOS)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20 if sys.platform == "darwin" else 1 << 10)
