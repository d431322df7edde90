"""Promise: a vault gives each key back as it went in, only while it may be used, whatever other processes do."""

from __future__ import annotations

import hashlib
import hmac
import multiprocessing
import pickle
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from quantlab.cli.custody import change_password
from quantlab.ledger.keys import KeyStore
from quantlab.model.errors import ConfigurationError, NotFound, QuantlabError, Refused
from quantlab.settings import load_settings
from quantlab.vault import Credential, NoVault, RolledBack, Seen, Tampered, Vault, WrongPassword, has_vault, revoke
from quantlab.vault import sealed as sealed_module
from quantlab.vault.anchor import anchor_path, raise_anchor, read_anchor
from quantlab.vault.kdf import DEFAULT_ITERATIONS, FLOOR_ITERATIONS, Parameters
from quantlab.vault.rows import after_audit

from .kit import (
    NEW_PASSWORD,
    PASSED,
    PASSWORD,
    PAYLOAD,
    content_of,
    ed25519_pair,
    pair,
    quick_derive,
    rsa_pair,
    sql,
    stands_in,
)

REFUSED = Seen("refused", 1_800_000_000_000, ("withdrawals",), False, None, ("withdrawals are allowed",))
LATER = Seen("passed", 4_000_000_000_000, ("reading",), True, "203.0.113.7")


def signature(credential: Credential) -> str:
    return hmac.new(credential.secret.encode(), PAYLOAD, hashlib.sha256).hexdigest()


def signs(vault: Vault, label: str, credential: Credential) -> bool:
    signer = vault.signer(label, "test")
    return (signer.api_key, signer.sign(PAYLOAD)) == (credential.api_key, credential.signer().sign(PAYLOAD))


# -- opening --------------------------------------------------------------------------------------------------------


