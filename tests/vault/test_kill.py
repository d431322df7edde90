"""Promise: a process that is killed at any step leaves a vault that opens, with the old or the new password, and no
secret that was acknowledged is lost.

Each operation runs in a child that kills itself (SIGKILL) before its first step, its second, and so on to the last: a
step is an SQL statement, or a call that opens, writes, flushes, renames or removes a file. Then a child works until it
is killed from outside at a random moment, in the middle of SQLite's own writing, too. What a killed process wrote
stays with the kernel, so only that last child waits for the disk.
"""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from quantlab.cli.custody import change_password
from quantlab.ledger import database, keys
from quantlab.ledger.database import FILE_NAME
from quantlab.ledger.keys import KeyStore
from quantlab.model.errors import NotFound, QuantlabError
from quantlab.settings import load_settings
from quantlab.vault import Credential, NoVault, Vault, WrongPassword, revoke
from quantlab.vault.anchor import read_anchor
from quantlab.vault.intake import take_in
from quantlab.vault.kdf import DEFAULT_ITERATIONS, FLOOR_ITERATIONS, Parameters

from .kit import (
    NEW_PASSWORD,
    PASSED,
    PASSWORD,
    PAYLOAD,
    anchored,
    copied,
    ed25519_pair,
    pair,
    quick_derive,
    quick_disk,
    stands_in,
)

OLD, NEW, OTHER = pair("old"), ed25519_pair("new"), pair("other")
ENV = f"QUANTLAB_MARKET=testnet\nVAULT_PASSWORD={PASSWORD}\n# a comment\n"
PAIR_LINES = f"BINANCE_API_KEY={OLD.api_key}\nBINANCE_API_SECRET={OLD.secret}\n"
NEW_HMAC = pair("new hmac")
NEW_LINES = f"BINANCE_API_KEY={NEW_HMAC.api_key}\nBINANCE_API_SECRET={NEW_HMAC.secret}\n"
#: Calls of the operating system by which files change.
CALLS = ("fsync", "replace", "rename", "write", "open", "unlink", "mkdir", "fchmod", "close")

Operation = Callable[[Path], object]


# -- dying ----------------------------------------------------------------------------------------------------------


