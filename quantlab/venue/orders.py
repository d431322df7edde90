"""The orders of the account: accepted, matched against the venue's market, and moved on as that market moves.

An order meets the book as displayed at the moment it arrives. What rests is filled by the market's later trades (see
`matching.filled_by`), and whole where the other side's best price has come to it; a stop is set off by the last trade
and meets the book of the step in which that happened. All of it is a function of the market and of what was sent: the
market does not move by our orders, and our orders do not meet each other.

Rules: Binance spot REST docs, "Trading endpoints", checked 2026-11-23. Times are market time.
"""

from __future__ import annotations

from decimal import ROUND_DOWN, Decimal
from typing import Any

from quantlab.venue import errors, matching, order_request
from quantlab.venue.answers import average_price
from quantlab.venue.balances import PLACES, Balances, plain
from quantlab.venue.order import Order, Request, Row
from quantlab.venue.order_count import OrderCount
from quantlab.venue.parameters import Params
from quantlab.venue.rules import Rules
from quantlab.venue.source import Market
from quantlab.venue.user_stream import UserStream

#: Commission of makers and takers alike, taken from the asset received.
FEE = Decimal("0.001")
#: Levels of a side that an order can meet: what GET /api/v3/depth shows at most.
_DEEPEST = 5_000
_MOST_TRADES = 1_000
_ZERO = Decimal(0)


