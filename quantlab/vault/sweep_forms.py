"""The forms a secret can take in bytes: what `sweep` looks for.

A form is given as one or more needles; one of them found is the form found. Base64 may be broken into lines (from 64
characters on, in PEM and MIME): of two neighbouring needles of at most 32 characters, one is always whole.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import html
import json
from typing import NamedTuple
from urllib.parse import quote, quote_plus

from quantlab.model.errors import ConfigurationError

#: Shorter values would be found in ordinary words. The same as in `quantlab.redact`.
SHORTEST = 8
#: A value that is this long and mixed is also found by either half: a page of a database may end in its middle.
_HALVED = 40
#: Base64 of less than this many characters is found by chance.
_SHORTEST_BASE64 = 10
_PIECE = 32


class Needle(NamedTuple):
    """Bytes to look for, the name of their form, and the name of their secret."""

    secret: str
    form: str
    value: bytes


def needles_of(name: str, secret: str) -> list[Needle]:
    """All needles of one secret, without duplicates. Raises ConfigurationError when it is too short to be told from
    ordinary words."""
    if len(secret.strip()) < SHORTEST:
        raise ConfigurationError(f"{name} is shorter than {SHORTEST} characters: it would be found in ordinary words")
    found: dict[bytes, Needle] = {}
    for part in _parts(secret.strip()):
        for form, value in _forms(part):
            found.setdefault(value, Needle(name, form, value))
    return list(found.values())


def _parts(secret: str) -> list[bytes]:
    """What to look for of a secret: itself; of a private key in PEM the lines that no other key shares."""
    text = secret.replace("\\n", "\n")
    if not text.startswith("-----BEGIN "):
        return [secret.encode(errors="surrogateescape")]
    lines = [line.strip() for line in text.splitlines()]
    body = [line.encode() for line in lines if len(line) >= 16 and "-----" not in line and ":" not in line]
    parts = [body[min(1, len(body) - 1)], body[len(body) // 2]] if body else [secret.encode()]
    with contextlib.suppress(binascii.Error):  # damaged: its lines are looked for
        # The last bytes of the document are the key's own: an Ed25519 seed, RSA's coefficient.
        parts.append(base64.b64decode(b"".join(body), validate=True)[-32:])
    return [part for part in parts if len(part) >= SHORTEST]


def _forms(raw: bytes) -> list[tuple[str, bytes]]:
    forms = [("raw", raw)]
    text = raw.decode(errors="surrogateescape")
    if len(text) >= _HALVED and _is_mixed(text):
        middle = len(raw) // 2
        forms += [("raw", raw[:middle]), ("raw", raw[middle:])]
    forms += [("hex", raw.hex().encode()), ("hex", raw.hex().upper().encode())]
    forms += [("base64", piece) for piece in _base64(raw)]
    if not text.isascii() and any("\udc80" <= letter <= "\udcff" for letter in text):
        return forms  # bytes that are no text have no text forms
    for escaped in (quote(text, safe=""), quote_plus(text), quote(text)):
        forms += [("URL", escaped.encode()), ("URL", _lower_escapes(escaped).encode())]
    forms.append(("URL", "".join(f"%{byte:02X}" for byte in raw).encode()))
    for ascii_only in (True, False):
        once = json.dumps(text, ensure_ascii=ascii_only)[1:-1]
        forms += [("JSON", once.encode()), ("JSON", json.dumps(once, ensure_ascii=ascii_only)[1:-1].encode())]
    forms += [("HTML", html.escape(text, quote=marks).encode()) for marks in (True, False)]
    return [*forms, ("UTF-16", text.encode("utf-16-le")), ("UTF-16", text.encode("utf-16-be"))]


def _base64(raw: bytes) -> list[bytes]:
    """The characters that stand for `raw` wherever it lies within a longer encoding: at each of the three offsets
    those that depend on no neighbour, in both alphabets, in two pieces."""
    pieces = []
    for before in range(3):
        first = -(-before * 8 // 6)
        last = (before + len(raw)) * 8 // 6
        core = base64.b64encode(bytes(before) + raw)[first:last]
        length = min(_PIECE, len(core) // 2) if len(core) >= 2 * _SHORTEST_BASE64 else len(core)
        for start in range(0, min(len(core), 2 * length), length):
            piece = core[start : start + length]
            pieces += [piece, piece.replace(b"+", b"-").replace(b"/", b"_")]
    return pieces


def _lower_escapes(escaped: str) -> str:
    parts = escaped.split("%")
    return parts[0] + "".join(f"%{part[:2].lower()}{part[2:]}" for part in parts[1:])


def _is_mixed(text: str) -> bool:
    """Made by chance rather than of words: either half of it is unmistakable too."""
    return (
        text.isalnum() and any(map(str.isdigit, text)) and any(map(str.isupper, text)) and any(map(str.islower, text))
    )
