"""Signatures of requests, as Binance checks them. Each is a `Signer`: the secret goes in and never comes out.

Source: Binance spot REST docs, "SIGNED endpoint security", checked 2026-11-23. Signatures are returned as Binance reads
them after URL decoding: hex for HMAC, base64 for Ed25519 and RSA (PKCS#1 v1.5 with SHA-256).
"""

from __future__ import annotations

import base64
import hashlib
import hmac

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256


class _Signer:
    """What the three share: a public id, and a refusal to be copied to disk or to another process."""

    __slots__ = ("_api_key",)

    def __init__(self, api_key: str) -> None:
        self._api_key = api_key

    @property
    def api_key(self) -> str:
        return self._api_key

    def __reduce__(self) -> str:
        raise TypeError("a signer is not pickled")

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class HmacSigner(_Signer):
    """HMAC-SHA256, as hex. Binance calls this kind of key deprecated and recommends Ed25519."""

    __slots__ = ("_secret",)

    def __init__(self, api_key: str, secret: str) -> None:
        super().__init__(api_key)
        self._secret = secret.encode()

    def sign(self, payload: bytes) -> str:
        return hmac.new(self._secret, payload, hashlib.sha256).hexdigest()


class Ed25519Signer(_Signer):
    """Ed25519, as base64."""

    __slots__ = ("_private",)

    def __init__(self, api_key: str, private: Ed25519PrivateKey) -> None:
        super().__init__(api_key)
        self._private = private

    def sign(self, payload: bytes) -> str:
        return base64.b64encode(self._private.sign(payload)).decode()


class RsaSigner(_Signer):
    """RSASSA-PKCS1-v1_5 with SHA-256, as base64."""

    __slots__ = ("_private",)

    def __init__(self, api_key: str, private: RSAPrivateKey) -> None:
        super().__init__(api_key)
        self._private = private

    def sign(self, payload: bytes) -> str:
        return base64.b64encode(self._private.sign(payload, PKCS1v15(), SHA256())).decode()
