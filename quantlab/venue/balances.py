"""What the account owns: free and locked, by asset. Amounts are exact decimals; neither part is ever below zero."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from decimal import ROUND_DOWN, Decimal

from quantlab.venue import errors

PLACES = Decimal("0.00000001")
_ZERO = Decimal(0)


class Balances:
    """`start` is what is free at first. `changed` collects the assets that moved since it was cleared."""

    def __init__(self, start: Mapping[str, Decimal]) -> None:
        self._free: dict[str, Decimal] = defaultdict(lambda: _ZERO)
        self._locked: dict[str, Decimal] = defaultdict(lambda: _ZERO)
        self._free.update(start)
        self.changed: dict[str, None] = {}

    def free(self, asset: str) -> Decimal:
        return self._free.get(asset, _ZERO)

    def locked(self, asset: str) -> Decimal:
        return self._locked.get(asset, _ZERO)

    @property
    def assets(self) -> tuple[str, ...]:
        """Every asset that was ever held."""
        return tuple(self._free)

    def add(self, asset: str, amount: Decimal) -> None:
        """Put `amount` to what is free; below zero it is taken away, which raises VenueError -2010 where it lacks."""
        if self.free(asset) + amount < 0:
            raise errors.insufficient_balance()
        if not amount:
            return
        self._free[asset] += amount
        self.changed[asset] = None

    def lock(self, asset: str, amount: Decimal) -> None:
        """Move `amount` from free to locked, or back where it is below zero. Raises VenueError -2010."""
        if self.locked(asset) + amount < 0:
            raise errors.insufficient_balance()
        self.add(asset, -amount)
        self._locked[asset] += amount

    def row(self, asset: str) -> tuple[str, str]:
        """(free, locked) as Binance writes them."""
        return plain(self.free(asset)), plain(self.locked(asset))


def plain(value: Decimal) -> str:
    """Eight places, cut off rather than rounded: nobody is shown more than there is."""
    return f"{value.quantize(PLACES, ROUND_DOWN):f}"
