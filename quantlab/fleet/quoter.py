"""Makes the resting orders of book strategies match the quotes they want."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal

from quantlab.fleet.bot import Bot
from quantlab.fleet.desk import Desk
from quantlab.model import BookView, Broker, DesiredQuote, Instrument, Order, OrderType, Side

#: A book strategy is asked at most this often (engine time): requoting faster than the way to the exchange and back
#: only cancels orders that never rested.
REQUOTE_MS = 1_000


class Quoter:
    """Asks book strategies when their book moves, and sends what differs through the desk."""

    def __init__(
        self,
        desk: Desk,
        broker: Broker,
        instruments: Mapping[str, Instrument],
        books: Mapping[str, BookView],
    ) -> None:
        self._desk = desk
        self._broker = broker
        self._instruments = instruments
        self._books = books

    def book_moved(self, bot: Bot, now_ms: int) -> None:
        """The book of `bot`'s symbol moved."""
        if now_ms < bot.quote_after_ms or not self._desk.may_trade(bot):
            return
        bot.quote_after_ms = now_ms + REQUOTE_MS
        book = self._books[bot.spec.symbol]
        resting = self._broker.open_orders(bot.index)
        quotes = bot.strategy.on_book(book, bot.account.position, resting)
        if not quotes and not resting:
            bot.note = bot.strategy.why_aside(book, bot.account.position)
        self._match(bot, resting, quotes, now_ms)

    def _match(self, bot: Bot, resting: Sequence[Order], quotes: Sequence[DesiredQuote], now_ms: int) -> None:
        """Cancel what is not wanted any more, send what is new. A side whose old quote is still there waits for its
        cancel to be confirmed: the next move of the book brings the new one."""
        instrument = self._instruments[bot.spec.symbol]
        wanted = {(quote.side, instrument.price(quote.price_ticks)): quote for quote in quotes}
        busy = {order.side for order in resting}
        for order in resting:
            if order.price is None or wanted.pop((order.side, order.price), None) is None:
                self._broker.cancel(bot.index, order.number)
        for (side, price), quote in wanted.items():
            quantity = self._quantity(bot, side, price, Decimal(str(quote.fraction)), instrument)
            if quantity and side not in busy:
                bot.note = ""
                self._desk.send(bot, side, OrderType.LIMIT_MAKER, quantity, now_ms, price=price, reason="quote")

    def _quantity(self, bot: Bot, side: Side, price: Decimal, share: Decimal, instrument: Instrument) -> Decimal:
        """What a quote may be in size: of the equity on a buy, of the position on a sell; zero when it is dust."""
        account = bot.account
        if side is Side.SELL:
            amount = account.quantity * share
        else:
            bid, _ = self._desk.touch(bot)
            notional = min(account.equity(bid) * share, account.available_cash)
            if bot.spec.risk.max_position_usdt is not None:
                notional = min(notional, bot.spec.risk.max_position_usdt - account.quantity * bid)
            amount = max(notional, Decimal(0)) / price
        quantity = instrument.quantity(instrument.floor_lots(amount))
        dust = quantity < instrument.min_quantity or quantity * price < instrument.min_notional
        return Decimal(0) if dust else quantity
