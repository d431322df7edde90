"""What must not stand in clear in what the venue records or answers: signatures, secrets and API keys.

An API key is shown as its fingerprint, so that one can tell who asked. Whoever sends a secret in a wrong place is
recorded all the same, without the secret.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from typing import NamedTuple
from urllib.parse import unquote_plus

MASK = "***"
_API_KEY_NAMES = frozenset({"apikey", "api_key", "x-mbx-apikey"})
_SECRET_NAMES = frozenset({"signature", "secret", "secretkey", "api_secret", "apisecret"})
_HIDDEN = _API_KEY_NAMES | _SECRET_NAMES
#: Bounded, so that no text takes long; "signature" in unicode escapes has 54 characters.
_JSON_NAME = re.compile(r'"((?:[^"\\]|\\.){1,80})"\s*:\s*', re.DOTALL)
_JSON_VALUE = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"?|[^,}\s]*', re.DOTALL)
_PAIR = re.compile(r"""(?<![^&?/,;\s"'{])([^&?/=\s"'{}]{1,120})=([^&\s"']*)""")
#: The form of Binance's API keys and HMAC secrets, wherever it stands.
_KEY_SHAPED = re.compile(r"(?<![A-Za-z0-9])[A-Za-z0-9]{64}(?![A-Za-z0-9])")


def fingerprint(api_key: str) -> str:
    """The public id of an API key: the first 16 hex digits of its SHA-256."""
    return hashlib.sha256(api_key.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def masked(text: str) -> str:
    """`text` with the values of secrets masked and API keys as their fingerprints. Keeps JSON and queries readable."""
    parts, at = [], 0
    for found in _in_json(text):
        parts += [text[at : found.start], f'"{found.shown}"']
        at = found.end
    text = _PAIR.sub(_masked_pair, "".join(parts) + text[at:])
    return _KEY_SHAPED.sub(lambda key: fingerprint(key[0]), text)


def names_in(frame: str) -> tuple[bool, str]:
    """Whether a frame carries a signature, and the fingerprint of its API key ("" without one)."""
    signed, key = False, ""
    for found in _in_json(frame):
        signed = signed or found.name == "signature"
        key = found.shown if found.name == "apikey" else key
    return signed, key


class _Found(NamedTuple):
    """A secret value in JSON text: its name in small letters, where it stands, and what is shown instead."""

    name: str
    start: int
    end: int
    shown: str


def _in_json(text: str) -> Iterator[_Found]:
    """Secrets among the members of `text`, which need not be whole JSON; names may be written with escapes."""
    at = 0
    while (member := _JSON_NAME.search(text, at)) is not None:
        at = member.end()
        words = _unescaped(f'"{member[1]}"') if "\\" in member[1] else member[1]
        name = words.lower().rpartition('"')[2]  # behind a stray quote
        if name in _HIDDEN and (value := _JSON_VALUE.match(text, at)) is not None:
            yield _Found(name, at, value.end(), _shown(name, _unescaped(value[0])))
            at = value.end()


def _masked_pair(pair: re.Match[str]) -> str:
    name = unquote_plus(pair[1]).lower()
    return f"{pair[1]}={_shown(name, unquote_plus(pair[2]))}" if name in _HIDDEN else pair[0]


def _shown(name: str, value: str) -> str:
    return fingerprint(value) if name in _API_KEY_NAMES and value else MASK


def _unescaped(text: str) -> str:
    """The string that a JSON literal stands for; what is no literal stands for itself."""
    try:
        value = json.loads(text, strict=False)
    except ValueError:
        return text.strip('"')
    return value if isinstance(value, str) else text
