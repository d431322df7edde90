"""What the commands about keys do beyond the vault itself: `.env`, the password's home, the running engine."""

from __future__ import annotations

import fcntl
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from quantlab.environment import held_secrets, hold_secrets
from quantlab.ledger.keys import holds_keys
from quantlab.model import ConfigurationError, ExchangeUnreachable, QuantlabError, Refused
from quantlab.settings import Settings, load_settings, parse_env, read_env
from quantlab.vault import Vault, has_vault, password
from quantlab.vault.backup import known_backups
from quantlab.vault.envfile import put, take_out
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
    if has_vault(chosen.home):
        vault = open_vault(chosen, prompt=password.ask)
    elif sys.stdin.isatty() or password.find_password(chosen) is not None:
        vault, _ = make_vault(chosen)
    else:
        raise Refused(
            "the keys in .env are not encrypted: put VAULT_PASSWORD beside them, or type `quantlab vault init "
            "--generate`"
        )
    with vault:
        return take_in(vault, credential, environment, Custodian(chosen).audit, chosen.root / ".env", label=label)


def keys_of_run(chosen: Settings, say: Callable[[str], object]) -> Any:
    """What a run does about keys before it starts: a new pair in `.env` is taken in, and the keys of its market get a
    watch (None where there are none). On paper nothing about keys keeps a run from starting: it is said.

    Raises what stands in the way where orders would need the key.
    """
    from quantlab.exchange.custody import KeyWatch

    halts = chosen.market == "testnet" or chosen.execution == "live"
    try:
        taken = import_pair(chosen)
        if taken is not None:
            say(taken.line)
            if halts and taken.outcome in ("refused", "waiting"):
                raise (Refused if taken.outcome == "refused" else ExchangeUnreachable)(taken.line)
    except Exception as error:  # a keyring's plug-in, a lock that cannot be made: whatever it is, paper goes on
        if halts:
            raise
        say(f"{_words(error)} (paper trading uses no key and goes on)")
    try:
        if not holds_keys(chosen.home, chosen.market):
            return None
        open_vault(chosen, prompt=password.ask).close()  # a password that is missing is said now, not in an hour
    except Exception as error:
        if halts:
            raise
        say(f"the keys are not watched: {_words(error)} (paper trading uses no key and goes on)")
        return None
    return KeyWatch(chosen, lambda: opened_now(chosen), interval_s=60 * chosen.audit_minutes, halts=halts)


def make_vault(chosen: Settings, *, generate: bool = False, keyring: bool = False) -> tuple[Vault, str]:
    """A new vault, and where its password is, in words. The password is kept before the vault is made, and one process
    at a time does so: there is never a vault whose password nobody has.

    Raises Refused where there is a vault, or a password that `generate` would replace.
    """
    chosen.home.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(chosen.home / "init.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if has_vault(chosen.home):
            raise Refused("there is a vault here already: `quantlab vault list` shows it")
        found = password.find_password(_fresh(chosen))
        if found is not None and generate:
            raise Refused(f"there is a password already, in {found.where}: `quantlab vault init` takes it")
        if found is None and not generate and not sys.stdin.isatty():
            raise ConfigurationError("no terminal to ask for a password: set VAULT_PASSWORD, or give --generate")
        secret = found.password if found else password.generate() if generate else password.ask_twice()
        password.check_strength(secret)
        where = (
            found.where if found and not keyring else keep_password(chosen, secret, keyring=keyring, generated=generate)
        )
        vault = Vault.create(chosen.home, secret)
        hold_secrets({"VAULT_PASSWORD": secret})
        return vault, where
    finally:
        os.close(descriptor)


def keep_password(chosen: Settings, secret: str, *, keyring: bool, generated: bool) -> str:
    """Keep a new password where the old one was found, or where it was asked for, so that it is the one that is found
    from now on; returns where, in words. Raises Refused where the old one would go on being found first."""
    env = chosen.root / ".env"
    old = password.find_password(chosen)
    in_env = _is_in(env)
    if old is not None and old.where == password.THE_SETTING and held_secrets().get("VAULT_PASSWORD") == old.password:
        raise Refused(
            "VAULT_PASSWORD is exported in this shell and would go on being found first: unset it, then again"
        )
    if old is not None and old.where == password.A_CREDENTIAL:
        raise Refused("a systemd credential holds the password and would go on being found first: take it out first")
    if keyring or (old is not None and old.where == password.THE_KEYRING):
        password.keep_in_keyring(chosen.home, secret)
        if in_env:
            take_out(env, ["VAULT_PASSWORD"], "in the keyring")
        return password.THE_KEYRING
    if generated or in_env:
        if not env.exists():
            os.close(os.open(env, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        put(env, "VAULT_PASSWORD", secret)
        return "VAULT_PASSWORD in .env"
    return "your head: type it when asked, or put VAULT_PASSWORD into .env"


def change_password(chosen: Settings, vault: Vault, secret: str, *, keyring: bool, generated: bool) -> dict[str, Any]:
    """Both phases, and the new password's home between them: whenever this is cut short, old or new opens."""
    copies = sorted({row.path for row in known_backups(chosen.home)})
    with vault.alone():  # another one in between would leave its password in the vault and this one where it is kept
        vault.begin_password_change(secret)
        try:
            where = keep_password(chosen, secret, keyring=keyring, generated=generated)
        except BaseException:
            vault.abandon_password_change()
            raise
        erased = vault.finish_password_change()
    return {"password": where, "erased": erased, "old_copies": copies}


def opened_now(chosen: Settings) -> Vault:
    """The vault, with the password as it is kept now: it may have been changed since the run began."""
    return open_vault(_fresh(chosen))


def _fresh(chosen: Settings) -> Settings:
    """The same settings with the password that `.env` and environment hold now."""
    now = load_settings(chosen.root, market=chosen.market)
    return chosen.model_copy(update={"vault_password": now.vault_password or chosen.vault_password})


def _words(error: Exception) -> str:
    return str(error) if isinstance(error, QuantlabError) else f"{type(error).__name__}: {error}"


def tell_engine(home: Path) -> str:
    """Have a running engine look at its keys again, now; returns what it found, in words. Nothing where none runs."""
    from quantlab.fleet.control import send
    from quantlab.fleet.process import running

    engine = running(home)
    if engine is None:
        return ""
    try:
        asked = send(home, "keys").get("asked")
        if asked is None:
            return f'run "{engine.run_id}" uses no key and goes on'
        deadline = time.monotonic() + _LOOK_S
        while (now := send(home, "status")["keys"])["answered"] < asked and time.monotonic() < deadline:
            time.sleep(0.05)
    except QuantlabError as error:
        return f'run "{engine.run_id}" did not take the change: {error}'
    if now["alerts"]:
        return f'run "{engine.run_id}": {"; ".join(now["alerts"])}'
    names = ", ".join(f'"{key["label"]}" ({key["fingerprint"]})' for key in now["keys"])
    return f'run "{engine.run_id}" uses {names} now' if names else f'run "{engine.run_id}" uses no key and goes on'


def _is_in(env: Path) -> bool:
    data = read_env(env)
    return data is not None and any(line.name == "VAULT_PASSWORD" for line in parse_env(data, env))
