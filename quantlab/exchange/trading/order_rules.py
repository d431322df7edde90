"""What may leave with a key that trades: place, cancel and ask for orders on one exchange, and listen to the account.

Not part of the door's list, nor of the list of signed reads: it is made from an `Armed` and from nothing else. There is
no entry for a withdrawal, a transfer, a loan or a conversion. Sources: Binance spot REST docs ("Trading endpoints",
"Account endpoints") and WebSocket API docs ("User data stream requests"), checked 2026-11-23.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from yarl import URL

from quantlab.exchange.rules import HEADERS, SUBSCRIBE_ACCOUNT, UPGRADE_HEADERS, header_fault, is_at
from quantlab.exchange.signed_rules import KEY_HEADER
from quantlab.exchange.trading.armed import Armed
from quantlab.model.errors import Refused

ORDER, OPEN_ORDERS = "/api/v3/order", "/api/v3/openOrders"
ACCOUNT, COMMISSION, TRADES = "/api/v3/account", "/api/v3/account/commission", "/api/v3/myTrades"
SOCKET_PATH = "/ws-api/v3"

_STAMPS = frozenset({"timestamp", "recvWindow", "signature"})
_PLACE = frozenset(
    {
        "symbol", "side", "type", "timeInForce", "quantity", "price", "stopPrice", "trailingDelta",
        "newClientOrderId",
    }
)  # fmt: skip
#: (method, path) → the parameters that it may have.
ENDPOINTS: dict[tuple[str, str], frozenset[str]] = {
    ("POST", ORDER): _STAMPS | _PLACE | {"newOrderRespType"},
    ("DELETE", ORDER): _STAMPS | {"symbol", "origClientOrderId"},
    ("DELETE", OPEN_ORDERS): _STAMPS | {"symbol"},
    ("GET", ORDER): _STAMPS | {"symbol", "origClientOrderId", "orderId"},
    ("GET", OPEN_ORDERS): _STAMPS | {"symbol"},
    ("GET", ACCOUNT): _STAMPS | {"omitZeroBalances"},
    ("GET", COMMISSION): _STAMPS | {"symbol"},
    ("GET", TRADES): _STAMPS | {"symbol", "orderId", "startTime", "fromId", "limit"},
}
#: What is sold or bought is said by one of these; anything else is no order of ours.
_VALUES = {
    "side": frozenset({"BUY", "SELL"}),
    "type": frozenset({"MARKET", "LIMIT", "LIMIT_MAKER", "STOP_LOSS", "STOP_LOSS_LIMIT", "TAKE_PROFIT"}),
    "timeInForce": frozenset({"GTC", "IOC"}),
}
_NEEDED = {"symbol", "side", "type", "quantity", "newClientOrderId"}
_VALUE = re.compile(r"(?:[A-Za-z0-9._~-]|%[0-9A-Fa-f]{2})+")
_KEYED_HEADERS = HEADERS | {KEY_HEADER.lower(), "content-length"}

#: Weight by (method, path). Source: Binance spot REST docs, checked 2026-11-23.
WEIGHTS = {
    ("POST", ORDER): 1,
    ("DELETE", ORDER): 1,
    ("DELETE", OPEN_ORDERS): 1,
    ("GET", ORDER): 4,
    ("GET", OPEN_ORDERS): 6,
    ("GET", ACCOUNT): 20,
    ("GET", COMMISSION): 20,
    ("GET", TRADES): 20,
}
_ALL_OPEN_ORDERS_WEIGHT, _TRADES_OF_ORDER_WEIGHT = 80, 5
SOCKET_WEIGHT, SUBSCRIBE_WEIGHT = 2, 2


def weight_of(method: str, path: str, params: Mapping[str, str]) -> int:
    """Weight of a request of this list. Raises KeyError for one that is not on it."""
    if (method, path) == ("GET", OPEN_ORDERS) and "symbol" not in params:
        return _ALL_OPEN_ORDERS_WEIGHT
    if (method, path) == ("GET", TRADES) and "orderId" in params:
        return _TRADES_OF_ORDER_WEIGHT
    return WEIGHTS[method, path]


class OrderRules:
    """Rules of the session that may send orders: as far as `armed` goes, and for as long. `wall_ms` is UTC."""

    def __init__(self, armed: Armed, wall_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000) -> None:
        self._armed = armed
        self._wall_ms = wall_ms
        self._rest, self._socket = URL(armed.rest_url), URL(armed.socket_url)

    @property
    def hosts(self) -> frozenset[str]:
        return frozenset({self._rest.raw_host or "", self._socket.raw_host or ""})

    @property
    def creed(self) -> str:
        return "An armed key places, cancels and asks for orders, and nothing else"

    @property
    def most_bytes(self) -> int | None:
        return 16 * 2**20

    def fault(self, method: str, url: URL, headers: Mapping[str, str]) -> str | None:
        """Why this request may not leave, or None. Shows no value: each may be a key or a signature."""
        if url.user is not None or url.password is not None:
            return "the address carries credentials"
        if is_at(url, self._socket) and url.raw_path == SOCKET_PATH and method == "GET":
            return "the stream takes no parameters" if url.query else header_fault(url, headers, UPGRADE_HEADERS)
        if not is_at(url, self._rest):
            return f"host {url.scheme}://{url.host}:{url.port} is not the exchange of this key"
        known = ENDPOINTS.get((method, url.raw_path))
        if known is None:
            return f"{method} {url.raw_path} is not on the list of orders"
        if fault := _query_fault(method, url.raw_path, url.raw_query_string, known):
            return fault
        if fault := header_fault(url, headers, _KEYED_HEADERS):
            return fault
        if not any(name.lower() == KEY_HEADER.lower() and value for name, value in headers.items()):
            return f"header {KEY_HEADER} is missing"
        return self._armed.fault(self._wall_ms()) if method == "POST" else None

    def frame(self, raw: bytes) -> bytes:
        """The one frame of this session: it subscribes to the account's own events. Raises Refused."""
        try:
            command = msgspec.json.decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise Refused("stream frame refused: it is not JSON") from None
        if fault := _frame_fault(command):
            raise Refused(f"stream frame refused: {fault}. {self.creed}")
        return msgspec.json.encode(command)


