"""What a secret looks like, and how it is kept out of text: log lines, errors, reports.

A value that was registered is masked in its raw, base64, hex, URL and JSON form. What only looks like a secret is
masked too: signatures, key headers, bearer tokens, private keys, and Binance's API keys (64 letters and digits, mixed).
"""

from __future__ import annotations

import base64
import contextlib
import json
import logging
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Any, NamedTuple
from urllib.parse import quote, quote_plus

MASK = "[redacted]"
#: Shorter values would mask ordinary words.
_SHORTEST = 8
#: Longest first, so that no form hides a part of another. Replaced as a whole, never changed: readers take no lock.
_forms: tuple[str, ...] = ()
#: What was registered, so that it costs nothing to register it again: a vault does, at each reading.
_known: set[str] = set()
_registering = threading.Lock()
#: A match never takes a quote or a backslash along: JSON and Python literals stay what they are.
_LOOKS_SECRET = re.compile(
    r"(?P<name>\bsignature=|['\"]signature['\"]:\s*['\"]|(?i:X-MBX-APIKEY)['\"]?\s*[:=]\s*['\"]?|\bBearer\s+)"
    r"[^\s'\"&,\\]+"
    r"|-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----[^'\"]*?(?:-----END [A-Z0-9 ]*PRIVATE KEY-----|(?=['\"])|\Z)"
    r"|(?<![0-9A-Za-z])(?=[0-9A-Za-z]*[A-Z])(?=[0-9A-Za-z]*[a-z])(?=[0-9A-Za-z]*[0-9])[0-9A-Za-z]{64}(?![0-9A-Za-z])"
)


def register_secret(value: str) -> None:
    """Keep `value` out of every text from now on, in raw, base64, hex, URL and JSON form."""
    global _forms
    if len(value) < _SHORTEST or (value in _known and value in _forms):
        return
    raw = value.encode(errors="surrogateescape")  # what a shell may hold is not always UTF-8
    forms = {
        value,
        json.dumps(value)[1:-1],
        json.dumps(value, ensure_ascii=False)[1:-1],
        quote(raw, safe=""),
        quote_plus(raw),
        raw.hex(),
        raw.hex().upper(),
        base64.b64encode(raw).decode().rstrip("="),
        base64.urlsafe_b64encode(raw).decode().rstrip("="),
    }
    with _registering:  # two at once must not forget each other's
        _forms = tuple(sorted(forms.union(_forms), key=lambda form: (-len(form), form)))
        _known.add(str(value))


def redact(text: str) -> str:
    """`text` with every known secret, and all that looks like one, masked."""
    for form in _forms:
        if form in text:
            text = text.replace(form, MASK)
    return _LOOKS_SECRET.sub(lambda found: (found["name"] or "") + MASK, text)


class Hidden(str):
    """A secret as text that does not show itself: its `repr` is a mask. A traceback with locals (IPython's verbose
    ones, rich, loguru) shows the variables of its frames by their `repr`, cut in pieces that no search finds."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"'{MASK}'"

    def __reduce__(self) -> str:
        raise TypeError("a secret is not pickled")


class SecretKind(StrEnum):
    """What a secret thing is, in words."""

    KNOWN = "a value from .env or the vault"
    SIGNATURE = "the signature of a request"
    HEADER = "an API key header"
    BEARER = "a bearer token"
    PRIVATE_KEY = "a private key"
    KEY = "64 letters and digits, as Binance's keys are"
    NAMED = "a value given to the name of a secret"
    TYPED = "what was typed into a password field"


class Sighting(NamedTuple):
    """Where in a text something secret stands, and what it is: never the thing."""

    kind: SecretKind
    start: int
    end: int


def secrets_in(text: str, *, known: bool = True) -> Iterator[Sighting]:
    """What `redact` would mask in `text`, for those who refuse a text instead of masking it: registered values (unless
    `known` is false), then what looks like a secret, in its order. Less eager than `redact`: a word behind "Bearer" and
    a piece of a long base64 body, such as a picture's, are none."""
    if known:
        for form in _forms:
            if (at := text.find(form)) >= 0:
                yield Sighting(SecretKind.KNOWN, at, at + len(form))
    for found in _LOOKS_SECRET.finditer(text):
        kind = _kind(found)
        if kind == SecretKind.KEY:
            certain = _encoded_around(text, found.start(), found.end()) <= _LONGEST_BESIDE
        else:
            certain = kind == SecretKind.PRIVATE_KEY or _TELLING.match(text, found.end("name")) is not None
        if certain:
            yield Sighting(kind, found.start(), found.end())


#: What stands behind a name is a secret and not a word about one.
_TELLING = re.compile(r"(?=[^\s'\"&,\\]*[0-9])[A-Za-z0-9+/=_.~%-]{16}")
#: A key and a secret joined by a slash have 129 characters; a longer run of base64 is some other thing's body, or a
#: sealed token of the vault: its least, a wrapped key, has 140.
_LONGEST_BESIDE = 139
_ENCODED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=-_")


def _kind(found: re.Match[str]) -> SecretKind:
    name = (found["name"] or "").lower()
    if not name:
        return SecretKind.PRIVATE_KEY if found[0].startswith("-----BEGIN") else SecretKind.KEY
    if "signature" in name:
        return SecretKind.SIGNATURE
    return SecretKind.HEADER if "apikey" in name else SecretKind.BEARER


