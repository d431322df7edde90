"""Promise: the vault's password is found where it is kept, never in a keyring that keeps plain text; a weak one is
refused, and a good one is not."""

from __future__ import annotations

import getpass
import secrets
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keyring
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keyring.backends import fail, null
from keyring.backends.chainer import ChainerBackend
from keyring.errors import KeyringLocked

from quantlab.model.errors import ConfigurationError, QuantlabError, Refused
from quantlab.redact import redact
from quantlab.settings import Settings, load_settings
from quantlab.vault import password
from quantlab.vault.password import check_strength, find_password, from_keyring, generate, keep_in_keyring

GOOD = "Vx9-tundra-KETTLE-41"


# -- strength -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "weak",
    [
        "",
        "short-Xq9!",
        "elevenchars",
        "aaaaaaaaaaaaaaaa",
        "abababababababab",
        "123456789012",
        "1234567890123456",
        "abcdefghijklmnop",
        "zyxwvutsrqponm",
        "qwertyuiopasdf",
        "QWERTYUIOPASDFGHJKL",
        "1234567890qwertyuiop",
        "password1234",
        "Password2024!",
        "passwordpassword",
        "Pa$$w0rd2025",
        "P4ssw0rd1234",
        "my-password-123",
        "your_vault_password",
        "correct horse battery staple",
        "correct-horse-battery-staple1",
        "change-me-2024",
        "quantlab-vault-1",
        "binance123456",
        "iloveyou123456",
        "secretsecretsecret",
        "            ",
        "tr0ub tr0ub ",
    ],
)
def test_a_weak_password_is_refused_in_one_line_that_does_not_show_it(weak: str) -> None:
    with pytest.raises(Refused, match=r"too weak.*--generate") as refused:
        check_strength(weak)
    assert weak.strip() == "" or weak not in str(refused.value)
    assert str(refused.value).isprintable()


@pytest.mark.parametrize(
    "good",
    [
        GOOD,
        "gravel ottoman pixel thursday",
        "Жёлтый-трамвай-57",
        "x7#Qm!2vLp9@",
        "7#!&%*@(^$)+~",
        "correct horse battery staple and then some",
        "a3f9c2e17b60d485",
        "password manager made this: kqzvw",
        "東京の雨は静かに窓を叩いている",
    ],
)
def test_a_good_password_is_taken(good: str) -> None:
    check_strength(good)


def test_what_is_made_is_strong_different_each_time_and_never_shown() -> None:
    made = {str(generate()) for _ in range(20)}
    assert len(made) == 20
    for one in made:
        assert len(one) == 43 and redact(f"x {one} y") == "x [redacted] y"
        check_strength(one)


@given(st.binary(min_size=12, max_size=12))
def test_random_passwords_are_refused_only_when_they_repeat(raw: bytes) -> None:
    """16 letters and digits of a password manager: what is refused has few different characters."""
    one = "".join("ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789"[byte % 57] for byte in raw) + "x9Qz"
    try:
        check_strength(one)
    except Refused:
        assert len(set(one)) < 9


def test_passwords_of_a_password_manager_are_taken() -> None:
    for _ in range(500):
        check_strength("".join(secrets.choice("abcdefghijkmnpqrstuvwxyz23456789") for _ in range(16)))


# -- where it is found ----------------------------------------------------------------------------------------------


class Ring(keyring.backend.KeyringBackend):
    """A desktop's keyring, or with another name something worse."""

    priority = 5  # type: ignore[assignment]

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], str] = {}
        self.locked = False
        self.forgets = False
        super().__init__()

    def get_password(self, service: str, username: str) -> str | None:
        if self.locked:
            raise KeyringLocked("locked")
        return self.kept.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        if self.locked:
            raise KeyringLocked("locked")
        if not self.forgets:
            self.kept[service, username] = password


class PlaintextKeyring(Ring):
    """As the one of keyrings.alt: a file with the password in it."""


class EncryptedKeyring(Ring):
    """keyrings.alt's other one."""


EncryptedKeyring.__module__ = "keyrings.alt.file"


@pytest.fixture(autouse=True)
def _no_real_keyring(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keyring, "get_keyring", fail.Keyring)
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)


def use(monkeypatch: pytest.MonkeyPatch, ring: Any) -> Any:
    monkeypatch.setattr(keyring, "get_keyring", lambda: ring)
    monkeypatch.setattr(keyring, "get_password", ring.get_password)
    monkeypatch.setattr(keyring, "set_password", ring.set_password)
    return ring


@pytest.fixture
def plain(tmp_path: Path) -> Settings:
    return load_settings(tmp_path, environ={})


def test_the_order_of_places(
    tmp_path: Path, plain: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    asked: list[str] = []

    def prompt(words: str) -> str:
        asked.append(words)
        return GOOD + "-typed"

    def found() -> tuple[str, str]:
        one = find_password(plain, prompt=prompt)
        assert one is not None and redact(one.password) == "[redacted]"
        return str(one.password), one.where

    assert found() == (GOOD + "-typed", "the prompt") and asked == ["Vault password: "]
    keep_in_keyring_of(monkeypatch, plain, GOOD + "-ring")
    assert found() == (GOOD + "-ring", "the keyring")
    (tmp_path / "credentials").mkdir()
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path / "credentials"))
    assert found() == (GOOD + "-ring", "the keyring"), "no credential of ours among them"
    (tmp_path / "credentials" / "quantlab-vault-password").write_text(GOOD + "-systemd\n")
    assert found() == (GOOD + "-systemd", "a systemd credential")
    settings = load_settings(tmp_path, environ={"VAULT_PASSWORD": GOOD + "-env"})
    one = find_password(settings, prompt=prompt)
    assert one is not None and (str(one.password), one.where) == (GOOD + "-env", "VAULT_PASSWORD")
    assert len(asked) == 1


