"""The vault's password: where it is found, what is too weak, how one is made.

Looked for in this order: `VAULT_PASSWORD` (environment or `.env`), a systemd credential, the desktop's keyring, a
prompt. A password in `.env` lies beside the database: it protects copies of the database (backups, sync, bug reports),
not a machine that was stolen. The other three are better homes.
"""

from __future__ import annotations

import getpass
import itertools
import math
import os
import re
import secrets
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from quantlab.model.errors import ConfigurationError, QuantlabError, Refused
from quantlab.redact import Hidden, register_secret
from quantlab.settings import Settings

#: systemd: `LoadCredentialEncrypted=quantlab-vault-password:…` in the unit. Source: systemd.exec(5), "Credentials".
CREDENTIAL_NAME = "quantlab-vault-password"
KEYRING_SERVICE = "quantlab"
_LEAST_CHARACTERS = 12
#: By the characters' own frequencies: "aaaaaaaaaaaa" has 0 bits, twelve random letters some 43 of 56.
_LEAST_BITS = 36.0
_COMMON = frozenset(
    "password vaultpassword mypassword yourpassword yourvaultpassword examplepassword changeme secret supersecret "
    "verysecret topsecret quantlab quantlabvault binance binancevault qwerty letmein trustno administrator welcome "
    "iloveyou correcthorsebatterystaple".split()
)
#: Rows of a keyboard, and the alphabet, walked in one direction.
_WALKS = ("1234567890", "qwertyuiop", "asdfghjkl", "zxcvbnm", "abcdefghijklmnopqrstuvwxyz")

Prompt = Callable[[str], str]
#: Where a password may be found, in words.
THE_SETTING, A_CREDENTIAL, THE_KEYRING, THE_PROMPT = (
    "VAULT_PASSWORD",
    "a systemd credential",
    "the keyring",
    "the prompt",
)


class Found(NamedTuple):
    """A password and where it was found, in words."""

    password: str
    where: str


def generate() -> str:
    """32 random bytes, as 43 letters, digits, "-" and "_"."""
    made = secrets.token_urlsafe(32)
    register_secret(made)
    return Hidden(made)


def check_strength(password: str) -> None:
    """Raise Refused for a password that a dictionary or a patient machine would find."""
    bare, plain = (re.sub(r"[\W_]", "", text) for text in (password.lower(), _unleet(password)))
    if len(password) < _LEAST_CHARACTERS:
        reason = f"it has {len(password)} characters, {_LEAST_CHARACTERS} are the least"
    elif {bare, bare.strip("0123456789"), plain} & _COMMON:
        reason = "it is one of the first that anybody would try"
    elif _bits(password) < _LEAST_BITS or _is_sequence(bare) or password in (password + password)[1:-1]:
        reason = "its characters repeat or follow each other"
    else:
        return
    raise Refused(f"this password is too weak: {reason}. Let quantlab make one: `quantlab vault passwd --generate`")


def find_password(settings: Settings, *, prompt: Prompt | None = None) -> Found | None:
    """The first password there is, None where there is none. `prompt` asks a person, if one is there to ask.

    Raises QuantlabError when the keyring or the credential is there and cannot be read.
    """
    if settings.vault_password is not None:
        return Found(Hidden(settings.vault_password.get_secret_value()), "VAULT_PASSWORD")
    for where, read in ((A_CREDENTIAL, _credential), (THE_KEYRING, lambda: from_keyring(settings.home))):
        if password := read():
            register_secret(password)
            return Found(Hidden(password), where)
    if prompt is None or not sys.stdin.isatty():
        return None
    typed = prompt("Vault password: ")
    register_secret(typed)
    return Found(Hidden(typed), THE_PROMPT) if typed else None


def ask(words: str) -> str:
    """A hidden line from the terminal, registered as a secret."""
    typed = getpass.getpass(words)
    register_secret(typed)
    return Hidden(typed)


def ask_twice() -> str:
    """A new password, typed twice. Raises Refused when it is weak, ConfigurationError when the two differ."""
    first = ask("New vault password: ")
    check_strength(first)
    if ask("Again: ") != first:
        raise ConfigurationError("the two were not the same: nothing was changed")
    return first


# -- the desktop's keyring ------------------------------------------------------------------------------------------


def from_keyring(home: Path) -> str | None:
    """The password that `keep_in_keyring` kept for this home; None where no keyring holds one."""
    try:
        import keyring
    except ImportError:  # a trimmed installation
        return None
    try:
        if _unsafe(keyring.get_keyring()):
            return None
        return keyring.get_password(KEYRING_SERVICE, str(home.resolve()))
    except Exception as error:  # backends are plug-ins: what they raise is anything
        raise QuantlabError(
            f"the keyring does not answer ({type(error).__name__}: {error}): unlock it, or set VAULT_PASSWORD"
        ) from None


def keep_in_keyring(home: Path, password: str) -> None:
    """Keep the password in the desktop's keyring, and read it back.

    Raises Refused where only a null or plaintext keyring is there: that would be a file with the password in it.
    """
    import keyring

    try:
        if why := _unsafe(keyring.get_keyring()):
            raise Refused(f"no safe keyring here ({why}): leave the password in .env, or use a systemd credential")
        keyring.set_password(KEYRING_SERVICE, str(home.resolve()), password)
        kept = keyring.get_password(KEYRING_SERVICE, str(home.resolve()))
    except Refused:
        raise
    except Exception as error:
        raise QuantlabError(
            f"the keyring does not take it ({type(error).__name__}: {error}): unlock it and try again"
        ) from None
    if kept != password:
        raise QuantlabError("the keyring did not give back what it was given: the password stays where it was")


def _unsafe(backend: Any) -> str | None:
    """Why a keyring backend must not hold a password, None when it may."""
    chained = getattr(backend, "backends", None)
    if chained is not None:  # the chainer takes the first that answers
        return _unsafe(chained[0]) if chained else "no backend"
    module, name = type(backend).__module__, type(backend).__name__
    if module.startswith(("keyring.backends.null", "keyring.backends.fail")):
        return "no backend"
    return f"{name} keeps plain text" if "plaintext" in f"{module}.{name}".lower() or "alt.file" in module else None


# -- systemd --------------------------------------------------------------------------------------------------------


def _credential() -> str | None:
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    if not folder:
        return None
    try:
        return (Path(folder) / CREDENTIAL_NAME).read_text(encoding="utf-8").rstrip("\r\n") or None
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise QuantlabError(f"the systemd credential {CREDENTIAL_NAME} cannot be read ({reason})") from None


# -- strength -------------------------------------------------------------------------------------------------------


def _unleet(password: str) -> str:
    """The word that was meant, without the year behind it: "Pa$$w0rd2025!" is "password"."""
    return password.lower().strip("0123456789!.?-_ ").translate(str.maketrans("0134578@$!", "oieastbasi"))


def _bits(password: str) -> float:
    """Shannon's measure over the password's own characters: no judge of a good one, but a repeated one has few."""
    counts = Counter(password)
    return -sum(count * math.log2(count / len(password)) for count in counts.values())


def _is_sequence(text: str) -> bool:
    """Whether nearly every character is the next of the one before it, on a keyboard or in the alphabet."""
    known = {pair for walk in _WALKS for line in (walk, walk[::-1]) for pair in itertools.pairwise(line)}
    steps = list(itertools.pairwise(text))
    return len(steps) > 3 and sum(step in known or step[0] == step[1] for step in steps) >= 0.75 * len(steps)