def _encoded_around(text: str, start: int, end: int) -> int:
    """The length of the run of base64 characters that `text[start:end]` lies in, counted no further than needed."""
    first, last = start, end
    while first > 0 and start - first <= _LONGEST_BESIDE and text[first - 1] in _ENCODED:
        first -= 1
    while last < len(text) and last - end <= _LONGEST_BESIDE and text[last] in _ENCODED:
        last += 1
    return last - first


#: `NAME = "value"` and, for the names of our settings, `%env NAME=value`, `export NAME=value`, `NAME: value`.
_NAMED = re.compile(
    r"(?i:\b(?:api_?secret|secret_?key|private_?key|vault_password|api_bearer_token|binance_api_key))['\"]?\]?\s*[:=]\s*"
    r"r?(?P<quote>['\"])(?P<quoted>[^'\"\n]{8,})(?P=quote)"
    r"|\b(?:BINANCE_API_KEY|BINANCE_API_SECRET|VAULT_PASSWORD|API_BEARER_TOKEN)(?:=|:\s+|\s+)(?P<bare>[^\s'\"()\[\],=]{12,})"
)
#: A value that says what should stand there instead.
_PLACEHOLDER = re.compile(r"(?i)your|example|change|placeholder|redacted|x{4}|\.\.\.|…|[<{$*]")
_LONGEST_VALUE = 500
_ANSI = re.compile(r"\x1b\[[0-9;]*m")
#: Output that is base64 of something else: only registered values can be told from it.
_ENCODED_TYPE = re.compile(r"(?:image/(?!svg)|audio/|video/|application/(?:pdf|octet-stream))")


def secrets_in_text(text: str) -> Iterator[Sighting]:
    """`secrets_in`, and values given to the name of a secret: for text that is about to be kept."""
    yield from secrets_in(text)
    for found in _NAMED.finditer(text):
        if not _PLACEHOLDER.search(found["quoted"] or found["bare"]):
            yield Sighting(SecretKind.NAMED, found.start(), found.end())


def secrets_in_notebook(notebook: Mapping[str, Any]) -> Iterator[tuple[str, SecretKind]]:
    """(where, kind) of what is secret in a notebook, as read from its JSON: sources, outputs, attachments, metadata and
    the state of widgets. Cells are counted from 1, from the top."""
    for number, cell in enumerate(notebook.get("cells", ()), 1):
        for part, value in cell.items():
            for kind in _kinds_in(value):
                yield f"cell {number} ({part})", kind
    for part, value in notebook.items():
        if part == "cells":
            continue
        for name, content in value.items() if isinstance(value, Mapping) else [("", value)]:
            for kind in _kinds_in({name: content}):
                yield "the widgets' state" if name == "widgets" else f"the notebook's {part}", kind


def _kinds_in(value: Any) -> list[SecretKind]:
    """The kinds of secrets in a JSON value, each once."""
    kinds: dict[SecretKind, None] = {}
    for text in _texts(value):
        kinds.update((seen.kind, None) for seen in secrets_in_text(_ANSI.sub("", text) if "\x1b" in text else text))
    for text in _encoded(value):
        kinds.update((seen.kind, None) for seen in secrets_in(text) if seen.kind == SecretKind.KNOWN)
    if _has_typed(value):
        kinds[SecretKind.TYPED] = None
    return list(kinds)


def _texts(value: Any) -> Iterator[str]:
    """Every string of a JSON value, with the lines of a text joined, but what encodes something else."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for name, item in value.items():
            yield str(name)
            if _ENCODED_TYPE.match(str(name)):
                continue
            if isinstance(item, str) and len(item) <= _LONGEST_VALUE:
                yield f'{name}="{item}"'  # a parameter api_secret is as good as an assignment
            yield from _texts(item)
    elif isinstance(value, Sequence):
        are_texts = bool(value) and all(isinstance(item, str) for item in value)
        if are_texts:
            yield "".join(value)
        if not are_texts or not any(item.endswith("\n") for item in value):  # not just the lines of one text
            for item in value:
                yield from _texts(item)


def _encoded(value: Any) -> Iterator[str]:
    """What pictures, sounds and documents in a JSON value hold, as far as it is text."""
    if isinstance(value, Mapping):
        for name, item in value.items():
            if _ENCODED_TYPE.match(str(name)) and isinstance(item, str | list):
                with contextlib.suppress(ValueError):
                    yield base64.b64decode("".join(item)).decode(errors="replace")
            else:
                yield from _encoded(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _encoded(item)


def _has_typed(value: Any) -> bool:
    """Whether a password field of ipywidgets is kept with what was typed into it."""
    if isinstance(value, Mapping):
        state = value.get("state")
        if isinstance(state, Mapping) and "PasswordModel" in (value.get("model_name"), state.get("_model_name")):
            return bool(state.get("value"))
        return any(map(_has_typed, value.values()))
    return isinstance(value, list | tuple) and any(map(_has_typed, value))


class RedactingFilter(logging.Filter):
    """Masks secrets in a log record's message, exception and stack before any handler sees them. Never raises: a
    record whose arguments do not fit its message keeps the message."""

    def filter(self, record: logging.LogRecord) -> bool:
        try:
            words = record.getMessage()
        except Exception:  # whatever str() and % of a caller's objects may raise
            words = record.msg if isinstance(record.msg, str) else f"a {type(record.msg).__name__} that has no text"
        record.msg, record.args = redact(words), ()
        if record.exc_info:
            record.exc_text = logging.Formatter().formatException(record.exc_info)
            record.exc_info = None
        if record.exc_text:
            record.exc_text = redact(record.exc_text)
        if record.stack_info:
            record.stack_info = redact(record.stack_info)
        return True
