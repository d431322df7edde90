"""Promise: what refuses a text because of a secret names kind and place, and does not refuse words about secrets,
hashes, pictures and examples."""

from __future__ import annotations

import base64
import secrets
from typing import Any

import pytest
from cryptography.fernet import Fernet

from quantlab import redact as module
from quantlab.redact import SecretKind, register_secret, secrets_in, secrets_in_notebook, secrets_in_text

KEY, OTHER = "aB3" * 21 + "z", "Cd7" * 21 + "y"
HEX = "0123456789abcdef" * 4


@pytest.fixture(autouse=True)
def _nothing_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_forms", ())


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        (f"&signature={HEX}", [SecretKind.SIGNATURE]),
        (f"X-MBX-APIKEY: {HEX}", [SecretKind.HEADER]),
        (f"Bearer {HEX}", [SecretKind.BEARER]),
        (f"{KEY}/{OTHER}", [SecretKind.KEY, SecretKind.KEY]),
        ("-----BEGIN PRIVATE KEY-----\nMC4C", [SecretKind.PRIVATE_KEY]),
        (f"sha256 {HEX}; a Bearer token; X-MBX-APIKEY: <key>; &signature={{signature}}", []),
        ("url + '&signature=' + hmac_sha256(secret, query)", []),
    ],
)
def test_kinds_by_their_look(text: str, kinds: list[SecretKind]) -> None:
    seen = list(secrets_in(text))
    assert [found.kind for found in seen] == kinds
    assert all(0 <= found.start < found.end <= len(text) for found in seen)


def test_a_registered_value_is_seen_in_its_forms_where_it_stands() -> None:
    text = "so: " + base64.b64encode(b"correct horse battery").decode()
    assert list(secrets_in(text)) == []
    register_secret("correct horse battery")
    assert list(secrets_in(text)) == [(SecretKind.KNOWN, 4, len(text))]
    assert list(secrets_in(text, known=False)) == []


def test_no_picture_is_taken_for_a_key() -> None:
    """About 130 runs of just 64 letters and digits stand in each MB of base64."""
    body = base64.b64encode(secrets.token_bytes(500_000)).decode()
    assert list(secrets_in(f'<img src="data:image/png;base64,{body}">')) == []
    picture = {
        "cells": [{"outputs": [{"data": {"image/png": base64.encodebytes(secrets.token_bytes(90_000)).decode()}}]}]
    }
    assert list(secrets_in_notebook(picture)) == []


def test_no_sealed_token_is_taken_for_a_key() -> None:
    """The vault's tokens are base64 as URLs have it, with "-" and "_"; a run of just 64 letters and digits may stand in
    one. What seals it is on disk, in backups, and in what a curious cell shows."""
    for plain in (secrets.token_bytes(32), secrets.token_bytes(500)):
        token = Fernet(Fernet.generate_key()).encrypt(base64.urlsafe_b64encode(plain)).decode()
        for at in range(1, len(token) - 66, 7):
            unlucky = f"{token[:at]}_{KEY}-{token[at + 66 :]}"
            assert list(secrets_in(f"wrapped_key='{unlucky}', handover=None")) == []
    for text in (f"my-key_{KEY}", f"{KEY}_{OTHER}", f"backup-{KEY}.txt", f"{KEY}-{OTHER}"):
        assert list(secrets_in(text)), "control: a key with few words beside it"


@pytest.mark.parametrize(
    ("text", "is_secret"),
    [
        ("%env BINANCE_API_SECRET=tiny-but-mine", True),
        ("%env VAULT_PASSWORD tiny-but-mine", True),
        ("os.environ['VAULT_PASSWORD'] = 'my own words'", True),
        ("client(apiKey='k', api_secret='tiny-but-mine')", True),
        ("API_BEARER_TOKEN: tiny-but-mine", True),
        ("%env BINANCE_API_SECRET=<your secret>", False),
        ("os.environ['VAULT_PASSWORD']", False),
        ("password = os.environ.get('VAULT_PASSWORD', default)", False),
        ("api_secret = getpass('API secret: ')", False),
        ("BINANCE_API_SECRET is taken into the vault", False),
        ("api_secret = 'YOUR_API_SECRET'", False),
        ("VAULT_PASSWORD=", False),
    ],
)
def test_values_given_to_the_name_of_a_secret(text: str, is_secret: bool) -> None:
    assert [found.kind for found in secrets_in_text(text)] == [SecretKind.NAMED] * is_secret


@pytest.mark.parametrize(
    ("notebook", "found"),
    [
        ({"cells": [{"source": "x"}, {"source": ["a\n", f"k='{KEY}'\n"]}]}, [("cell 2 (source)", SecretKind.KEY)]),
        ({"cells": [{"outputs": [{"text": [KEY[:9], KEY[9:]]}]}]}, [("cell 1 (outputs)", SecretKind.KEY)]),
        ({"cells": [], "metadata": {"a": {"b": [1, None, KEY]}}}, [("the notebook's metadata", SecretKind.KEY)]),
        (
            {"metadata": {"widgets": {"state": {"1": {"model_name": "PasswordModel", "state": {"value": "x"}}}}}},
            [("the widgets' state", SecretKind.TYPED)],
        ),
        ({"cells": [{"source": "fine", "outputs": [], "metadata": {}}], "metadata": {}, "nbformat": 4}, []),
    ],
)  # fmt: skip
def test_places_in_a_notebook(notebook: dict[str, Any], found: list[tuple[str, SecretKind]]) -> None:
    assert list(secrets_in_notebook(notebook)) == found
