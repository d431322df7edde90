"""Each request pays what Binance documents, whatever a client library believes."""

from __future__ import annotations

import json

import pytest

from quantlab.exchange.weight.weights import weight_of
from quantlab.model import Refused


def many(count: int) -> dict[str, str]:
    return {"symbols": json.dumps([f"S{number}USDT" for number in range(count)])}


@pytest.mark.parametrize(
    ("path", "params", "weight"),
    [
        ("ping", {}, 1),
        ("time", {}, 1),
        ("exchangeInfo", many(13), 20),
        ("klines", {"limit": 1000}, 2),
        ("avgPrice", {}, 2),
        ("trades", {}, 25),
        ("aggTrades", {}, 4),
        ("depth", {}, 5),
        ("depth", {"limit": 100}, 5),
        ("depth", {"limit": 101}, 25),
        ("depth", {"limit": 500}, 25),
        ("depth", {"limit": 1000}, 50),
        ("depth", {"limit": "5000"}, 250),
        ("ticker/price", {"symbol": "BTCUSDT"}, 2),
        ("ticker/price", many(2), 4),
        ("ticker/bookTicker", {}, 4),
        ("ticker/24hr", {"symbol": "BTCUSDT"}, 2),
        ("ticker/24hr", many(1), 2),
        ("ticker/24hr", many(20), 2),
        ("ticker/24hr", many(21), 40),
        ("ticker/24hr", many(100), 40),
        ("ticker/24hr", many(101), 80),
        ("ticker/24hr", {}, 80),
    ],
)
def test_documented_weight(path: str, params: dict[str, object], weight: int) -> None:
    assert weight_of(f"/api/v3/{path}", params) == weight


def test_what_has_no_price_is_not_asked() -> None:
    with pytest.raises(Refused, match="weight"):
        weight_of("/api/v3/account", {})
