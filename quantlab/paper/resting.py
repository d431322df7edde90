"""The orders that rest at the exchange, those that wait for their price among them."""

from __future__ import annotations

from quantlab.paper.working import Working


class Resting:
    """`by_symbol` holds the symbols with resting orders only, each with its orders in the order in which they came."""

    def __init__(self) -> None:
        self.by_symbol: dict[str, list[Working]] = {}

    def add(self, working: Working) -> None:
        self.by_symbol.setdefault(working.order.symbol, []).append(working)

    def remove(self, working: Working) -> bool:
        """Whether it rested."""
        symbol = working.order.symbol
        orders = self.by_symbol.get(symbol, [])
        if working not in orders:
            return False
        orders.remove(working)
        if not orders:
            del self.by_symbol[symbol]
        return True

    def of(self, bot: int, symbol: str) -> list[Working]:
        return [working for working in self.by_symbol.get(symbol, ()) if working.order.bot == bot]

    def list_of(self, working: Working) -> list[Working]:
        """The others of its list (OCO)."""
        order = working.order
        if not order.list_number:
            return []
        own = self.of(order.bot, order.symbol)
        return [other for other in own if other is not working and other.order.list_number == order.list_number]
