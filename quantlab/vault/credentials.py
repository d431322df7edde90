"""An API key and its secret, as Binance gives them: HMAC secrets, Ed25519 and RSA private keys as PEM."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from typing import Literal

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from quantlab.model.errors import ConfigurationError
from quantlab.redact import register_secret
from quantlab.vault.signers import Ed25519Signer, HmacSigner, RsaSigner

KeyType = Literal["hmac", "ed25519", "rsa"]

#: Binance's API keys, HMAC secrets too, are 64 letters and digits. Source: Binance spot REST docs, error -2014 and the
#: examples of "SIGNED endpoint security", checked 2026-11-23.
_API_KEY = re.compile(r"[A-Za-z0-9]{64}")
_LEAST_RSA_BITS = 2048


@dataclass(frozen=True)
class Credential:
    """A pair that can sign. Neither `repr` nor `str` shows the secret."""

    api_key: str = field(repr=False)
    secret: str = field(repr=False)
    type: KeyType

    @classmethod
    def parse(cls, api_key: str, secret: str) -> Credential:
        """The pair as typed, pasted or read from a line (`\\n` stands for a line's end in a PEM). Both are registered
        as secrets, so that no text shows them from now on.

        Raises ConfigurationError for what Binance would not give: swapped halves, placeholders, encrypted PEMs.
        """
        api_key, secret = api_key.strip(), _unfolded(secret)
        for value in (api_key, secret):
            register_secret(value)
        if not _API_KEY.fullmatch(api_key):
            hint = "this is a private key, give the API key first" if "PRIVATE KEY" in api_key else _length(api_key)
            raise ConfigurationError(f"the API key is not 64 letters and digits ({hint}): copy it from API Management")
        if "-----BEGIN" in secret:
            return cls(api_key, secret, _pem_type(secret))
        if not _API_KEY.fullmatch(secret):
            raise ConfigurationError(
                f"the secret is neither 64 letters and digits ({_length(secret)}) nor a PEM private key: Binance "
                "shows it once, when the key is made"
            )
        if secret == api_key:
            raise ConfigurationError("the secret is the same as the API key: paste the secret that Binance showed")
        return cls(api_key, secret, "hmac")

    @classmethod
    def known(cls, api_key: str, secret: str, type: KeyType) -> Credential:
        """A pair that `parse` took once and that was kept sealed since: it is not examined again, which for an RSA key
        would take 40 ms."""
        for value in (api_key, secret):
            register_secret(value)
        return cls(api_key, secret, type)

    @property
    def fingerprint(self) -> str:
        """What names a key without showing it."""
        return fingerprint(self.api_key)

    def signer(self) -> HmacSigner | Ed25519Signer | RsaSigner:
        """What signs requests with it."""
        if self.type == "hmac":
            return HmacSigner(self.api_key, self.secret)
        # An RSA key's primes were tested by `parse`.
        private = load_pem_private_key(self.secret.encode(), None, unsafe_skip_rsa_key_validation=True)
        if isinstance(private, Ed25519PrivateKey):
            return Ed25519Signer(self.api_key, private)
        assert isinstance(private, RSAPrivateKey)  # `parse` took nothing else
        return RsaSigner(self.api_key, private)

    def __reduce__(self) -> str:
        raise TypeError("a key is not pickled")


def fingerprint(api_key: str) -> str:
    """The first 64 bits of the API key's SHA-256, as 16 hex digits."""
    return hashlib.sha256(api_key.encode()).hexdigest()[:16]


def _unfolded(secret: str) -> str:
    """A PEM with real line ends, whether it came as a file, in one line of `.env`, or from a terminal."""
    secret = secret.strip()
    if "-----BEGIN" in secret:
        secret = secret.replace("\\n", "\n").replace("\r\n", "\n").strip() + "\n"
    return secret


def _pem_type(pem: str) -> KeyType:
    try:
        private = load_pem_private_key(pem.encode(), None)
    except TypeError:
        raise ConfigurationError(
            "the private key is encrypted with a passphrase of its own: give it plain, the vault encrypts it"
        ) from None
    except Exception:  # the words of cryptography's many errors may hold parts of the key
        raise ConfigurationError(
            "the private key cannot be read: give the whole PEM, BEGIN and END lines too"
        ) from None
    if isinstance(private, Ed25519PrivateKey):
        return "ed25519"
    if isinstance(private, RSAPrivateKey):
        if private.key_size < _LEAST_RSA_BITS:
            raise ConfigurationError(f"an RSA key of {private.key_size} bits is too short: Binance wants 2048 or more")
        return "rsa"
    raise ConfigurationError("the private key is neither Ed25519 nor RSA: Binance takes no other")


def _length(text: str) -> str:
    return f"it has {len(text)} characters"
