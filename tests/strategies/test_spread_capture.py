"""Spread capture never quotes nearer than fees and edge, bounds its inventory, keeps its place in the queue, and says
why when it stands aside."""

from __future__ import annotations

import re
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantlab.model import ConfigurationError, DesiredQuote, Order, OrderStatus, OrderType, Position, Side
from quantlab.strategies.spread_capture import SpreadCapture


class FakeBook:
    """A `BookView` of one level a side."""

    symbol = "AUSDT"
    tick_size = Decimal("0.01")
    step_size = Decimal("0.1")
    book_id = 1

    def __init__(self, bid: int | None, ask: int | None, *, in_sync: bool = True) -> None:
        self._bid, self._ask, self.in_sync = bid, ask, in_sync

    depth_id = 1

    def bid_lots(self, ticks: int) -> int | None:
        return None

    def ask_lots(self, ticks: int) -> int | None:
        return None

    def best_bid(self) -> tuple[int, int] | None:
        return None if self._bid is None else (self._bid, 5)

    def best_ask(self) -> tuple[int, int] | None:
        return None if self._ask is None else (self._ask, 5)

    def bids(self, levels: int = 20) -> list[tuple[int, int]]:
        return [level for level in (self.best_bid(),) if level is not None][:levels]

    def asks(self, levels: int = 20) -> list[tuple[int, int]]:
        return [level for level in (self.best_ask(),) if level is not None][:levels]


def holding(quantity: str) -> Position:
    return Position(symbol="AUSDT", quantity=Decimal(quantity))


def resting(side: Side, ticks: int, *, type_: OrderType = OrderType.LIMIT_MAKER, **changes: object) -> Order:
    return Order(
        bot=0, number=1, symbol="AUSDT", side=side, type=type_, quantity=Decimal(1),
        price=ticks * Decimal("0.01"), created_ms=0, status=OrderStatus.NEW, **changes,
    )  # fmt: skip


BOOK = FakeBook(9_999, 10_001)  # mid 10,000 ticks: 1 bps is one tick
STRATEGY = SpreadCapture(fee_bps=10, edge_bps=2, tolerance_bps=15, size=0.3, max_inventory_usdt=800, min_order_usdt=10)


def test_flat_it_bids_and_holding_it_offers_too() -> None:
    bid, ask = DesiredQuote(Side.BUY, 9_988, 0.3), DesiredQuote(Side.SELL, 10_012, 1.0)
    assert STRATEGY.on_book(BOOK, holding("0"), []) == [bid]
    assert STRATEGY.on_book(BOOK, holding("0.05"), []) == [bid], "5 USDT is dust"
    assert STRATEGY.on_book(BOOK, holding("3"), []) == [bid, ask]
    assert STRATEGY.on_book(BOOK, holding("8"), []) == [ask], "enough inventory"
    assert STRATEGY.why_aside(BOOK, holding("8")) == ""


tenths_of_bps = st.integers(0, 500)


@given(st.integers(10_000, 10**9), st.floats(0.01, 49), tenths_of_bps, tenths_of_bps)
def test_new_quotes_rest_no_nearer_than_fees_and_edge(bid: int, spread_bps: float, fee: int, edge: int) -> None:
    ask = bid + max(1, int(bid * spread_bps / 10_000))
    mid, distance_bps = (bid + ask) / 2, (fee + edge) / 10
    quotes = SpreadCapture(fee_bps=fee / 10, edge_bps=edge / 10, max_inventory_usdt=1e9, min_order_usdt=0).on_book(
        FakeBook(bid, ask), holding("0.000001"), []
    )
    assert quotes, "one of the two is always wanted"
    for quote in quotes:
        away = mid - quote.price_ticks if quote.side is Side.BUY else quote.price_ticks - mid
        assert away * 10_000 >= distance_bps * mid * (1 - 1e-9)
        assert quote.price_ticks < ask if quote.side is Side.BUY else quote.price_ticks > bid


def test_a_resting_quote_stays_within_the_tolerance_and_moves_beyond_it() -> None:
    wanted = 9_988
    for price, expected in ((9_988, 9_988), (9_974, 9_974), (9_973, 9_973), (9_972, wanted), (10_003, 10_003)):
        quotes = STRATEGY.on_book(BOOK, holding("0"), [resting(Side.BUY, price)])
        assert [quote.price_ticks for quote in quotes] == [expected], price
    strict = SpreadCapture(tolerance_bps=0)
    assert strict.on_book(BOOK, holding("0"), [resting(Side.BUY, 9_989)])[0].price_ticks == wanted


def test_only_live_quotes_of_the_same_side_are_kept() -> None:
    gone = resting(Side.BUY, 9_990)
    gone.status = OrderStatus.CANCELED
    others = [gone, resting(Side.SELL, 9_989), resting(Side.BUY, 9_989, type_=OrderType.STOP_LOSS)]
    assert STRATEGY.on_book(BOOK, holding("0"), others)[0].price_ticks == 9_988


@pytest.mark.parametrize(
    ("book", "reason"),
    [
        (FakeBook(9_999, 10_001, in_sync=False), "out of sync"),
        (FakeBook(None, 10_001), "side of the book is empty"),
        (FakeBook(9_999, None), "side of the book is empty"),
        (FakeBook(9_900, 10_000), r"spread of 100\.5 bps is above max_spread_bps 50"),
        (FakeBook(1, 2), "above max_spread_bps"),
    ],
)
def test_it_stands_aside_and_says_why(book: FakeBook, reason: str) -> None:
    assert STRATEGY.on_book(book, holding("3"), [resting(Side.BUY, 9_988)]) == []
    assert re.search(reason, STRATEGY.why_aside(book, holding("3")))


def test_a_price_of_few_ticks_leaves_no_room_below() -> None:
    wide = SpreadCapture(max_spread_bps=10_000)
    assert wide.on_book(FakeBook(2, 3), holding("0"), []) == [DesiredQuote(Side.BUY, 2, 0.3)]
    steep = SpreadCapture(fee_bps=1000, edge_bps=1000, max_spread_bps=10_000)
    assert "too few ticks" in steep.why_aside(FakeBook(1, 1), holding("0"))


def test_it_has_no_exposure_at_closes_and_refuses_odd_parameters() -> None:
    with pytest.raises(ConfigurationError, match="no exposure at candle closes"):
        STRATEGY.exposure()
    with pytest.raises(ConfigurationError, match='parameter "size" must be'):
        SpreadCapture(size=0)
    assert (STRATEGY.uses_book, STRATEGY.lookback) == (True, 0)
