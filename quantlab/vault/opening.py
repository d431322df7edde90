"""Opening the vault that the settings name, with the password that this machine has."""

from __future__ import annotations

from quantlab.environment import hold_secrets
from quantlab.model.errors import Refused
from quantlab.settings import Settings
from quantlab.vault.errors import WrongPassword
from quantlab.vault.password import THE_PROMPT, Prompt, find_password
from quantlab.vault.vault import Vault


def open_vault(settings: Settings, *, prompt: Prompt | None = None) -> Vault:
    """The vault of `settings.home`, unlocked. `prompt` asks a person where no password is kept.

    Raises NoVault, WrongPassword naming where the password came from, Tampered, Refused when there is none.
    """
    found = find_password(settings, prompt=prompt)
    if found is None:
        raise Refused(
            "the vault needs its password: set VAULT_PASSWORD in .env, keep it in the keyring "
            "(`quantlab vault passwd --keyring`), or run this in a terminal"
        )
    try:
        vault = Vault.open(settings.home, found.password)
        if found.where == THE_PROMPT:
            hold_secrets({"VAULT_PASSWORD": found.password})  # a run that this command detaches needs it too
        return vault
    except WrongPassword as error:
        raise WrongPassword(f"the password from {found.where} does not open the vault: {error}") from None
