"""Promise: an order leaves with the parameters that Binance documents for its type, and no others."""

from __future__ import annotations

from decimal import Decimal

import pytest

from quantlab.exchange.trading.order_rules import _PLACE, _VALUES
from quantlab.live.wire import params_of
from quantlab.model import Order, OrderType, Side, TimeInForce

COMMON = {"symbol": "BTCUSDT", "quantity": "0.5", "newClientOrderId": "n"}


def order(kind: OrderType, side: Side = Side.SELL, **fields) -> Order:
    return Order(
        bot=0, number=1, symbol="BTCUSDT", side=side, type=kind, quantity=Decimal("0.50"), created_ms=0, **fields
    )


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (order(OrderType.MARKET), {"type": "MARKET"}),
        (
            order(OrderType.LIMIT, price=Decimal("100.10"), time_in_force=TimeInForce.IOC),
            {"type": "LIMIT", "price": "100.1", "timeInForce": "IOC"},
        ),
        (order(OrderType.LIMIT_MAKER, price=Decimal(100)), {"type": "LIMIT_MAKER", "price": "100"}),
        (order(OrderType.STOP_LOSS, stop_price=Decimal(99)), {"type": "STOP_LOSS", "stopPrice": "99"}),
        (order(OrderType.STOP_LOSS, trailing_delta=150), {"type": "STOP_LOSS", "trailingDelta": "150"}),
        (
            order(OrderType.STOP_LOSS_LIMIT, stop_price=Decimal(99), price=Decimal(98)),
            {"type": "STOP_LOSS_LIMIT", "stopPrice": "99", "price": "98", "timeInForce": "GTC"},
        ),
    ],
    ids=lambda value: value.type if isinstance(value, Order) else "",
)
def test_parameters_by_type(sent: Order, expected: dict[str, str]) -> None:
    found = params_of(sent, "n", None)
    assert found == COMMON | {"side": "SELL"} | expected
    assert set(found) <= _PLACE, "the door lets it pass"
    assert all(found[name] in allowed for name, allowed in _VALUES.items() if name in found)


def test_a_market_buy_leaves_with_the_worst_price_it_may_pay() -> None:
    found = params_of(order(OrderType.MARKET, Side.BUY), "n", Decimal("102.00"))
    assert found == COMMON | {"side": "BUY", "type": "LIMIT", "timeInForce": "IOC", "price": "102"}
