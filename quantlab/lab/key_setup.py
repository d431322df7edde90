"""Taking a key in, step by step: what to do at Binance, then hidden prompts, an audit, and one line on how it ended.

Nothing that is typed is in what this returns, prints or raises.
"""

from __future__ import annotations

import html
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from quantlab.lab.asking import NobodyThere, ask
from quantlab.model import ConfigurationError, QuantlabError, Refused
from quantlab.settings import Settings, load_settings

if TYPE_CHECKING:
    from quantlab.vault import Credential, Environment, Vault

Ask = Callable[[str], str]

_PLACES = {
    "mainnet": "at https://www.binance.com/en/my/settings/api-management make a key for quantlab alone",
    "testnet": "at https://testnet.binance.vision/ make a key (the testnet's keys are worth nothing, and end monthly)",
    "replay": "give the venue a key of its own: `quantlab venue --keys FILE`",
}


@dataclass(frozen=True)
class KeySetup:
    """How it ended: `outcome`, one `line` for people, and the `steps` there are."""

    outcome: Literal["told", "added", "refused", "stopped"]
    line: str
    steps: tuple[str, ...]
    #: Whether the steps were printed already, before the first prompt.
    printed: bool = False

    def __repr__(self) -> str:
        return self.line if self.printed else "\n".join([*_numbered(self.steps), self.line])

    def _repr_html_(self) -> str:
        steps = "" if self.printed else "".join(f"<li>{html.escape(step)}</li>" for step in self.steps)
        return f"{f'<ol>{steps}</ol>' if steps else ''}<p><b>{html.escape(self.line)}</b></p>"


def setup_keys(settings: Settings, label: str, environment: str | None, *, wanted: bool) -> KeySetup:
    """See `Workbench.setup_keys`."""
    from quantlab.vault.rows import check_label

    where = _environment(settings, environment)
    check_label(label)
    steps = _steps(settings, where, label)
    if not wanted:
        return KeySetup("told", "nothing was asked: lab.setup_keys() asks for the key and its secret", steps)
    printed = False

    def asked(words: str) -> str:
        nonlocal printed
        if not printed:
            print("\n".join(_numbered(steps)), flush=True)
            printed = True
        return ask(words)

    # Every end is a returned line: a traceback would show the variables of the frames that hold what was typed.
    try:
        return KeySetup("added", _take_in(settings, label, where, asked), steps, printed)
    except NobodyThere as error:
        return KeySetup("told", str(error), steps)
    except QuantlabError as error:
        return KeySetup("refused", f"not taken in: {error}", steps, printed)
    except KeyboardInterrupt:
        return KeySetup("stopped", "stopped: no key was taken in", steps, printed)


def _take_in(settings: Settings, label: str, where: Environment, asked: Ask) -> str:
    """One line on the key that was taken in. Raises QuantlabError."""
    from quantlab.exchange.custody import Custodian
    from quantlab.vault.rows import UNREACHABLE

    _check_free(settings, label)
    with _vault(settings, asked) as vault:
        credential = _pair(asked)
        seen = Custodian(settings).audit(credential.signer(), where)
        if seen.refusals:
            raise Refused("; ".join(seen.refusals))
        row = vault.add(label, credential, where, seen=seen)
    name = f'key "{row.label}" ({row.fingerprint}) is in the vault'
    if seen.status == UNREACHABLE:
        return f"{name}, locked until lab.audit() reaches the exchange: {seen.detail}"
    allowed = ", ".join(seen.permissions or (seen.status,))
    return f"{name}: {allowed}" + ("; bound to addresses" if seen.ip_restricted else "")


def _vault(settings: Settings, asked: Ask) -> Vault:
    """The vault, opened or made. A new one's password is the one there is, a typed one, or made and put into `.env`."""
    from quantlab.vault import Vault, has_vault, password
    from quantlab.vault.opening import open_vault

    now = load_settings(settings.root, market=settings.market)  # a password may stand in `.env` since the kernel began
    now = settings.model_copy(update={"vault_password": now.vault_password})
    found = password.find_password(now)
    if has_vault(settings.home):
        return open_vault(now) if found else Vault.open(settings.home, asked("Vault password: "))
    if found:
        return Vault.create(settings.home, found.password)
    typed = asked("New vault password (leave it empty: one is made, and kept in .env): ")
    if not typed:
        return Vault.create(settings.home, _made_in(settings.root / ".env"))
    password.check_strength(typed)
    if asked("Again: ") != typed:
        raise ConfigurationError("the two passwords were not the same")
    return Vault.create(settings.home, typed)


def _made_in(env: Path) -> str:
    from quantlab.vault.envfile import put
    from quantlab.vault.password import generate

    made = generate()
    if not env.exists():
        os.close(os.open(env, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    put(env, "VAULT_PASSWORD", made)
    return made


def _pair(asked: Ask) -> Credential:
    from quantlab.vault import Credential

    api_key = asked("API key: ")
    return Credential.parse(api_key, _from_file(asked("Secret, or the path of a PEM file: ")))


def _from_file(typed: str) -> str:
    """The secret itself, or what the PEM file that was named holds: a prompt takes one line."""
    words = typed.strip()
    path = Path(words).expanduser()
    if not words.endswith(".pem") or "-----" in words:
        return typed
    if not path.is_file():
        raise ConfigurationError("there is no PEM file at the path that was typed")
    if path.stat().st_mode & 0o077:
        raise Refused(f"others can read {path.name}: type `chmod 600` and its path")
    return path.read_text(encoding="utf-8", errors="replace")


def _check_free(settings: Settings, label: str) -> None:
    """Said before anything is typed."""
    from quantlab.vault.inventory import inventory

    held = [entry for entry in inventory(settings.home) if entry["state"] in ("active", "locked")]
    if any(entry["label"] == label for entry in held):
        raise Refused(f'there is a key "{label}" already: `quantlab vault rotate "{label}"` replaces it')


def _environment(settings: Settings, environment: str | None) -> Environment:
    from quantlab.vault import ENVIRONMENTS

    name = environment or settings.market
    for known in ENVIRONMENTS:
        if name == known:
            return known
    raise ConfigurationError(f'environment "{name}" is not one of {", ".join(ENVIRONMENTS)}')


def _steps(settings: Settings, where: Environment, label: str) -> tuple[str, ...]:
    from quantlab.vault import has_vault

    vault = "open the vault" if has_vault(settings.home) else "make the vault"
    rules = (
        'tick "Enable Reading" alone; spot trading only for a key that shall trade; nothing that moves funds',
        'choose "Restrict access to trusted IPs only" and give this machine\'s public address',
    )
    return (
        "paper trading needs no key: stop here if that is all you want",
        f'{_PLACES[where]}, called "{label}"',
        *(rules if where == "mainnet" else ()),
        f"{vault}: its password is the one in .env or the keyring, else it is asked for",
        "type the API key and its secret when asked; nothing is shown, and no cell, output or history keeps it",
        "the key is audited, then encrypted into the vault, or refused in one line",
    )


def _numbered(steps: tuple[str, ...]) -> list[str]:
    return [f"{number}. {step}" for number, step in enumerate(steps, 1)]