def test_a_wrong_password_is_said_at_once_and_nothing_is_decrypted(
    home: Path, vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    vault.add("Paper Trading", pair(1), "mainnet", seen=PASSED)

    def never(*_: object, **__: object) -> None:
        raise AssertionError("a document was opened")

    with monkeypatch.context() as patch:
        patch.setattr(sealed_module, "check_all", never)
        with pytest.raises(WrongPassword, match="nothing was decrypted"):
            Vault.open(home, PASSWORD + "x")
        with pytest.raises(AssertionError, match="was opened"):  # control: the right one goes on to the documents
            Vault.open(home, PASSWORD)
    Vault.open(home, PASSWORD).close()


def test_a_home_without_a_vault_says_so(tmp_path: Path, quick: None) -> None:
    for look in (lambda: Vault.open(tmp_path, PASSWORD), lambda: revoke(tmp_path, None, "drill")):
        with pytest.raises(NoVault, match="no vault here"):
            look()
    assert not has_vault(tmp_path)
    KeyStore.open(tmp_path, create=True).close()  # a ledger without a vault
    assert not has_vault(tmp_path)
    with pytest.raises(NoVault, match="vault init"):
        Vault.open(tmp_path, PASSWORD)
    Vault.create(tmp_path, PASSWORD).close()
    assert has_vault(tmp_path)


def test_a_second_vault_in_one_home_is_refused_and_the_first_is_untouched(home: Path, vault: Vault) -> None:
    vault.add("Paper Trading", pair(1), "mainnet", seen=PASSED)
    with pytest.raises(Refused, match="a vault here already"):
        Vault.create(home, NEW_PASSWORD)
    with Vault.open(home, PASSWORD) as again:
        assert signs(again, "Paper Trading", pair(1))


@pytest.mark.parametrize("iterations", [0, 1, FLOOR_ITERATIONS - 1, 10**9])
def test_too_few_iterations_make_no_vault(tmp_path: Path, iterations: int) -> None:
    with pytest.raises(ConfigurationError, match="iterations"):
        Vault.create(tmp_path, PASSWORD, iterations=iterations)
    assert not has_vault(tmp_path)


def test_a_weak_password_makes_no_vault(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="too weak"):
        Vault.create(tmp_path, "password1234")
    assert not has_vault(tmp_path)


def test_the_least_iterations_still_open_and_are_raised(tmp_path: Path) -> None:
    """With the true derivation: this is the way of a vault made by an older quantlab."""
    with Vault.create(tmp_path, PASSWORD, iterations=FLOOR_ITERATIONS) as vault:
        vault.add("Paper Trading", pair(1), "mainnet", seen=PASSED)
        (before,) = KeyStore.open(tmp_path).headers()
    assert before.iterations == FLOOR_ITERATIONS
    with Vault.open(tmp_path, PASSWORD) as vault:
        assert signs(vault, "Paper Trading", pair(1))
        (after,) = KeyStore.open(tmp_path).headers()
    assert after.iterations == DEFAULT_ITERATIONS == 600_000
    assert after.salt != before.salt and after.generation > before.generation
    assert not stands_in(tmp_path, before.verifier, before.wrapped_key)
    with pytest.raises(WrongPassword):
        Vault.open(tmp_path, NEW_PASSWORD)
    with Vault.open(tmp_path, PASSWORD) as vault:
        assert signs(vault, "Paper Trading", pair(1))
        assert KeyStore.open(tmp_path).headers() == [after]


# -- keys -----------------------------------------------------------------------------------------------------------


def test_keys_of_every_type_come_back_as_they_went_in(home: Path, vault: Vault) -> None:
    given = {"hmac": pair(1), "ed25519": ed25519_pair(2), "rsa": rsa_pair(3)}
    for label, credential in given.items():
        row = vault.add(label, credential, "mainnet", seen=PASSED)
        assert (row.type, row.state, row.fingerprint) == (label, "active", credential.fingerprint)
    with Vault.open(home, PASSWORD) as again:
        for label, credential in given.items():
            assert again.holds(again.key(label), credential) and signs(again, label, credential)
        assert not again.holds(again.key("hmac"), given["rsa"])
        assert [row.label for row in again.keys_of("mainnet")] == list(given) and again.keys_of("testnet") == []


def test_nothing_of_a_secret_stands_in_the_files(home: Path, vault: Vault) -> None:
    credential = ed25519_pair(7)
    vault.add("Paper Trading", credential, "mainnet", seen=PASSED)
    secret_line = credential.secret.splitlines()[1]
    assert not stands_in(home, credential.api_key, secret_line, PASSWORD)
    assert stands_in(home, credential.fingerprint), "control: the fingerprint stands there"


def test_one_key_has_one_label_and_a_label_one_key(vault: Vault) -> None:
    vault.add("first", pair(1), "mainnet", seen=PASSED)
    with pytest.raises(Refused, match='known already as "first"'):
        vault.add("second", pair(1), "testnet")
    with pytest.raises(Refused, match="has a key already"):
        vault.add("first", pair(2), "mainnet")
    with pytest.raises(Refused, match="known already"):
        vault.rotate("first", pair(1))
    assert [row.label for row in vault.rows] == ["first"]
    vault.add("second", pair(2), "testnet")
    assert [row.label for row in vault.rows] == ["first", "second"]


def test_a_revoked_key_does_not_come_back_under_any_label(home: Path, vault: Vault) -> None:
    vault.add("first", pair(1), "mainnet", seen=PASSED)
    revoke(home, ["first"], "stolen")
    with pytest.raises(Refused, match="revoked"):
        vault.add("second", pair(1), "mainnet", seen=PASSED)
    assert vault.add("first", pair(2), "mainnet", seen=PASSED).state == "active"
    with KeyStore.open(home) as store, store.transaction():  # its row is gone, as in a vault put back from a copy
        store._connection.execute("DELETE FROM keys WHERE state = 'revoked'")
    for attempt in (lambda: vault.add("third", pair(1), "mainnet"), lambda: vault.rotate("first", pair(1))):
        with pytest.raises(Refused, match="revoked on this machine"):
            attempt()
    assert signs(vault, "first", pair(2))


def test_a_rotation_keeps_the_old_row_and_uses_the_new_pair(home: Path, vault: Vault) -> None:
    first = vault.add("Paper Trading", pair(1), "testnet", seen=PASSED, notes="the tutorial's")
    row = vault.rotate("Paper Trading", ed25519_pair(2), seen=PASSED)
    assert (row.generation, row.environment, row.created_ms, row.notes) == (
        2,
        "testnet",
        first.created_ms,
        "the tutorial's",
    )
    assert row.rotated_ms is not None and row.state == "active" and row.type == "ed25519"
    with Vault.open(home, PASSWORD) as again:
        assert signs(again, "Paper Trading", ed25519_pair(2))
        old = again.key(pair(1).fingerprint)
        assert (old.state, old.label) == ("replaced", "Paper Trading")
        with pytest.raises(NotFound, match="its secret is gone"):
            again.signer(old.fingerprint, "test")


def test_a_revoked_key_is_rotated_to_a_new_one(home: Path, vault: Vault) -> None:
    vault.add("Paper Trading", pair(1), "mainnet", seen=PASSED)
    revoke(home, None, "drill")
    vault.rotate("Paper Trading", pair(2), seen=PASSED)
    assert signs(vault, "Paper Trading", pair(2))
    with pytest.raises(Refused, match="has a key already"):  # by the fingerprint of the one that is gone
        vault.rotate(pair(1).fingerprint, pair(3))
    assert vault.key(pair(1).fingerprint).state == "revoked"


def test_a_key_without_an_audit_that_passed_does_not_sign(vault: Vault) -> None:
    vault.add("Paper Trading", pair(1), "mainnet")
    with pytest.raises(Refused, match="locked: not audited yet"):
        vault.signer("Paper Trading", "test")
    assert vault.signer("Paper Trading", "audit", audited=False).sign(PAYLOAD) == signature(pair(1))
    vault.record_audit("Paper Trading", LATER)
    assert signs(vault, "Paper Trading", pair(1))
    vault.record_audit("Paper Trading", REFUSED)
    with pytest.raises(Refused, match="withdrawals are allowed"):
        vault.signer("Paper Trading", "test")
    vault.record_audit("Paper Trading", LATER)
    vault.lock("Paper Trading", "the address changed")
    with pytest.raises(Refused, match="the address changed"):
        vault.signer("Paper Trading", "test")


def test_a_lock_by_another_process_counts_at_once(home: Path, vault: Vault) -> None:
    vault.add("Paper Trading", pair(1), "mainnet", seen=PASSED)
    with Vault.open(home, PASSWORD) as other:
        assert signs(vault, "Paper Trading", pair(1))
        other.lock("Paper Trading", "the address changed")
        with pytest.raises(Refused, match="the address changed"):
            vault.signer("Paper Trading", "test")
        other.record_audit("Paper Trading", LATER)
        assert signs(vault, "Paper Trading", pair(1))
        other.rotate("Paper Trading", pair(2), seen=PASSED)
        assert signs(vault, "Paper Trading", pair(2))


def test_an_audit_from_before_a_lock_does_not_lift_it(vault: Vault) -> None:
    vault.add("Paper Trading", pair(1), "mainnet", seen=PASSED)
    locked = vault.lock("Paper Trading", "the exchange answered -2015")
    stale = Seen("passed", locked.state_ms - 1, ("reading",), True)
    assert vault.record_audit("Paper Trading", stale).state == "locked"
    with pytest.raises(Refused, match="-2015"):
        vault.signer("Paper Trading", "test")
    fresh = Seen("passed", locked.state_ms + 1, ("reading",), True)
    assert vault.record_audit("Paper Trading", fresh).state == "active"


def test_a_use_is_on_disk_before_a_key_is_handed_out(home: Path, vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    vault.add("Paper Trading", pair(1), "mainnet", seen=PASSED)
    vault.signer("Paper Trading", "audit of permissions")
    with KeyStore.open(home) as store:
        (use,) = store.uses()
    assert use.purpose == "audit of permissions" and use.pid > 0 and use.machine

    def full(self: KeyStore, row: object) -> None:
        raise QuantlabError("the disk is full")

    monkeypatch.setattr(KeyStore, "put", full)
    with pytest.raises(QuantlabError, match="disk is full"):
        vault.signer("Paper Trading", "test")


def test_the_record_of_use_holds_no_arguments(home: Path, vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["/usr/bin/quantlab", "audit", "--secret", "hunter2hunter2"])
    vault.add("Paper Trading", pair(1), "mainnet", seen=PASSED)
    vault.signer("Paper Trading", "test")
    monkeypatch.setattr("sys.argv", ["/usr/bin/quantlab", "VerySecretWord"])
    vault.signer("Paper Trading", "test")
    with KeyStore.open(home) as store:
        assert [use.program for use in store.uses()] == ["quantlab audit", "quantlab"]


# -- what an audit does to a row ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environment", "seen", "state"),
    [
        ("mainnet", Seen("passed", 5), "active"),
        ("mainnet", Seen("not auditable", 5), "locked"),
        ("testnet", Seen("not auditable", 5), "active"),
        ("replay", Seen("not auditable", 5), "locked"),
        ("testnet", Seen("not auditable", 5, refusals=("why",)), "locked"),
        ("mainnet", Seen("passed", 5, refusals=("why",)), "locked"),
        ("mainnet", Seen("refused", 5), "locked"),
        ("mainnet", Seen("", 5), "locked"),
        ("mainnet", Seen("PASSED", 5), "locked"),
        ("mainnet", Seen("unreachable", 5), "as it was"),
        ("mainnet", None, "as it was"),
    ],
)
@pytest.mark.parametrize("before", ["active", "locked"])
def test_only_a_pass_unlocks(vault: Vault, environment: Any, seen: Seen | None, state: str, before: str) -> None:
    row = vault.add("key", pair(1), environment, seen=PASSED if before == "active" else None)
    assert row.state == before
    after = after_audit(row, seen)
    assert after.state == (before if state == "as it was" else state)
    if state == "as it was":
        assert after == row
    else:
        assert (after.audit, after.audited_ms) == (seen.status, 5) if seen else False
        assert bool(after.state_why) == (state == "locked")


def test_no_answer_changes_neither_a_lock_nor_what_was_known(vault: Vault) -> None:
    vault.add("key", pair(1), "mainnet", seen=PASSED)
    row = vault.record_audit("key", Seen("unreachable", 9))
    assert (row.state, row.audit, row.permissions, row.ip_restricted) == ("active", "passed", PASSED.permissions, True)


# -- words in the clear ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "label", ["", " ", "a" * 61, 'a"b', "a\nb", "a\x1b[2Jb", "a\x9b2Jb", " a", "a\u2028b", "0123456789abcdef"]
)
def test_a_label_that_cannot_be_shown_or_told_apart_is_refused(vault: Vault, label: str) -> None:
    with pytest.raises(ConfigurationError, match="label"):
        vault.add(label, pair(1), "mainnet")
    assert vault.rows == ()


