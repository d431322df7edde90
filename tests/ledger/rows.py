"""One run with one bot, and fills for it, as the tests of the ledger write them."""

from __future__ import annotations

from decimal import Decimal

from quantlab.ledger import BotRow, RunRow
from quantlab.model import Fill, Receipt, Side, Source

RUN = RunRow(
    run_id="r",
    created_ms=1,
    market="replay",
    source=Source(kind="generated", name="seed 1", from_="2025-06-02T00:00:00Z"),
    fleet_name="f",
    fleet_toml="[fleet]",
    fleet_sha256="0",
    seed=1,
)
BOT = BotRow(
    bot=0, name="b", strategy="s", parameters={"n": 1}, symbol="BTCUSDT", timeframe="1m", capital=Decimal("1000")
)


def fill(number: int, *, price: str = "100.5", quantity: str = "0.001") -> Fill:
    return Fill(
        bot=0,
        number=number,
        order_number=number,
        symbol="BTCUSDT",
        side=Side.BUY,
        price=Decimal(price),
        quantity=Decimal(quantity),
        fee=Decimal("0.000001"),
        fee_asset="BTC",
        fee_quote=Decimal("0.0001005"),
        maker=False,
        time_ms=1000 + number,
    )


def receipt(number: int) -> Receipt:
    return Receipt(
        bot=0,
        fill_number=number,
        basis="depth",
        book_id=5,
        levels=((Decimal("100.5"), Decimal("0.001")),),
        queue_ahead=Decimal(0),
        decision_bid=Decimal("100.4"),
        decision_ask=None,
        arrival_bid=Decimal("100.4"),
        arrival_ask=Decimal("100.5"),
        latency_ms=40,
        response_ms=20,
        fee_rate=Decimal("0.001"),
        fee_source="setting",
        model="m",
        seed=1,
    )
