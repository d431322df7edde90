"""Keys at rest: the vault in the ledger's database, its inventory, rotation, and the rules for permissions.

`Vault` is what opens with the password; `locked` holds what works without. `password` finds one, `credentials` reads
what Binance gave, `signers` sign with it.
"""

from quantlab.vault.credentials import Credential
from quantlab.vault.errors import NoVault, RolledBack, Tampered, WrongPassword
from quantlab.vault.locked import has_vault, revoke
from quantlab.vault.rows import ENVIRONMENTS, Environment, Seen
from quantlab.vault.vault import Vault

__all__ = [
    "ENVIRONMENTS",
    "Credential",
    "Environment",
    "NoVault",
    "RolledBack",
    "Seen",
    "Tampered",
    "Vault",
    "WrongPassword",
    "has_vault",
    "revoke",
]
