"""From a password to a key: PBKDF2-HMAC-SHA256, with the parameters stored beside what it protects.

PBKDF2 makes each guess as dear as each unlock. 600,000 iterations are OWASP's advice for HMAC-SHA256 (Password Storage
Cheat Sheet, checked 2026-11-23) and take about 180 ms; 100,000, which many tutorials use, take a sixth of that and are
the least that still opens: such a vault is raised to 600,000 when it is unlocked.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from dataclasses import dataclass

from quantlab.vault.errors import Tampered

NAME = "pbkdf2-hmac-sha256"
FLOOR_ITERATIONS = 100_000
DEFAULT_ITERATIONS = 600_000
#: Above it a changed row would only keep the machine busy: 6 s at 20 times the default.
CEILING_ITERATIONS = 20_000_000
SALT_BYTES = 16


@dataclass(frozen=True, slots=True)
class Parameters:
    """What turns a password into a key: algorithm, iterations, salt."""

    iterations: int
    salt: bytes
    kdf: str = NAME

    @classmethod
    def fresh(cls, iterations: int = DEFAULT_ITERATIONS) -> Parameters:
        """Parameters with a new random salt."""
        return cls(iterations, secrets.token_bytes(SALT_BYTES))

    def check(self) -> None:
        """Raise Tampered for what quantlab never writes: another algorithm, too few or absurdly many iterations."""
        if self.kdf != NAME:
            raise Tampered(f"the vault names the key derivation {self.kdf[:40]!r}, quantlab knows {NAME} only")
        if not FLOOR_ITERATIONS <= self.iterations <= CEILING_ITERATIONS:
            raise Tampered(
                f"the vault names {self.iterations} iterations; {FLOOR_ITERATIONS} to {CEILING_ITERATIONS} are "
                "accepted: its header was weakened, restore it from a backup"
            )
        if len(self.salt) != SALT_BYTES:
            raise Tampered(f"the vault's salt has {len(self.salt)} bytes instead of {SALT_BYTES}: it was changed")

    def derive(self, password: str) -> bytes:
        """The Fernet key of `password`: 32 bytes, URL-safe base64. Releases the GIL while it works.

        Raises Tampered as `check` does, before any work is done.
        """
        self.check()
        raw = hashlib.pbkdf2_hmac("sha256", password.encode(errors="surrogateescape"), self.salt, self.iterations)
        return base64.urlsafe_b64encode(raw)
