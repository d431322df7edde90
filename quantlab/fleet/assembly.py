"""Puts bots, broker and engine together, the same way for a live run, a resumed one and a replay."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from quantlab.fleet.bot import Bot
from quantlab.fleet.engine import Engine, Recorder
from quantlab.fleet.spec import FleetSpec
from quantlab.market import Book
from quantlab.model import Broker, CandleSource, Instrument, Journal, OrderReport
from quantlab.model.timeframe import MINUTE_MS
from quantlab.paper import Account, BeyondDepth, PaperBroker
from quantlab.risk import RiskGate

#: Makes the broker of a live run, of (books, journal, accounts, input log, who hears reports).
LiveBroker = Callable[[Mapping[str, Book], Journal, Sequence[Account], Any, Callable[[OrderReport], None]], Broker]


def make_engine(
    fleet: FleetSpec,
    instruments: Mapping[str, Instrument],
    journal: Journal,
    *,
    seed: int,
    rest: CandleSource | None = None,
    recorder: Recorder | None = None,
    length_ms: int | None = None,
    start_ms: int = 0,
    live_broker: LiveBroker | None = None,
) -> Engine:
    """An engine for `fleet`. `length_ms` of market time after its start it is over (None: never by itself); a resumed
    run says when it started. Orders are filled here, or go where `live_broker` sends them."""
    bots = [_bot(index, fleet, instruments) for index in range(len(fleet.bots))]

    def make_broker(books: Mapping[str, Book], on_report: Callable[[OrderReport], None]) -> Broker:
        accounts = [bot.account for bot in bots]
        if live_broker is not None:
            return live_broker(books, journal, accounts, recorder, on_report)
        return PaperBroker(
            instruments,
            books,
            journal,
            accounts=accounts,
            fees=fleet.paper.fees(),
            latency=fleet.paper.latency(),
            seed=seed,
            shared_liquidity=fleet.paper.shared_liquidity,
            queue=fleet.paper.queue,
            reaches_beyond=fleet.paper.beyond_depth is BeyondDepth.IMPACT,
            on_report=on_report,
        )

    return Engine(
        bots,
        instruments,
        journal,
        make_broker,
        rest=rest,
        recorder=recorder,
        length_ms=length_ms,
        start_ms=start_ms,
        recover_ms=fleet.paper.recover_minutes * MINUTE_MS,
        limits=fleet.limits,
    )


def _bot(index: int, fleet: FleetSpec, instruments: Mapping[str, Instrument]) -> Bot:
    spec = fleet.bots[index]
    instrument = instruments[spec.symbol]
    account = Account.open(index, instrument, spec.capital_usdt)
    bot = Bot(index, spec, spec.make_strategy(), account, RiskGate(spec.risk, spec.capital_usdt))
    bot.mark(spec.capital_usdt)
    return bot
