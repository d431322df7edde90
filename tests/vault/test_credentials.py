"""Promise: a pair signs as Binance checks it, what Binance would not give is refused in words that help, and no secret
is shown by anything that holds it."""

from __future__ import annotations

import base64
import copy
import logging
import pickle
import subprocess
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from quantlab.model.errors import ConfigurationError
from quantlab.redact import redact
from quantlab.vault import Credential, Seen, Tampered, Vault, WrongPassword
from quantlab.vault.kdf import Parameters
from quantlab.vault.sealing import Sealer

from .kit import PASSED, PASSWORD, PAYLOAD, ed25519_pair, ed25519_pem, letters, pair, rsa_pair, rsa_pem, sql

KEY = letters("api key")
PAYLOADS = [b"", PAYLOAD, "symbol=BTCUSDT&note=Ключ".encode(), bytes(range(256))]


def public_half(pem: str, path: Path) -> Path:
    key = load_pem_private_key(pem.encode(), None).public_key()
    path.write_bytes(key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return path


def openssl(*arguments: str | Path, data: bytes = b"") -> bytes:
    return subprocess.run(["openssl", *map(str, arguments)], input=data, capture_output=True, check=True).stdout


# -- signatures, against implementations that are not ours ----------------------------------------------------------


@pytest.mark.parametrize("payload", PAYLOADS)
def test_hmac_as_openssl_makes_it(payload: bytes) -> None:
    credential = pair(1)
    theirs = openssl("dgst", "-sha256", "-hmac", credential.secret, "-hex", data=payload)
    assert theirs.decode().split()[-1] == credential.signer().sign(payload)


def test_hmac_as_binance_documents_it() -> None:
    """The worked example of the spot REST docs, "SIGNED endpoint example for POST /api/v3/order"; checked
    2026-11-23."""
    credential = Credential.parse(  # in halves, so that a search for keys in this repository finds none
        "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zv" + "sw0MuIgwCIPy6utIco14y7Ju91duEh8A",
        "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP" + "1e3UZjInClVN65XAbvqqM6A7H5fATj0j",
    )
    query = b"symbol=LTCBTC&side=BUY&type=LIMIT&timeInForce=GTC&quantity=1&price=0.1&recvWindow=5000"
    query += b"&timestamp=1499827319559"
    assert credential.signer().sign(query) == "c8db56825ae71d6d79447849e617115f4a920fa2acdcab2b053c4b2838bd6b71"


@pytest.mark.parametrize("payload", PAYLOADS[1:])
def test_ed25519_as_openssl_checks_it(tmp_path: Path, payload: bytes) -> None:
    credential = ed25519_pair("signing")
    public = public_half(credential.secret, tmp_path / "public.pem")
    (tmp_path / "payload").write_bytes(payload)
    (tmp_path / "signature").write_bytes(base64.b64decode(credential.signer().sign(payload), validate=True))
    check = ("pkeyutl", "-verify", "-pubin", "-inkey", public, "-rawin", "-in", tmp_path / "payload", "-sigfile")
    assert b"Verified Successfully" in openssl(*check, tmp_path / "signature")
    (tmp_path / "payload").write_bytes(payload + b"x")
    with pytest.raises(subprocess.CalledProcessError):  # control
        openssl(*check, tmp_path / "signature")
    key = load_pem_public_key(public.read_bytes())
    assert isinstance(key, Ed25519PublicKey)
    key.verify(base64.b64decode(credential.signer().sign(payload)), payload)


@pytest.mark.parametrize("payload", PAYLOADS)
def test_rsa_as_openssl_checks_it(tmp_path: Path, payload: bytes) -> None:
    credential = rsa_pair("signing")
    public = public_half(credential.secret, tmp_path / "public.pem")
    (tmp_path / "signature").write_bytes(base64.b64decode(credential.signer().sign(payload), validate=True))
    check = ("dgst", "-sha256", "-verify", public, "-signature", tmp_path / "signature")
    assert openssl(*check, data=payload).strip() == b"Verified OK"
    with pytest.raises(subprocess.CalledProcessError):  # control
        openssl(*check, data=payload + b"x")
    key = load_pem_public_key(public.read_bytes())
    assert isinstance(key, rsa.RSAPublicKey)
    key.verify((tmp_path / "signature").read_bytes(), payload, padding.PKCS1v15(), SHA256())


def test_a_kept_pair_signs_as_the_one_that_was_typed() -> None:
    for credential in (pair(1), ed25519_pair(1), rsa_pair("signing")):
        kept = Credential.known(credential.api_key, credential.secret, credential.type)
        assert kept == credential and kept.signer().sign(PAYLOAD) == credential.signer().sign(PAYLOAD)
        assert kept.signer().api_key == credential.api_key


# -- what is taken --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "written",
    [
        lambda pem: pem,
        lambda pem: pem.strip(),
        lambda pem: f"  \n{pem}\n ",
        lambda pem: pem.replace("\n", "\r\n"),
        lambda pem: pem.replace("\n", "\\n"),
        lambda pem: pem.strip().replace("\n", "\\n"),
    ],
    ids=["as made", "no last line end", "blanks around", "Windows", "one line", "one line, no last"],
)
@pytest.mark.parametrize("make", [ed25519_pem, rsa_pem])
def test_a_pem_is_taken_however_it_was_written(make: Callable[[object], str], written: Callable[[str], str]) -> None:
    pem = make("signing")
    credential = Credential.parse(f" {KEY}\n", written(pem))
    assert credential.secret == pem and credential.api_key == KEY
    assert credential.type == ("rsa" if make is rsa_pem else "ed25519")


