"""A read that may pass is tried at most three times, with growing jittered pauses, within a bound; nothing else is."""

from __future__ import annotations

import asyncio
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantlab.exchange.failure.retry import TRIES, Backoff, asked_again
from quantlab.exchange.failure.taxonomy import Failure, Kind, PauseFor
from quantlab.model import ExchangeError


class Line:
    """A clock that only pauses move, and attempts that fail as they are told to."""

    def __init__(self, *failures: Failure | None, attempt_s: float = 0.0) -> None:
        self.failures = failures
        self.attempt_s = attempt_s
        self.now_s = 0.0
        self.pauses: list[float] = []
        self.tries = 0

    async def attempt(self) -> tuple[str, Failure | None]:
        failure = self.failures[min(self.tries, len(self.failures) - 1)]
        self.tries += 1
        self.now_s += self.attempt_s
        return f"answer {self.tries}", failure

    async def ask(self, total_s: float = 120.0) -> str:
        async def sleep(seconds: float) -> None:
            self.pauses.append(seconds)
            self.now_s += seconds

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(asyncio, "sleep", sleep)
            return await asked_again(self.attempt, total_s, lambda: self.now_s)


def failure(kind: Kind, pause_s: float = 0.0, pause_for: PauseFor = "address", status: int = 0) -> Failure:
    return Failure(ExchangeError(kind.value, status=status), kind, pause_s, pause_for)


AGAIN = [Kind.TRANSIENT, Kind.RATE, Kind.MALFORMED]
NEVER = [Kind.REFUSED, Kind.AUTH, Kind.CLOCK, Kind.UNREACHABLE, Kind.UNKNOWN_OUTCOME]


def test_every_kind_is_judged() -> None:
    assert {*AGAIN, *NEVER} == set(Kind)


@pytest.mark.parametrize("kind", AGAIN)
async def test_what_may_pass_is_tried_three_times(kind: Kind) -> None:
    line = Line(failure(kind))
    with pytest.raises(ExchangeError, match=kind.value):
        await line.ask()
    assert line.tries == TRIES
    healed = Line(failure(kind), None)
    assert await healed.ask() == "answer 2"


@pytest.mark.parametrize("kind", NEVER)
async def test_what_cannot_pass_is_asked_once(kind: Kind) -> None:
    line = Line(failure(kind), None)
    with pytest.raises(ExchangeError, match=kind.value):
        await line.ask()
    assert (line.tries, line.pauses) == (1, [])


async def test_who_is_banned_is_silent() -> None:
    line = Line(failure(Kind.RATE, 120.0, status=418))
    with pytest.raises(ExchangeError):
        await line.ask()
    assert line.tries == 1


async def test_the_whole_is_bounded() -> None:
    """Each attempt takes its 30 s: with 70 s in all, there is a second one and no third."""
    line = Line(failure(Kind.TRANSIENT), attempt_s=35.0)
    with pytest.raises(ExchangeError):
        await line.ask(total_s=70.0)
    assert line.tries == 2


async def test_a_pause_told_to_the_request_is_kept_here() -> None:
    line = Line(failure(Kind.TRANSIENT, 7.0, "request"), None)
    await line.ask()
    assert line.pauses == [7.0]
    told_all = Line(failure(Kind.RATE, 7.0), None)
    await told_all.ask()
    assert told_all.pauses[0] <= 0.5, "the budget keeps that one for everybody"
    too_long = Line(failure(Kind.TRANSIENT, 200.0, "request"), None)
    with pytest.raises(ExchangeError):
        await too_long.ask()
    assert too_long.tries == 1


@given(st.integers(0, 2**32))
def test_pauses_grow_and_stay_in_bounds(seed: int) -> None:
    backoff = Backoff(random.Random(seed))
    pauses = [backoff.pause_s() for _ in range(10)]
    for number, pause in enumerate(pauses):
        longest = min(0.5 * 2**number, 30.0)
        assert longest / 2 <= pause <= longest
    backoff.reset()
    assert backoff.pause_s() <= 0.5


def test_many_do_not_come_back_in_one_wave() -> None:
    assert len({round(Backoff().pause_s(), 4) for _ in range(45)}) > 30
