"""Promise: an engine that is run again over its log writes each of its rows once, and only if they are the ledger's."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from operator import methodcaller

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from quantlab.ledger import Ledger, LedgerWriter, NumberedJournal
from quantlab.model import Order, OrderType, QuantlabError, Side

from .rows import BOT, RUN, fill, receipt

Call = Callable[[NumberedJournal], int]


def calls(count: int) -> list[Call]:
    """What an engine does: orders, fills, events and equity in turn, with calls among them that write nothing."""
    made: list[Call] = []
    for number in range(1, count + 1):
        made += [
            methodcaller("order", order(number)),
            methodcaller("fill", fill(number), receipt(number)),
            methodcaller("marks", []),
            methodcaller("event", number, "stale", None, {"n": number}),
            methodcaller("equity", [(number, 0, 1.0, 1.0, 0.0), (number, -1, 1.0, 1.0, 0.0)]),
        ]
    return made


def order(number: int) -> Order:
    return Order(
        bot=0,
        number=number,
        symbol="BTCUSDT",
        side=Side.BUY,
        type=OrderType.MARKET,
        quantity=Decimal("0.001"),
        created_ms=number,
    )


def counts(ledger: Ledger) -> tuple[int, int, int, int]:
    return (
        len(ledger.order_rows("r")),
        len(ledger.fill_rows("r")),
        ledger.events("r").height,
        ledger.equity("r").height,
    )


def rejoined(ledger: Ledger, writer: LedgerWriter) -> NumberedJournal:
    fills = {(fill.bot, fill.number): fill for fill in ledger.fill_rows("r")}
    return NumberedJournal(writer, on_disk=ledger.run("r").journal_calls, fills=fills)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ends=st.lists(st.integers(0, 60), min_size=1, max_size=4))
def test_however_often_it_broke_off_each_row_is_there_once(
    tmp_path_factory: pytest.TempPathFactory, ends: list[int]
) -> None:
    every = calls(12)
    with Ledger.open(tmp_path_factory.mktemp("l")) as ledger:
        ledger.begin_run(replace(RUN, journal_calls=0), [BOT])
        reached = 0
        for end in [*sorted(ends), len(every)]:
            with LedgerWriter(ledger.path, "r") as writer:
                writer.wait(writer.event(0, "of no engine", None, {}))
                journal = rejoined(ledger, writer)
                for call in every[:reached]:
                    call(journal)
                journal.go_on()
                for call in every[reached:end]:
                    call(journal)
            reached = max(reached, end)
        assert counts(ledger) == (12, 12, 12 + len(ends) + 1, 24)
        assert ledger.run("r").journal_calls == len(every)


def test_what_the_ledger_lacked_is_written_when_it_goes_on(ledger: Ledger) -> None:
    every = calls(4)
    with LedgerWriter(ledger.path, "r") as writer:
        first = NumberedJournal(writer)
        for call in every[:11]:
            call(first)
    with LedgerWriter(ledger.path, "r") as writer:
        journal = rejoined(ledger, writer)
        for call in every[:17]:
            journal.wait(call(journal))
        writer.wait(writer.event(0, "other", None, {}))
        assert counts(ledger) == (3, 2, 3, 4), "nothing is written before it goes on"
        assert journal.go_on() == 6
        assert counts(ledger) == (4, 4, 4, 6)


def test_a_log_that_gives_another_fill_or_ends_too_early_is_refused(ledger: Ledger) -> None:
    every = calls(3)
    with LedgerWriter(ledger.path, "r") as writer:
        first = NumberedJournal(writer)
        for call in every:
            call(first)
    with LedgerWriter(ledger.path, "r") as writer:
        journal = rejoined(ledger, writer)
        every[0](journal)
        with pytest.raises(QuantlabError, match="bot 0, fill 1: the log gives"):
            journal.fill(fill(1, price="100.51"), receipt(1))
        short = rejoined(ledger, writer)
        for call in every[:-1]:
            call(short)
        with pytest.raises(QuantlabError, match="ends before the ledger does: at 14 of 15 calls"):
            short.go_on()
    assert counts(ledger) == (3, 3, 3, 6)


def test_a_run_that_is_not_counted_any_more_says_so(ledger: Ledger) -> None:
    with LedgerWriter(ledger.path, "r") as writer:
        journal = NumberedJournal(writer)
        journal.event(1, "a", None, {})
        writer.wait(journal.event(2, "b", None, {}))
        assert ledger.run("r").journal_calls == 2
        writer.uncounted()
        writer.event(3, "c", None, {})
    assert ledger.run("r").journal_calls is None
