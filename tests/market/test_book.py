"""The local book is right or says that it is not: it equals the exchange's own top of book on recorded frames,
and never shows a crossed market. `test_book_oracle.py` has loss, reordering and duplication."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantlab.market import Book, FrameDecoder, decode_depth
from quantlab.model import BookView, DepthSnapshot, DepthUpdate, Instrument, Quote

from .recorded import (
    cryptofeed_books,
    cryptofeed_frames,
    cryptofeed_instruments,
    hftbacktest,
    instrument,
)

BTC = instrument()


def update(first: int, last: int, bids: list[tuple[int, int]] | None = None, asks: list[tuple[int, int]] | None = None):
    return DepthUpdate("BTCUSDT", first, last, 0, bids or [], asks or [])


def snapshot(last: int, bids: list[tuple[int, int]] | None = None, asks: list[tuple[int, int]] | None = None):
    return DepthSnapshot("BTCUSDT", last, bids or [(99, 5), (98, 5)], asks or [(101, 5), (102, 5)])


def synced(last: int = 10) -> Book:
    book = Book(BTC)
    assert book.snapshot(snapshot(last))
    return book


# --- recorded frames ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("symbol", "step", "cases"), [("BTCUSDT", "0.00001", 564), ("ETHUSDT", "0.0001", 577)])
def test_rebuilt_top_equals_every_quote_of_the_same_update(
    shared_market: Path, symbol: str, step: str, cases: int
) -> None:
    known = instrument(symbol, step=step)
    frames = hftbacktest(shared_market, symbol)
    answer = next(frame for frame in frames if b'"stream"' not in frame)
    books, compared = compare_with_quotes(frames, {symbol: known}, {symbol: answer})
    assert (books[symbol].in_sync, compared) == (True, cases), "no gap in the recording, no case lost"


@pytest.mark.parametrize(("date", "cases"), [("20210417", 202), ("20210814", 98), ("20211012", 26)])
def test_rebuilt_top_of_thin_symbols_equals_every_quote_too(shared_market: Path, date: str, cases: int) -> None:
    known = cryptofeed_instruments(shared_market, date)
    frames = cryptofeed_frames(shared_market, date)
    books, compared = compare_with_quotes(frames, known, dict(cryptofeed_books(shared_market, date)))
    assert all(book.in_sync for book in books.values())
    assert compared == cases


def compare_with_quotes(
    frames: list[bytes], known: dict[str, Instrument], answers: dict[str, bytes]
) -> tuple[dict[str, Book], int]:
    """Books from the depth alone; each time one stands at the update of a quote, its top must be that quote's."""
    events = list(map(FrameDecoder(known).decode, frames))
    quotes = {(event.symbol, event.update_id): event for event in events if isinstance(event, Quote)}
    books: dict[str, Book] = {}
    compared = 0
    for event in events:
        if not isinstance(event, DepthUpdate):
            continue
        book = books.setdefault(event.symbol, Book(known[event.symbol]))
        book.apply(event)
        if book.needs_snapshot:
            book.snapshot(decode_depth(answers[event.symbol], known[event.symbol]))
        quote = quotes.get((event.symbol, event.last_update_id))
        if quote is not None and book.in_sync and book.book_id == event.last_update_id:
            assert book.best_bid() == (quote.bid_ticks, quote.bid_lots)
            assert book.best_ask() == (quote.ask_ticks, quote.ask_lots)
            compared += 1
    return books, compared


def test_with_quotes_on_top_the_book_always_shows_the_newest_and_never_crosses(shared_market: Path) -> None:
    decode = FrameDecoder({"BTCUSDT": BTC}).decode
    book, shown = Book(BTC), 0
    for frame in hftbacktest(shared_market, "BTCUSDT"):
        event = decode(frame)
        if event is None:
            book.snapshot(decode_depth(frame, BTC))
        elif isinstance(event, DepthUpdate):
            book.apply(event)
        elif isinstance(event, Quote):
            book.overlay(event)
            if book.book_id == event.update_id:
                assert book.best_bid() == (event.bid_ticks, event.bid_lots)
                shown += 1
        if book.in_sync:
            assert_whole(book)
    assert shown > 20_000


def assert_whole(book: BookView, levels: int = 5) -> None:
    bids, asks = book.bids(levels), book.asks(levels)
    assert (bids[0] if bids else None) == book.best_bid()
    assert (asks[0] if asks else None) == book.best_ask()
    assert [ticks for ticks, _ in bids] == sorted({ticks for ticks, _ in bids}, reverse=True)
    assert [ticks for ticks, _ in asks] == sorted({ticks for ticks, _ in asks})
    assert not bids or not asks or bids[0][0] < asks[0][0]


