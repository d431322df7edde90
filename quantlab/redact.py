"""What a secret looks like, and how it is kept out of text: log lines, errors, reports.

A value that was registered is masked in its raw, base64, hex, URL and JSON form. What only looks like a secret is
masked too: signatures, key headers, bearer tokens, private keys, and Binance's API keys (64 letters and digits, mixed).
"""

from __future__ import annotations

import base64
import json
import logging
import re
from collections.abc import Iterator
from typing import NamedTuple
from urllib.parse import quote, quote_plus

MASK = "[redacted]"
#: Shorter values would mask ordinary words.
_SHORTEST = 8
#: Longest first, so that no form hides a part of another. Replaced as a whole, never changed: readers take no lock.
_forms: tuple[str, ...] = ()
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
    if len(value) < _SHORTEST:
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
    _forms = tuple(sorted(forms.union(_forms), key=lambda form: (-len(form), form)))


def redact(text: str) -> str:
    """`text` with every known secret, and all that looks like one, masked."""
    for form in _forms:
        if form in text:
            text = text.replace(form, MASK)
    return _LOOKS_SECRET.sub(lambda found: (found["name"] or "") + MASK, text)


class Sighting(NamedTuple):
    """Where in a text something secret stands, and what kind of thing it is: never the thing."""

    kind: str
    start: int
    end: int

    KNOWN = "a value from .env or the vault"
    SIGNATURE = "the signature of a request"
    HEADER = "an API key header"
    BEARER = "a bearer token"
    PRIVATE_KEY = "a private key"
    KEY = "64 letters and digits, as Binance's keys are"


def secrets_in(text: str, *, known: bool = True) -> Iterator[Sighting]:
    """What `redact` would mask in `text`, for those who refuse a text instead of masking it: registered values (unless
    `known` is false), then what looks like a secret, in its order. Less eager than `redact`: a word behind "Bearer" and
    a piece of a long base64 body, such as a picture's, are none."""
    if known:
        for form in _forms:
            if (at := text.find(form)) >= 0:
                yield Sighting(Sighting.KNOWN, at, at + len(form))
    for found in _LOOKS_SECRET.finditer(text):
        kind = _kind(found)
        if kind == Sighting.KEY:
            certain = _encoded_around(text, found.start(), found.end()) <= _LONGEST_BESIDE
        else:
            certain = kind == Sighting.PRIVATE_KEY or _TELLING.match(text, found.end("name")) is not None
        if certain:
            yield Sighting(kind, found.start(), found.end())


#: What stands behind a name is a secret and not a word about one.
_TELLING = re.compile(r"(?=[^\s'\"&,\\]*[0-9])[A-Za-z0-9+/=_.~%-]{16}")
#: A key and a secret joined by a slash have 129 characters; a longer run of base64 is some other thing's body.
_LONGEST_BESIDE = 140
_ENCODED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=")


def _kind(found: re.Match[str]) -> str:
    name = (found["name"] or "").lower()
    if not name:
        return Sighting.PRIVATE_KEY if found[0].startswith("-----BEGIN") else Sighting.KEY
    if "signature" in name:
        return Sighting.SIGNATURE
    return Sighting.HEADER if "apikey" in name else Sighting.BEARER


def _encoded_around(text: str, start: int, end: int) -> int:
    """The length of the run of base64 characters that `text[start:end]` lies in, counted no further than needed."""
    first, last = start, end
    while first > 0 and start - first <= _LONGEST_BESIDE and text[first - 1] in _ENCODED:
        first -= 1
    while last < len(text) and last - end <= _LONGEST_BESIDE and text[last] in _ENCODED:
        last += 1
    return last - first


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
