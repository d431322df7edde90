"""What a secret looks like, and how it is kept out of text: log lines, errors, reports."""

from __future__ import annotations

import base64
import logging
import re
from urllib.parse import quote

MASK = "[redacted]"
#: Shorter values would mask ordinary words.
_SHORTEST = 8
_forms: set[str] = set()
_LOOKS_SECRET = re.compile(
    r"(?P<name>\bsignature=|X-MBX-APIKEY['\"]?\s*[:=]\s*['\"]?|\bBearer\s+)[^\s'\"&,]+"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)"
    r"|(?<![0-9A-Za-z])(?=[0-9A-Za-z]*[A-Z])(?=[0-9A-Za-z]*[a-z])(?=[0-9A-Za-z]*[0-9])[0-9A-Za-z]{64}(?![0-9A-Za-z])",
    re.DOTALL,
)


def register_secret(value: str) -> None:
    """Keep `value` out of every text from now on, in raw, base64, hex and URL form."""
    if len(value) < _SHORTEST:
        return
    raw = value.encode()
    _forms.update(
        {
            value,
            quote(value, safe=""),
            raw.hex(),
            base64.b64encode(raw).decode().rstrip("="),
            base64.urlsafe_b64encode(raw).decode().rstrip("="),
        }
    )


def redact(text: str) -> str:
    """`text` with every known secret, and all that looks like one, masked."""
    for form in sorted(_forms, key=len, reverse=True):
        if form in text:
            text = text.replace(form, MASK)
    return _LOOKS_SECRET.sub(lambda found: (found["name"] or "") + MASK, text)


class RedactingFilter(logging.Filter):
    """Masks secrets in a log record's message and exception before any handler sees them."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = redact(record.getMessage()), ()
        if record.exc_info:
            record.exc_text = redact(logging.Formatter().formatException(record.exc_info))
            record.exc_info = None
        return True