# --- Binance's rule, step by step --------------------------------------------------------------------------------


def test_events_wait_for_a_snapshot_that_is_young_enough() -> None:
    book = Book(BTC)
    assert (book.in_sync, book.needs_snapshot, book.best_bid()) == (False, False, None)
    book.apply(update(5, 7, bids=[(97, 1)]))
    book.apply(update(8, 9, bids=[(96, 2)]))
    assert book.needs_snapshot
    assert not book.snapshot(snapshot(4)), "4 is below the first event's 5"
    assert book.needs_snapshot
    assert book.snapshot(snapshot(7)), "the first event is in the snapshot, the second follows it"
    assert (book.in_sync, book.needs_snapshot, book.book_id) == (True, False, 9)
    assert book.bids() == [(99, 5), (98, 5), (96, 2)], "an event in the snapshot is dropped, not applied"


def test_a_level_is_set_and_removed_and_an_old_event_changes_nothing() -> None:
    book = synced()
    book.apply(update(11, 11, bids=[(100, 7)], asks=[(101, 0), (103, 1)]))
    assert book.bids() == [(100, 7), (99, 5), (98, 5)]
    assert book.asks(2) == [(102, 5), (103, 1)]
    book.apply(update(9, 10, bids=[(100, 0)]))
    assert (book.best_bid(), book.book_id) == ((100, 7), 11)
    book.apply(update(12, 12, bids=[(55, 0)]))
    assert book.best_bid() == (100, 7), "removing a level that is not known is no error"


def test_a_gap_discards_the_book_and_the_next_snapshot_heals_it() -> None:
    book = synced()
    book.apply(update(12, 13, bids=[(97, 1)]))
    assert (book.in_sync, book.needs_snapshot, book.best_bid()) == (False, True, None)
    assert not book.snapshot(snapshot(11))
    assert book.snapshot(snapshot(12))
    assert book.bids() == [(99, 5), (98, 5), (97, 1)]


def test_a_gap_among_buffered_events_is_found_too() -> None:
    book = Book(BTC)
    book.apply(update(5, 7))
    book.apply(update(9, 9))
    assert not book.snapshot(snapshot(6)), "8 is missing"
    assert (book.in_sync, book.needs_snapshot) == (False, True)
    assert book.snapshot(snapshot(9))


def test_a_crossed_book_is_discarded_whatever_the_ids_say() -> None:
    book = synced()
    book.apply(update(11, 11, bids=[(100, 1)]))
    assert book.in_sync
    book.apply(update(12, 12, bids=[(102, 1)]))
    assert (book.in_sync, book.needs_snapshot) == (False, True)


def test_a_snapshot_that_comes_late_takes_nothing_back() -> None:
    book = synced()
    book.apply(update(11, 12, bids=[(97, 1)]))
    assert book.snapshot(snapshot(11)), "asked for before, and not needed any more"
    assert (book.depth_id, book.bids(1), len(book.bids())) == (12, [(99, 5)], 3)
    assert book.snapshot(snapshot(15)), "a newer one is taken"
    assert (book.depth_id, len(book.bids())) == (15, 2)


def test_reset_forgets_everything() -> None:
    book = synced()
    book.overlay(Quote("BTCUSDT", 20, 100, 1, 101, 1))
    book.reset()
    assert (book.in_sync, book.needs_snapshot, book.best_bid(), book.asks(), book.book_id) == (
        False, False, None, [], 0,
    )  # fmt: skip


# --- the quote on top --------------------------------------------------------------------------------------------


def test_a_newer_quote_hides_better_levels_and_replaces_the_best_size() -> None:
    book = synced()
    book.overlay(Quote("BTCUSDT", 12, 98, 7, 100, 3))
    assert (book.bids(), book.asks()) == ([(98, 7)], [(100, 3), (101, 5), (102, 5)])
    assert (book.best_bid(), book.best_ask(), book.book_id) == ((98, 7), (100, 3), 12)
    assert (book.asks(1), book.bids(0), book.asks(2)) == ([(100, 3)], [], [(100, 3), (101, 5)])


def test_the_depth_catches_up_and_an_old_quote_changes_nothing() -> None:
    book = synced()
    book.overlay(Quote("BTCUSDT", 10, 50, 1, 60, 1))
    assert book.best_bid() == (99, 5), "as old as the depth"
    book.overlay(Quote("BTCUSDT", 12, 98, 7, 100, 3))
    book.overlay(Quote("BTCUSDT", 11, 50, 1, 60, 1))
    assert book.best_bid() == (98, 7), "older than the quote shown"
    book.apply(update(11, 11))
    assert book.best_bid() == (98, 7), "the depth is still behind the quote"
    book.apply(update(12, 13, bids=[(99, 0)]))
    assert (book.best_bid(), book.book_id) == ((98, 5), 13)


