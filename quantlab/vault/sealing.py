"""Sealed documents: JSON in a Fernet token (AES-128-CBC with HMAC-SHA256).

Fernet authenticates a token but not where it lies, so each document repeats what its row says and the reader compares:
a token that was moved to another row, label or time is refused there.
"""

from __future__ import annotations

from typing import Any

import msgspec
from cryptography.fernet import Fernet, InvalidToken

from quantlab.vault.errors import Tampered


class Sealer:
    """Seals and opens documents with one key. Its `repr` shows nothing of it."""

    __slots__ = ("_fernet", "_key")

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._fernet = Fernet(key)

    @classmethod
    def fresh(cls) -> Sealer:
        """One with a new random key."""
        return cls(Fernet.generate_key())

    def seal(self, document: dict[str, Any]) -> str:
        return self._fernet.encrypt(msgspec.json.encode(document)).decode()

    def open(self, token: str, what: str) -> dict[str, Any]:
        """The document in `token`. Raises Tampered naming `what` when it was not sealed with this key, or changed."""
        try:
            return msgspec.json.decode(self._fernet.decrypt(token.encode()), type=dict[str, Any])
        except (InvalidToken, msgspec.DecodeError, UnicodeEncodeError):
            raise Tampered(f"{what} was changed outside quantlab: restore the vault from a backup") from None

    def wrap(self, other: Sealer) -> str:
        """`other`'s key, sealed with this one."""
        return self._fernet.encrypt(other._key).decode()

    def unwrap(self, token: str, what: str) -> Sealer:
        """The sealer whose key `wrap` sealed. Raises Tampered naming `what`."""
        try:
            return Sealer(self._fernet.decrypt(token.encode()))
        except (InvalidToken, ValueError):  # ValueError: what it held is no key
            raise Tampered(f"{what} was changed outside quantlab: restore the vault from a backup") from None

    def __reduce__(self) -> Any:
        raise TypeError("a key is not pickled")
