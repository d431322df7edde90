"""A restart asks the exchange before it acts: what was sent is found by its name, cancelled where it is open, and its
trades are taken once; what never arrived is closed as that."""

from __future__ import annotations

from decimal import Decimal

import pytest
from msgspec.structs import replace

from quantlab.live import restart
from quantlab.live.restart import resolve
from quantlab.model import Order, OrderStatus, OrderType, Side

from .stage import RUN, SYMBOLS, Journal, Stage, staged


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restart, "GIVEN_UP_S", 0.2)
    monkeypatch.setattr(restart, "_AGAIN_S", 0.05)


def intent(number: int, bot: int = 0, **changes: object) -> Order:
    order = Order(
        bot=bot,
        number=number,
        symbol=SYMBOLS[bot],
        side=Side.BUY,
        type=OrderType.MARKET,
        quantity=Decimal("0.5"),
        created_ms=1,
    )
    return replace(order, **changes)


async def resolved(stage: Stage, orders: list[Order], known: Journal | None = None) -> Journal:
    journal = Journal()
    before = known or Journal()
    await resolve(stage.client, journal, RUN, stage.instruments, orders, before.fills, before.receipts, 5)
    return journal


async def sent(stage: Stage, number: int, **changes: str) -> None:
    params = {
        "symbol": "AAAUSDT",
        "side": "BUY",
        "type": "MARKET",
        "quantity": "0.5",
        "newClientOrderId": f"ql{RUN}-0-{number}",
    }
    assert (await stage.client.place({**params, **changes})).row is not None


async def test_killed_between_send_and_answer() -> None:
    """The intent is on disk, the order at the exchange, and nobody heard of it."""
    async with staged() as stage:
        await sent(stage, 1)
        journal = await resolved(stage, [intent(1)])
        assert journal.orders[0, 1].status is OrderStatus.FILLED
        (fill,) = journal.fills
        assert (fill.number, fill.order_number, fill.quantity) == (1, 1, Decimal("0.5"))
        assert len(stage.there()) == 1


async def test_killed_before_it_was_sent() -> None:
    async with staged() as stage:
        journal = await resolved(stage, [intent(1)])
        assert journal.orders[0, 1].status is OrderStatus.REJECTED and stage.there() == []


async def test_what_rests_is_cancelled_and_its_trades_are_taken_once() -> None:
    async with staged() as stage:
        await sent(stage, 1, type="LIMIT_MAKER", price="99.5")
        stage.market.trade("99.5", "0.1")
        stage.market.trade("99.5", "1000")
        stage.venue.account.advance()
        order = intent(1, type=OrderType.LIMIT_MAKER, price=Decimal("99.5"), status=OrderStatus.NEW)
        journal = await resolved(stage, [order])
        assert journal.orders[0, 1].status.is_final
        filled = sum((fill.quantity for fill in journal.fills), Decimal(0))
        assert filled == journal.orders[0, 1].filled == Decimal(stage.there()[0]["executedQty"])
        again = await resolved(stage, [order], journal)
        assert again.fills == [] and again.orders[0, 1].filled == filled


async def test_an_open_order_that_the_ledger_has_closed_is_cancelled() -> None:
    async with staged() as stage:
        await sent(stage, 3, type="LIMIT_MAKER", price="99.5")
        await sent(stage, 4, type="LIMIT_MAKER", price="99.4", newClientOrderId="somebody-elses")
        await resolved(stage, [intent(3, status=OrderStatus.REJECTED)])
        assert [row["status"] for row in stage.there()] == ["CANCELED", "NEW"]