@pytest.mark.parametrize("label", ["QuantForge Paper Trading", "Ключ №1", "a", "x" * 60, "it's/mine (2)"])
def test_a_label_in_any_language_is_taken(home: Path, vault: Vault, label: str) -> None:
    vault.add(label, pair(1), "mainnet", seen=PASSED)
    with Vault.open(home, PASSWORD) as again:
        assert signs(again, label, pair(1))


def test_a_secret_as_a_label_or_a_note_is_refused(home: Path, vault: Vault) -> None:
    secret = pair(1).secret
    for attempt in (
        lambda: vault.add(secret[:60] + "", pair(2), "mainnet", notes=f"the secret is {secret}"),
        lambda: vault.add("key", pair(2), "mainnet", notes=f"the secret is {secret}"),
        lambda: vault.add("key", pair(2), "mainnet", notes=ed25519_pair(3).secret),
    ):
        with pytest.raises(Refused, match="looks like a secret"):
            attempt()
    vault.add("key", pair(2), "mainnet", notes="made on a Tuesday")
    with pytest.raises(Refused, match="looks like a secret"):
        vault.note("key", f"now {secret}")
    assert not stands_in(home, secret)
    vault.note("key", "whitelisted at home")
    assert vault.key("key").notes == "whitelisted at home"