def _frame_fault(command: Any) -> str | None:
    if not isinstance(command, dict) or set(command) != {"id", "method", "params"}:
        return "it is not one request of the WebSocket API"
    if command["method"] != SUBSCRIBE_ACCOUNT or not isinstance(command["id"], int):
        return f"its method is not {SUBSCRIBE_ACCOUNT}"
    params = command["params"]
    if not isinstance(params, dict) or set(params) != {"apiKey", "timestamp", "recvWindow", "signature"}:
        return "its parameters are not those of a signed subscription"
    return None


def _query_fault(method: str, path: str, query: str, known: frozenset[str]) -> str | None:
    """Judged as it is written: a name that only decoding would reveal is a foreign one."""
    pairs = [part.partition("=")[::2] for part in query.split("&")] if query else []
    values = dict(pairs)
    if foreign := set(values) - known:
        return f"{len(foreign)} foreign parameters: {method} {path} takes {', '.join(sorted(known))}"
    if len(values) < len(pairs):
        return "a parameter comes twice"
    if not all(_VALUE.fullmatch(value) for value in values.values()):
        return "a parameter is empty or not percent-encoded"
    if not {"timestamp", "signature"} <= set(values):
        return "it is not signed"
    for name, allowed in _VALUES.items():
        if name in values and values[name] not in allowed:
            return f"its {name} is not {', '.join(sorted(allowed))}"
    if method == "POST" and (missing := _NEEDED - set(values)):
        return f"an order names its {', '.join(sorted(missing))}"
    if path == ORDER and method != "POST" and not {"origClientOrderId", "orderId"} & set(values):
        return "it does not say which order"
    return None
