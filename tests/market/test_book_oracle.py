"""Under any loss, reordering, duplication, and stale or fresh snapshots, the book equals an oracle that saw every true
change, or says that it is out of sync. Never silently wrong; and the check can fail."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantlab.market import Book
from quantlab.model import DepthSnapshot, DepthUpdate

from .recorded import instrument

BTC = instrument()
START_ID = 100


class Oracle:
    """The exchange's own book, naively: each update id is one change of one level, and all states are kept as dicts."""

    def __init__(self, changes: list[tuple[bool, int, int]]) -> None:
        bids, asks = {99: 5, 98: 5}, {101: 5, 102: 5}
        self.changes = changes
        self.states = [(dict(bids), dict(asks))]
        for is_bid, distance, lots in changes:
            side, ticks = (bids, 100 - distance) if is_bid else (asks, 100 + distance)
            if lots:
                side[ticks] = lots
            else:
                side.pop(ticks, None)
            self.states.append((dict(bids), dict(asks)))

    @property
    def last_id(self) -> int:
        return START_ID + len(self.changes)

    def at(self, update_id: int) -> tuple[dict[int, int], dict[int, int]]:
        return self.states[update_id - START_ID]

    def event(self, first_id: int, last_id: int) -> DepthUpdate:
        """All changes from `first_id` to `last_id`: the new quantity of each level that changed."""
        bids, asks = self.at(last_id)
        touched = self.changes[first_id - START_ID - 1 : last_id - START_ID]
        bid_levels = {100 - distance for is_bid, distance, _ in touched if is_bid}
        ask_levels = {100 + distance for is_bid, distance, _ in touched if not is_bid}
        return DepthUpdate(
            "BTCUSDT", first_id, last_id, 0,
            [(ticks, bids.get(ticks, 0)) for ticks in sorted(bid_levels)],
            [(ticks, asks.get(ticks, 0)) for ticks in sorted(ask_levels)],
        )  # fmt: skip

    def snapshot(self, update_id: int) -> DepthSnapshot:
        bids, asks = self.at(update_id)
        return DepthSnapshot("BTCUSDT", update_id, sorted(bids.items(), reverse=True), sorted(asks.items()))


Step = tuple[str, Any]


def night_of(seed: int) -> tuple[Oracle, list[Step]]:
    """A market, and what of it arrives: events lost, twice, late; snapshots from any moment, resets, and quiet."""
    dice = random.Random(seed)
    count = dice.randint(4, 60)
    oracle = Oracle([(dice.random() < 0.5, dice.randint(1, 12), dice.randint(0, 6)) for _ in range(count)])
    steps: list[Step] = []
    first = START_ID + 1
    while first <= oracle.last_id:
        last = min(first + dice.randint(0, 3), oracle.last_id)
        event = ("event", oracle.event(first, last))
        fate = dice.choices(["once", "lost", "twice", "late"], [7, 1, 1, 1])[0]
        if fate == "late" and steps:
            steps.insert(dice.randint(max(0, len(steps) - 3), len(steps) - 1), event)
        elif fate != "lost":
            steps += [event] * (2 if fate == "twice" else 1)
        asked = dice.choices(["nothing", "fresh", "stale", "reset"], [12, 6, 2, 1])[0]
        if asked == "fresh":  # at this event, or within it
            steps.append(("snapshot", oracle.snapshot(dice.randint(first, last))))
        elif asked == "stale":
            steps.append(("snapshot", oracle.snapshot(dice.randint(START_ID, first))))
        elif asked == "reset":
            steps.append(("reset", None))
        first = last + 1
    return oracle, steps


def deliver(book: Book, kind: str, what: Any) -> None:
    if kind == "event":
        book.apply(what)
    elif kind == "snapshot":
        book.snapshot(what)
    else:
        book.reset()


def check(book: Book, oracle: Oracle, steps: list[Step]) -> None:
    """After each step: in sync means equal to the oracle at the book's own id, and nothing delivered is missing."""
    newest = 0
    for kind, what in steps:
        deliver(book, kind, what)
        if kind == "event":
            newest = max(newest, what.last_update_id)
        elif kind == "reset":
            newest = 0
        if book.in_sync:
            assert book.depth_id >= newest, "an event that was delivered is not in the book"
            bids, asks = oracle.at(book.depth_id)
            assert dict(book.bids(100)) == bids
            assert dict(book.asks(100)) == asks


def campaign(examples: int, make_book: Callable[[], Book]) -> None:
    @settings(max_examples=examples, deadline=None, database=None, derandomize=True, report_multiple_bugs=False)
    @given(st.integers(0, 2**63 - 1))
    def every_night(seed: int) -> None:
        check(make_book(), *night_of(seed))

    every_night()


def test_equal_to_the_oracle_or_out_of_sync() -> None:
    campaign(400, lambda: Book(BTC))


@pytest.mark.campaign
def test_equal_to_the_oracle_or_out_of_sync_ten_thousand_times() -> None:
    campaign(10_000, lambda: Book(BTC))


class NoGapDetection(Book):
    """The control: applies whatever comes after what it has."""

    def apply(self, update: DepthUpdate) -> None:
        if self.in_sync:
            if update.last_update_id > self._depth_id:
                self._write(update)
        else:
            super().apply(update)


class AnySnapshot(Book):
    """The control: begins from any snapshot, however old it is."""

    def snapshot(self, snapshot: DepthSnapshot) -> bool:
        self._buffer.clear()
        self._in_sync = False
        return super().snapshot(snapshot)


@pytest.mark.parametrize("broken", [NoGapDetection, AnySnapshot])
def test_the_check_fails_where_a_part_of_the_rule_is_taken_out(broken: type[Book]) -> None:
    with pytest.raises(AssertionError):
        campaign(400, lambda: broken(BTC))


def test_the_nights_are_worth_it() -> None:
    """The generator makes books that are in sync after events, and books that lost it: else nothing was tested."""
    seen = {"followed": 0, "lost": 0, "healed": 0}

    for seed in range(200):
        book, was, lost = Book(BTC), False, False
        for kind, what in night_of(seed)[1]:
            deliver(book, kind, what)
            seen["followed"] += was and book.in_sync and kind == "event"
            seen["lost"] += was and not book.in_sync and kind == "event"
            seen["healed"] += lost and book.in_sync
            lost, was = not book.in_sync and (lost or was), book.in_sync
    assert min(seen.values()) > 100, seen
