"""A backup opens with its own day's password; what comes back is locked, and what was revoked since stays revoked, also
where only the database remembers it."""

from __future__ import annotations

from pathlib import Path

import pytest

from quantlab.model import Refused
from quantlab.vault import Credential, Seen, Tampered, Vault, WrongPassword, revoke
from quantlab.vault.anchor import anchor_path
from quantlab.vault.backup import backup, read_backup, restore, rollback

FIRST, SECOND = "a-long-passphrase-of-the-user-42", "another-long-passphrase-17-of-hers"


def pair(number: int) -> Credential:
    return Credential.parse(f"key{number}KEY4" * 8, f"sec{number}SEC4" * 8)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    with Vault.create(tmp_path / "home", FIRST) as vault:
        for number in (1, 2):
            vault.add(f"key {number}", pair(number), "mainnet", seen=Seen("passed", 1, ("enableReading",), True))
    return tmp_path / "home"


def test_what_comes_back_is_whole_and_locked(home: Path, tmp_path: Path) -> None:
    backup(home, tmp_path / "copy")
    with Vault.open(home, FIRST) as vault:
        vault.add("key 3", pair(3), "mainnet")
    taken = read_backup(tmp_path / "copy")
    assert rollback(home, taken).lost == ("key 3",)
    assert [row.state for row in restore(home, taken, FIRST)] == ["locked", "locked"]
    with Vault.open(home, FIRST) as vault:
        assert vault.holds(vault.key("key 1"), pair(1)) and vault.generation > taken.header.generation
        with pytest.raises(Refused, match="restored from a backup"):
            vault.signer("key 1", "anything")


def test_it_opens_with_the_password_of_its_day(home: Path, tmp_path: Path) -> None:
    backup(home, tmp_path / "copy")
    with Vault.open(home, FIRST) as vault:
        vault.begin_password_change(SECOND)
        vault.finish_password_change()
    taken = read_backup(tmp_path / "copy")
    with pytest.raises(WrongPassword):
        restore(home, taken, SECOND)
    Vault.open(home, SECOND).close()  # nothing was changed
    restore(home, taken, FIRST)
    Vault.open(home, FIRST).close()


@pytest.mark.parametrize("anchor", [True, False], ids=["this machine remembers", "only the database does"])
def test_what_was_revoked_stays_revoked(home: Path, tmp_path: Path, anchor: bool) -> None:
    backup(home, tmp_path / "copy")
    revoke(home, ["key 1"], "panic")
    if not anchor:
        with Vault.open(home, FIRST) as vault:
            anchor_path(vault.vault_id).unlink()
    assert [row.label for row in restore(home, read_backup(tmp_path / "copy"), FIRST)] == ["key 2"]
    with Vault.open(home, FIRST) as vault:
        assert vault.key("key 1").state == "revoked"


def test_a_copy_that_was_cut_or_changed_is_refused(home: Path, tmp_path: Path) -> None:
    backup(home, tmp_path / "copy")
    whole = (tmp_path / "copy").read_bytes()
    (tmp_path / "copy").write_bytes(whole[:-10])
    with pytest.raises(Tampered, match="was cut"):
        read_backup(tmp_path / "copy")
    (tmp_path / "copy").write_bytes(whole.replace(b'"mainnet"', b'"testnet"', 1))
    with pytest.raises(Tampered, match="environment"):
        restore(home, read_backup(tmp_path / "copy"), FIRST)
    (tmp_path / "copy").chmod(0o644)
    with pytest.raises(Refused, match="chmod 600"):
        read_backup(tmp_path / "copy")


def test_a_change_of_password_that_is_abandoned_leaves_the_old_one(home: Path) -> None:
    with Vault.open(home, FIRST) as vault:
        vault.begin_password_change(SECOND)
        vault.abandon_password_change()
        vault.lock("key 1", "by the test")
    with pytest.raises(WrongPassword):
        Vault.open(home, SECOND)
    with Vault.open(home, FIRST) as vault:
        assert vault.holds(vault.key("key 2"), pair(2))
