"""What may leave the process: an allow-list of requests and of stream frames. Nothing else does.

Pure functions: each says why something may *not* leave, or None. `guard.py` asks them before the socket. The lists
name market data that needs no key; there is no entry for an order, so no bug and no option can let one out.
Sources: Binance spot REST docs (market data endpoints) and WebSocket streams docs, checked 2026-11-23.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec
from yarl import URL

from quantlab.model.errors import Refused

REST_PATHS = frozenset(
    {
        "/api/v3/ping",
        "/api/v3/time",
        "/api/v3/exchangeInfo",
        "/api/v3/klines",
        "/api/v3/depth",
        "/api/v3/trades",
        "/api/v3/aggTrades",
        "/api/v3/avgPrice",
        "/api/v3/ticker/24hr",
        "/api/v3/ticker/bookTicker",
        "/api/v3/ticker/price",
    }
)
#: Only a replay venue on loopback has this one: what it plays, and how far it is.
VENUE_CLOCK = "/__venue__/clock"
STREAM_PATHS = frozenset({"/stream", "/ws"})

PARAMETERS = frozenset(
    {"symbol", "symbols", "limit", "interval", "startTime", "endTime", "timeZone", "fromId", "type", "windowSize"}
    | {"permissions", "symbolStatus", "showPermissionSets"}
)
#: No API key, no cookie, no authorisation, no method override: only what aiohttp itself needs to say.
HEADERS = frozenset({"host", "accept", "accept-encoding", "user-agent"})
UPGRADE_HEADERS = HEADERS | {"connection", "upgrade", "sec-websocket-version", "sec-websocket-key"}

STREAM_COMMANDS = frozenset({"SUBSCRIBE", "UNSUBSCRIBE", "LIST_SUBSCRIPTIONS"})
#: Subscribes to an account's own events: no market data, so on no list but that of orders, and no order either.
SUBSCRIBE_ACCOUNT = "userDataStream.subscribe.signature"
#: Market streams carry an "@"; a listen key (the account's own stream) never does.
_STREAM = re.compile(
    r"\w{2,30}@(bookTicker|trade|aggTrade|avgPrice|ticker|miniTicker|ticker_(1h|4h|1d)"
    r"|kline_(1s|1m|3m|5m|15m|30m|1h|2h|4h|6h|8h|12h|1d|3d|1w|1M)"
    r"|depth(5|10|20)?(@100ms|@1000ms)?)"
    r"|!(ticker|miniTicker)@arr"
)

#: A second, independent look at what went out, for the report's count: it knows orders, not the allow-list.
_ORDER_WORDS = re.compile(r"order|cancel|withdraw|transfer|convert|borrow|repay|loan|margin", re.IGNORECASE)


class Rules(Protocol):
    """What a guarded session lets out: the door's own list is `Origins`."""

    @property
    def hosts(self) -> frozenset[str]:
        """The only names that are resolved."""
        ...

    @property
    def creed(self) -> str:
        """What this session is for: the last sentence of a refusal."""
        ...

    @property
    def most_bytes(self) -> int | None:
        """The longest answer that is read; None where there is no bound."""
        ...

    def fault(self, method: str, url: URL, headers: Mapping[str, str]) -> str | None:
        """Why this request may not leave, or None."""
        ...

    def frame(self, raw: bytes) -> bytes:
        """A stream's text frame as it may be written, encoded anew from what was checked. Raises Refused."""
        ...


@dataclass(frozen=True, slots=True)
class Origins:
    """The two places a door opens to, and whether they are a replay venue. Rules of the door without a key."""

    rest: URL
    stream: URL
    is_venue: bool = False

    @property
    def hosts(self) -> frozenset[str]:
        return frozenset(url.raw_host or "" for url in (self.rest, self.stream))

    @property
    def creed(self) -> str:
        return "Paper trading only reads market data"

    @property
    def most_bytes(self) -> int | None:
        return None

    def fault(self, method: str, url: URL, headers: Mapping[str, str]) -> str | None:
        return request_fault(self, method, url, headers)

    def frame(self, raw: bytes) -> bytes:
        return checked_frame(raw)