def killed_at(step: int, operation: Operation, home: Path) -> tuple[bool, bool]:
    """Run `operation` in a child that kills itself before its step number `step`.

    Returns whether it was killed, and whether it said before that it was done.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reader)
            say = os.write
            _count_down(step)
            operation(home)
            say(writer, b"done")
            os._exit(0)
        finally:  # an exception must not run on as a second test session
            os._exit(9)
    os.close(writer)
    with open(reader, "rb") as said:
        done = said.read() == b"done"
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, -signal.SIGKILL), f"the operation failed at step {step}"
    return status != 0, done


def _count_down(step: int) -> None:
    left = step

    def count(*_: object) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def counted(call: Callable[..., Any]) -> Callable[..., Any]:
        def counting(*arguments: Any, **options: Any) -> Any:
            count()
            return call(*arguments, **options)

        return counting

    connect = database.connect

    def traced(path: Path) -> sqlite3.Connection:
        connection = connect(path)
        connection.execute("PRAGMA synchronous=OFF")
        connection.set_trace_callback(count)
        return connection

    database.connect = keys.connect = traced
    os.fsync = lambda _: None
    for name in CALLS:
        setattr(os, name, counted(getattr(os, name)))


def each_step(template: Path, work: Path, operation: Operation, stride: int = 1) -> Iterator[tuple[Path, bool]]:
    """The home after a death at each step, and whether the operation said that it was done; last, after none."""
    step, alive = 1, False
    while not alive:
        copied(template, work)
        with anchored(work):
            killed, done = killed_at(step, operation, work)
            alive = not killed
            yield work, done
        step += stride
    assert step > 20, "control: the operation has steps, more than 400 in all"


@contextmanager
def reopened(home: Path, password: str) -> Iterator[Vault]:
    """The vault after the crash, while an idle process keeps SQLite from tidying up by itself."""
    with closing(sqlite3.connect(home / FILE_NAME)) as other:
        other.execute("SELECT count(*) FROM runs").fetchone()
        with Vault.open(home, password) as vault:
            yield vault


def signs(vault: Vault, label: str, credential: Credential) -> bool:
    signer = vault.signer(label, "test")
    return (signer.api_key, signer.sign(PAYLOAD)) == (credential.api_key, credential.signer().sign(PAYLOAD))


@pytest.fixture(scope="module")
def quick_module() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Parameters, "derive", quick_derive)
        yield


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> None:
    quick_disk(monkeypatch)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory, quick_module: None) -> Path:
    """A closed home with a vault of two keys, and its `.env`."""
    home = tmp_path_factory.mktemp("kill") / "home"
    with anchored(home), Vault.create(home, PASSWORD) as vault:
        vault.add("Paper Trading", OLD, "testnet", seen=PASSED)
        vault.add("Other", OTHER, "mainnet", seen=PASSED)
    env = home / ".env"
    env.write_text(ENV)
    env.chmod(0o600)
    return home


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory, quick_module: None) -> Path:
    """A closed home without a vault."""
    home = tmp_path_factory.mktemp("bare") / "home"
    KeyStore.open(home, create=True).close()
    (home / ".env").write_text(ENV + PAIR_LINES)
    (home / ".env").chmod(0o600)
    return home


def password_in(home: Path) -> str:
    secret = load_settings(home, environ={}).vault_password
    assert secret is not None
    return secret.get_secret_value()


# -- at every step --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", ["database", "nothing"])
def test_making_a_vault(bare: Path, tmp_path: Path, disk: None, stage: str) -> None:
    deaths = 0
    if stage == "nothing":
        empty = tmp_path / "empty"
        empty.mkdir()
    for home, done in each_step(
        bare if stage == "database" else empty,
        tmp_path / "home",
        lambda home: Vault.create(home, PASSWORD),
        1 if stage == "database" else 9,
    ):
        deaths += 1
        try:
            vault = Vault.open(home, PASSWORD)
        except NoVault:
            assert not done
            vault = Vault.create(home, PASSWORD)
        with vault:
            vault.add("key", OLD, "mainnet", seen=PASSED)
        with reopened(home, PASSWORD) as vault:
            assert signs(vault, "key", OLD)
    assert deaths > 8


def test_adding_a_key(template: Path, tmp_path: Path, disk: None) -> None:
    def add(home: Path) -> None:
        with Vault.open(home, PASSWORD) as vault:
            vault.add("New", NEW, "mainnet", seen=PASSED)

    seen = set()
    for home, done in each_step(template, tmp_path / "home", add):
        with reopened(home, PASSWORD) as vault:
            assert signs(vault, "Paper Trading", OLD) and signs(vault, "Other", OTHER)
            there = any(row.label == "New" for row in vault.rows)
            assert there or not done, "what was acknowledged is there"
            if there:
                assert signs(vault, "New", NEW)
            else:
                vault.add("New", NEW, "mainnet", seen=PASSED)
            seen.add((there, done))
    assert {(False, False), (True, False), (True, True)} == seen


@pytest.mark.parametrize("before", ["none", "one"])
def test_a_pair_on_its_way_from_env_into_the_vault(
    bare: Path, template: Path, tmp_path: Path, disk: None, before: str
) -> None:
    """It is in one of the two at every moment; where the vault has one already it is a rotation."""
    credential = OLD if before == "none" else NEW_HMAC
    start = copied(bare if before == "none" else template, tmp_path / "start")
    if before == "none":
        with anchored(start), Vault.create(start, PASSWORD):
            pass
    else:
        (start / ".env").write_text(ENV + NEW_LINES)

    def move(home: Path) -> None:
        with Vault.open(home, PASSWORD) as vault:
            take_in(vault, credential, "testnet", lambda *_: PASSED, home / ".env")

    places = set()
    for home, done in each_step(start, tmp_path / "home", move):
        text = (home / ".env").read_text()
        assert text.startswith(ENV) and (home / ".env").stat().st_mode & 0o777 == 0o600
        in_env = credential.secret in text
        assert in_env == (credential.api_key in text)
        with reopened(home, PASSWORD) as vault:
            in_vault = any(vault.holds(row, credential) for row in vault.rows)
            assert in_env or in_vault, "the secret is lost"
            assert in_vault or not done
            places.add((in_env, in_vault))
            if in_vault:
                (row,) = vault.keys_of("testnet")
                assert signs(vault, row.label, credential)
            elif before == "one":
                assert signs(vault, "Paper Trading", OLD)
            if in_env:  # the next start goes on where this one ended
                take_in(vault, credential, "testnet", lambda *_: PASSED, home / ".env")
        assert "".join(line for line in (home / ".env").open() if "BINANCE" not in line) == ENV
        assert credential.secret not in (home / ".env").read_text()
    assert places == {(True, False), (True, True), (False, True)}


def test_changing_the_password(template: Path, tmp_path: Path, disk: None) -> None:
    """The password that stands in `.env` opens the vault at every moment."""
    old_header = KeyStore(template / FILE_NAME).headers()[0]
    old_tokens = list(KeyStore(template / FILE_NAME).documents(1).values())

    def change(home: Path) -> None:
        chosen = load_settings(home, environ={"QUANTLAB_HOME": str(home)})
        with Vault.open(home, PASSWORD) as vault:
            change_password(chosen, vault, NEW_PASSWORD, keyring=False, generated=True)

    seen = set()
    for home, done in each_step(template, tmp_path / "home", change):
        kept = password_in(home)
        opens = [kept]
        assert (home / ".env").read_text().replace(NEW_PASSWORD, PASSWORD) == ENV
        other = NEW_PASSWORD if kept == PASSWORD else PASSWORD
        look = copied(home, tmp_path / "look")  # opening with the new one ends the change
        with anchored(look), suppress(WrongPassword):
            with Vault.open(look, other) as vault:
                assert signs(vault, "Paper Trading", OLD) and signs(vault, "Other", OTHER)
            opens.append(other)
        assert not done or opens == [NEW_PASSWORD]
        seen.add(tuple(opens))
        with reopened(home, kept) as vault:
            assert signs(vault, "Paper Trading", OLD) and signs(vault, "Other", OTHER)
            vault.add("New", NEW, "mainnet", seen=PASSED)
            if kept == NEW_PASSWORD:
                assert not stands_in(home, old_header.verifier, old_header.wrapped_key, *old_tokens)
            else:  # it is begun anew
                vault.begin_password_change(NEW_PASSWORD)
                vault.finish_password_change()
        with Vault.open(home, NEW_PASSWORD) as vault:
            assert signs(vault, "New", NEW) and signs(vault, "Paper Trading", OLD)
        with pytest.raises(WrongPassword):
            Vault.open(home, PASSWORD)
    assert seen == {(PASSWORD,), (PASSWORD, NEW_PASSWORD), (NEW_PASSWORD, PASSWORD), (NEW_PASSWORD,)}


def test_rotating_a_key(template: Path, tmp_path: Path, disk: None) -> None:
    old_token = KeyStore(template / FILE_NAME).documents(1)[1]

    def rotate(home: Path) -> None:
        with Vault.open(home, PASSWORD) as vault:
            vault.rotate("Paper Trading", NEW, seen=PASSED)

    seen = set()
    for home, done in each_step(template, tmp_path / "home", rotate):
        with reopened(home, PASSWORD) as vault:
            rotated = vault.key("Paper Trading").fingerprint == NEW.fingerprint
            assert rotated or not done
            assert signs(vault, "Paper Trading", NEW if rotated else OLD) and signs(vault, "Other", OTHER)
            if rotated:
                assert vault.key(OLD.fingerprint).state == "replaced"
                assert not stands_in(home, old_token)
            else:
                vault.rotate("Paper Trading", NEW, seen=PASSED)
            seen.add(rotated)
    assert seen == {True, False}


def test_revoking_a_key(template: Path, tmp_path: Path, disk: None) -> None:
    old_token = KeyStore(template / FILE_NAME).documents(1)[1]
    seen = set()
    for home, done in each_step(template, tmp_path / "home", lambda home: revoke(home, ["Paper Trading"], "drill")):
        with reopened(home, PASSWORD) as vault:
            revoked = vault.key("Paper Trading").state == "revoked"
            assert revoked or not done
            seen.add(revoked)
            if revoked:
                with pytest.raises(NotFound, match="its secret is gone"):
                    vault.signer("Paper Trading", "test")
            else:
                assert signs(vault, "Paper Trading", OLD)
            assert signs(vault, "Other", OTHER)
            assert len(revoke(home, ["Paper Trading"], "again")) == (not revoked)
            assert OLD.fingerprint in read_anchor(vault.vault_id).revoked
            assert not stands_in(home, old_token)
    assert seen == {True, False}


def test_raising_the_iterations_of_an_old_vault(tmp_path: Path, disk: None, quick_module: None) -> None:
    start = tmp_path / "start"
    with anchored(start), Vault.create(start, PASSWORD, iterations=FLOOR_ITERATIONS) as vault:
        vault.add("Paper Trading", OLD, "testnet", seen=PASSED)
    for home, _ in each_step(start, tmp_path / "home", lambda home: Vault.open(home, PASSWORD)):
        with reopened(home, PASSWORD) as vault:
            assert signs(vault, "Paper Trading", OLD)
        with closing(KeyStore(home / FILE_NAME)) as store:
            assert store.headers()[0].iterations == DEFAULT_ITERATIONS


# -- at a random moment ---------------------------------------------------------------------------------------------


def _work(home: Path, seed: int, said: int) -> None:
    """Change the vault without end, and say of each key what was done to it once it is done."""
    rng = random.Random(seed)
    with Vault.open(home, PASSWORD) as vault:
        for number in range(10_000):
            name = f"{seed}-{number}"
            deed = rng.choice(("add", "rotate", "audit", "revoke", "password"))
            if deed == "add":
                vault.add(name, pair(name), "mainnet", seen=PASSED)
                os.write(said, f"{name} {name}\n".encode())
            elif deed == "password":
                vault.begin_password_change(PASSWORD)
                vault.finish_password_change()
            elif holding := vault.keys_of("mainnet"):
                label = rng.choice(holding).label
                if deed == "rotate":
                    os.write(said, f"{label} ?{name}\n".encode())
                    vault.rotate(label, pair(name), seen=PASSED)
                    os.write(said, f"{label} {name}\n".encode())
                elif deed == "audit":
                    with suppress(NotFound):  # the vault was not read since it was revoked
                        vault.record_audit(label, PASSED)
                else:
                    os.write(said, f"{label} ?\n".encode())
                    revoke(home, [label], "drill")
                    os.write(said, f"{label} -\n".encode())


def test_a_process_killed_at_random_moments_loses_nothing_it_acknowledged(tmp_path: Path, quick_module: None) -> None:
    home, rng, deeds = tmp_path / "home", random.Random(97), 0
    #: label → the names of the pairs that it may have; "" is none.
    expected: dict[str, set[str]] = {}
    with anchored(home):
        Vault.create(home, PASSWORD).close()
        for seed in range(25):
            reader, writer = os.pipe()
            child = os.fork()
            if child == 0:
                try:
                    _work(home, seed, writer)
                finally:
                    os._exit(9)
            os.close(writer)
            with open(reader) as said:
                lines = [said.readline() for _ in range(rng.randrange(2, 9))]
                time.sleep(rng.uniform(0, 0.02))
                os.kill(child, signal.SIGKILL)
                assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
                lines = "".join([*lines, said.read()]).splitlines()
            for line in lines:
                label, _, what = line.partition(" ")
                if what.startswith("?"):
                    expected[label] = expected[label] | {what[1:]}
                else:
                    expected[label] = {what.removeprefix("-")}
            deeds += len(lines)
            with reopened(home, PASSWORD) as vault:
                found = {row.label: row for row in vault.keys_of("mainnet")}
                for label, names in expected.items():
                    if label in found:
                        (name,) = [name for name in names if name and vault.holds(found[label], pair(name))]
                        assert signs(vault, label, pair(name))
                        expected[label] = {name}
                    else:
                        assert "" in names, f"{label} is lost"
                        expected[label] = {""}
                        with pytest.raises(QuantlabError):
                            vault.signer(label, "test")
                for label in found.keys() - expected.keys():  # done, and killed before it could say so
                    assert vault.holds(found[label], pair(label))
                    expected[label] = {label}
    assert deeds > 100, "control: the child did work"
