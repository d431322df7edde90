"""Whether a signature is right, for the three types of key that Binance has.

Source: Binance spot REST docs, "SIGNED endpoint security", and FAQ "API key types", checked 2026-11-23. HMAC signatures
are hex and their case does not matter; Ed25519 and RSA signatures are base64, where it does.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Callable
from typing import Literal

from quantlab.model.errors import ConfigurationError

KeyType = Literal["hmac", "ed25519", "rsa"]
#: (what was signed, signature as sent and URL-decoded) → whether it is right.
Verify = Callable[[bytes, str], bool]

_RSA_BITS = (2048, 4096)


def hmac_sha256(secret: str) -> Verify:
    """For a key whose secret both sides know."""

    def verify(payload: bytes, signature: str) -> bool:
        expected = hmac.new(secret.encode(), payload, hashlib.sha256).hexdigest()
        return hmac.compare_digest(expected.encode(), signature.lower().encode("utf-8", "replace"))

    return verify


def public_key(pem: str) -> tuple[KeyType, Verify]:
    """For an Ed25519 or RSA key (PKCS#1 v1.5 with SHA-256, 2048 or 4096 bits), from its public half in PEM.

    Raises ConfigurationError for anything else; its words never repeat what was given.
    """
    # Here, so that a venue without such keys starts without them.
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    if "PRIVATE KEY" in pem:
        raise ConfigurationError("public_key holds a private key: give the public half, the exchange has no other")
    try:
        key = load_pem_public_key(pem.encode())
    except (ValueError, UnsupportedAlgorithm):
        raise ConfigurationError("public_key is no PEM public key (-----BEGIN PUBLIC KEY-----)") from None
    kind: KeyType
    check: Callable[[bytes, bytes], None]
    if isinstance(key, Ed25519PublicKey):
        kind, check = "ed25519", key.verify
    elif isinstance(key, RSAPublicKey):
        if key.key_size not in _RSA_BITS:
            raise ConfigurationError("public_key: RSA keys have 2048 or 4096 bits")
        rsa = key
        kind, check = "rsa", lambda signature, payload: rsa.verify(signature, payload, PKCS1v15(), SHA256())
    else:
        raise ConfigurationError("public_key is neither Ed25519 nor RSA")

    def verify(payload: bytes, signature: str) -> bool:
        try:
            check(base64.b64decode(signature, validate=True), payload)
        except (InvalidSignature, binascii.Error, ValueError):
            return False
        return True

    return kind, verify