def request_fault(origins: Origins, method: str, url: URL, headers: Mapping[str, str]) -> str | None:
    """Why this request may not leave, or None. `url` is judged as it would be written, without decoding."""
    if method != "GET":
        return f"method {method} is not GET"
    if is_at(url, origins.rest) and _may_ask(origins, url.raw_path):
        headers_allowed = HEADERS
        foreign = [name for name in url.query if name not in PARAMETERS]
    elif is_at(url, origins.stream) and url.raw_path in STREAM_PATHS:
        headers_allowed = UPGRADE_HEADERS
        foreign = list(url.query)
    elif url.origin() in (origins.rest.origin(), origins.stream.origin()):
        return f"path {url.raw_path} is not market data"
    else:
        return f"host {url.scheme}://{url.raw_authority} is not the exchange this door opens to"
    if foreign:
        return f"parameter {foreign[0]} is not one of a market data request"
    if url.user is not None or url.password is not None:
        return "the address carries credentials"
    return header_fault(url, headers, headers_allowed)


def header_fault(url: URL, headers: Mapping[str, str], allowed: frozenset[str]) -> str | None:
    """Why a request with these headers may not leave, or None. Their values are not shown, they may be secret."""
    for name, value in headers.items():
        if name.lower() not in allowed:
            return f"header {name} is not one of a request of this kind"
        if name.lower() == "host" and not _names(value, url):
            return f"header Host names {value}, the address {url.raw_host}"
    return None


def is_at(url: URL, origin: URL) -> bool:
    """Whether `url` is of that scheme, host and port."""
    return (url.scheme, url.raw_host, url.port) == (origin.scheme, origin.raw_host, origin.port)


def frame_fault(command: Any) -> str | None:
    """Why this decoded stream frame may not leave, or None."""
    if not isinstance(command, dict):
        return "the frame is not a JSON object"
    method, streams = command.get("method"), command.get("params", [])
    if not isinstance(method, str) or method not in STREAM_COMMANDS:
        return f"stream method {method!r} is not {', '.join(sorted(STREAM_COMMANDS))}"
    if extra := command.keys() - {"method", "params", "id"}:
        return f"stream frame has the foreign field {min(extra)!r}"
    if not isinstance(command.get("id", 0), int):
        return "the frame's id is not a number"
    if not isinstance(streams, list):
        return "the frame's params are not a list"
    return next((f"{name!r} is not a market stream" for name in streams if not _is_stream(name)), None)


def checked_frame(frame: bytes) -> bytes:
    """The frame as it may be written, encoded anew from what was checked: a field named twice cannot mean one thing
    here and another there. Raises Refused."""
    try:
        command = msgspec.json.decode(frame)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Refused(f"stream frame refused: it is not JSON ({error})") from None
    if fault := frame_fault(command):
        raise Refused(f"stream frame refused: {fault}. Paper trading sends no orders")
    return msgspec.json.encode(command)


def looks_like_order(method: str, path: str) -> bool:
    """Whether something that went out could have moved money. Independent of the allow-list, so that the two can
    disagree."""
    return method not in {"GET", SUBSCRIBE_ACCOUNT, *STREAM_COMMANDS} or _ORDER_WORDS.search(path) is not None


def _may_ask(origins: Origins, path: str) -> bool:
    return path in REST_PATHS or (origins.is_venue and path == VENUE_CLOCK)


def _is_stream(name: object) -> bool:
    return isinstance(name, str) and _STREAM.fullmatch(name) is not None


def _names(host: str, url: URL) -> bool:
    return host in (url.raw_host, f"{url.raw_host}:{url.port}", url.raw_authority)
