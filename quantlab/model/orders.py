"""Orders, fills and what explains them. Prices and quantities are `Decimal`, times engine time in ms."""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum

import msgspec


class Side(StrEnum):
    BUY = "BUY"
    SELL = "SELL"


class OrderType(StrEnum):
    """The order types in use; Binance's own names."""

    MARKET = "MARKET"
    LIMIT = "LIMIT"
    LIMIT_MAKER = "LIMIT_MAKER"
    STOP_LOSS = "STOP_LOSS"
    STOP_LOSS_LIMIT = "STOP_LOSS_LIMIT"
    TAKE_PROFIT = "TAKE_PROFIT"
    TAKE_PROFIT_LIMIT = "TAKE_PROFIT_LIMIT"


#: Orders that wait for a price, outside the book; orders with a limit; orders that take at any price once they work.
CONDITIONAL = frozenset(
    {OrderType.STOP_LOSS, OrderType.STOP_LOSS_LIMIT, OrderType.TAKE_PROFIT, OrderType.TAKE_PROFIT_LIMIT}
)
PRICED = frozenset({OrderType.LIMIT, OrderType.LIMIT_MAKER, OrderType.STOP_LOSS_LIMIT, OrderType.TAKE_PROFIT_LIMIT})
AT_MARKET = frozenset({OrderType.MARKET, OrderType.STOP_LOSS, OrderType.TAKE_PROFIT})
_STOPS = frozenset({OrderType.STOP_LOSS, OrderType.STOP_LOSS_LIMIT})


class TimeInForce(StrEnum):
    GTC = "GTC"
    IOC = "IOC"
    FOK = "FOK"


class OrderStatus(StrEnum):
    """Binance's states, and PENDING for an order that is still on its way to the book. EXPIRED_IN_MATCH: it would have
    met an order of its own account."""

    PENDING = "PENDING"
    NEW = "NEW"
    PARTIALLY_FILLED = "PARTIALLY_FILLED"
    FILLED = "FILLED"
    CANCELED = "CANCELED"
    REJECTED = "REJECTED"
    EXPIRED = "EXPIRED"
    EXPIRED_IN_MATCH = "EXPIRED_IN_MATCH"

    @property
    def is_final(self) -> bool:
        return self in _FINAL


_FINAL = frozenset(OrderStatus) - {OrderStatus.PENDING, OrderStatus.NEW, OrderStatus.PARTIALLY_FILLED}


class Order(msgspec.Struct, kw_only=True):
    """An order of one bot. `(bot, number)` names it within the run; numbers start at 1 and never repeat.

    `quantity` is in base units, `price` the limit (of the `PRICED` types), `stop_price` the trigger (of the
    `CONDITIONAL` ones: they go to market, or become a limit order, once a trade reaches it). `quote_quantity` (MARKET):
    so much of the quote asset is to be spent or received; `quantity` is then zero until the exchange has filled it in.
    `trailing_delta` (`CONDITIONAL`, basis points): it goes off when the price has come back so far from its best since
    `stop_price` was reached, or since it was placed where it has none. Orders of a bot with the same `list_number`
    (0: none) are one list: what trades or goes off first ends the others (OCO). `prevented` is the quantity that
    self-trade prevention took. `reason` is why the bot sent it, for people.

    Source of types and fields: Binance spot REST docs, "New order", and its trailing stop FAQ, checked 2026-11-24.
    """

    bot: int
    number: int
    symbol: str
    side: Side
    type: OrderType
    quantity: Decimal
    price: Decimal | None = None
    stop_price: Decimal | None = None
    time_in_force: TimeInForce = TimeInForce.GTC
    created_ms: int
    reason: str = ""
    status: OrderStatus = OrderStatus.PENDING
    filled: Decimal = Decimal(0)
    quote_quantity: Decimal | None = None
    trailing_delta: int = 0
    list_number: int = 0
    prevented: Decimal = Decimal(0)

    @property
    def remaining(self) -> Decimal:
        return self.quantity - self.filled - self.prevented

    def worth(self, price: Decimal) -> Decimal:
        """What is left of it trades at `price`, in quote units."""
        return self.remaining * price if self.quote_quantity is None or self.quantity else self.quote_quantity

    @property
    def falling(self) -> bool:
        """At which side of its trigger a conditional order goes off: at or below it, else at or above."""
        return (self.type in _STOPS) == (self.side is Side.SELL)


class Fill(msgspec.Struct, frozen=True, kw_only=True):
    """One execution. `number` counts the bot's fills from 1. `fee` is in `fee_asset`; `fee_quote` is that fee at the
    fill's own price, in quote units."""

    bot: int
    number: int
    order_number: int
    symbol: str
    side: Side
    price: Decimal
    quantity: Decimal
    fee: Decimal
    fee_asset: str
    fee_quote: Decimal
    maker: bool
    time_ms: int

    @property
    def notional(self) -> Decimal:
        return self.price * self.quantity


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """Why a fill happened at its price: everything needed to compute it again.

    `basis` is what it was matched against: "depth" (levels of the book), "quote" (top of book only) or "trade" (a
    resting order reached by trades; `trade_id` names the one). `levels` are the (price, quantity) consumed by this
    fill, `queue_ahead` the quantity that stood before a maker when it was filled. `decision_bid` and `decision_ask` are
    the touch when the bot decided (for a stop: when it triggered), `arrival_bid` and `arrival_ask` the touch when the
    order reached the book: their difference is what latency cost. `crowding` is what this fill cost more (quote
    units) because other bots of the run had taken what stood before it. A basis "model" names the best price as its
    level and paid `slippage_bps` more.
    """

    bot: int
    fill_number: int
    basis: str
    book_id: int
    levels: tuple[tuple[Decimal, Decimal], ...]
    queue_ahead: Decimal
    decision_bid: Decimal | None
    decision_ask: Decimal | None
    arrival_bid: Decimal | None
    arrival_ask: Decimal | None
    latency_ms: int
    response_ms: int
    fee_rate: Decimal
    fee_source: str
    model: str
    seed: int
    trade_id: int = 0
    crowding: Decimal = Decimal(0)
    slippage_bps: Decimal = Decimal(0)


class OrderReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a bot hears about its order, once it is committed: the new state and the fills that led to it.

    `quantity` is the order's where the exchange set it anew (an amended order, or one by quote quantity), `prevented`
    what self-trade prevention has taken of it. A report with `reject_reason` and a state that is not final refuses what
    was asked about the order (an amendment): it stands as it stood.
    """

    bot: int
    order_number: int
    status: OrderStatus
    time_ms: int
    fills: tuple[Fill, ...] = ()
    reject_code: int = 0
    reject_reason: str = ""
    quantity: Decimal | None = None
    prevented: Decimal = Decimal(0)


class Position(msgspec.Struct, kw_only=True):
    """What a bot holds of its symbol: `quantity` in base units (after fees taken in base) and its `cost` in quote."""

    symbol: str
    quantity: Decimal = Decimal(0)
    cost: Decimal = Decimal(0)

    @property
    def average_price(self) -> Decimal:
        return self.cost / self.quantity if self.quantity else Decimal(0)


class DesiredQuote(msgspec.Struct, frozen=True):
    """A resting order that a book strategy wants: `fraction` (0 to 1) of the bot's equity on a buy, of its position
    on a sell, at `price_ticks`."""

    side: Side
    price_ticks: int
    fraction: float = 1.0
