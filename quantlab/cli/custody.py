"""What the commands about keys do beyond the vault itself: `.env`, the password's home, the running engine."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from quantlab.ledger.keys import holds_keys
from quantlab.model import QuantlabError, Refused
from quantlab.settings import Settings
from quantlab.vault import NoVault, Vault, password
from quantlab.vault.backup import known_backups
from quantlab.vault.envfile import put
from quantlab.vault.intake import Intake, environment_of, pair_of, take_in
from quantlab.vault.opening import open_vault

#: How long an engine may take to look at its keys.
_LOOK_S = 30.0


def import_pair(chosen: Settings, *, label: str | None = None) -> Intake | None:
    """Move the pair of the settings into the vault, which is made where there is none. None without a pair.

    Raises Refused without a password, ConfigurationError for half a pair.
    """
    from quantlab.exchange.custody import Custodian

    credential, environment = pair_of(chosen), environment_of(chosen)
    if credential is None or environment is None:
        return None
    try:
        vault = open_vault(chosen, prompt=password.ask)
    except NoVault:
        found = password.find_password(chosen, prompt=password.ask)
        if found is None:
            raise QuantlabError(
                "the keys in .env are not encrypted: put VAULT_PASSWORD beside them, or type `quantlab vault init "
                "--generate`"
            ) from None
        vault = Vault.create(chosen.home, found.password)
    with vault:
        return take_in(vault, credential, environment, Custodian(chosen).audit, chosen.root / ".env", label=label)


def keys_of_run(chosen: Settings, say: Callable[[str], object]) -> Any:
    """What a run does about keys before it starts: a new pair in `.env` is taken in, and the keys of its market get a
    watch (None where there are none). On paper nothing about keys keeps a run from starting: it is said.

    Raises what stands in the way where orders would need the key.
    """
    from quantlab.exchange.custody import KeyWatch

    halts = chosen.market == "testnet"
    try:
        taken = import_pair(chosen)
        if taken is not None:
            say(taken.line)
            if halts and taken.outcome in ("refused", "waiting"):
                raise Refused(taken.line)
        if not holds_keys(chosen.home, chosen.market):
            return None
        open_vault(chosen).close()  # a password that is missing or wrong is said now, not in an hour
    except QuantlabError as error:
        if halts:
            raise
        say(f"{error} (paper trading uses no key and goes on)")
        return None
    return KeyWatch(chosen, lambda: open_vault(chosen), interval_s=60 * chosen.audit_minutes, halts=halts)


def keep_password(chosen: Settings, secret: str, *, keyring: bool, generated: bool) -> str:
    """Keep a new password where it was asked for; returns where, in words. A typed one is kept by whoever typed it,
    unless `.env` holds one already."""
    if keyring:
        password.keep_in_keyring(chosen.home, secret)
        return "the keyring"
    env = chosen.root / ".env"
    if generated or _is_in(env):
        if not env.exists():
            os.close(os.open(env, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        put(env, "VAULT_PASSWORD", secret)
        return "VAULT_PASSWORD in .env"
    return "your head: type it when asked, or put VAULT_PASSWORD into .env"


def change_password(chosen: Settings, vault: Vault, secret: str, *, keyring: bool, generated: bool) -> dict[str, Any]:
    """Both phases, and the new password's home between them: whenever this is cut short, old or new opens."""
    epoch_before = {row.path for row in known_backups(chosen.home)}
    with vault.alone():  # another one in between would leave its password in the vault and this one where it is kept
        vault.begin_password_change(secret)
        where = keep_password(chosen, secret, keyring=keyring, generated=generated)
        erased = vault.finish_password_change()
    return {"password": where, "erased": erased, "old_copies": sorted(epoch_before)}


def tell_engine(home: Path) -> str:
    """Have a running engine look at its keys again, now; returns what it found, in words. Nothing where none runs."""
    from quantlab.fleet.control import send
    from quantlab.fleet.process import running

    engine = running(home)
    if engine is None:
        return ""
    try:
        before = send(home, "keys").get("keys")
        if before is None:
            return f'run "{engine.run_id}" uses no key and goes on'
        deadline = time.monotonic() + _LOOK_S
        while (now := send(home, "status")["keys"])["looks"] == before["looks"] and time.monotonic() < deadline:
            time.sleep(0.05)
    except QuantlabError as error:
        return f'run "{engine.run_id}" did not take the change: {error}'
    if now["alerts"]:
        return f'run "{engine.run_id}": {"; ".join(now["alerts"])}'
    names = ", ".join(f'"{key["label"]}" ({key["fingerprint"]})' for key in now["keys"])
    return f'run "{engine.run_id}" uses {names} now' if names else f'run "{engine.run_id}" uses no key and goes on'


def _is_in(env: Path) -> bool:
    return env.is_file() and "VAULT_PASSWORD" in env.read_text(encoding="utf-8-sig")
