"""Promise: nothing is heard before it is on disk, messages of a bot keep their order, and time is engine time."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantlab.model import ConfigurationError, Order, OrderStatus, OrderType, QuantlabError, Side
from quantlab.paper import NEVER_MS, DrawnLatency, FixedLatency, MeasuredLatency
from quantlab.paper.draws import Purpose, uniform


def test_order_and_report_travel_their_latencies(world):
    assert world.broker.next_due_ms == NEVER_MS
    world.send(Side.BUY, OrderType.MARKET, 1_000)
    assert world.broker.next_due_ms == 1_040
    world.broker.advance(1_040)
    assert len(world.journal.fills) == 1
    assert not world.reports
    assert world.broker.next_due_ms == 1_060
    world.broker.advance(1_059)
    assert not world.reports
    world.broker.advance(1_060)
    (report,), (receipt,) = world.reports, world.journal.receipts
    assert (report.time_ms, report.fills[0].time_ms) == (1_060, 1_040)
    assert (receipt.latency_ms, receipt.response_ms) == (40, 20)
    assert world.broker.next_due_ms == NEVER_MS


def test_the_journal_is_waited_for_before_the_bot_hears_and_once_for_all_that_is_due(make_world):
    world = make_world(bots=2)
    world.book.set([(9_999, 5_000)], [(10_000, 5_000)])
    world.on_report = lambda report: waits_at_report.append(list(world.journal.waits))
    waits_at_report: list[list[int]] = []
    for bot in (0, 1):
        world.send(Side.BUY, OrderType.MARKET, 100, bot=bot)
    world.settle()
    assert len(world.reports) == 2
    last_row = len(world.journal.log)
    assert world.journal.waits == [last_row], "one wait covers both, and all rows written for them"
    assert waits_at_report == [[last_row], [last_row]]


def test_a_bot_sees_its_order_change_with_its_report_only(world):
    order = world.send(Side.BUY, OrderType.MARKET, 1_000)
    world.broker.advance(1_059)
    assert world.account.quantity > 0, "the exchange has filled it"
    assert (order.status, order.filled) == (OrderStatus.PENDING, 0)
    assert world.broker.open_orders(0) == [order]
    world.broker.advance(1_060)
    assert (order.status, order.filled) == (OrderStatus.FILLED, Decimal("1.000"))
    assert world.broker.open_orders(0) == []


def test_states_are_written_down_in_order(world):
    world.send(Side.BUY, OrderType.LIMIT, 1_000, ticks=9_000)
    world.settle()
    world.broker.cancel(0, 1)
    world.settle()
    assert [order.status for order in world.journal.of("order")] == ["PENDING", "NEW", "CANCELED"]


def test_a_report_may_lead_to_the_next_order_at_its_own_time(world):
    world.on_report = lambda report: len(world.reports) < 3 and world.send(Side.BUY, OrderType.MARKET, 100)
    world.send(Side.BUY, OrderType.MARKET, 100)
    world.broker.advance(1_179)
    assert [report.time_ms for report in world.reports] == [1_060, 1_120]
    world.broker.advance(1_180)
    assert [report.time_ms for report in world.reports] == [1_060, 1_120, 1_180]


def test_messages_of_a_bot_never_overtake_each_other(make_world):
    world = make_world(latency=DrawnLatency(sigma=2.0), seed=3)
    world.book.set([(9_999, 5_000)], [(10_000, 5_000)])
    for _ in range(40):
        world.send(Side.BUY, OrderType.MARKET, 100)
        world.pass_ms(1)
    world.pass_ms(100_000)
    assert [report.order_number for report in world.reports] == list(range(1, 41))
    arrivals = [fill.time_ms for fill in world.journal.fills]
    assert arrivals == sorted(arrivals)
    assert len({receipt.latency_ms for receipt in world.journal.receipts}) > 10, "the latencies do differ"


def test_draws_are_a_function_of_what_they_are_for():
    again = [uniform(7, bot, number, Purpose.ORDER_LATENCY) for bot in range(20) for number in range(100)]
    assert again == [uniform(7, bot, number, Purpose.ORDER_LATENCY) for bot in range(20) for number in range(100)]
    assert len(set(again)) == 2_000
    assert all(0 < draw < 1 for draw in again)
    assert 0.48 < sum(again) / 2_000 < 0.52
    assert uniform(7, 1, 2, Purpose.ORDER_LATENCY) != uniform(8, 1, 2, Purpose.ORDER_LATENCY)
    assert uniform(7, 1, 2, Purpose.ORDER_LATENCY) != uniform(7, 2, 1, Purpose.ORDER_LATENCY)
    assert uniform(7, 1, 2, Purpose.ORDER_LATENCY) != uniform(7, 1, 2, Purpose.CANCEL_LATENCY)
    assert uniform(7, 1, 2, Purpose.RESPONSE_LATENCY, 0) != uniform(7, 1, 2, Purpose.RESPONSE_LATENCY, 1)


def test_draws_are_pinned():
    """A change here changes every run: the recorded fingerprints of fills with it."""
    assert uniform(1, 2, 3, Purpose.ORDER_LATENCY) == 0.7403539443870637


def test_drawn_latency_has_its_median_and_its_floor():
    model = DrawnLatency(order_median=40, response_median=20, sigma=0.4, least=5)
    assert (model.order_ms(0.5), model.response_ms(0.5)) == (40, 20)
    assert model.order_ms(1e-12) == 5
    assert model.order_ms(0.84134) == 60, "one sigma up: 40 ms x exp(0.4)"
    assert FixedLatency(3, 4).order_ms(0.9) == 3
    with pytest.raises(ConfigurationError, match="medians must be above 0"):
        DrawnLatency(order_median=0)
    with pytest.raises(ConfigurationError, match="below 0"):
        FixedLatency(order=-1)


def test_what_no_exchange_could_see_is_an_error(world):
    first = world.send(Side.BUY, OrderType.MARKET, 100)
    fields = {"side": Side.BUY, "type": OrderType.MARKET, "quantity": Decimal("0.1"), "created_ms": 1_000}
    for bot, number, symbol, words in (
        (0, first.number, "BTCUSDT", "numbers never repeat"),
        (9, 1, "BTCUSDT", "no account"),
        (0, 2, "ETHUSDT", "no account on ETHUSDT"),
    ):
        with pytest.raises(QuantlabError, match=words):
            world.broker.submit(Order(bot=bot, number=number, symbol=symbol, **fields))
    world.broker.submit(Order(bot=0, number=2, symbol="BTCUSDT", **fields))


def test_rejections_are_remembered_with_their_reason(world):
    world.send(Side.BUY, OrderType.LIMIT_MAKER, 1_000, ticks=10_000)
    world.settle()
    assert world.journal.of("event") == [
        (1_040, "order rejected", 0, {"order": 1, "code": -2010, "reason": "Order would immediately match and take."})
    ]


def test_the_end_cancels_what_rests_and_what_is_on_its_way(world):
    world.send(Side.BUY, OrderType.LIMIT, 1_000, ticks=9_000)
    world.settle()
    world.send(Side.BUY, OrderType.MARKET, 100)
    heard = len(world.reports)
    world.broker.end(world.now_ms, "run over")
    assert {order.status for order in world.orders.values()} == {OrderStatus.CANCELED}
    assert world.journal.waits[-1] == len(world.journal.log)
    assert (world.account.reserved_quote, world.broker.next_due_ms) == (0, NEVER_MS)
    world.settle()
    assert len(world.reports) == heard
    assert not world.journal.fills
    assert not world.broker.resting


@given(st.lists(st.floats(0.5, 900), min_size=21, max_size=300), st.floats(1e-9, 1 - 1e-9))
def test_measured_round_trips_give_half_of_one_each_way(trips, draw):
    model = MeasuredLatency.of(trips)
    for way in (model.order_ms(draw), model.response_ms(draw)):
        assert min(trips) / 2 - 0.01 <= way <= max(trips) / 2 + 1.01


def test_measured_quantiles_are_those_of_numpy():
    trips = [float(each) for each in np.random.default_rng(1).lognormal(4, 0.5, 500)]
    expected = np.quantile(trips, np.linspace(0, 1, 21))
    assert MeasuredLatency.of(trips).round_trips_ms == pytest.approx(expected, abs=0.006)
    model = MeasuredLatency.of(trips)
    drawn = [model.order_ms(uniform(1, 0, number, Purpose.ORDER_LATENCY)) for number in range(4_000)]
    assert np.median(drawn) == pytest.approx(np.median(trips) / 2, rel=0.05)


def test_a_receipt_says_that_it_was_reads_that_were_measured(make_world):
    world = make_world(latency=MeasuredLatency((80.0, 100.0)))
    world.book.set([(9_999, 5_000)], [(10_000, 5_000)])
    world.send(Side.BUY, OrderType.MARKET, 100)
    world.settle()
    (receipt,) = world.journal.receipts
    assert receipt.model == "depth walk; measured round trips, median 90 ms: reads, a proxy"
    assert 40 <= receipt.latency_ms <= 50
