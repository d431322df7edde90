"""Promise: a password becomes a key as PBKDF2-HMAC-SHA256 says, never for less work than the floor, and a sealed
document opens with that key only."""

from __future__ import annotations

import base64
import subprocess

import pytest
from cryptography.fernet import Fernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC
from hypothesis import given
from hypothesis import strategies as st

from quantlab.vault import Tampered, WrongPassword
from quantlab.vault.header import make_header, rewrapped, unlock
from quantlab.vault.kdf import CEILING_ITERATIONS, DEFAULT_ITERATIONS, FLOOR_ITERATIONS, NAME, Parameters
from quantlab.vault.sealing import Sealer

from .kit import NEW_PASSWORD, PASSWORD

SALT = bytes(range(16))


@pytest.mark.parametrize("password", [PASSWORD, "Жёлтый-трамвай-57", "a" * 200, "with\udcffbytes"])
def test_a_key_is_what_other_implementations_derive(password: str) -> None:
    raw = password.encode(errors="surrogateescape")
    theirs = PBKDF2HMAC(SHA256(), 32, SALT, FLOOR_ITERATIONS).derive(raw)
    assert base64.urlsafe_b64decode(Parameters(FLOOR_ITERATIONS, SALT).derive(password)) == theirs
    command = ["openssl", "kdf", "-keylen", "32", "-kdfopt", "digest:SHA256", "-kdfopt", f"hexpass:{raw.hex()}"]
    command += ["-kdfopt", f"hexsalt:{SALT.hex()}", "-kdfopt", f"iter:{FLOOR_ITERATIONS}", "PBKDF2"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert bytes.fromhex(said.strip().replace(":", "")) == theirs


def test_the_numbers_that_users_are_told() -> None:
    assert (FLOOR_ITERATIONS, DEFAULT_ITERATIONS) == (100_000, 600_000)
    fresh = Parameters.fresh()
    assert fresh.iterations == DEFAULT_ITERATIONS and len(fresh.salt) == 16 and fresh.salt != Parameters.fresh().salt


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        (Parameters(FLOOR_ITERATIONS - 1, SALT), "99999 iterations"),
        (Parameters(0, SALT), "0 iterations"),
        (Parameters(-600_000, SALT), "-600000 iterations"),
        (Parameters(CEILING_ITERATIONS + 1, SALT), "20000001 iterations"),
        (Parameters(2**62, SALT), "iterations"),
        (Parameters(FLOOR_ITERATIONS, b""), "salt has 0 bytes"),
        (Parameters(FLOOR_ITERATIONS, SALT + b"x"), "salt has 17 bytes"),
        (Parameters(FLOOR_ITERATIONS, SALT, "scrypt"), "derivation 'scrypt'"),
        (Parameters(FLOOR_ITERATIONS, SALT, NAME.upper()), "derivation"),
        (Parameters(FLOOR_ITERATIONS, SALT, "a\nb\x1b[2J"), r"derivation 'a\\nb\\x1b"),
    ],
)
def test_parameters_that_quantlab_never_writes_do_no_work(
    parameters: Parameters, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object) -> bytes:
        raise AssertionError("work was done")

    monkeypatch.setattr("hashlib.pbkdf2_hmac", never)
    with pytest.raises(Tampered, match=words) as refused:
        parameters.derive(PASSWORD)
    assert str(refused.value).isprintable()
    with pytest.raises(AssertionError, match="work"):  # control
        Parameters(FLOOR_ITERATIONS, SALT).derive(PASSWORD)


# -- sealed documents -----------------------------------------------------------------------------------------------


@given(st.dictionaries(st.text(), st.one_of(st.text(), st.integers(-(2**53), 2**53), st.booleans(), st.none())))
def test_a_document_comes_back_as_it_went_in(document: dict[str, object]) -> None:
    sealer = Sealer.fresh()
    assert sealer.open(sealer.seal(document), "it") == document


SEALER = Sealer.fresh()
TOKEN = SEALER.seal({"secret": "the secret", "number": 5})


@given(st.integers(0, len(TOKEN) - 1), st.characters(codec="utf-8"))
def test_a_changed_token_is_refused_by_name(place: int, char: str) -> None:
    changed = TOKEN[:place] + char + TOKEN[place + 1 :]
    if base64.urlsafe_b64decode(TOKEN) == _decoded(changed):  # the spare bits at base64's end mean nothing
        assert SEALER.open(changed, "the document of X") == {"secret": "the secret", "number": 5}
        return
    with pytest.raises(Tampered, match="the document of X was changed"):
        SEALER.open(changed, "the document of X")


def _decoded(token: str) -> bytes:
    try:
        return base64.urlsafe_b64decode(token)
    except ValueError:
        return b""


@given(st.text(max_size=200))
def test_what_is_no_token_is_refused(text: str) -> None:
    for open_it in (SEALER.open, SEALER.unwrap):
        with pytest.raises(Tampered):
            open_it(text, "it")


def test_another_key_opens_nothing_and_a_key_is_wrapped_whole() -> None:
    other = Sealer.fresh()
    with pytest.raises(Tampered):
        other.open(TOKEN, "it")
    assert SEALER.unwrap(SEALER.wrap(other), "it").open(other.seal({"a": 1}), "it") == {"a": 1}
    with pytest.raises(Tampered):  # sealed with the right key, and no key
        SEALER.unwrap(TOKEN, "it")
    with pytest.raises(Tampered):  # a key, and no document
        SEALER.open(SEALER.wrap(other), "it")


def test_a_token_is_fernets(monkeypatch: pytest.MonkeyPatch) -> None:
    key = Fernet.generate_key()
    assert Fernet(key).decrypt(Sealer(key).seal({"a": 1})) == b'{"a":1}'


# -- headers --------------------------------------------------------------------------------------------------------


def test_a_header_opens_with_its_password_only_and_under_new_parameters_too(quick: None) -> None:
    data = Sealer.fresh()
    row = make_header(PASSWORD, data, vault_id="0" * 16, epoch=1, parameters=Parameters.fresh(), now_ms=5)
    opened = unlock(row, PASSWORD)
    assert opened.data.open(data.seal({"a": 1}), "it") == {"a": 1}
    again = rewrapped(opened, PASSWORD, Parameters.fresh())
    assert again.salt != row.salt and again.vault_id == row.vault_id and again.created_ms == 5
    assert unlock(again, PASSWORD).data.open(data.seal({"a": 1}), "it") == {"a": 1}
    for header in (row, again):
        with pytest.raises(WrongPassword):
            unlock(header, NEW_PASSWORD)
