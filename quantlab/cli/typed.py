"""What a person types: keys and passwords without an echo, never as an argument."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from quantlab.model.errors import ConfigurationError, NotFound, Refused


def pair(stdin: bool, secret_file: Path | None) -> Any:
    """The key and its secret: from two lines, from prompts that show nothing, the secret also from a PEM file."""
    from quantlab.vault import Credential
    from quantlab.vault.password import ask

    if stdin:
        api_key, _, secret = sys.stdin.read().partition("\n")
        if not secret.strip() and secret_file is None:
            raise ConfigurationError("--stdin wants two lines: the API key, then the secret")
    else:
        if not sys.stdin.isatty():
            raise ConfigurationError("no terminal to ask for the key: give --stdin and two lines on standard input")
        api_key = ask("API key: ")
        secret = "" if secret_file is not None else ask("Secret: ")
    if secret_file is not None:
        if not secret_file.is_file():
            raise NotFound(f"no file {secret_file}")
        if secret_file.stat().st_mode & 0o077:
            raise Refused(f"others can read {secret_file}: type `chmod 600 {secret_file}`")
        secret = secret_file.read_text(encoding="utf-8", errors="replace")
    return Credential.parse(api_key, secret)


def typed_twice() -> str:
    from quantlab.vault.password import ask_twice

    if not sys.stdin.isatty():
        raise ConfigurationError("no terminal to ask for a password: set VAULT_PASSWORD, or give --generate")
    return ask_twice()


def line(words: str) -> str:
    if not sys.stdin.isatty():
        raise ConfigurationError("no terminal to confirm in: give --confirm restore")
    return input(words).strip()
