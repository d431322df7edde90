"""Leave to send orders: to one exchange, with one key, up to an amount, until a time. Without one there is no client.

`quantlab.live` makes it, from what a person typed and what was checked; this room only asks what it allows.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

from quantlab.exchange.config import DoorConfig
from quantlab.model.errors import Refused

#: Where orders go and where the account's events come from: (REST, WebSocket API). Sources: Binance spot REST and
#: WebSocket API docs, "General information", and spot testnet docs, checked 2026-11-24.
_TRADING = {
    "mainnet": ("https://api.binance.com", "wss://ws-api.binance.com/ws-api/v3"),
    "testnet": ("https://testnet.binance.vision", "wss://ws-api.testnet.binance.vision/ws-api/v3"),
}


@dataclass(frozen=True, slots=True)
class Armed:
    """What was armed. `until_ms` is UTC, `capital_usdt` bounds what is bought less what is sold.

    `record` is why the fleet may trade real money: its verified paper record, or a waiver. Raises Refused for mainnet
    without one, and for amounts and times that allow nothing.
    """

    config: DoorConfig
    fingerprint: str
    capital_usdt: Decimal
    until_ms: int
    record: str = ""

    def __post_init__(self) -> None:
        if self.config.market not in ("testnet", "replay") and not self.record:
            raise Refused("mainnet without a paper record of the fleet: `quantlab live arm --fleet FILE` looks for one")
        if not self.fingerprint or self.capital_usdt <= 0 or self.until_ms <= 0:
            raise Refused("this arming allows nothing: `quantlab live arm` makes one")

    @property
    def rest_url(self) -> str:
        """Where orders go: on mainnet another host than the one that market data comes from."""
        return _TRADING[self.config.market][0] if self.config.market in _TRADING else self.config.rest_url

    @property
    def socket_url(self) -> str:
        """Where the account's own events come from."""
        market = self.config.market
        return _TRADING[market][1] if market in _TRADING else f"{self.config.stream_url}/ws-api/v3"

    def fault(self, now_ms: int) -> str | None:
        """Why no order may be placed at `now_ms` (UTC), or None. Cancelling and asking are always allowed."""
        if now_ms < self.until_ms:
            return None
        return f"the arming ended at {datetime.fromtimestamp(self.until_ms / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC"
