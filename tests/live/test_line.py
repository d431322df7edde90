"""Orders reach the venue and each comes back once, whatever happens to the answer: one order an intent, one fill a
trade, committed before it is sent and before it is told."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from quantlab.model import OrderStatus, OrderType, Refused, Side

from .stage import staged

ORDER = "/api/v3/order"


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("quantlab.exchange.failure.retry._FIRST_S", 0.05)
    monkeypatch.setattr("quantlab.live.line.GIVEN_UP_S", 0.4)


async def test_a_market_order_is_filled_and_told_once() -> None:
    async with staged() as stage:
        order = stage.submit(1)
        await stage.until(lambda: order.status.is_final)
        (row,) = stage.there()
        assert (row["clientOrderId"], row["type"], row["timeInForce"]) == ("ql0123456789ab-0-1", "LIMIT", "IOC")
        assert order.status is OrderStatus.FILLED and order.filled == Decimal("0.5")
        (fill,) = stage.journal.fills
        assert (fill.price, fill.fee, fill.fee_asset) == (Decimal("100.1"), Decimal("0.0005"), "AAA")
        assert stage.accounts[0].quantity == Decimal("0.4995")
        assert stage.accounts[0].cash == Decimal(1000) - Decimal("50.05")
        (receipt,) = stage.journal.receipts
        assert (receipt.model, receipt.basis, receipt.book_id) == ("live", "live", row["orderId"])
        assert stage.broker.open_orders(0) == [] and stage.reports[-1].status is OrderStatus.FILLED
        assert sum(len(report.fills) for report in stage.reports) == 1
        assert {(kind, name) for kind, name, _ in stage.log.entries} == {("answer", "execution")}


async def test_the_intent_is_on_disk_before_it_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    async with staged() as stage:
        waited: list[int] = []
        real = stage.client.place

        async def place(params: Any) -> Any:
            waited.append(stage.journal.waited)
            return await real(params)

        monkeypatch.setattr(stage.client, "place", place)
        order = stage.submit(1)
        ticket = len(stage.journal.told)
        assert stage.journal.told[-1] == ("order", (1, OrderStatus.PENDING))
        await stage.until(lambda: order.status.is_final)
        assert waited[0] >= ticket > 0


FAULTS: dict[str, dict[str, Any]] = {
    "accepted, then dropped": {"kind": "drop", "processed": True},
    "dropped before": {"kind": "drop", "processed": False},
    "accepted, then -1006": {"kind": "status", "code": -1006, "processed": True},
    "accepted, then -1007": {"kind": "status", "code": -1007, "processed": True},
    "-1007, not accepted": {"kind": "status", "code": -1007, "processed": False},
    "accepted, then 502": {"kind": "status", "status": 502, "body": "<html>", "processed": True},
    "502, not accepted": {"kind": "status", "status": 502, "body": "<html>", "processed": False},
    "accepted, then a web page": {"kind": "html"},
    "accepted, then half an answer": {"kind": "truncate"},
    "slow beyond patience": {"kind": "latency", "ms": 2500},
}
ARRIVES = {name for name, fault in FAULTS.items() if fault.get("processed", True)}


@pytest.mark.parametrize("heard", [True, False], ids=["stream", "deaf"])
@pytest.mark.parametrize("name", FAULTS)
async def test_an_unknown_outcome_is_asked_for_and_never_sent_again(
    name: str, heard: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with staged() as stage:
        if not heard:
            monkeypatch.setattr(stage.line, "_event", lambda event: None)
            stage.line._stream._heard = lambda event: None
        stage.venue.faults.set([{"match": ORDER, "times": 1, **FAULTS[name]}])
        order = stage.submit(1)
        await stage.until(lambda: order.status.is_final)
        arrived = [row for row in stage.there() if row["clientOrderId"] == "ql0123456789ab-0-1"]
        assert len(arrived) == (name in ARRIVES)
        posts = [row for row in stage.venue.log.report()["requests"] if (row["method"], row["path"]) == ("POST", ORDER)]
        assert len(posts) == 1
        if name in ARRIVES:
            assert order.status is OrderStatus.FILLED and len(stage.journal.fills) == 1
            assert stage.accounts[0].quantity == Decimal("0.4995")
        else:
            assert order.status is OrderStatus.REJECTED and stage.journal.fills == []


async def test_what_was_certainly_not_done_is_sent_once_more() -> None:
    async with staged() as stage:
        stage.venue.faults.set([{"match": ORDER, "times": 1, "kind": "status", "code": -1021}])
        order = stage.submit(1)
        await stage.until(lambda: order.status.is_final)
        assert order.status is OrderStatus.FILLED and len(stage.there()) == 1


async def test_a_refusal_is_told_in_the_exchanges_words() -> None:
    async with staged() as stage:
        order = stage.submit(1, side=Side.SELL, type=OrderType.STOP_LOSS, stop_price=Decimal(150))
        await stage.until(lambda: order.status.is_final)
        assert order.status is OrderStatus.REJECTED
        assert stage.reports[-1].reject_code in (-2010, -1013) and stage.reports[-1].reject_reason


async def test_a_resting_order_is_filled_by_the_market_and_cancelled_on_demand() -> None:
    async with staged() as stage:
        resting = stage.submit(1, type=OrderType.LIMIT_MAKER, price=Decimal("99.5"))
        other = stage.submit(1, bot=1, type=OrderType.LIMIT_MAKER, price=Decimal("99.5"))
        await stage.until(lambda: {resting.status, other.status} == {OrderStatus.NEW})
        stage.broker.cancel(1, 1)
        stage.broker.cancel(1, 1)
        stage.market.trade("99.4", "10")
        stage.venue.account.advance()
        await stage.until(lambda: resting.status.is_final and other.status.is_final)
        assert (resting.status, other.status) == (OrderStatus.FILLED, OrderStatus.CANCELED)
        (fill,) = stage.journal.fills
        assert fill.maker and fill.bot == 0


async def test_the_capital_that_was_armed_is_a_bound() -> None:
    async with staged(capital="60") as stage:
        first = stage.submit(1)
        second = stage.submit(1, bot=1)
        await stage.until(lambda: first.status.is_final and second.status.is_final)
        assert (first.status, second.status) == (OrderStatus.FILLED, OrderStatus.REJECTED)
        assert "armed" in stage.reports[-1].reject_reason or "armed" in stage.reports[0].reject_reason
        assert len(stage.there()) == 1
        back = stage.submit(2, side=Side.SELL, quantity=Decimal("0.499"))
        await stage.until(lambda: back.status.is_final)
        again = stage.submit(2, bot=1)
        await stage.until(lambda: again.status.is_final)
        assert again.status is OrderStatus.FILLED


async def test_a_disarmed_run_places_nothing_and_cancels_what_is_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("quantlab.live.line._ASK_STANDING_S", 0.0)
    async with staged() as stage:
        resting = stage.submit(1, type=OrderType.LIMIT_MAKER, price=Decimal("99.5"))
        await stage.until(lambda: resting.status is OrderStatus.NEW)
        stage.standing = "it was disarmed"
        await stage.until(lambda: resting.status is OrderStatus.CANCELED)
        late = stage.submit(2)
        await stage.until(lambda: late.status.is_final)
        assert late.status is OrderStatus.REJECTED and len(stage.there()) == 1
        assert "arming ended" in stage.journal.kinds()


async def test_after_the_arming_the_guard_itself_lets_no_order_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """The broker's own check is taken out: the list of orders still refuses."""
    async with staged(until_ms=1_000) as stage:
        stage.broker.lapsed = ""
        outcome = None
        with pytest.raises(Refused, match="arming ended"):
            outcome = await stage.client.place(
                {"symbol": "AAAUSDT", "side": "BUY", "type": "MARKET", "quantity": "1", "newClientOrderId": "x"}
            )
        assert outcome is None and stage.there() == []
        assert (await stage.client.cancel("AAAUSDT", "x")).code == -2011  # cancelling is always allowed


async def test_the_end_cancels_what_is_open() -> None:
    async with staged() as stage:
        resting = stage.submit(1, type=OrderType.LIMIT_MAKER, price=Decimal("99.5"))
        await stage.until(lambda: resting.status is OrderStatus.NEW)
        await stage.line.end("stop command")
        assert resting.status is OrderStatus.CANCELED
        assert [row["status"] for row in stage.there()] == ["CANCELED"]