def test_a_fingerprint_is_the_start_of_the_hash(tmp_path: Path) -> None:
    assert pair(1).fingerprint == openssl("dgst", "-sha256", data=pair(1).api_key.encode()).decode().split()[-1][:16]


def pem_of(key: object, encryption: object = None, form: PrivateFormat = PrivateFormat.PKCS8) -> str:
    made: bytes = key.private_bytes(Encoding.PEM, form, encryption or NoEncryption())  # type: ignore[attr-defined]
    return made.decode()


LOCKED = BestAvailableEncryption(b"a passphrase")
REFUSED: dict[str, tuple[str, str, str]] = {
    "no key": ("", pair(1).secret, "API key is not 64 letters and digits"),
    "a short key": (KEY[:63], pair(1).secret, "it has 63 characters"),
    "a long key": (KEY + "a", pair(1).secret, "it has 65 characters"),
    "a placeholder": ("your_api_key_here", "your_api_secret_here", "API key is not"),
    "a key with a sign": ("-" + KEY[1:], pair(1).secret, "API key is not"),
    "swapped halves": (ed25519_pem("signing"), KEY, "give the API key first"),
    "no secret": (KEY, "", "neither 64 letters and digits"),
    "a cut secret": (KEY, pair(1).secret[:40], "it has 40 characters"),
    "the key twice": (KEY, KEY, "the same as the API key"),
    "a fullwidth digit": ("１" + KEY[1:], pair(1).secret, "API key is not"),
    "an EC key": (KEY, pem_of(ec.generate_private_key(ec.SECP256R1())), "neither Ed25519 nor RSA"),
    "an encrypted Ed25519 key": (KEY, pem_of(Ed25519PrivateKey.generate(), LOCKED), "passphrase"),
    "an encrypted key of old": (
        KEY,
        pem_of(rsa.generate_private_key(65537, 2048), LOCKED, PrivateFormat.TraditionalOpenSSL),
        "passphrase",
    ),
    "a short RSA key": (KEY, pem_of(rsa.generate_private_key(65537, 1024)), "1024 bits is too short"),
    "half a PEM": (KEY, ed25519_pem("signing")[:60], "cannot be read"),
    "a PEM of nothing": (KEY, "-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----", "cannot be read"),
    "a PEM of noise": (KEY, "-----BEGIN PRIVATE KEY-----\nQUJDREVGR0g=\n-----END PRIVATE KEY-----", "cannot be read"),
    "a public key": (
        KEY,
        Ed25519PrivateKey.generate()
        .public_key()
        .public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        .decode(),
        "cannot be read",
    ),
    "an RSA key whose numbers do not agree": (
        KEY,
        "-----BEGIN PRIVATE KEY-----\n"
        + base64.encodebytes(
            base64.b64decode("".join(rsa_pem("signing").splitlines()[1:-1])).replace(b"\x01\x00\x01", b"\x01\x00\x03")
        ).decode()
        + "-----END PRIVATE KEY-----\n",
        "cannot be read",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_binance_would_not_give_is_refused_in_one_line_without_the_secret(case: str) -> None:
    api_key, secret, words = REFUSED[case]
    with pytest.raises(ConfigurationError, match=words) as refused:
        Credential.parse(api_key, secret)
    line = str(refused.value)
    assert (
        line.isprintable() and refused.value.__cause__ is None and refused.value.__suppress_context__ in (True, False)
    )
    for half in (api_key, secret):
        for piece in half.split():
            assert len(piece) < 12 or piece not in line


# -- nothing shows a secret -----------------------------------------------------------------------------------------


def secrets_of(credential: Credential) -> list[str]:
    """The pair itself, and the lines of a PEM."""
    lines = [line for line in credential.secret.splitlines() if "-----" not in line]
    return [credential.api_key, credential.secret, repr(credential.secret)[1:-1], *lines]


def holders(vault: Vault, credential: Credential) -> dict[str, object]:
    parameters = Parameters.fresh()
    return {
        "credential": credential,
        "signer": credential.signer(),
        "vault": vault,
        "rows": vault.rows,
        "sealer": Sealer(parameters.derive(PASSWORD)),
        "seen": Seen("passed", 1, ("reading",), True),
        "epochs": vault._epochs,
        "credentials": vault._credentials,
    }


@pytest.mark.parametrize("make", [pair, ed25519_pair, rsa_pair])
def test_no_holder_shows_or_gives_away_a_secret(vault: Vault, make: Callable[[object], Credential]) -> None:
    credential = make("signing")
    vault.add("key", credential, "mainnet", seen=PASSED)
    words = secrets_of(credential)
    for name, holder in holders(vault, credential).items():
        for shown in (repr(holder), str(holder), f"{holder}", f"{holder!a}", f"{[holder]}"):
            assert not any(word in shown for word in words), name
        if name in ("rows", "seen"):
            continue
        for copied in (pickle.dumps, copy.copy, copy.deepcopy):
            if copied is copy.copy and name in ("epochs", "credentials"):
                continue
            with pytest.raises(TypeError, match="not pickled"):
                copied(holder)


@pytest.mark.parametrize("make", [pair, ed25519_pair, rsa_pair])
def test_a_traceback_with_its_locals_shows_no_holders_secret(
    vault: Vault, make: Callable[[object], Credential], caplog: pytest.LogCaptureFixture
) -> None:
    credential = make("signing")
    vault.add("key", credential, "mainnet", seen=PASSED)
    words = secrets_of(credential)

    def fail(held: dict[str, object]) -> None:
        (one, two, three, *others) = held.values()
        raise ValueError(f"{one} {two} {three} {others}")

    try:
        fail(holders(vault, vault._credentials[1]))
    except ValueError as error:
        shown = "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
        logging.getLogger("test").exception("failed with %s", error)
    shown = "".join(line for line in shown.splitlines(keepends=True) if not line.strip().startswith("words = "))
    assert "others = [" in shown, "control: it shows locals"
    fail_frame = shown[shown.index("in fail") :]
    assert not any(word in fail_frame for word in words)
    assert not any(word in caplog.text for word in words)


def test_a_traceback_out_of_the_vault_is_masked_like_every_other_text(home: Path, vault: Vault) -> None:
    """Inside, plain text is unavoidable; all of it is registered before anything can fail."""
    credential = Credential.parse(letters("masked key"), letters("masked secret"))
    vault.add("key", credential, "mainnet", seen=PASSED)
    wrong = "Wrong-but-strong-1"

    def shown(action: Callable[[], object]) -> str:
        with pytest.raises((Tampered, WrongPassword, ConfigurationError)) as raised:
            action()
        return "".join(traceback.TracebackException.from_exception(raised.value, capture_locals=True).format())

    sql(home, "UPDATE keys SET environment = 'testnet'")
    text = shown(lambda: Vault.open(home, PASSWORD))
    assert "its row says environment" in text
    text += shown(lambda: Vault.open(home, wrong))
    text += shown(lambda: Credential.parse(credential.api_key, credential.secret[:50] + "!"))
    assert "row = KeyRow(" in text, "control: locals are in it"
    masked = redact(text)
    for word in (credential.secret, credential.api_key, credential.secret[:50], PASSWORD, wrong):
        assert word not in masked