def keep_in_keyring_of(monkeypatch: pytest.MonkeyPatch, settings: Settings, secret: str) -> Ring:
    ring: Ring = use(monkeypatch, Ring())
    keep_in_keyring(settings.home, secret)
    return ring


def test_nobody_is_asked_where_nobody_is(plain: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(_: str) -> str:
        raise AssertionError("asked")

    monkeypatch.setattr(sys.stdin, "isatty", lambda: False)
    assert find_password(plain, prompt=never) is None
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    assert find_password(plain) is None
    assert find_password(plain, prompt=lambda _: "") is None
    with pytest.raises(AssertionError, match="asked"):  # control
        find_password(plain, prompt=never)


@pytest.mark.parametrize("content", [b"\xff\xfe", None])
def test_a_credential_that_cannot_be_read_is_one_line(
    tmp_path: Path, plain: Settings, monkeypatch: pytest.MonkeyPatch, content: bytes | None
) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    path = tmp_path / "quantlab-vault-password"
    path.write_bytes(content) if content is not None else path.mkdir()
    with pytest.raises(QuantlabError, match="systemd credential quantlab-vault-password cannot be read"):
        find_password(plain)


def test_an_empty_credential_is_none(tmp_path: Path, plain: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    (tmp_path / "quantlab-vault-password").write_text("\n")
    assert find_password(plain) is None


# -- keyrings -------------------------------------------------------------------------------------------------------


def chained(*rings: Any) -> Any:
    return type("Chain", (ChainerBackend,), {"backends": list(rings)})()


UNSAFE: dict[str, Callable[[], Any]] = {
    "null": null.Keyring,
    "fail": fail.Keyring,
    "plaintext": PlaintextKeyring,
    "a file of keyrings.alt": EncryptedKeyring,
    "a chain of nothing": lambda: chained(),
    "a chain that begins with plaintext": lambda: chained(PlaintextKeyring(), Ring()),
    "a chain of a chain": lambda: chained(chained(PlaintextKeyring())),
}


@pytest.mark.parametrize("kind", UNSAFE)
def test_a_keyring_that_keeps_plain_text_or_nothing_gets_no_password(
    plain: Settings, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    ring = use(monkeypatch, UNSAFE[kind]())
    with pytest.raises(Refused, match="no safe keyring here"):
        keep_in_keyring(plain.home, GOOD)
    assert not getattr(ring, "kept", {})
    if isinstance(ring, Ring):
        ring.kept["quantlab", str(plain.home.resolve())] = GOOD
    assert from_keyring(plain.home) is None, "nor is it asked for one"


def test_a_desktops_keyring_keeps_one_password_a_home(
    tmp_path: Path, plain: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    ring = keep_in_keyring_of(monkeypatch, plain, GOOD)
    assert from_keyring(plain.home) == GOOD and from_keyring(tmp_path / "other") is None
    assert list(ring.kept) == [("quantlab", str(plain.home.resolve()))]
    use(monkeypatch, chained(ring, PlaintextKeyring()))
    monkeypatch.setattr(keyring, "get_password", ring.get_password)
    assert from_keyring(plain.home) == GOOD


def test_a_locked_keyring_is_said(plain: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    ring = keep_in_keyring_of(monkeypatch, plain, GOOD)
    ring.locked = True
    with pytest.raises(QuantlabError, match=r"keyring does not answer .*unlock it"):
        find_password(plain)
    with pytest.raises(QuantlabError, match="keyring does not take it"):
        keep_in_keyring(plain.home, GOOD)


def test_a_keyring_that_forgets_is_noticed(plain: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    ring: Ring = use(monkeypatch, Ring())
    ring.forgets = True
    with pytest.raises(QuantlabError, match="did not give back"):
        keep_in_keyring(plain.home, GOOD)


# -- prompts --------------------------------------------------------------------------------------------------------


def typing(monkeypatch: pytest.MonkeyPatch, *lines: str) -> None:
    left = list(lines)
    monkeypatch.setattr(getpass, "getpass", lambda _: left.pop(0))


def test_a_new_password_is_typed_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    typing(monkeypatch, GOOD, GOOD)
    assert password.ask_twice() == GOOD
    typing(monkeypatch, GOOD, GOOD + "x")
    with pytest.raises(ConfigurationError, match="not the same: nothing was changed"):
        password.ask_twice()
    typing(monkeypatch, "password1234", GOOD)
    with pytest.raises(Refused, match="too weak"):  # before it is asked for again
        password.ask_twice()


def test_what_is_typed_is_masked_from_then_on(monkeypatch: pytest.MonkeyPatch) -> None:
    typing(monkeypatch, "Typed-at-the-prompt-88")
    assert redact("Typed-at-the-prompt-88") == "Typed-at-the-prompt-88", "control"
    password.ask("Vault password: ")
    assert redact("Typed-at-the-prompt-88") == "[redacted]"
