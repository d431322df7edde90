"""Promise: whatever is sent, cancelled, traded or shown, in any order: money is conserved at each event, no balance
falls below zero, no fill lies outside the book or trade it names, none exceeds its order, every receipt replays, and
the same sequence gives the same fills."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.errors import FlakyFailure
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from quantlab.model import CONDITIONAL, PRICED, OrderStatus, OrderType, QuantlabError, Side, TimeInForce
from quantlab.paper import DrawnLatency, QueueModel, SelfTrade, check_accounts, difference
from quantlab.paper.fees import Fee

BOTS = 2
offsets = st.integers(-8, 8)
sides = st.tuples(st.integers(1, 3_000), st.integers(1, 3_000), st.integers(1, 3_000))


class AnySequence(RuleBasedStateMachine):
    """Drives one world and remembers each step, so that a second world can repeat it."""

    def __init__(self, make_world, queue, reaches_beyond, prevention) -> None:
        super().__init__()
        self.fresh = lambda: make_world(
            bots=BOTS,
            latency=DrawnLatency(sigma=1.0),
            seed=11,
            queue=queue,
            reaches_beyond=reaches_beyond,
            prevention=prevention,
        )
        self.world = self.fresh()
        self.steps: list = []
        self.books: dict = {}
        self.trades: dict = {}
        self.checked = 0
        self.used: dict = defaultdict(int)
        self.do(_show, 9_999, 1, (9_000, 500, 500), (9_000, 500, 500))
        for bot in range(BOTS):
            self.do(_send, bot, Side.BUY, OrderType.MARKET, 4_000, 0)
        self.do(_pass, 2_000)

    def do(self, step, *arguments) -> None:
        self.steps.append((step, arguments))
        step(self.world, *arguments)
        book = self.world.book
        self.books[book.book_id] = (book.bids(), book.asks())

    @rule(move=st.integers(-15, 15), spread=st.integers(1, 5), bids=sides, asks=sides)
    def show_a_book(self, move, spread, bids, asks):
        self.do(_show, max(self.bid + move, 9_000), spread, bids, asks)

    @rule(rarely=st.integers(0, 3))
    def lose_the_book(self, rarely):
        if rarely == 0:
            self.do(_lose)

    @rule(offset=offsets, lots=st.integers(1, 4_000), seller=st.booleans())
    def print_a_trade(self, offset, lots, seller):
        self.do(_trade, self.bid + offset, lots, seller)
        self.trades[self.world._trades] = self.bid + offset

    @rule(
        bot=st.integers(0, BOTS - 1),
        side=st.sampled_from(Side),
        type_=st.sampled_from(OrderType),
        lots=st.one_of(st.integers(1, 12_000), st.sampled_from([100, 2_000, 6_000])),
        offset=offsets,
        tif=st.sampled_from(TimeInForce),
        trailing=st.sampled_from([0, 0, 5, 50]),
        of_list=st.integers(0, 2),
        ms=st.sampled_from([0, 10, 300]),
    )
    def send(self, bot, side, type_, lots, offset, tif, trailing, of_list, ms):
        delta = trailing if type_ in CONDITIONAL else 0
        self.do(_send, bot, side, type_, lots, self.bid + offset, tif, delta, of_list)
        self.do(_pass, ms)

    @rule(bot=st.integers(0, BOTS - 1), side=st.sampled_from(Side), cents=st.integers(400, 110_000))
    def send_by_quote(self, bot, side, cents):
        self.do(_by_quote, bot, side, cents)

    @rule(bot=st.integers(0, BOTS - 1), which=st.integers(0, 9), tenths=st.integers(1, 11))
    def amend_one(self, bot, which, tenths):
        self.do(_amend, bot, which, tenths)

    @rule(bot=st.integers(0, BOTS - 1), which=st.integers(0, 9), lots=st.integers(1, 5_000), offset=offsets)
    def replace_one(self, bot, which, lots, offset):
        self.do(_replace, bot, which, lots, self.bid + offset)

    @rule(bot=st.integers(0, BOTS - 1), tenths=st.integers(1, 10), type_=st.sampled_from(OrderType), offset=offsets)
    def sell_what_is_held(self, bot, tenths, type_, offset):
        self.do(_sell, bot, tenths, type_, self.bid + offset)
        self.do(_pass, 300)

    @rule(bot=st.integers(0, BOTS - 1), lots=st.integers(60, 2_000), other=st.integers(60, 2_000), offset=offsets)
    def cross_swords(self, bot, lots, other, offset):
        """One bot rests a sale within the spread or near it, the other comes to buy there."""
        self.do(_send, bot, Side.SELL, OrderType.LIMIT, lots, self.bid + 1 + abs(offset))
        self.do(_pass, 300)
        self.do(_send, 1 - bot, Side.BUY, OrderType.LIMIT, other, self.bid + 8)
        self.do(_pass, 300)

    @rule(bot=st.integers(0, BOTS - 1), which=st.integers(0, 9))
    def cancel_one(self, bot, which):
        self.do(_cancel, bot, which)

    @rule(ms=st.integers(0, 200))
    def let_time_pass(self, ms):
        self.do(_pass, ms)

    @property
    def bid(self) -> int:
        return self.world.book.best_bid()[0]

    @invariant()
    def money_is_conserved(self):
        accounts = self.world.broker.accounts.values()
        assert check_accounts(accounts, self.world.journal.fills, self.world.instruments).problems == ()

    @invariant()
    def nothing_is_below_zero(self):
        for account in self.world.broker.accounts.values():
            assert account.cash >= account.reserved_quote >= 0
            assert account.quantity >= account.reserved_base >= 0
            assert account.cost >= 0

    @invariant()
    def what_rests_can_be_paid(self):
        """Each bot's limit orders together, by sums of the test's own; of a list only one can trade."""
        needs: dict = defaultdict(Decimal)
        for order in self.world.orders.values():
            alone = not order.list_number
            if alone and order.price is not None and order.status in (OrderStatus.NEW, OrderStatus.PARTIALLY_FILLED):
                buys = order.side is Side.BUY
                left = order.quantity - order.filled - order.prevented
                needs[order.bot, order.side] += left * (order.price if buys else 1)
        for bot, account in self.world.broker.accounts.items():
            assert needs[bot, Side.BUY] <= account.cash
            assert needs[bot, Side.SELL] <= account.quantity

    @invariant()
    def new_fills_explain_themselves(self):
        entries = self.world.journal.of("fill")
        for fill, receipt in entries[self.checked :]:
            order = self.world.orders[fill.bot, fill.order_number]
            assert difference(fill, receipt, order, self.world.instrument) is None
            self._within_what_it_names(fill, receipt)
        self.checked = len(entries)

    @invariant()
    def never_more_filled_than_ordered(self):
        filled: dict = defaultdict(int)
        for fill in self.world.journal.fills:
            filled[fill.bot, fill.order_number] += fill.quantity
        for key, order in self.world.orders.items():
            assert order.filled == filled[key] <= order.quantity - order.prevented
            whole = order.filled == order.quantity and order.status is not OrderStatus.REJECTED and order.quantity > 0
            assert (order.status is OrderStatus.FILLED) == whole

    @invariant()
    def nobody_meets_its_own_account(self):
        if self.world.broker._exchange._prevention is None:
            return
        for orders in self.world.broker.resting.values():
            bids = [one.price_ticks for one in orders if one.order.side is Side.BUY and not one.dormant]
            asks = [one.price_ticks for one in orders if one.order.side is Side.SELL and not one.dormant]
            assert not bids or not asks or max(bids) < min(asks)

    @invariant()
    def resting_symbols_and_reservations_agree(self):
        resting = [working for orders in self.world.broker.resting.values() for working in orders]
        assert all(self.world.broker.resting.values()), "no symbol is kept without an order"
        assert all(not working.order.status.is_final for working in resting)
        for bot, account in self.world.broker.accounts.items():
            if not any(working.order.bot == bot for working in resting):
                assert (account.reserved_quote, account.reserved_base) == (0, 0)

    def _within_what_it_names(self, fill, receipt) -> None:
        instrument = self.world.instrument
        ticks, lots = instrument.ticks(receipt.levels[0][0]), instrument.lots(receipt.levels[0][1])
        if receipt.basis == "trade":
            assert self.trades[receipt.trade_id] == ticks
            return
        bids, asks = self.books[receipt.book_id]
        far = dict(asks if fill.side is Side.BUY else bids)
        if receipt.basis == "beyond":
            assert (ticks > max(far)) if fill.side is Side.BUY else (ticks < min(far))
            assert lots <= sum(far.values())
            return
        self.used[fill.side, receipt.book_id, ticks] += lots
        assert self.used[fill.side, receipt.book_id, ticks] <= far[ticks]

    def teardown(self):
        again = self.fresh()
        for step, arguments in self.steps:
            step(again, *arguments)
        assert again.journal.log == self.world.journal.log
        assert again.reports == self.world.reports


def _show(world, bid, spread, bids, asks):
    world.book.in_sync = True
    world.move([(bid - i, lots) for i, lots in enumerate(bids)], [(bid + spread + i, x) for i, x in enumerate(asks)])


def _lose(world):
    world.book.in_sync = False


def _trade(world, ticks, lots, seller):
    world.trade(ticks, lots, seller_aggressive=seller)


def _send(world, bot, side, type_, lots, ticks, tif=TimeInForce.GTC, trailing=0, of_list=0):
    fields = {"ticks": ticks if type_ in PRICED else None, "stop_ticks": ticks if type_ in CONDITIONAL else None}
    if trailing == 5:
        fields["stop_ticks"] = None
    world.send(side, type_, lots, bot=bot, time_in_force=tif, trailing_delta=trailing, list_number=of_list, **fields)


def _by_quote(world, bot, side, cents):
    world.send(side, OrderType.MARKET, 0, bot=bot, quote_quantity=Decimal(cents) / 100)


def _amend(world, bot, which, tenths):
    orders = world.broker.open_orders(bot)
    if orders:
        order = orders[which % len(orders)]
        lots = world.instrument.lots(order.quantity) * tenths // 10
        world.broker.amend(bot, order.number, world.instrument.quantity(lots))


def _replace(world, bot, which, lots, ticks):
    orders = world.broker.open_orders(bot)
    if orders:
        order = orders[which % len(orders)]
        world.send(order.side, OrderType.LIMIT, lots, bot=bot, ticks=ticks, replaces=order)


def _sell(world, bot, tenths, type_, ticks):
    lots = world.instrument.floor_lots(world.broker.accounts[bot].quantity) * tenths // 10
    if lots:
        _send(world, bot, Side.SELL, type_, lots, ticks)


def _cancel(world, bot, which):
    orders = world.broker.open_orders(bot)
    if orders:
        world.broker.cancel(bot, orders[which % len(orders)].number)


def _pass(world, ms):
    world.pass_ms(ms)


#: Queue model, whether a walk reaches beyond the book, and what keeps orders of one account apart.
MODELS = [
    (QueueModel.PESSIMISTIC, False, SelfTrade.EXPIRE_MAKER),
    (QueueModel.PROPORTIONAL, True, None),
    (QueueModel.OPTIMISTIC, True, SelfTrade.DECREMENT),
]


def _run(make_world, examples: int, steps: int, phases: Sequence[Phase] = tuple(Phase), model=MODELS[1]) -> None:
    run_state_machine_as_test(
        lambda: AnySequence(make_world, *model),
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            phases=phases,
            report_multiple_bugs=False,
            derandomize=examples < 1_000,
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.mark.parametrize("model", MODELS)
def test_any_sequence(make_world, model):
    _run(make_world, examples=150, steps=40, model=model)


@pytest.mark.parametrize(
    ("target", "fault"),
    [
        ("quantlab.paper.execution.charge", lambda *_: Fee(Decimal("1E-8"), "BTC", Decimal("1E-6"))),
        ("quantlab.paper.matching.fill_by_trade", lambda side, price, lots, queue, trade: (lots + 1, queue)),
        ("quantlab.paper.working.Working.needs", lambda working: Decimal(0)),
        ("quantlab.paper.broker.uniform", lambda *_: random.random()),
    ],
    ids=["fees in the wrong asset", "filled above the order", "nothing reserved", "drawn by chance"],
)
def test_the_machine_notices_faults(make_world, monkeypatch, target, fault):
    monkeypatch.setattr(target, fault)
    with pytest.raises((AssertionError, QuantlabError, FlakyFailure)):
        _run(make_world, examples=300, steps=40, phases=[Phase.generate])


@pytest.mark.campaign
@pytest.mark.timeout(0)
@pytest.mark.parametrize("model", MODELS)
def test_any_sequence_campaign(make_world, model):
    _run(make_world, examples=5_000, steps=60, model=model)
