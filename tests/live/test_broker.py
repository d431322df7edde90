"""Whatever order the sources of a report come in, however often, and however late: each trade is booked once, a bot
hears that its order is final when all of its trades are known, and the same log tells the same run."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from quantlab.live.broker import Key, LiveBroker
from quantlab.live.reports import Execution, Report
from quantlab.model import Instrument, Order, OrderReport, OrderStatus, OrderType, QuantlabError, Side
from quantlab.paper import Account, check_accounts

from .stage import RUN, FlatBook, InputLog, Journal

AAA = Instrument(
    symbol="AAAUSDT", base="AAA", quote="USDT", tick_size=Decimal("0.01"), step_size=Decimal("0.001")
)  # fmt: skip
INTENT = Order(
    bot=0, number=1, symbol="AAAUSDT", side=Side.BUY, type=OrderType.MARKET, quantity=Decimal(1), created_ms=1
)
PARTS = (Decimal("0.2"), Decimal("0.1"), Decimal("0.2"))


class Mute:
    """A line that sends nothing and remembers what it was asked for."""

    def __init__(self) -> None:
        self.owes: list[Key] = []
        self.sent: list[dict[str, str]] = []
        self.turned_down: list[Report] = []

    def place(self, key: Key, params: dict[str, str], ticket: int) -> None:
        self.sent.append(params)

    def cancel(self, key: Key) -> None: ...

    def owed(self, key: Key) -> None:
        self.owes.append(key)

    def turn_down(self, report: Report) -> None:
        self.turned_down.append(report)


class Desk:
    """A broker with one bot, and what came of it."""

    def __init__(self, line: Mute | None, capital: str = "1000") -> None:
        self.journal, self.log, self.reports = Journal(), InputLog(), list[OrderReport]()
        self.account = Account.open(0, AAA, Decimal(1000))
        self.broker = LiveBroker(
            {"AAAUSDT": AAA},
            {"AAAUSDT": FlatBook(AAA)},
            self.journal,
            accounts=[self.account],
            key=RUN,
            capital_usdt=Decimal(capital),
            line=line,  # type: ignore[arg-type]
            log=self.log,
            on_report=self.reports.append,
        )

    def buy(self, quantity: str = "0.5") -> Order:
        order = replace(INTENT, quantity=Decimal(quantity))
        self.broker.submit(order)
        return order


def trade(number: int) -> Execution:
    return Execution(
        trade_id=number,
        price=Decimal("100.1"),
        quantity=PARTS[number],
        fee=PARTS[number] / 1000,
        fee_asset="AAA",
        time_ms=number,
        maker=False,
    )


def report(source: str, status: OrderStatus | None, executed: Decimal | None, trades: Sequence[int]) -> Report:
    return Report(
        bot=0,
        number=1,
        source=source,
        order_id=7,
        status=status,
        executed=executed,
        trades=tuple(trade(number) for number in trades),
    )


def history() -> list[Report]:
    """All that the four sources tell of an order that is filled in three parts."""
    told = [report("stream", OrderStatus.NEW, Decimal(0), ())]
    done = Decimal(0)
    for number, part in enumerate(PARTS):
        done += part
        status = OrderStatus.FILLED if number == 2 else OrderStatus.PARTIALLY_FILLED
        told.append(report("stream", status, done, (number,)))
    told.append(report("answer", OrderStatus.FILLED, done, (0, 1, 2)))
    told.append(report("query", OrderStatus.PARTIALLY_FILLED, PARTS[0], ()))
    told.append(report("query", OrderStatus.FILLED, done, ()))
    told.append(report("trades", None, None, (0, 1)))
    told.append(report("trades", None, None, (0, 1, 2)))
    return told


HISTORY = history()


@given(st.lists(st.sampled_from(range(len(HISTORY))), max_size=20), st.permutations(range(len(HISTORY))))
def test_any_order_of_sources_books_each_trade_once(early: list[int], then: list[int]) -> None:
    desk = Desk(Mute())
    order = desk.buy()
    for index in (*early, *then):
        desk.broker.take(HISTORY[index])
    assert sorted(receipt.trade_id for receipt in desk.journal.receipts) == [0, 1, 2]
    assert [fill.number for fill in desk.journal.fills] == [1, 2, 3]
    assert order.status is OrderStatus.FILLED and order.filled == Decimal("0.5")
    finals = [told for told in desk.reports if told.status.is_final]
    assert finals == [desk.reports[-1]]
    assert sum(len(told.fills) for told in desk.reports) == 3
    assert desk.account.quantity == Decimal("0.4995") and desk.account.reserved_quote == 0
    assert check_accounts([desk.account], desk.journal.fills, {"AAAUSDT": AAA}).ok


def test_the_check_notices_a_trade_booked_twice() -> None:
    """The control: without what tells trades apart, the same history books more than was filled."""
    desk = Desk(Mute())
    desk.buy()
    for told in HISTORY[:3]:
        desk.broker.take(told)
        for working in desk.broker.working.values():
            working.trades.clear()
    desk.broker.take(HISTORY[1])
    assert sorted(receipt.trade_id for receipt in desk.journal.receipts) != [0, 1]


def test_a_final_state_waits_for_its_trades() -> None:
    line = Mute()
    desk = Desk(line)
    order = desk.buy()
    desk.broker.take(report("query", OrderStatus.CANCELED, Decimal("0.3"), ()))
    assert not order.status.is_final and line.owes == [(0, 1)]
    desk.broker.take(report("trades", None, None, (0, 1)))
    assert order.status is OrderStatus.CANCELED and order.filled == Decimal("0.3")


def test_a_fill_is_on_disk_before_its_bot_hears() -> None:
    desk = Desk(Mute())
    desk.buy()
    waited: list[int] = []
    desk.broker._on_report = lambda told: waited.append(desk.journal.waited)
    desk.broker.take(HISTORY[4])
    assert waited == [len(desk.journal.told)]


def test_the_same_log_tells_the_same_run() -> None:
    first = Desk(Mute())
    first.buy()
    for told in HISTORY:
        first.broker.take(told)
    again = Desk(None)
    again.buy()
    for _, _, payload in first.log.entries:
        again.broker.heard(payload)
    assert again.journal.fills == first.journal.fills and again.reports == first.reports


def test_a_market_buy_leaves_with_a_bound() -> None:
    line = Mute()
    desk = Desk(line)
    desk.buy("9")
    (sent,) = line.sent
    assert (sent["type"], sent["timeInForce"], sent["price"]) == ("LIMIT", "IOC", "102.1")
    poor = Desk(line := Mute())
    poor.buy("9.9")  # 1,000 USDT of cash bound it before the 2 % do
    assert line.sent[0]["price"] == "101.01"


@pytest.mark.parametrize("capital", ["51", "51.05"])
def test_the_armed_capital_counts_open_buys_at_their_worst(capital: str) -> None:
    line = Mute()
    Desk(line, capital=capital).buy()
    worst = Decimal("0.5") * Decimal("102.1")
    assert bool(line.sent) is (worst <= Decimal(capital)) and len(line.sent) + len(line.turned_down) == 1


def test_an_open_order_must_be_asked_for_before_a_run_goes_on() -> None:
    desk = Desk(Mute())
    with pytest.raises(QuantlabError, match="was not asked"):
        desk.broker.restore([], [INTENT])
