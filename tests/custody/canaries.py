"""The canaries: secrets made anew for each run of the tests, so that no file of this repository holds one."""

from __future__ import annotations

import base64
import secrets
import string
from collections.abc import Callable
from typing import NamedTuple
from urllib.parse import quote

_ALPHABET = string.ascii_letters + string.digits


def letters(length: int = 64) -> str:
    """Mixed letters and digits, as Binance's keys are."""
    return "aZ0" + "".join(secrets.choice(_ALPHABET) for _ in range(length - 3))


class Pair(NamedTuple):
    api_key: str
    secret: str


def pair() -> Pair:
    return Pair(letters(), letters())


def password() -> str:
    """One that looks different in every form: in URLs, in JSON, in HTML, in a shell."""
    return f"{letters(16)} /&+<%$={letters(12)}"


class Form(NamedTuple):
    """A way to write a secret. `found_as` is what the sweep calls it."""

    found_as: str
    write: Callable[[str], str]


def _base64(before: int) -> Callable[[str], str]:
    return lambda text: base64.b64encode(b"-" * before + text.encode() + b"-" * before).decode()


FORMS: dict[str, Form] = {
    "raw": Form("raw", str),
    "base64 at 0": Form("base64", _base64(0)),
    "base64 at 1": Form("base64", _base64(1)),
    "base64 at 2": Form("base64", _base64(2)),
    "hex": Form("hex", lambda text: text.encode().hex()),
    "HEX": Form("hex", lambda text: text.encode().hex().upper()),
    "URL": Form("URL", lambda text: quote(text, safe="")),
}

#: A value of its own for each form: what is found under its name was written in that form.
PLANTED: dict[str, str] = {form: letters(40) + ("/+ &=" + letters(8) if form == "URL" else "") for form in FORMS}
#: All of them, each in its form, as one line of text.
LEAK = " | ".join(FORMS[form].write(value) for form, value in PLANTED.items())