def test_an_unknown_label_is_answered_with_those_there_are(vault: Vault) -> None:
    with pytest.raises(NotFound, match="it is empty"):
        vault.signer("Paper", "test")
    vault.add("Paper Trading", pair(1), "mainnet")
    with pytest.raises(NotFound, match='there are "Paper Trading"'):
        vault.signer("Paper", "test")


# -- other processes ------------------------------------------------------------------------------------------------


def in_processes(work: Callable[..., None], *arguments: tuple[Any, ...]) -> list[int | None]:
    """Run `work` once for each of `arguments`, all at the same time, and return the exit codes."""
    context = multiprocessing.get_context("fork")
    children = [context.Process(target=work, args=some) for some in arguments]
    for child in children:
        child.start()
    for child in children:
        child.join(60)
    return [child.exitcode for child in children]


def _add_many(home: Path, name: str, count: int) -> None:
    with Vault.open(home, PASSWORD) as vault:
        for number in range(count):
            vault.add(f"{name}{number}", pair(f"{name}{number}"), "mainnet", seen=PASSED)


def test_two_processes_that_add_keys_lose_none(home: Path) -> None:
    assert in_processes(_add_many, (home, "a", 12), (home, "b", 12)) == [0, 0]
    with Vault.open(home, PASSWORD) as vault:
        assert len(vault.keys_of("mainnet")) == 24
        assert len({row.id for row in vault.rows}) == 24
        for row in vault.rows:
            assert signs(vault, row.label, pair(row.label))


