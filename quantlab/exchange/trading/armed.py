"""Leave to send orders: to one exchange, with one key, up to an amount, until a time. Without one there is no client.

`quantlab.live` makes it, from what a person typed and what was checked; this room only asks what it allows.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

from quantlab.exchange.config import DoorConfig
from quantlab.model.errors import Refused

NOT_ON_MAINNET = (
    "live on mainnet waits for a verified paper record of the same fleet: use QUANTLAB_MARKET=testnet or replay"
)
#: The WebSocket API of the testnet. Source: Binance spot testnet docs, checked 2026-11-23.
_TESTNET_SOCKET = "wss://ws-api.testnet.binance.vision/ws-api/v3"


@dataclass(frozen=True, slots=True)
class Armed:
    """What was armed. `until_ms` is UTC, `capital_usdt` bounds what is bought less what is sold.

    Raises Refused for mainnet, and for amounts and times that allow nothing.
    """

    config: DoorConfig
    fingerprint: str
    capital_usdt: Decimal
    until_ms: int

    def __post_init__(self) -> None:
        if self.config.market not in ("testnet", "replay"):
            raise Refused(NOT_ON_MAINNET)
        if not self.fingerprint or self.capital_usdt <= 0 or self.until_ms <= 0:
            raise Refused("this arming allows nothing: `quantlab live arm` makes one")

    @property
    def socket_url(self) -> str:
        """Where the account's own events come from."""
        if self.config.market == "testnet":
            return _TESTNET_SOCKET
        return f"{self.config.stream_url}/ws-api/v3"

    def fault(self, now_ms: int) -> str | None:
        """Why no order may be placed at `now_ms` (UTC), or None. Cancelling and asking are always allowed."""
        if now_ms < self.until_ms:
            return None
        return f"the arming ended at {datetime.fromtimestamp(self.until_ms / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC"
