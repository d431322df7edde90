"""The symbol and orders that the risk tests use."""

from __future__ import annotations

from decimal import Decimal

import pytest

from quantlab.model import Instrument, Order, OrderType, Side


@pytest.fixture
def instrument() -> Instrument:
    return Instrument(
        symbol="ETHUSDT",
        base="ETH",
        quote="USDT",
        tick_size=Decimal("0.01"),
        step_size=Decimal("0.0001"),
        min_quantity=Decimal("0.0001"),
        max_quantity=Decimal("9000"),
        min_notional=Decimal("5"),
    )


@pytest.fixture
def make_order():
    def make(side: Side, quantity: str = "1", number: int = 1, quote: str | None = None) -> Order:
        return Order(
            bot=0,
            number=number,
            symbol="ETHUSDT",
            side=side,
            type=OrderType.MARKET,
            quantity=Decimal(quantity),
            created_ms=0,
            quote_quantity=None if quote is None else Decimal(quote),
        )

    return make