def _change_password(home: Path, opened: Any, new: str) -> None:
    chosen = load_settings(home, environ={"QUANTLAB_HOME": str(home)})
    with Vault.open(home, PASSWORD) as vault:
        opened.wait(30)
        try:
            change_password(chosen, vault, new, keyring=False, generated=True)
        except QuantlabError as error:
            raise SystemExit(3 if "was changed meanwhile" in str(error) else 1) from None


def test_of_two_processes_that_change_the_password_one_does_and_keeps_its_own(home: Path, vault: Vault) -> None:
    vault.add("key", pair(1), "mainnet", seen=PASSED)
    for _ in range(5):
        (home / ".env").write_text(f"VAULT_PASSWORD={PASSWORD}\n")
        (home / ".env").chmod(0o600)
        opened = multiprocessing.get_context("fork").Barrier(2)
        codes = in_processes(_change_password, *((home, opened, f"{NEW_PASSWORD}-{n}") for n in range(2)))
        assert sorted(codes, key=str) == [0, 3]
        kept = load_settings(home, environ={}).vault_password
        assert kept is not None
        with Vault.open(home, kept.get_secret_value()) as again:
            assert signs(again, "key", pair(1))
            again.begin_password_change(PASSWORD)
            again.finish_password_change()


def _create(home: Path, password: str) -> None:
    try:
        Vault.create(home, password).close()
    except Refused:
        raise SystemExit(3) from None


def test_of_two_processes_that_make_a_vault_one_does(tmp_path: Path, quick: None) -> None:
    passwords = [PASSWORD, NEW_PASSWORD]
    codes = in_processes(_create, *((tmp_path, password) for password in passwords))
    assert sorted(codes, key=str) == [0, 3]
    Vault.open(tmp_path, passwords[codes.index(0)]).close()
    with pytest.raises(QuantlabError):
        Vault.open(tmp_path, passwords[codes.index(3)])


@pytest.mark.parametrize("read", ["headers", "key_rows", "documents"])
@pytest.mark.parametrize("change", ["audit", "add", "rotate", "revoke", "password"])
def test_a_change_between_two_reads_is_seen_whole_or_not_at_all(
    home: Path, vault: Vault, monkeypatch: pytest.MonkeyPatch, read: str, change: str
) -> None:
    """An honest change half seen must not look like tampering."""
    vault.add("key", pair(1), "mainnet", seen=PASSED)
    changes: dict[str, Callable[[], object]] = {
        "audit": lambda: vault.record_audit("key", LATER),
        "add": lambda: vault.add("other", pair(2), "mainnet"),
        "rotate": lambda: vault.rotate("key", pair(2), seen=PASSED),
        "revoke": lambda: revoke(home, ["key"], "drill"),
        "password": lambda: (vault.begin_password_change(NEW_PASSWORD), vault.finish_password_change()),
    }
    reads = getattr(KeyStore, read)
    pending = [changes[change]]

    def interrupted(self: KeyStore, *arguments: int) -> Any:
        if self is other._store and pending:
            pending.pop()()
        return reads(self, *arguments)

    monkeypatch.setattr(KeyStore, "scrub", lambda *_, **__: True)  # it would wait for the reader, which waits for it
    with Vault.open(home, PASSWORD) as other:
        monkeypatch.setattr(KeyStore, read, interrupted)
        if change == "password" and read == "headers":  # the first read: all is seen as it is afterwards
            with pytest.raises(QuantlabError, match="password was changed meanwhile"):
                other._load()
        else:
            other._load()
        assert not pending


def _audit_until(home: Path, stop: Any) -> None:
    with Vault.open(home, PASSWORD) as vault:
        number = 0
        while not stop.is_set():
            number += 1
            vault.record_audit("key", Seen("passed", LATER.checked_ms + number, ("reading",), bool(number % 2)))


def test_a_vault_opens_while_another_process_changes_it(home: Path, vault: Vault) -> None:
    """An honest change half seen must not look like tampering."""
    vault.add("key", pair(1), "mainnet", seen=PASSED)
    context = multiprocessing.get_context("fork")
    stop = context.Event()
    child = context.Process(target=_audit_until, args=(home, stop))
    child.start()
    try:
        generations = set()
        while len(generations) < 60:
            assert child.is_alive()
            with Vault.open(home, PASSWORD) as again:
                generations.add(again.generation)
                again.signer("key", "test")
    finally:
        stop.set()
        child.join(30)
    assert child.exitcode == 0


