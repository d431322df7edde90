"""A fill computed again from its receipt: `quantlab verify` holds the answer against the ledger."""

from __future__ import annotations

from decimal import Decimal
from typing import NamedTuple

from quantlab.model import Fill, Instrument, Order, QuantlabError, Receipt, Side
from quantlab.paper.fees import charge
from quantlab.paper.money import EXACT, ZERO
from quantlab.paper.slippage import worsened


class Replayed(NamedTuple):
    """What the receipt says the fill must be; the fee in `fee_asset`."""

    price: Decimal
    quantity: Decimal
    fee: Decimal
    fee_asset: str
    maker: bool


def replay(receipt: Receipt, order: Order, instrument: Instrument) -> Replayed:
    """Recompute price, quantity and fee of the fill that `receipt` explains.

    A taker ("depth", "beyond") trades at the level it consumed ("model": so much worse as the model said), a maker
    ("trade", "quote") at its own limit, whatever price reached it. Raises QuantlabError when the receipt cannot explain
    a fill of `order`: no or several levels, a price off the grid or beyond the limit, a maker without a price, a market
    that never reached it.
    """
    if receipt.bot != order.bot or order.symbol != instrument.symbol:
        raise _unexplained(receipt, "it belongs to another order")
    if len(receipt.levels) != 1:
        raise _unexplained(receipt, f"it names {len(receipt.levels)} levels, a fill has one")
    ((level, quantity),) = receipt.levels
    sign = 1 if order.side is Side.BUY else -1
    maker = receipt.basis in ("trade", "quote")
    if not maker and receipt.basis not in ("depth", "beyond", "model"):
        raise _unexplained(receipt, f'its basis "{receipt.basis}" is unknown')
    if maker and order.price is None:
        raise _unexplained(receipt, "an order without a limit cannot rest")
    if order.price is not None and sign * (level - order.price) > 0:
        raise _unexplained(receipt, f"{level} is beyond the limit {order.price}")
    price = order.price if maker and order.price is not None else level
    if receipt.basis == "model":
        limit = None if order.price is None else instrument.ticks(order.price)
        price = instrument.price(worsened(order.side, instrument.ticks(level), receipt.slippage_bps, limit))
    if not ZERO < quantity <= order.quantity or quantity % instrument.step_size or price % instrument.tick_size:
        raise _unexplained(receipt, f"{quantity} at {price} is not an order's part on the symbol's grid")
    if receipt.basis == "trade" and level == order.price and receipt.queue_ahead < 0:
        raise _unexplained(receipt, "its queue is below zero")
    fee = charge(order.side, price, quantity, receipt.fee_rate, instrument)
    return Replayed(price, quantity, fee.amount, fee.asset, maker)


def difference(fill: Fill, receipt: Receipt, order: Order, instrument: Instrument) -> str | None:
    """None when the receipt replays to `fill` exactly, else what differs, in one line."""
    try:
        again = replay(receipt, order, instrument)
    except QuantlabError as error:
        return str(error)
    if (fill.bot, fill.number, fill.order_number) != (receipt.bot, receipt.fill_number, order.number):
        return f"bot {fill.bot}, fill {fill.number}: the receipt or the order is another fill's"
    fee_quote = EXACT.multiply(again.fee, again.price) if fill.side is Side.BUY else again.fee
    expected = (*again, fee_quote, order.side, order.symbol)
    found = (
        fill.price,
        fill.quantity,
        fill.fee,
        fill.fee_asset,
        fill.maker,
        fill.fee_quote,
        fill.side,
        fill.symbol,
    )
    names = ("price", "quantity", "fee", "fee asset", "maker", "fee in quote", "side", "symbol")
    wrong = [f"{n} {f}, replayed {e}" for n, e, f in zip(names, expected, found, strict=True) if e != f]
    return f"bot {fill.bot}, fill {fill.number}: {'; '.join(wrong)}" if wrong else None


def _unexplained(receipt: Receipt, why: str) -> QuantlabError:
    return QuantlabError(f"receipt of bot {receipt.bot}, fill {receipt.fill_number}: {why}")
