"""A trade of the exchange as the ledger keeps it: the fill, and the receipt that names where it is from."""

from __future__ import annotations

from decimal import Decimal

from quantlab.live.reports import Execution
from quantlab.model import Fill, Instrument, Order, Receipt, Side

_ZERO = Decimal(0)
#: What the receipts of a live run say of their basis and model. Their `book_id` is the exchange's number of the order.
LIVE = "live"


def fill_of(order: Order, trade: Execution, number: int, instrument: Instrument) -> Fill:
    """Fill `number` of the order's bot. A fee in neither of the symbol's assets has no price here: `fee_quote` is 0."""
    worth = {instrument.quote: trade.fee, instrument.base: trade.fee * trade.price}
    return Fill(
        bot=order.bot,
        number=number,
        order_number=order.number,
        symbol=order.symbol,
        side=order.side,
        price=trade.price,
        quantity=trade.quantity,
        fee=trade.fee,
        fee_asset=trade.fee_asset or (instrument.base if order.side is Side.BUY else instrument.quote),
        fee_quote=worth.get(trade.fee_asset, _ZERO),
        maker=trade.maker,
        time_ms=trade.time_ms,
    )


def receipt_of(
    fill: Fill, trade: Execution, order_id: int, *, bid: Decimal | None = None, ask: Decimal | None = None
) -> Receipt:
    """Where the fill is from: the exchange's order and trade. `bid` and `ask` are the touch when the bot decided."""
    received = trade.quantity if fill.side is Side.BUY else fill.notional
    return Receipt(
        bot=fill.bot,
        fill_number=fill.number,
        basis=LIVE,
        book_id=order_id,
        levels=((trade.price, trade.quantity),),
        queue_ahead=_ZERO,
        decision_bid=bid,
        decision_ask=ask,
        arrival_bid=None,
        arrival_ask=None,
        latency_ms=0,
        response_ms=0,
        fee_rate=trade.fee / received if received else _ZERO,
        fee_source="the exchange",
        model=LIVE,
        seed=0,
        trade_id=trade.trade_id,
    )
