"""What may leave with a key: four reads, each named here, and no order. A shorter list than the door's, and its own.

A key goes only where a signature goes with it, and only to the host that its environment has. Sources: Binance spot
REST docs, "Account endpoints" and "SIGNED endpoint security", wallet docs, "API key permission", checked 2026-11-23.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from yarl import URL

from quantlab.exchange.config import DoorConfig
from quantlab.exchange.rules import HEADERS, header_fault, is_at
from quantlab.model.errors import Refused

RESTRICTIONS = "/sapi/v1/account/apiRestrictions"
ACCOUNT = "/api/v3/account"
COMMISSION = "/api/v3/account/commission"
TIME = "/api/v3/time"

#: Weight of each signed read. `/sapi` is counted apart by Binance; here it is paid from the same budget.
SIGNED_WEIGHTS = {RESTRICTIONS: 1, ACCOUNT: 20, COMMISSION: 20}
TIME_WEIGHT = 1

_STAMPS = frozenset({"timestamp", "recvWindow", "signature"})
#: The parameters that each read may have.
_PARAMETERS = {
    TIME: frozenset[str](),
    RESTRICTIONS: _STAMPS,
    ACCOUNT: _STAMPS | {"omitZeroBalances"},
    COMMISSION: _STAMPS | {"symbol"},
}
#: A value as it is written: unreserved letters and percent-encoding.
_VALUE = re.compile(r"(?:[A-Za-z0-9._~-]|%[0-9A-Fa-f]{2})+")
KEY_HEADER = "X-MBX-APIKEY"
_KEYED_HEADERS = HEADERS | {KEY_HEADER.lower()}

#: The only place of the package that knows it: market data comes from a host without an account.
MAINNET_URL = "https://api.binance.com"


def keyed_url(config: DoorConfig) -> str:
    """Where signed reads of this market go: mainnet's trading host, else where its market data comes from."""
    return MAINNET_URL if config.market == "mainnet" else config.rest_url


@dataclass(frozen=True, slots=True)
class SignedReads:
    """Rules of a keyed session: signed reads from one place."""

    origin: URL

    @property
    def hosts(self) -> frozenset[str]:
        return frozenset({self.origin.raw_host or ""})

    @property
    def creed(self) -> str:
        return "A key is unlocked for signed reads only"

    @property
    def most_bytes(self) -> int | None:
        return 4 * 2**20

    def fault(self, method: str, url: URL, headers: Mapping[str, str]) -> str | None:
        """Why this request may not leave, or None. Shows no value: each may be a key or a signature."""
        if method != "GET":
            return f"method {method} is not GET"
        if not is_at(url, self.origin):
            return f"host {url.scheme}://{url.host}:{url.port} is not the exchange of this key"
        if url.user is not None or url.password is not None:
            return "the address carries credentials"
        path = url.raw_path
        if path not in _PARAMETERS:
            return f"path {path} is not one of the signed reads"
        query = _query_fault(path, url.raw_query_string)
        signed = path in SIGNED_WEIGHTS
        if query is not None:
            return query
        if fault := header_fault(url, headers, _KEYED_HEADERS if signed else HEADERS):
            return fault
        if signed and not any(name.lower() == KEY_HEADER.lower() and value for name, value in headers.items()):
            return f"header {KEY_HEADER} is missing"
        return None

    def frame(self, raw: bytes) -> bytes:
        raise Refused(f"stream frame refused: there is no stream here. {self.creed}")


def _query_fault(path: str, query: str) -> str | None:
    """Judged as it is written: a name that only decoding would reveal is a foreign one."""
    pairs = [part.partition("=") for part in query.split("&")] if query else []
    names = [name for name, _, _ in pairs]
    if foreign := set(names) - _PARAMETERS[path]:
        known = ", ".join(sorted(_PARAMETERS[path])) or "nothing"
        return f"{len(foreign)} foreign parameters: GET {path} takes {known}"
    if len(set(names)) < len(names):
        return "a parameter comes twice"
    if not all(_VALUE.fullmatch(value) for _, _, value in pairs):
        return "a parameter is empty or not percent-encoded"
    if path in SIGNED_WEIGHTS and not {"timestamp", "signature"} <= set(names):
        return "it is not signed"
    return None
