"""Keys as a table says them, in a file or at run time:

`{"api_key", "secret" | "public_key", "restrictions": {...}, "addresses": ["203.0.113.7"], "enabled": true}`. A secret
makes an HMAC key; a public key in PEM is Ed25519 or RSA. The last three may be left out.
"""

from __future__ import annotations

import ipaddress
import json
import os
import shlex
from pathlib import Path
from typing import Any

from quantlab.model.errors import ConfigurationError, NotFound, Refused
from quantlab.venue.keys import API_KEY, Address, Key
from quantlab.venue.signatures import KeyType, Verify, hmac_sha256, public_key

_FIELDS = ("api_key", "secret", "public_key", "restrictions", "addresses", "enabled")


def key_of(row: object) -> Key:
    """The key that `row` describes. Raises ConfigurationError in words that never repeat a value."""
    if not isinstance(row, dict):
        raise ConfigurationError(f"a key is a table of {', '.join(_FIELDS)}")
    if not set(row) <= set(_FIELDS):  # the unknown name is not repeated: a secret may stand there by mistake
        raise ConfigurationError(f"a key has an unknown field: there are {', '.join(_FIELDS)}")
    api_key = row.get("api_key")
    if not isinstance(api_key, str) or not API_KEY.fullmatch(api_key):
        raise ConfigurationError("api_key is 64 letters and digits")
    kind, verify = _verifier(row)
    restrictions = row.get("restrictions", {})
    if not isinstance(restrictions, dict):
        raise ConfigurationError("restrictions is a table of the permissions that differ")
    enabled = row.get("enabled", True)
    if not isinstance(enabled, bool):
        raise ConfigurationError("enabled is true or false")
    return Key(api_key, kind, verify, dict(restrictions), _addresses(row), enabled)


def load(path: Path) -> list[Key]:
    """The keys of a JSON list in an owner-only file.

    Raises NotFound, Refused when others can read it, and ConfigurationError naming the key that is wrong.
    """
    try:
        with path.open(encoding="utf-8") as file:
            if os.fstat(file.fileno()).st_mode & 0o077:
                raise Refused(f"others can read {path}: type `chmod 600 {shlex.quote(str(path))}`")
            rows = json.load(file)
    except FileNotFoundError:
        raise NotFound(f"no key file at {path}") from None
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from None
    except ValueError:  # the decoder's words may show a part of the file
        raise ConfigurationError(f"{path} is not JSON: it holds a list of keys") from None
    if not isinstance(rows, list):
        raise ConfigurationError(f"{path} holds no list of keys")
    keys: dict[str, Key] = {}
    for number, row in enumerate(rows, 1):
        try:
            key = key_of(row)
        except ConfigurationError as error:
            raise ConfigurationError(f"{path}: key {number}: {error}") from None
        if key.api_key in keys:
            raise ConfigurationError(f"{path}: key {number}: its api_key stands there twice")
        keys[key.api_key] = key
    return list(keys.values())


def _verifier(row: dict[str, Any]) -> tuple[KeyType, Verify]:
    given = [name for name in ("secret", "public_key") if name in row]
    if len(given) != 1:
        raise ConfigurationError("a key has either a secret (HMAC) or a public_key (Ed25519, RSA)")
    value = row[given[0]]
    if not isinstance(value, str) or not value:
        raise ConfigurationError(f"{given[0]} is a text and not empty")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ConfigurationError(f"{given[0]} holds what is no character") from None
    return ("hmac", hmac_sha256(value)) if given[0] == "secret" else public_key(value)


def _addresses(row: dict[str, Any]) -> frozenset[Address] | None:
    given = row.get("addresses")
    if given is None:
        return None
    words = "addresses is a list of IP addresses, at least one; leave it out to let every address in"
    if not isinstance(given, list) or not given or not all(isinstance(address, str) for address in given):
        raise ConfigurationError(words)
    try:
        return frozenset(ipaddress.ip_address(address) for address in given)
    except ValueError:
        raise ConfigurationError(words) from None
