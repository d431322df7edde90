"""Why a vault does not open. All are refusals: nothing is decrypted on a doubt."""

from __future__ import annotations

from quantlab.model.errors import NotFound, Refused


class NoVault(NotFound):
    """There is no vault in this home yet."""


class WrongPassword(Refused):
    """The password does not open the vault. Said before anything is decrypted."""


class Tampered(Refused):
    """A row, a document or the header is not what quantlab sealed: changed, swapped, cut or taken from elsewhere."""


class RolledBack(Tampered):
    """The vault is older than the newest one this machine has seen: a database put back from a copy."""