def _audit_until_revoked(home: Path) -> None:
    with Vault.open(home, PASSWORD) as vault:
        try:
            for number in range(100_000):
                vault.record_audit("key", Seen("passed", LATER.checked_ms + number, ("reading",), True))
        except NotFound as error:
            raise SystemExit(7 if "its secret is gone" in str(error) else 1) from None


def test_a_revocation_wins_against_an_audit_that_runs(home: Path, vault: Vault) -> None:
    for number in range(6):
        if number:
            vault.rotate("key", pair(number), seen=PASSED)
        else:
            vault.add("key", pair(number), "mainnet", seen=PASSED)
        context = multiprocessing.get_context("fork")
        child = context.Process(target=_audit_until_revoked, args=(home,))
        child.start()
        while vault._store.key_rows()[-1].audited_ms == PASSED.checked_ms:
            assert child.is_alive()
        (row,) = revoke(home, ["key"], "drill")
        child.join(30)
        assert child.exitcode == 7, "the audit found the key revoked"
        assert row.fingerprint in read_anchor(vault.vault_id).revoked
        with pytest.raises(NotFound, match="revoked"):
            vault.signer("key", "test")
        with Vault.open(home, PASSWORD) as again, pytest.raises(NotFound, match="revoked"):
            again.signer("key", "test")
        assert sql(home, "SELECT count(*) FROM key_documents") == [(0,)]


def test_a_note_does_not_undo_what_another_process_did(home: Path, vault: Vault) -> None:
    vault.add("key", pair(1), "mainnet", seen=PASSED)
    vault.add("other", pair(2), "mainnet", seen=PASSED)
    with Vault.open(home, PASSWORD) as other:
        other.record_audit("other", REFUSED)
        revoke(home, ["key"], "stolen")
    vault.note("other", "one")
    vault.note("key", "two")
    with Vault.open(home, PASSWORD) as again:
        assert [(row.state, row.notes) for row in again.rows] == [("revoked", "two"), ("locked", "one")]


