"""A question is asked once: flights are shared, answers kept while true, and nobody's cancelling hurts another."""

from __future__ import annotations

import asyncio

import pytest

from quantlab.exchange.sharing import FOREVER, Answer, Answers
from quantlab.model import ExchangeUnreachable


class Source:
    """Answers when told to; counts what it was asked."""

    def __init__(self) -> None:
        self.calls = 0
        self.cancelled = 0
        self.gate = asyncio.Event()
        self.error: Exception | None = None

    async def __call__(self) -> Answer:
        self.calls += 1
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.error is not None:
            raise self.error
        return Answer(b"%d" % self.calls)


@pytest.fixture
async def source() -> Source:
    return Source()


class Asker:
    def __init__(self, answers: Answers, source: Source, lifetime_s: float = 0.0) -> None:
        self.answers, self.source, self.lifetime_s = answers, source, lifetime_s
        self.outcomes: list[str] = []

    def ask(self, key: str = "k") -> asyncio.Task[Answer]:
        return asyncio.create_task(
            self.answers.get(key, self.source, lambda answer: self.lifetime_s, self.outcomes.append)
        )


async def test_one_flight_for_many(source: Source) -> None:
    asker = Asker(Answers(), source)
    waiting = [asker.ask() for _ in range(45)] + [asker.ask("other")]
    await asyncio.sleep(0)
    source.gate.set()
    answers = await asyncio.gather(*waiting)
    assert source.calls == 2
    assert len({id(answer) for answer in answers[:45]}) == 1
    assert asker.outcomes.count("shared") == 44
    await asker.ask()
    assert source.calls == 3, "an answer that was not to be kept is asked anew"


async def test_a_cancelled_waiter_leaves_the_others_their_flight(source: Source) -> None:
    asker = Asker(Answers(), source)
    first, second = asker.ask(), asker.ask()
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)
    source.gate.set()
    assert (await second).body == b"1"
    assert first.cancelled()


async def test_the_last_waiter_ends_the_flight(source: Source) -> None:
    asker = Asker(Answers(), source)
    first, second = asker.ask(), asker.ask()
    await asyncio.sleep(0)
    first.cancel()
    second.cancel()
    await asyncio.gather(first, second, return_exceptions=True)
    await asyncio.sleep(0)
    assert source.cancelled == 1
    source.gate.set()
    assert (await asker.ask()).body == b"2"


async def test_who_comes_while_a_flight_is_given_up_gets_one_of_its_own(source: Source) -> None:
    """Not the cancellation of somebody else."""
    asker = Asker(Answers(), source)
    first = asker.ask()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)  # the waiter is gone, its flight is still ending
    second = asker.ask()
    source.gate.set()
    assert (await second).body == b"2"
    assert asker.outcomes == ["sent", "sent"]
    assert (await asker.ask()).body == b"3", "and the first one's end did not take the second's place"


async def test_an_error_goes_to_all_and_is_not_kept(source: Source) -> None:
    asker = Asker(Answers(), source, FOREVER)
    source.error = ExchangeUnreachable("nothing answers")
    waiting = [asker.ask() for _ in range(3)]
    source.gate.set()
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert all(isinstance(result, ExchangeUnreachable) for result in results)
    source.error = None
    assert (await asker.ask()).body == b"2"


async def test_answers_are_kept_while_true(source: Source) -> None:
    now = 0.0
    asker = Asker(Answers(clock=lambda: now), source, lifetime_s=60.0)
    source.gate.set()
    assert (await asker.ask()).body == b"1"
    now = 59.0
    assert (await asker.ask()).body == b"1"
    now = 60.0
    assert (await asker.ask()).body == b"2"
    assert asker.outcomes == ["sent", "kept", "sent"]


async def test_what_is_kept_has_a_bound() -> None:
    answers = Answers()
    size = 12 * 2**20

    async def ask() -> Answer:
        return Answer(bytes(size))

    for key in ("a", "b", "c"):
        await answers.get(key, ask, lambda answer: FOREVER, lambda outcome: None)
    outcomes: list[str] = []
    for key in ("b", "c", "a"):
        await answers.get(key, ask, lambda answer: FOREVER, outcomes.append)
    assert outcomes == ["kept", "kept", "sent"]
