"""Puts bots, broker and engine together, the same way for a live run, a resumed one and a replay."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from quantlab.fleet.bot import Bot
from quantlab.fleet.crew import Crew, MakeBroker, Unwritten
from quantlab.fleet.engine import Engine, Recorder
from quantlab.fleet.spec import FleetSpec
from quantlab.market import Book
from quantlab.model import Broker, CandleSource, Instrument, Journal, OrderReport
from quantlab.model.timeframe import MINUTE_MS
from quantlab.paper import Account, PaperBroker, Terms
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
    synthesised: bool = False,
    live_broker: LiveBroker | None = None,
) -> Engine:
    """An engine for `fleet`. `length_ms` of market time after its start it is over (None: never by itself); a resumed
    run says when it started. `synthesised`: the books are made from candles. Orders are filled here, or go where
    `live_broker` sends them."""
    books = {symbol: Book(instruments[symbol]) for symbol in fleet.symbols}

    def crew(journal: Journal, make_broker: MakeBroker) -> Crew:
        bots = [_bot(index, fleet, instruments) for index in range(len(fleet.bots))]
        return Crew(bots, instruments, books, journal, make_broker, fleet.limits)

    def on_paper(terms: Terms) -> MakeBroker:
        return lambda books, journal, bots, on_report: PaperBroker(
            instruments, books, journal,
            accounts=_accounts(bots), terms=terms, seed=seed, on_report=on_report,
        )  # fmt: skip

    if live_broker is not None:
        crews = [crew(journal, lambda *told: live_broker(told[0], told[1], _accounts(told[2]), recorder, told[3]))]
    else:
        paper = fleet.paper
        crews = [crew(journal, on_paper(paper.terms(synthesised=synthesised)))]
        if paper.bounds:
            for terms in (paper.optimistic(synthesised=synthesised), paper.pessimistic(synthesised=synthesised)):
                crews.append(crew(Unwritten(), on_paper(terms)))
    return Engine(
        crews,
        books,
        instruments,
        journal,
        rest=rest,
        recorder=recorder,
        length_ms=length_ms,
        start_ms=start_ms,
        recover_ms=fleet.paper.recover_minutes * MINUTE_MS,
    )


def _accounts(bots: Sequence[Bot]) -> list[Account]:
    return [bot.account for bot in bots]


def _bot(index: int, fleet: FleetSpec, instruments: Mapping[str, Instrument]) -> Bot:
    spec = fleet.bots[index]
    instrument = instruments[spec.symbol]
    account = Account.open(index, instrument, spec.capital_usdt)
    bot = Bot(index, spec, spec.make_strategy(), account, RiskGate(spec.risk, spec.capital_usdt))
    bot.mark(spec.capital_usdt)
    return bot
