"""API keys and signatures of signed requests, as Binance checks them: format, key, timestamp, signature."""

from __future__ import annotations

import hashlib
import hmac
import re
import time
from collections.abc import Mapping

from quantlab.venue.errors import bad_key_format, bad_signature, bad_timestamp, missing, rejected_key

_KEY = re.compile(r"[A-Za-z0-9]{64}")
_AHEAD_MS = 1_000
_WINDOW_MS, _LARGEST_WINDOW_MS = 5_000, 60_000


class KeyRing:
    """The keys that the venue knows, with their HMAC secrets."""

    def __init__(self, keys: Mapping[str, str] | None = None) -> None:
        self.keys = dict(keys or {})

    def check(self, api_key: str | None, raw_query: str, params: Mapping[str, str]) -> None:
        """Raise VenueError unless the request carries a known key, a fresh timestamp and its signature.

        `raw_query` is the query and body as they were sent, signature included: the signature covers the bytes on the
        wire, percent-encoded, without itself.
        """
        if api_key is None or not _KEY.fullmatch(api_key):
            raise bad_key_format()
        secret = self.keys.get(api_key)
        if secret is None:
            raise rejected_key()
        for name in ("timestamp", "signature"):
            if not params.get(name):
                raise missing(name)
        signed = re.sub(r"&?signature=[^&]*", "", raw_query).lstrip("&")
        expected = hmac.new(secret.encode(), signed.encode(), hashlib.sha256).hexdigest()
        if not hmac.compare_digest(expected, params["signature"].lower()):
            raise bad_signature()
        try:
            sent = int(params["timestamp"])
            window = min(float(params.get("recvWindow") or _WINDOW_MS), _LARGEST_WINDOW_MS)
        except ValueError:
            raise missing("timestamp") from None
        now = time.time_ns() // 1_000_000
        if sent >= now + _AHEAD_MS:
            raise bad_timestamp(ahead=True)
        if now - sent > window:
            raise bad_timestamp(ahead=False)