def test_many_threads_may_remember_at_once(vault: Vault) -> None:
    """A generation and a revocation that meet at the anchor are both kept."""
    names = [f"{number:016x}" for number in range(40)]
    threads = [
        threading.Thread(target=raise_anchor, args=(vault.vault_id, number, ("h",), (name,)))
        for number, name in enumerate(names)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    known = read_anchor(vault.vault_id)
    assert known.revoked == tuple(names) and known.generation == 39


# -- the password ---------------------------------------------------------------------------------------------------


def test_between_the_phases_both_passwords_open_and_after_them_the_new_one(home: Path, vault: Vault) -> None:
    vault.add("key", pair(1), "mainnet", seen=PASSED)
    vault.begin_password_change(NEW_PASSWORD)
    with Vault.open(home, PASSWORD) as old:
        assert signs(old, "key", pair(1))
    assert vault.finish_password_change()
    with pytest.raises(WrongPassword):
        Vault.open(home, PASSWORD)
    with Vault.open(home, NEW_PASSWORD) as new:
        assert signs(new, "key", pair(1))
    assert vault.finish_password_change(), "nothing is under way any more"
    vault.add("later", pair(2), "mainnet", seen=PASSED)
    with Vault.open(home, NEW_PASSWORD) as new:
        assert signs(new, "later", pair(2))


def test_opening_with_the_new_password_finishes_its_change(home: Path, vault: Vault) -> None:
    vault.add("key", pair(1), "mainnet", seen=PASSED)
    vault.begin_password_change(NEW_PASSWORD)
    with Vault.open(home, NEW_PASSWORD) as new:
        assert signs(new, "key", pair(1))
    with pytest.raises(WrongPassword):
        Vault.open(home, PASSWORD)
    assert vault.finish_password_change() and signs(vault, "key", pair(1))


def test_of_two_changes_of_the_password_the_later_one_counts(home: Path, vault: Vault) -> None:
    vault.add("key", pair(1), "mainnet", seen=PASSED)
    with Vault.open(home, PASSWORD) as other:
        vault.begin_password_change(NEW_PASSWORD)
        other.begin_password_change(NEW_PASSWORD + "-other")
        with pytest.raises(Refused, match="another change of the password"):
            vault.finish_password_change()
        Vault.open(home, PASSWORD).close()
        with pytest.raises(WrongPassword):
            Vault.open(home, NEW_PASSWORD)
        assert other.finish_password_change()
    with Vault.open(home, NEW_PASSWORD + "-other") as new:
        assert signs(new, "key", pair(1))


def test_a_change_that_was_cut_short_gives_way_to_the_next(home: Path, vault: Vault) -> None:
    vault.add("key", pair(1), "mainnet", seen=PASSED)
    vault.begin_password_change(NEW_PASSWORD)
    third = NEW_PASSWORD + "-third"
    with Vault.open(home, PASSWORD) as again:
        again.begin_password_change(third)
        with pytest.raises(WrongPassword):
            Vault.open(home, NEW_PASSWORD)
        assert again.finish_password_change()
    with Vault.open(home, third) as new:
        assert signs(new, "key", pair(1))


def test_a_weak_new_password_changes_nothing(home: Path, vault: Vault) -> None:
    with pytest.raises(Refused, match="too weak"):
        vault.begin_password_change("aaaaaaaaaaaaaaaa")
    assert len(KeyStore.open(home).headers()) == 1
    Vault.open(home, PASSWORD).close()


@pytest.mark.parametrize("when", ["before it began", "between the phases"])
def test_a_key_that_another_process_adds_during_a_change_survives_it(home: Path, vault: Vault, when: str) -> None:
    """It opened the vault with the old password and holds it still."""
    vault.add("key", pair(1), "mainnet", seen=PASSED)
    if when == "before it began":
        with Vault.open(home, PASSWORD) as other:
            vault.begin_password_change(NEW_PASSWORD)
            other.add("other", pair(2), "mainnet", seen=PASSED)
            revoke(home, ["key"], "stolen")
            other.add("third", pair(3), "mainnet", seen=PASSED)
    else:
        vault.begin_password_change(NEW_PASSWORD)
        with Vault.open(home, PASSWORD) as other:
            other.add("other", pair(2), "mainnet", seen=PASSED)
            revoke(home, ["key"], "stolen")
            other.add("third", pair(3), "mainnet", seen=PASSED)
    vault.finish_password_change()
    with Vault.open(home, NEW_PASSWORD) as new:
        assert signs(new, "other", pair(2)) and signs(new, "third", pair(3))
        assert [row.state for row in new.rows] == ["revoked", "active", "active"]


def test_a_vault_held_open_with_the_old_password_changes_nothing_afterwards(home: Path, vault: Vault) -> None:
    vault.add("key", pair(1), "mainnet", seen=PASSED)
    with Vault.open(home, PASSWORD) as other:
        vault.begin_password_change(NEW_PASSWORD)
        vault.finish_password_change()
        for attempt in (
            lambda: other.add("other", pair(2), "mainnet"),
            lambda: other.rotate("key", pair(2)),
            lambda: other.record_audit("key", LATER),
            lambda: other.begin_password_change(PASSWORD),
            lambda: other.note("key", "words"),
        ):
            with pytest.raises(QuantlabError, match="password was changed meanwhile"):
                attempt()
    with Vault.open(home, NEW_PASSWORD) as new:
        assert [row.label for row in new.rows] == ["key"] and signs(new, "key", pair(1))


def test_a_change_that_the_disk_refused_leaves_the_vault_as_it_was(
    home: Path, vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    vault.add("key", pair(1), "mainnet", seen=PASSED)

    def full(self: KeyStore, *_: object, **__: object) -> None:
        raise QuantlabError("the disk is full")

    for change in (
        lambda: vault.add("other", pair(2), "mainnet"),
        lambda: vault.rotate("key", pair(2)),
        lambda: vault.begin_password_change(NEW_PASSWORD),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(KeyStore, "log", full)  # the last statement before the commit
            with pytest.raises(QuantlabError, match="disk is full"):
                change()
        assert signs(vault, "key", pair(1))
        vault.record_audit("key", LATER)
        with Vault.open(home, PASSWORD) as again:
            assert signs(again, "key", pair(1)) and len(again.rows) == 1
        assert sql(home, "SELECT count(*) FROM key_documents") == [(1,)]
    vault.begin_password_change(NEW_PASSWORD)
    with monkeypatch.context() as patch:
        patch.setattr(KeyStore, "log", full)
        with pytest.raises(QuantlabError, match="disk is full"):
            vault.finish_password_change()
    vault.add("other", pair(2), "mainnet", seen=PASSED)
    for password in (PASSWORD, NEW_PASSWORD):
        with Vault.open(home, password) as again:
            assert signs(again, "key", pair(1)) and signs(again, "other", pair(2))


# -- the anchor -----------------------------------------------------------------------------------------------------


def test_a_vault_is_remembered_where_it_is_opened(home: Path, vault: Vault) -> None:
    """A copy put back later is then older than what this machine saw, even if it never changed the vault itself."""
    copy = {path: content_of(path) for path in home.iterdir() if path.name.startswith("quantlab.sqlite")}
    vault.add("key", pair(1), "mainnet", seen=PASSED)
    vault.close()
    anchor_path(vault.vault_id).unlink()  # a machine that has not seen this vault
    Vault.open(home, PASSWORD).close()
    assert read_anchor(vault.vault_id).generation == vault.generation
    for path, content in copy.items():
        path.write_bytes(content)
    with pytest.raises(RolledBack, match="an old copy was put back"):
        Vault.open(home, PASSWORD)


def test_a_wrong_password_is_not_called_tampering_after_a_crash_before_the_anchor(
    home: Path, vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    vault.begin_password_change(NEW_PASSWORD)
    vault.finish_password_change()
    with monkeypatch.context() as patch:
        patch.setattr(sealed_module, "raise_anchor", crash)
        with pytest.raises(KeyboardInterrupt):
            vault.begin_password_change(PASSWORD)
        with pytest.raises(KeyboardInterrupt):
            vault.finish_password_change()
    with pytest.raises(WrongPassword):
        Vault.open(home, NEW_PASSWORD)
    Vault.open(home, PASSWORD).close()
    assert read_anchor(vault.vault_id).generation > 0


def test_a_header_that_was_changed_is_told_from_a_wrong_password(home: Path, vault: Vault) -> None:
    sql(home, "UPDATE vault SET iterations = iterations - 1")
    with pytest.raises(Tampered, match="header was changed"):
        Vault.open(home, PASSWORD)
    sql(home, "UPDATE vault SET iterations = iterations + 1")
    with pytest.raises(WrongPassword):
        Vault.open(home, NEW_PASSWORD)
    Vault.open(home, PASSWORD).close()


def test_revoking_with_a_damaged_anchor_still_erases_the_secret(home: Path, vault: Vault) -> None:
    vault.add("key", pair(1), "mainnet", seen=PASSED)
    (token,) = vault._store.documents(1).values()
    anchor_path(vault.vault_id).write_text("{")
    with pytest.raises(Refused, match="cannot be read"):
        revoke(home, None, "drill")
    assert not stands_in(home, token)
    anchor_path(vault.vault_id).unlink()
    assert revoke(home, None, "drill") == []
    assert read_anchor(vault.vault_id).revoked == (pair(1).fingerprint,)


@pytest.mark.parametrize("vault_id", ["../../../escaped", "a/b", "", "x" * 400, "0123456789ABCDEF", "a\x00b"])
def test_a_forged_name_leads_to_no_other_file(home: Path, vault: Vault, tmp_path: Path, vault_id: str) -> None:
    before = sorted(tmp_path.rglob("*.json"))
    sql(home, "UPDATE vault SET vault_id = ?", vault_id)
    with pytest.raises(Tampered):
        Vault.open(home, PASSWORD)
    with pytest.raises(Tampered):
        revoke(home, None, "drill")
    assert sorted(tmp_path.rglob("*.json")) == before


# -- what it shows of itself ----------------------------------------------------------------------------------------


def test_a_vault_neither_shows_nor_gives_away_its_keys(vault: Vault) -> None:
    vault.add("key", pair(1), "mainnet", seen=PASSED)
    shown = f"{vault!r} {vault} {vault.rows!r}"
    assert pair(1).secret not in shown and pair(1).api_key not in shown
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(vault)
    vault.close()
    assert "0 keys" in repr(vault)


def test_quick_derivation_still_checks(home: Path) -> None:
    """The tests' own shortcut keeps what guards the parameters."""
    with pytest.raises(Tampered):
        quick_derive(Parameters(1, b"s" * 16), PASSWORD)
    assert quick_derive(Parameters.fresh(), PASSWORD) != quick_derive(Parameters.fresh(), PASSWORD)