def test_without_depth_the_quote_alone_is_shown_but_not_in_sync() -> None:
    book = Book(BTC)
    book.overlay(Quote("BTCUSDT", 12, 98, 7, 100, 3))
    assert (book.bids(), book.asks(), book.in_sync) == ([(98, 7)], [(100, 3)], False)


def test_empty_sides_and_crossed_quotes() -> None:
    book = synced()
    book.overlay(Quote("BTCUSDT", 11, 101, 1, 101, 1))
    assert book.book_id == 10, "a locked or crossed quote is not believed"
    book.overlay(Quote("BTCUSDT", 12, 99, 0, 0, 0))
    assert (book.best_ask(), book.asks()) == (None, []), "no ask at all"
    assert (book.best_bid(), book.bids()) == ((98, 5), [(98, 5)]), "a size below one lot is no level"


# --- any order of both -------------------------------------------------------------------------------------------


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("depth"), st.integers(80, 120), st.integers(0, 5), st.booleans()),
            st.tuples(st.just("quote"), st.integers(80, 119), st.integers(0, 5), st.integers(1, 5)),
        ),
        max_size=40,
    )
)
def test_no_sequence_of_depth_and_quotes_shows_a_crossed_market(events: list[tuple]) -> None:
    book, last = synced(), 10
    for kind, ticks, lots, more in events:
        last += 1
        if kind == "depth":
            book.apply(update(last, last, **{"bids" if more else "asks": [(ticks, lots)]}))
        else:
            book.overlay(Quote("BTCUSDT", last, ticks, lots, ticks + more, lots))
        for listed, at in ((dict(book.bids(99)), book.bid_lots), (dict(book.asks(99)), book.ask_lots)):
            assert {t: at(t) for t in listed} == listed
            inside = range(min(listed), max(listed)) if listed else ()
            assert not any(at(t) for t in inside if t not in listed)
        assert_whole(book)
        if book.needs_snapshot:
            assert book.snapshot(snapshot(last))


# --- in doubt ------------------------------------------------------------------------------------------------------


def timed(first: int, last: int, at_ms: int, bids: list[tuple[int, int]]) -> DepthUpdate:
    return DepthUpdate("BTCUSDT", first, last, at_ms, bids, [])


@pytest.mark.parametrize("times", [1, 2, 3])
@pytest.mark.parametrize("with_event", [True, False])
def test_doubt_that_an_answer_takes_away_leaves_the_book_as_it_was(times: int, with_event: bool) -> None:
    """However often it came, whether a depth event was seen or a snapshot alone, and with the newest quote on top."""
    book = Book(BTC)
    book.snapshot(snapshot(10), at_ms=5_000)
    if with_event:
        book.apply(timed(11, 12, 6_000, [(97, 3)]))
    book.overlay(Quote("BTCUSDT", 15, 98, 1, 101, 2))
    shown = (book.bids(), book.asks(), book.book_id, book.depth_id)
    for _ in range(times):
        book.doubt()
        assert not book.in_sync
    assert book.snapshot(snapshot(book.depth_id, bids=[(50, 1)]))
    assert book.in_sync
    assert (book.bids(), book.asks(), book.book_id, book.depth_id) == shown


def test_doubt_that_is_founded_begins_anew() -> None:
    book = Book(BTC)
    book.snapshot(snapshot(10), at_ms=5_000)
    book.overlay(Quote("BTCUSDT", 15, 98, 1, 101, 2))
    book.doubt()
    book.apply(timed(30, 31, 9_000, [(97, 3)]))
    assert book.snapshot(snapshot(30, bids=[(96, 4)]))
    assert (book.bids(), book.depth_id) == ([(97, 3), (96, 4)], 31)


def test_after_doubt_what_was_known_is_passed_over_and_ids_that_begin_anew_are_not() -> None:
    book = Book(BTC)
    book.snapshot(snapshot(10), at_ms=5_000)
    book.apply(timed(11, 12, 6_000, [(97, 3)]))
    book.doubt()
    book.snapshot(snapshot(12))
    assert not book.apply(timed(11, 12, 6_000, [(97, 9)])), "told again"
    assert book.in_sync and dict(book.bids())[97] == 3
    assert book.apply(timed(3, 4, 7_000, [(97, 9)]))
    assert not book.in_sync, "a later time with an older id: another exchange"


def test_a_book_that_was_never_whole_has_nothing_to_doubt() -> None:
    book = Book(BTC)
    book.doubt()
    assert book.snapshot(snapshot(10)) and book.in_sync
