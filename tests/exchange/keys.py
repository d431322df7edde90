"""A key of the tests, and signers that know it."""

from __future__ import annotations

import hashlib
import hmac

#: Mixed letters and digits, as Binance's are.
API_KEY = "Kq7Wn2Xc" * 8
SECRET = "Zr4Tb9Lm" * 8


class PlainSigner:
    """Signs with HMAC-SHA256, without the vault; counts."""

    def __init__(self, api_key: str = API_KEY, secret: str = SECRET) -> None:
        self.api_key = api_key
        self._secret = secret
        self.payloads: list[bytes] = []

    def sign(self, payload: bytes) -> str:
        self.payloads.append(payload)
        return hmac.new(self._secret.encode(), payload, hashlib.sha256).hexdigest()


class OddSigner(PlainSigner):
    """Its signatures hold what base64 holds and a query may not."""

    def sign(self, payload: bytes) -> str:
        self.payloads.append(payload)
        return "a+b/c&symbol=X==" + "S" * 60
