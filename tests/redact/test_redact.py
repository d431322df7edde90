"""Promise: a secret never reaches a log line, an error or a report, in whatever form it is written."""

from __future__ import annotations

import base64
import copy
import io
import json
import logging
import pickle
import secrets
import string
import traceback
from collections.abc import Callable, Iterator
from urllib.parse import quote, urlencode

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantlab import redact as module
from quantlab.redact import MASK, Hidden, RedactingFilter, redact, register_secret

#: Mixed letters and digits, as Binance's keys are; made up.
KEY = "aB3" * 21 + "z"
HASH = "0123456789abcdef" * 4


@pytest.fixture(autouse=True)
def _nothing_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_forms", ())


FORMS: dict[str, Callable[[str], str]] = {
    "raw": lambda secret: secret,
    "base64": lambda secret: base64.b64encode(secret.encode()).decode(),
    "base64, URL-safe": lambda secret: base64.urlsafe_b64encode(secret.encode()).decode(),
    "hex": lambda secret: secret.encode().hex(),
    "HEX": lambda secret: secret.encode().hex().upper(),
    "URL": lambda secret: quote(secret, safe=""),
    "JSON": lambda secret: json.dumps(secret)[1:-1],
    "JSON, UTF-8": lambda secret: msgspec.json.encode(secret).decode()[1:-1],
    "form": lambda secret: urlencode({"password": secret}),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("secret", ["correct horse battery", 'pä$$wörd/with?all&"kinds"=of\\', "x" * 200])
def test_a_registered_secret_is_masked_in_every_form(secret: str, form: str) -> None:
    text = f"before {FORMS[form](secret)} after"
    assert redact(text) == text, "control: nothing is known yet"
    register_secret(secret)
    shown = redact(text)
    assert MASK in shown and shown.startswith("before ") and shown.endswith(" after")
    assert FORMS[form](secret).removeprefix("password=").rstrip("=") not in shown


@given(st.text(st.characters(codec="utf-8"), min_size=8, max_size=80), st.text(max_size=20), st.text(max_size=20))
def test_no_text_around_a_secret_brings_it_back(secret: str, before: str, after: str) -> None:
    module._forms = ()
    register_secret(secret)
    assert secret not in redact(before + secret + after) or secret in MASK


def test_a_secret_within_a_longer_one_does_not_leave_its_rest() -> None:
    for secret in ("hunter2hunter2", "hunter2hunter2-and-more", "and-more"):
        register_secret(secret)
    assert redact("hunter2hunter2-and-more") == MASK


@pytest.mark.parametrize(
    "text",
    [
        f"POST /api/v3/order?symbol=BTCUSDT&signature={HASH}",
        f'{{"signature": "{HASH}"}}',
        f"headers {{'X-MBX-APIKEY': '{HASH}'}}",
        f"x-mbx-apikey: {HASH}",
        f"Authorization: Bearer {HASH}",
        f"-----BEGIN PRIVATE KEY-----\n{HASH}\n-----END PRIVATE KEY-----",
        f"-----BEGIN ED25519 PRIVATE KEY-----\n{HASH}",
    ],
)
def test_what_looks_like_a_secret_is_masked_without_being_known(text: str) -> None:
    assert HASH not in redact(text) and MASK in redact(text)


@pytest.mark.parametrize(
    "words",
    [
        f'sent "symbol=BTCUSDT&signature={HASH}" in vain',
        f"header \\X-MBX-APIKEY: {HASH}\\",
        f'"Bearer {HASH}"',
        f"-----BEGIN PRIVATE KEY-----\n{HASH}\n-----END PRIVATE KEY-----",
        f"-----BEGIN PRIVATE KEY-----\n{HASH}",
    ],
)
def test_json_stays_json(words: str) -> None:
    """Details are masked as the text they are kept as."""
    shown = redact(msgspec.json.encode({"why": words, "bot": 3}).decode())
    assert HASH not in shown and msgspec.json.decode(shown)["bot"] == 3


def test_a_key_of_binance_is_masked_where_it_stands_alone() -> None:
    assert len(KEY) == 64
    assert redact(f"key {KEY}, please") == f"key {MASK}, please"


@pytest.mark.parametrize(
    "text",
    [
        f"fills_sha256 {HASH}",
        f"run of {KEY}{KEY}",  # too long for a key: an encoded body
        "GET /api/v3/depth?symbol=BTCUSDT&limit=100",
        "Signature for this request is not valid.",
        "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
        "",
    ],
)
def test_ordinary_text_stays_as_it_is(text: str) -> None:
    assert redact(text) == text


def test_values_too_short_to_be_secrets_do_not_mask_words() -> None:
    register_secret("true")
    assert redact("accounting_ok true") == "accounting_ok true"


def test_a_secret_that_is_no_text_can_be_registered() -> None:
    secret = b"\xff\xfe-password".decode(errors="surrogateescape")
    register_secret(secret)
    assert redact(f"tried {secret}") == f"tried {MASK}"


@pytest.fixture
def log() -> Iterator[tuple[logging.Logger, io.StringIO]]:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.addFilter(RedactingFilter())
    logger = logging.Logger("quantlab.test")
    logger.addHandler(handler)
    yield logger, stream
    handler.close()


def test_log_lines_arguments_tracebacks_and_stacks_are_masked(log: tuple[logging.Logger, io.StringIO]) -> None:
    logger, stream = log
    secret = "".join(secrets.choice(string.ascii_letters) for _ in range(24))
    register_secret(secret)
    logger.warning("tried %s on %s", secret, {"password": secret})
    try:
        raise ValueError(f"bad password {secret}")
    except ValueError:
        logger.exception("failed")
    logger.info("here", stack_info=True)
    assert secret not in stream.getvalue()
    assert stream.getvalue().count(MASK) == 3 and "ValueError: bad password" in stream.getvalue()


def test_a_log_call_with_wrong_arguments_does_not_break_its_caller(log: tuple[logging.Logger, io.StringIO]) -> None:
    logger, stream = log
    logger.warning("%d of %d", "one")
    assert stream.getvalue() == "%d of %d\n"


def test_a_hidden_value_is_text_that_does_not_show_itself() -> None:
    value = Hidden("a password of nobody")
    assert value == "a password of nobody" and value.encode() == b"a password of nobody" and f"{value}" == str(value)
    assert repr(value) == repr([value])[1:-1] == "'[redacted]'"
    for dumps in (pickle.dumps, copy.deepcopy):
        with pytest.raises(TypeError, match="not pickled"):
            dumps(value)
    try:
        raise ValueError("no word of it")
    except ValueError as error:
        told = "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
    assert "value = '[redacted]'" in told
