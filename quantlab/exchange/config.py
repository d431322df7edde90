"""Which exchange a door opens to. Only the hosts named here can be reached, whatever else is configured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

from quantlab.model.errors import ConfigurationError, Refused

if TYPE_CHECKING:
    from quantlab.settings import Settings

Market = Literal["mainnet", "testnet", "replay"]

#: (REST, streams) of each real market. The mainnet pair serves market data only: it has no order endpoints.
#: Source: Binance spot REST and WebSocket docs, "market data only" URLs and testnet, checked 2026-11-23.
HOSTS: dict[str, tuple[str, str]] = {
    "mainnet": ("https://data-api.binance.vision", "wss://data-stream.binance.vision"),
    "testnet": ("https://testnet.binance.vision", "wss://stream.testnet.binance.vision"),
}
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})

#: Silence after which a stream is dialled anew. Binance pings each 20 s; a replay may stand still while its one
#: reader thinks, so there silence means little.
_SILENCE_S = {"mainnet": 60.0, "testnet": 60.0, "replay": 600.0}


@dataclass(frozen=True, slots=True)
class DoorConfig:
    """Where a door opens to, and how patient it is. Times in seconds.

    `timeout_s` bounds each attempt, `total_s` a whole call with waiting and retries (default: four attempts' time),
    `silence_s` a stream without any frame (default by market).
    Raises Refused for a host that `market` does not have, ConfigurationError for impossible numbers.
    """

    market: Market
    rest_url: str
    stream_url: str
    weight_per_minute: int = 1200
    timeout_s: float = 30.0
    total_s: float = 0.0
    silence_s: float = 0.0

    def __post_init__(self) -> None:
        if self.market in HOSTS:
            if (self.rest_url, self.stream_url) != HOSTS[self.market]:
                raise Refused(
                    f"{self.market} is at {' and '.join(HOSTS[self.market])}, not at {self.rest_url} and "
                    f"{self.stream_url}: another address needs QUANTLAB_MARKET=replay and must be on this machine"
                )
        elif self.market == "replay":
            _check_loopback(self.rest_url, "http")
            _check_loopback(self.stream_url, "ws")
        else:
            raise ConfigurationError(f'market "{self.market}" is not one of mainnet, testnet, replay')
        if self.weight_per_minute < 1 or self.timeout_s <= 0 or self.total_s < 0 or self.silence_s < 0:
            raise ConfigurationError("weight a minute and time limits of the exchange door must be above zero")
        if not self.total_s:
            object.__setattr__(self, "total_s", 4 * self.timeout_s)
        if not self.silence_s:
            object.__setattr__(self, "silence_s", _SILENCE_S[self.market])

    @classmethod
    def for_settings(cls, settings: Settings) -> DoorConfig:
        """The door that the settings ask for. Raises ConfigurationError for a replay without a venue's address."""
        if settings.market == "replay":
            if not settings.venue_url:
                raise ConfigurationError("a replay needs a venue: set QUANTLAB_VENUE_URL or start `quantlab venue`")
            rest = settings.venue_url.rstrip("/")
            stream = rest.replace("http", "ws", 1)
        else:
            rest, stream = HOSTS[settings.market]
        return cls(
            market=settings.market,
            rest_url=rest,
            stream_url=stream,
            weight_per_minute=settings.weight_per_minute,
            timeout_s=settings.timeout_seconds,
        )

    @property
    def address(self) -> str:
        """Host and port of the REST side, for messages to people."""
        return address_of(self.rest_url)

    @property
    def is_real(self) -> bool:
        """True on an exchange whose market time is the wall's."""
        return self.market != "replay"


def address_of(url: str) -> str:
    """`host:port` of a URL, the default port filled in."""
    parts = urlsplit(url)
    return f"{parts.hostname}:{parts.port or (443 if parts.scheme in ('https', 'wss') else 80)}"


def _check_loopback(url: str, scheme: str) -> None:
    parts = urlsplit(url)
    if parts.scheme != scheme or parts.hostname not in _LOOPBACK or parts.path or parts.query or parts.username:
        raise Refused(f'replay venue "{url}" is not {scheme}://<loopback>:<port>: a replay talks to this machine only')
