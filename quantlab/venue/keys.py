"""API keys and signatures of signed requests, as Binance checks them: format, key, timestamp, signature.

HMAC SHA-256 keys only. Source: Binance spot REST docs, "SIGNED endpoint security", and WebSocket API docs, "Signed
requests", checked 2026-11-23.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import time
from collections.abc import Mapping

from quantlab.venue import errors
from quantlab.venue.parameters import text

_KEY = re.compile(r"[A-Za-z0-9]{64}")
_SIGNATURE = re.compile(r"(^|&)signature=[^&]*")
_TIME = re.compile(errors.LEGAL_INTEGER)
_WINDOW = re.compile(r"[0-9]{1,5}(\.[0-9]{1,3})?")
_AHEAD_MS = 1_000
_WINDOW_MS, _LARGEST_WINDOW_MS = 5_000.0, 60_000.0


class KeyRing:
    """The keys that the venue knows, with their HMAC secrets."""

    def __init__(self, keys: Mapping[str, str] | None = None) -> None:
        self.keys = dict(keys or {})

    def check_request(self, api_key: str | None, query: str, body: str, params: Mapping[str, str]) -> None:
        """Raise VenueError unless a REST request carries a known key, a fresh timestamp and its signature.

        `query` and `body` are what was sent, percent-encoded: the signature covers those bytes, query and body joined
        without an "&", without itself.
        """
        self._check(api_key, _without_signature(query) + _without_signature(body), params)

    def check_frame(self, api_key: str | None, params: Mapping[str, str]) -> None:
        """The same for a request to the WebSocket API, which signs its parameters (`apiKey` too) sorted by name."""
        payload = "&".join(f"{name}={params[name]}" for name in sorted(params) if name != "signature")
        self._check(api_key, payload, params)

    def _check(self, api_key: str | None, payload: str, params: Mapping[str, str]) -> None:
        if api_key is None or not _KEY.fullmatch(api_key):
            raise errors.bad_key_format()
        secret = self.keys.get(api_key)
        if secret is None:
            raise errors.rejected_key()
        timestamp, signature = text(params, "timestamp"), text(params, "signature")
        if not _TIME.fullmatch(timestamp):
            raise errors.illegal("timestamp", errors.LEGAL_INTEGER)
        expected = hmac.new(secret.encode(), payload.encode(), hashlib.sha256).hexdigest()
        if not hmac.compare_digest(expected.encode(), signature.lower().encode()):
            raise errors.bad_signature()
        _check_time(int(timestamp), params.get("recvWindow"))


def _check_time(sent_ms: int, window: str | None) -> None:
    if window is not None and not _WINDOW.fullmatch(window):
        raise errors.illegal("recvWindow", errors.LEGAL_DECIMAL)
    window_ms = _WINDOW_MS if window is None else float(window)
    if window_ms > _LARGEST_WINDOW_MS:
        raise errors.VenueError(-1131, "recvWindow must be less than 60000.")
    now_ms = time.time_ns() // 1_000_000
    if sent_ms >= now_ms + _AHEAD_MS:
        raise errors.bad_timestamp(ahead=True)
    if now_ms - sent_ms > window_ms:
        raise errors.bad_timestamp(ahead=False)


def _without_signature(sent: str) -> str:
    return _SIGNATURE.sub("", sent).removeprefix("&")
