"""Taking up a paper run where its input log ends: a crash is a reconnect after a longer gap.

The log holds everything the engine consumed before it ended, to the last frame. So the engine runs over it again: that
gives every account, resting order, queue, limit and message on its way as they were, and the rows that the ledger did
not have yet. What the ledger has must come out the same, or the run is not taken up this way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from quantlab.fleet.assembly import make_engine
from quantlab.fleet.checkpoint import checkpoint_path, identity, load
from quantlab.fleet.engine import Engine
from quantlab.fleet.plan import RunPlan
from quantlab.fleet.recorder import LogRecorder, recording_path
from quantlab.fleet.recovery import Past
from quantlab.fleet.replay import consumed
from quantlab.ledger import LedgerWriter, NumberedJournal
from quantlab.model import CandleSource, Instrument, QuantlabError, Refused, instruments_from_exchange_info
from quantlab.recording import Kind, Recording

#: Entries between two looks at whether the user wants to stop.
_AT_ONCE = 5_000


@dataclass(frozen=True)
class Rejoined:
    """The engine where it was, its journal, the log behind its last entry, and how many rows were made good."""

    engine: Engine
    journal: NumberedJournal
    recorder: LogRecorder
    made_good: int


async def rejoin(
    plan: RunPlan,
    past: Past,
    writer: LedgerWriter,
    instruments: Mapping[str, Instrument],
    rest: CandleSource,
    on_progress: Callable[[Engine], None],
) -> Rejoined:
    """Bring an engine to where the run of `past` ended, and go on from there in the same log.

    Raises QuantlabError when its log cannot be what the ledger says; nothing was written then.
    """
    if past.row.journal_calls is None:
        raise Refused("its ledger is not what its input log alone gives")
    path = recording_path(plan.settings.home, plan.run_id)
    recording = Recording(path)
    entries = iter(recording)
    first = next(entries, None)
    if first is None or first.kind is not Kind.ANSWER or first.name != "exchangeInfo":
        raise Refused(f"{path.name} does not begin with the exchange's symbols")
    then = instruments_from_exchange_info(first.payload)
    changed = [symbol for symbol in plan.fleet.symbols if then.get(symbol) != instruments[symbol]]
    if changed:
        raise Refused(f"the exchange has other rules for {' '.join(changed)} now")
    made = _Again(plan, past, writer, then, recording)
    try:
        engine, journal = await made.run(on_progress, from_checkpoint=True)
        made_good = journal.go_on()
    except QuantlabError:
        engine, journal = await made.run(on_progress, from_checkpoint=False)
        made_good = journal.go_on()
    recorder = LogRecorder.reopen(path)
    engine.attach(rest, recorder)
    engine.take_up(plan.length_ms)
    return Rejoined(engine, journal, recorder, made_good)


@dataclass(frozen=True)
class _Again:
    """Runs an engine over the log again."""

    plan: RunPlan
    past: Past
    writer: LedgerWriter
    instruments: Mapping[str, Instrument]
    recording: Recording

    async def run(
        self, on_progress: Callable[[Engine], None], *, from_checkpoint: bool
    ) -> tuple[Engine, NumberedJournal]:
        plan, past = self.plan, self.past
        journal = NumberedJournal(
            self.writer,
            on_disk=past.row.journal_calls,
            fills={(fill.bot, fill.number): fill for fill in past.fills},
        )
        engine = make_engine(
            plan.fleet, self.instruments, journal,
            seed=plan.seed, length_ms=self.recording.header["length_ms"], start_ms=0,
            synthesised=bool(self.recording.header.get("synthesised")),
        )  # fmt: skip
        entries = iter(self.recording)
        next(entries)  # the exchange's symbols
        if from_checkpoint:
            path = checkpoint_path(self.recording.path)
            kept = load(path, engine, journal, run=identity(self.recording, plan.fleet.sha256, plan.seed))
            # One that is ahead of the ledger would leave out rows that the ledger does not have.
            if kept is not None and kept.calls <= (past.row.journal_calls or 0):
                engine, journal.calls = kept.engine, kept.calls
                entries = self.recording.since(kept.position)
        for count, _ in enumerate(consumed(engine, entries), start=1):
            if count % _AT_ONCE == 0:
                on_progress(engine)
                await asyncio.sleep(0)
        return engine, journal
