"""API keys and signatures of signed requests, as Binance checks them: format, key, address, timestamp, signature.

Source: Binance spot REST docs, "SIGNED endpoint security", and WebSocket API docs, "Signed requests", checked
2026-11-23. -2015 does not tell an unknown key, an address and a permission apart.
"""

from __future__ import annotations

import ipaddress
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from quantlab.model.errors import NotFound
from quantlab.venue import errors
from quantlab.venue.masking import fingerprint
from quantlab.venue.parameters import text
from quantlab.venue.signatures import KeyType, Verify, hmac_sha256

API_KEY = re.compile(r"[A-Za-z0-9]{64}")
_SIGNATURE = re.compile(rb"(^|&)signature=[^&]*")
_TIME = re.compile(errors.LEGAL_INTEGER)
_WINDOW = re.compile(r"[0-9]{1,5}(\.[0-9]{1,3})?")
_AHEAD_MS = 1_000
_WINDOW_MS, _LARGEST_WINDOW_MS = 5_000.0, 60_000.0

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True)
class Key:
    """One API key. Its secret is in `verify` and nowhere else.

    `restrictions` are those fields of its permissions that differ from the account's. Requests from other addresses
    than `addresses` are rejected; None lets every address in. A key that is not `enabled` is known and rejected.
    """

    api_key: str = field(repr=False)
    type: KeyType
    verify: Verify = field(repr=False)
    restrictions: Mapping[str, object] = field(default_factory=dict)
    addresses: frozenset[Address] | None = None
    enabled: bool = True

    @property
    def fingerprint(self) -> str:
        return fingerprint(self.api_key)


class KeyRing:
    """The keys that the venue knows. `secrets` are HMAC keys to begin with, by API key."""

    def __init__(self, secrets: Mapping[str, str] | None = None) -> None:
        self._keys = {api_key: Key(api_key, "hmac", hmac_sha256(secret)) for api_key, secret in (secrets or {}).items()}

    def __iter__(self) -> Iterator[Key]:
        return iter(tuple(self._keys.values()))

    def add(self, key: Key) -> None:
        """Add `key`, or put it in the place of the one with the same API key."""
        self._keys[key.api_key] = key

    def remove(self, fingerprint: str) -> None:
        """Delete a key: it is rejected from now on. Raises NotFound."""
        for key in self:
            if key.fingerprint == fingerprint:
                del self._keys[key.api_key]
                return
        raise NotFound("no key has this fingerprint: GET /__venue__/keys lists them")

    def check_request(
        self,
        api_key: str | None,
        query: bytes,
        body: bytes,
        params: Mapping[str, str],
        peer: str | None,
        *,
        skew_ms: int = 0,
    ) -> Key:
        """The key that signed a REST request. Raises VenueError unless it is known, comes from one of its addresses,
        and the request has a fresh timestamp and its signature.

        `query` and `body` are what was sent, percent-encoded: the signature covers those bytes, query and body joined
        without an "&", without itself. `skew_ms` is by how much the venue's clock is wrong.
        """
        return self._check(api_key, _without_signature(query) + _without_signature(body), params, peer, skew_ms)

    def check_frame(self, params: Mapping[str, str], peer: str | None, *, skew_ms: int = 0) -> Key:
        """The same for a request to the WebSocket API, which signs its parameters (`apiKey` too) sorted by name."""
        payload = "&".join(f"{name}={params[name]}" for name in sorted(params) if name != "signature")
        return self._check(params.get("apiKey"), payload.encode("utf-8", "surrogatepass"), params, peer, skew_ms)

    def check_session(self, key: Key, params: Mapping[str, str], peer: str | None, *, skew_ms: int = 0) -> None:
        """Raise VenueError unless a session that is logged on with `key` may go on, and its request is fresh."""
        if self._keys.get(key.api_key) is not key or not key.enabled or not _is_from(key.addresses, peer):
            raise errors.rejected_key()
        _check_time(_timestamp(params), params.get("recvWindow"), skew_ms)

    def _check(
        self, api_key: str | None, payload: bytes, params: Mapping[str, str], peer: str | None, skew_ms: int
    ) -> Key:
        if api_key is None or not API_KEY.fullmatch(api_key):
            raise errors.bad_key_format()
        key = self._keys.get(api_key)
        if key is None or not key.enabled or not _is_from(key.addresses, peer):
            raise errors.rejected_key()
        sent_ms, signature = _timestamp(params), text(params, "signature")
        if not key.verify(payload, signature):
            raise errors.bad_signature()
        _check_time(sent_ms, params.get("recvWindow"), skew_ms)
        return key


def _is_from(addresses: frozenset[Address] | None, peer: str | None) -> bool:
    if addresses is None:
        return True
    if peer is None:  # it has gone
        return False
    address = ipaddress.ip_address(peer)
    return (getattr(address, "ipv4_mapped", None) or address) in addresses


def _timestamp(params: Mapping[str, str]) -> int:
    timestamp = text(params, "timestamp")
    if not _TIME.fullmatch(timestamp):
        raise errors.illegal("timestamp", errors.LEGAL_INTEGER)
    return int(timestamp)


def _check_time(sent_ms: int, window: str | None, skew_ms: int) -> None:
    if window is not None and not _WINDOW.fullmatch(window):
        raise errors.illegal("recvWindow", errors.LEGAL_DECIMAL)
    window_ms = _WINDOW_MS if window is None else float(window)
    if window_ms > _LARGEST_WINDOW_MS:
        raise errors.VenueError(-1131, "recvWindow must be less than 60000.")
    now_ms = time.time_ns() // 1_000_000 + skew_ms
    if sent_ms >= now_ms + _AHEAD_MS:
        raise errors.bad_timestamp(ahead=True)
    if now_ms - sent_ms > window_ms:
        raise errors.bad_timestamp(ahead=False)


def _without_signature(sent: bytes) -> bytes:
    return _SIGNATURE.sub(b"", sent).removeprefix(b"&")
