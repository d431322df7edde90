"""Promise: over a gap an order meets each trade once, in their order; or it is taken back, and says why."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantlab.fleet.engine import Engine
from quantlab.fleet.missed import PAGES, Gap, MissedTrades, PagesLeft, Unknown
from quantlab.fleet.replay import MemoryJournal
from quantlab.market import decode_agg_trades
from quantlab.model import ExchangeUnreachable, MalformedMessage, Trade
from tests.fleet.test_engine import connect, engine, exchange, instrument, journal
from tests.fleet.test_engine import trade as stream_trade

__all__ = ["engine", "exchange", "journal"]

T0 = 1_750_000_000_000
BTC = instrument("BTCUSDT")


def trade(number: int) -> Trade:
    """One a second; its id is its number."""
    return Trade("BTCUSDT", number, 10_000 + number % 7, 1_000, T0 + 1_000 * number, False)


def rows(first: int, last: int) -> list[dict[str, Any]]:
    """Trades `first` to `last`, each an aggregate of its own whose id is 500 less."""
    same = {"q": "1", "m": False, "M": True}
    return [
        {"a": n - 500, "p": f"{100 + n % 7 / 100:.2f}", "f": n, "l": n, "T": T0 + 1_000 * n, **same}
        for n in range(first, last + 1)
    ]


class Tape:
    """An exchange that has trades `first` to `last`, and pages of `page`."""

    def __init__(self, first: int, last: int, page: int = 1_000, later_ms: int = 0) -> None:
        self.rows, self.page, self.asked = rows(first, last), page, 0
        for row in self.rows:
            row["T"] += later_ms

    async def agg_trades(self, symbol: str, *, from_id: int | None = None, limit: int = 1000) -> bytes:
        self.asked += 1
        assert (symbol, limit) == ("BTCUSDT", 1000)
        if from_id is None:
            return json.dumps(self.rows[-limit:]).encode()
        return json.dumps([row for row in self.rows if row["a"] >= from_id][:limit]).encode()


class Played(MissedTrades):
    """Remembers what orders would meet."""

    def __init__(self, longest_ms: int = 30 * 60_000) -> None:
        self.ids: list[int] = []
        self.lost: list[str] = []
        super().__init__(
            longest_ms, play=lambda trade: self.ids.append(trade.trade_id), lose=lambda _, why: self.lost.append(why)
        )

    async def recover(self, tape: Any) -> None:
        """What the backfill and the engine do with it."""
        for page in await self.pages(tape, "BTCUSDT", PagesLeft()):
            self.take_page("BTCUSDT", decode_agg_trades(page, BTC))
        self.close("BTCUSDT")


@pytest.mark.parametrize(("last", "asked"), [(1_200, 1), (1_999, 1), (2_001, 2), (2_700, 2)])
async def test_all_that_was_missed_is_asked_for_page_by_page(last: int, asked: int) -> None:
    missed, tape = Played(), Tape(600, last)
    missed.begin(["BTCUSDT"], {"BTCUSDT": trade(1_000)}, T0)
    assert missed.due() == ["BTCUSDT"] and missed.due() == []
    await missed.recover(tape)
    assert missed.ids == list(range(1_001, last + 1))
    assert tape.asked == asked
    assert not missed.gaps


async def test_an_answer_older_than_what_the_stream_had_told_says_that_nothing_was_missed() -> None:
    """REST may lag behind the stream."""
    missed = Played()
    missed.begin(["BTCUSDT"], {"BTCUSDT": trade(1_000)}, T0)
    await missed.recover(Tape(600, 998))
    assert missed.ids == [] and missed.lost == [] and not missed.gaps


@pytest.mark.parametrize(
    ("tape", "last", "why"),
    [
        (Tape(600, 2_900), 1_000, "longer than 30 minutes"),
        (Tape(2_400, 2_700), 1_000, "keeps no trades that old"),
        (Tape(600, 900, later_ms=200_000), 1_000, "counts its trades anew"),
    ],
)
async def test_what_cannot_be_known_is_said(tape: Tape, last: int, why: str) -> None:
    missed = Played()
    missed.begin(["BTCUSDT"], {"BTCUSDT": trade(last)}, T0)
    with pytest.raises(Unknown, match=why):
        await missed.recover(tape)
    missed.give_up("BTCUSDT", why)
    assert missed.lost == [why] and not missed.gaps


async def test_no_more_is_asked_for_than_half_the_budget() -> None:
    missed, left = Played(), PagesLeft()
    for _ in range(PAGES - 1):
        left.take()
    missed.begin(["BTCUSDT"], {"BTCUSDT": trade(1_000)}, T0)
    assert len(await missed.pages(Tape(600, 1_500), "BTCUSDT", left)) == 1
    with pytest.raises(Unknown, match="requests are needed"):
        await missed.pages(Tape(600, 1_500), "BTCUSDT", left)


async def test_a_symbol_without_a_trade_before_takes_those_since_the_connection_was_lost() -> None:
    missed = Played()
    missed.begin(["BTCUSDT"], {}, T0 + 1_000 * 1_000)
    await missed.recover(Tape(600, 1_010))
    assert missed.ids == list(range(1_000, 1_011))


@given(st.integers(0, 20), st.integers(0, 20), st.integers(0, 20), st.integers(0, 20))
def test_each_trade_is_played_once_and_in_order(told: int, gap: int, overlap: int, after: int) -> None:
    """The answer may tell what was told before the gap, and what the stream tells after it."""
    missed = Played()
    first_after = 1_001 + gap
    missed.begin(["BTCUSDT"], {"BTCUSDT": trade(1_000)}, T0)
    missed.gaps["BTCUSDT"].waiting += [trade(n) for n in range(first_after, first_after + after)]
    newest = first_after - 1 + min(overlap, after)
    page = json.dumps(rows(1_000 - told, newest)).encode()
    missed.take_page("BTCUSDT", decode_agg_trades(page, BTC))
    assert len(missed.close("BTCUSDT")) == gap
    assert missed.ids == list(range(1_001, first_after + after))


def test_a_second_gap_before_the_first_is_closed_is_asked_for_as_one() -> None:
    missed = Played()
    missed.begin(["BTCUSDT"], {"BTCUSDT": trade(10)}, T0)
    missed.due()
    missed.gaps["BTCUSDT"].waiting.append(trade(15))
    missed.begin(["BTCUSDT"], {"BTCUSDT": trade(15)}, T0)
    assert missed.due() == ["BTCUSDT"]
    missed.gaps["BTCUSDT"].waiting.append(trade(20))
    missed.take_page("BTCUSDT", decode_agg_trades(json.dumps(rows(5, 22)).encode(), BTC))
    missed.close("BTCUSDT")
    assert missed.ids == list(range(11, 23))


def test_an_answer_that_failed_is_asked_for_again_until_the_gap_is_too_old() -> None:
    missed = Played(longest_ms=60_000)
    missed.begin(["BTCUSDT"], {"BTCUSDT": trade(0)}, T0)
    missed.due()
    missed.take_page("BTCUSDT", decode_agg_trades(json.dumps(rows(1, 5)).encode(), BTC))
    missed.ask_again("BTCUSDT")
    assert missed.gaps["BTCUSDT"] == Gap(trade(0))
    assert missed.too_old(T0 + 60_000) == []
    assert missed.too_old(T0 + 60_001) == ["BTCUSDT"]


def test_what_comes_when_the_gap_is_given_up_is_no_harm() -> None:
    missed = Played()
    missed.take_page("BTCUSDT", [])
    assert missed.close("BTCUSDT") == []
    missed.give_up("BTCUSDT", "late")
    missed.ask_again("BTCUSDT")
    assert missed.lost == []


def test_an_aggregate_in_part_told_is_left_out() -> None:
    missed = Played()
    missed.begin(["BTCUSDT"], {"BTCUSDT": trade(10)}, T0)
    page = rows(12, 12)
    page.insert(0, {**rows(11, 11)[0], "f": 9, "l": 11})
    missed.take_page("BTCUSDT", decode_agg_trades(json.dumps(page).encode(), BTC))
    missed.close("BTCUSDT")
    assert missed.ids == [12]


@pytest.mark.parametrize("page", [b"{}", b'[{"a":1}]', b'[{"a":1,"p":"100.005","q":"1","f":1,"l":1,"T":1,"m":true}]'])
def test_an_answer_that_is_none_is_malformed(page: bytes) -> None:
    with pytest.raises(MalformedMessage, match="aggTrades"):
        decode_agg_trades(page, BTC)


async def test_an_exchange_out_of_reach_is_no_reason_to_give_up() -> None:
    class Deaf:
        async def agg_trades(self, symbol: str, *, from_id: int | None = None, limit: int = 1000) -> bytes:
            raise ExchangeUnreachable("no way there")

    missed = Played()
    missed.begin(["BTCUSDT"], {"BTCUSDT": trade(10)}, T0)
    with pytest.raises(ExchangeUnreachable):
        await missed.recover(Deaf())
    assert "BTCUSDT" in missed.gaps


async def test_a_trade_that_the_stream_tells_after_the_answer_counts_once(
    engine: Engine, journal: MemoryJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    await connect(engine)
    heard: list[int] = []
    monkeypatch.setattr(engine.broker, "resting", {"BTCUSDT": ()})
    monkeypatch.setattr(engine.broker, "on_trade", lambda trade: heard.append(trade.trade_id))
    engine.frame(stream_trade("BTCUSDT", T0, trade_id=10))
    engine.mark("disconnected", "")
    engine.mark("reconnected", "")
    engine.answer("trades:BTCUSDT", json.dumps(rows(9, 13)).encode())
    engine.answer("whole:BTCUSDT:trades", b"")
    assert heard == [10, 11, 12, 13]
    for number in (12, 13, 14):
        engine.frame(stream_trade("BTCUSDT", T0 + 1_000 * number + 2, trade_id=number))
    assert heard == [10, 11, 12, 13, 14]
    assert [detail["trades"] for _, kind, _, detail in journal.events if kind == "missed trades"] == [3]