class Orders:
    """All orders of one account, oldest first, and its trades. Balances are moved, and the stream is told."""

    def __init__(self, market: Market, balances: Balances, stream: UserStream, count: OrderCount) -> None:
        self.all: list[Order] = []
        self.trades: list[Row] = []
        #: Legs of each order list.
        self.lists: dict[int, list[Order]] = {}
        self._market, self._balances, self._stream, self._count = market, balances, stream, count
        info = market.exchange_info
        filters = info.get("exchangeFilters", ())
        #: By symbol.
        self.rules = {row["symbol"]: Rules(row, filters) for row in info["symbols"]}
        self._open: dict[int, Order] = {}
        self._seen: dict[str, int] = {}  # the last trade of the market that orders of a symbol have met

    @property
    def open(self) -> list[Order]:
        return list(self._open.values())

    def place(self, params: Params) -> Row:
        """Take an order. Raises VenueError where it is refused or rejected, and then nothing has changed."""
        request = order_request.read(params, self._market.symbols)
        quantity = self.admit(request)
        self._count.take(1)
        return self.accept(request, quantity).answer()

    def admit(self, request: Request) -> Decimal:
        """The quantity of an order that passes the filters. Raises VenueError."""
        rules = self.rules[request.symbol]
        quantity = request.quantity
        if request.quote_quantity:
            levels = self._far_side(request)
            if not levels:
                raise errors.rejected_order("Order book liquidity is less than symbol minimum quantity.")
            quantity = matching.for_quote(request.quote_quantity, levels, rules.step)
        average = Decimal(average_price(self._market, {"symbol": request.symbol})["price"])
        held = self._balances.free(rules.base) + self._balances.locked(rules.base)
        rules.check(request, quantity, average, self.open, held)
        return quantity

    def accept(self, request: Request, quantity: Decimal, list_id: int = -1, lock: Decimal | None = None) -> Order:
        """Enter an admitted order. `lock` is what its list lets it lock; None its own need. Raises VenueError -2010."""
        self.check(request, quantity)
        levels = self._far_side(request)
        now_ms, number = self._market.now_ms, len(self.all) + 1
        name = request.client_id or f"venue{number}"
        order = Order(request, number, name, list_id, quantity, now_ms, updated_ms=now_ms)
        order.working_ms = -1 if request.is_stop else now_ms
        self._lock(order, _need(order) if lock is None else lock)
        if not any(other.request.symbol == request.symbol for other in self._open.values()):
            self._seen[request.symbol] = self._last_trade(request.symbol)[0]
        self.all.append(order)
        self._open[number] = order
        self._stream.report(order, "NEW")
        if order.is_working:
            self._take(order, levels)
        return order

    def check(self, request: Request, quantity: Decimal) -> None:
        """Raise VenueError -2010 for what the matching engine rejects, but for funds that a resting order lacks."""
        if request.client_id and any(order.client_id == request.client_id for order in self._open.values()):
            raise errors.rejected_order("Duplicate order sent.")
        side, rules, levels = request.side, self.rules[request.symbol], self._far_side(request)
        if request.is_stop:
            if matching.is_triggered(request.type, side, request.stop_price, self.last_price(request.symbol)):
                raise errors.rejected_order("Order would trigger immediately.")
        elif request.type == "LIMIT_MAKER" and levels and matching.crosses(side, request.price, levels[0][0]):
            raise errors.rejected_order("Order would immediately match and take.")
        elif request.type == "MARKET":
            cost = max(matching.value_of(matching.walk(side, quantity, levels)), request.quote_quantity)
            asset, needed = (rules.quote, cost) if request.buys else (rules.base, quantity)
            if needed > self._balances.free(asset):
                raise errors.insufficient_balance()

    def cancel(self, order: Order, client_id: str = "") -> Row:
        """Cancel an open order, and with it the list that it is part of; returns Binance's answer."""
        rows = [self._cancelled(leg, client_id) for leg in self.legs(order)]
        return next(row for row in rows if row["orderId"] == order.number)

    def legs(self, order: Order) -> list[Order]:
        """The open orders that stand and fall with this one, itself among them."""
        return [leg for leg in self.lists.get(order.list_id, [order]) if leg.is_open]

    def advance(self) -> None:
        """Let the open orders meet what the market did since the last call."""
        news = []
        for symbol in dict.fromkeys(order.request.symbol for order in self._open.values()):
            rows = self._news(symbol)
            if rows:
                self._seen[symbol] = rows[-1]["id"]
            news += [(row["time"], symbol, row) for row in rows]
        for _, symbol, row in sorted(news, key=lambda entry: entry[0]):
            for order in self.open:
                if order.request.symbol == symbol and order.is_open:
                    self._meet(order, row)
        for order in self.open:
            if order.is_open and order.is_working:
                self._meet_book(order)

    def last_price(self, symbol: str) -> Decimal:
        return self._last_trade(symbol)[1]

    # How orders meet the market

    def _take(self, order: Order, levels: list[matching.Level]) -> None:
        """Fill a working order from the book; what is left rests, or expires where it must not rest."""
        request = order.request
        limit = None if request.is_market else request.price
        taken = matching.walk(request.side, order.left, levels, limit)
        whole = sum((quantity for _, quantity in taken), _ZERO) == order.left
        if request.time_in_force == "FOK" and not request.is_market and not whole:
            return self._expire(order, "UNFILLED_FOK_ORDER_EXPIRED")
        for price, quantity in taken:
            self._fill(order, price, quantity, self._market.now_ms, is_maker=False)
        if whole:
            return None
        if request.is_market:
            return self._expire(order, "INSUFFICIENT_LIQUIDITY")
        if request.time_in_force == "IOC":
            return self._expire(order, "UNFILLED_IOC_QUANTITY_EXPIRED")
        depth = self._market.depth(request.symbol, _DEEPEST)
        order.ahead = matching.displayed(request.side, request.price, depth)
        return None

    def _meet(self, order: Order, trade: Row) -> None:
        """Let an open order see one trade of the market."""
        request = order.request
        if not order.is_working:
            if matching.is_triggered(request.type, request.side, request.stop_price, Decimal(trade["price"])):
                self._set_off(order, trade["time"])
            return
        quantity, order.ahead = matching.filled_by(request.side, request.price, order.left, order.ahead, trade)
        if quantity:
            self._fill(order, request.price, quantity, trade["time"], is_maker=True)

    def _meet_book(self, order: Order) -> None:
        """Fill a resting order whole where the market has come to it without a trade."""
        request = order.request
        ticker = self._market.book_ticker(request.symbol)
        far = Decimal(ticker["askPrice"] if request.buys else ticker["bidPrice"])
        if far and matching.crosses(request.side, request.price, far):
            self._fill(order, request.price, order.left, self._market.now_ms, is_maker=True)

    def _set_off(self, order: Order, time_ms: int) -> None:
        """A stop's price was reached: from now on it is a market or limit order."""
        self._end_siblings(order)
        order.working_ms = order.updated_ms = time_ms
        levels = self._far_side(order.request)
        self._lock(order, _need(order))
        cost = matching.value_of(matching.walk(order.request.side, order.left, levels))
        if order.request.is_market and order.request.buys and cost > self._balances.free(self._paid_with(order)):
            return self._expire(order, "REJECTED")
        self._stream.report(order, "NEW")
        return self._take(order, levels)

    def _fill(self, order: Order, price: Decimal, quantity: Decimal, time_ms: int, *, is_maker: bool) -> None:
        request, rules, value = order.request, self.rules[order.request.symbol], price * quantity
        if not order.executed:
            self._end_siblings(order)
            self._count.filled()
        paid, got, gained = (value, rules.base, quantity) if request.buys else (quantity, rules.quote, value)
        fee = (gained * FEE).quantize(PLACES, ROUND_DOWN)
        order.executed += quantity
        order.spent += value
        order.status = "PARTIALLY_FILLED" if order.left else "FILLED"
        order.updated_ms = time_ms
        self._lock(order, _need(order))
        self._balances.add(self._paid_with(order), -paid)
        self._balances.add(got, gained - fee)
        row = {
            "symbol": request.symbol,
            "id": len(self.trades) + 1,
            "orderId": order.number,
            "orderListId": order.list_id,
            "price": plain(price),
            "qty": plain(quantity),
            "quoteQty": plain(value),
            "commission": plain(fee),
            "commissionAsset": got,
            "time": time_ms,
            "isBuyer": request.buys,
            "isMaker": is_maker,
            "isBestMatch": True,
        }
        self.trades.append(row)
        shown = {name: row[name] for name in ("price", "qty", "commission", "commissionAsset")}
        order.fills.append({**shown, "tradeId": row["id"]})
        self._ended(order)
        self._stream.report(order, "TRADE", fill=row)

    # How orders end

    def _expire(self, order: Order, reason: str) -> None:
        order.status, order.expiry, order.updated_ms = "EXPIRED", reason, self._market.now_ms
        self._lock(order, _ZERO)
        self._ended(order)
        self._stream.report(order, "EXPIRED")

    def _cancelled(self, order: Order, client_id: str) -> Row:
        order.status, order.updated_ms = "CANCELED", self._market.now_ms
        self._lock(order, _ZERO)
        self._ended(order)
        name = client_id or f"cancel{order.number}"
        self._stream.report(order, "CANCELED", client_id=name)
        return order.cancelled(name)

    def _end_siblings(self, order: Order) -> None:
        """An order of a list has begun to trade: the others end, and it alone locks what it needs."""
        for leg in self.legs(order):
            if leg is not order:
                self._expire(leg, "OCO_TRIGGER")
        self._lock(order, _need(order))

    def _ended(self, order: Order) -> None:
        if not order.is_open:
            self._open.pop(order.number, None)

    # What is locked, and what is seen of the market

    def _lock(self, order: Order, amount: Decimal) -> None:
        """Lock `amount` for an order in all. Raises VenueError -2010 where that is not free, and changes nothing."""
        self._balances.lock(self._paid_with(order), amount - order.lock)
        order.lock = amount

    def _paid_with(self, order: Order) -> str:
        rules = self.rules[order.request.symbol]
        return rules.quote if order.request.buys else rules.base

    def _far_side(self, request: Request) -> list[matching.Level]:
        return matching.far_side(request.side, self._market.depth(request.symbol, _DEEPEST))

    def _last_trade(self, symbol: str) -> tuple[int, Decimal]:
        """(id, price); where nothing was traded yet, the middle of the book."""
        rows = self._market.trades(symbol, 1)
        if rows:
            return rows[-1]["id"], Decimal(rows[-1]["price"])
        ticker = self._market.book_ticker(symbol)
        return -1, (Decimal(ticker["bidPrice"]) + Decimal(ticker["askPrice"])) / 2

    def _news(self, symbol: str) -> list[Row]:
        """The market's trades since the last look, at most the newest thousand."""
        count, seen = 20, self._seen[symbol]
        while True:
            rows: list[dict[str, Any]] = self._market.trades(symbol, count)
            if len(rows) < count or rows[0]["id"] <= seen or count >= _MOST_TRADES:
                return [row for row in rows if row["id"] > seen]
            count = min(count * 5, _MOST_TRADES)


def need_of(request: Request, quantity: Decimal) -> Decimal:
    """What an open order of `quantity` keeps locked, in the asset it pays with. A market stop that buys is locked at
    its stop price: the docs leave that open."""
    return (request.price or request.stop_price) * quantity if request.buys else quantity


def _need(order: Order) -> Decimal:
    """What an order that stands alone keeps locked: nothing once it is done, or is a market order that works."""
    if not order.is_open or (order.request.is_market and order.is_working):
        return _ZERO
    return need_of(order.request, order.left)
