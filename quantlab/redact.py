"""What a secret looks like, and how it is kept out of text: log lines, errors, reports.

A value that was registered is masked in its raw, base64, hex, URL and JSON form. What only looks like a secret is
masked too: signatures, key headers, bearer tokens, private keys, and Binance's API keys (64 letters and digits, mixed).
"""

from __future__ import annotations

import base64
import json
import logging
import re
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
