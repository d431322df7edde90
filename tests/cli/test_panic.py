"""`quantlab panic`: the address where a key is deleted comes first, no password is asked for, and what it leaves cannot
sign. The drill plays all of it with a stopwatch and touches nothing of the user's."""

from __future__ import annotations

import json
import os
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

import pytest

from quantlab.settings import load_settings
from quantlab.vault import Credential, Seen, Vault
from tests.cli.test_errors import fails, quantlab

PASSWORD = "a-long-passphrase-of-the-user-42"
PAIRS = [("mainKEY1" * 8, "mainSEC1" * 8), ("testKEY2" * 8, "testSEC2" * 8)]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    settings = load_settings(tmp_path, environ={})
    with Vault.create(settings.home, PASSWORD) as vault:
        vault.add("Live", Credential.parse(*PAIRS[0]), "mainnet", seen=Seen("passed", 1))
        vault.add("Test", Credential.parse(*PAIRS[1]), "testnet", seen=Seen("not auditable", 1))
        vault.signer("Live", "permission audit")
    return settings.home


def states(root: Path) -> dict[str, str]:
    listed = json.loads(quantlab("vault", "list", "--json", root=root).stdout)
    return {key["label"]: key["state"] for key in listed}


def test_the_address_comes_first_and_no_password_is_needed(tmp_path: Path, home: Path) -> None:
    done = quantlab("panic", root=tmp_path)  # no .env, no password anywhere
    assert done.returncode == 0, done.stderr
    first, second, *others = done.stderr.splitlines()
    assert first.startswith("DELETE THE KEY NOW: https://www.binance.com/") and "https://testnet.binance" in first
    assert second.startswith("Only deleting it there stops")
    assert any('delete "Live"' in line and "https://www.binance.com/" in line for line in others)
    assert any('delete "Test"' in line and "https://testnet.binance.vision/" in line for line in others)
    assert "it was opened by" in done.stderr and "vault rotate" in done.stderr
    assert states(tmp_path) == {"Live": "revoked", "Test": "revoked"}
    with Vault.open(home, PASSWORD) as vault, pytest.raises(Exception, match="its secret is gone"):
        vault.signer("Live", "anything")


def test_one_key_by_its_label(tmp_path: Path, home: Path) -> None:
    assert states(tmp_path) == {"Live": "active", "Test": "active"}  # the control
    done = quantlab("panic", "Test", "--json", root=tmp_path)
    assert done.stderr.startswith("DELETE THE KEY NOW: ") and '"Live"' not in done.stderr
    assert [key["label"] for key in json.loads(done.stdout)["revoked"]] == ["Test"]
    assert states(tmp_path) == {"Live": "active", "Test": "revoked"}


def test_a_label_that_is_not_there_still_says_where_to_go(tmp_path: Path, home: Path) -> None:
    done = quantlab("panic", "Nobody", root=tmp_path)
    assert done.returncode == 5 and "DELETE THE KEY NOW" in done.stderr and '"Live"' in done.stderr
    assert states(tmp_path) == {"Live": "active", "Test": "active"}


def test_without_a_vault_it_says_where_to_go(tmp_path: Path) -> None:
    done = quantlab("panic", root=tmp_path)
    assert done.returncode == 0 and done.stderr.startswith("DELETE THE KEY NOW: https://www.binance.com/")
    fails(quantlab("vault", "revoke", "Live", root=tmp_path), 5, "no vault")


@pytest.mark.parametrize("what", ["an open .env", "a wrong .env", "a bad row", "a bad anchor"])
def test_whatever_is_broken_the_address_comes_and_the_rest_is_tried(tmp_path: Path, home: Path, what: str) -> None:
    env = tmp_path / ".env"
    env.touch(0o644 if what == "an open .env" else 0o600)
    if what == "a wrong .env":
        env.write_text("NONSENSE=1\n")
    elif what == "a bad row":
        with closing(sqlite3.connect(home / "quantlab.sqlite")) as database, database:
            database.execute("UPDATE keys SET state = 'foo' WHERE label = 'Test'")
    elif what == "a bad anchor":
        next(Path(os.environ["XDG_STATE_HOME"]).rglob("*.json")).write_text("{")
    done = quantlab("panic", "Live", root=tmp_path)
    assert done.returncode in (2, 3) and done.stderr.startswith("DELETE THE KEY NOW: https://www.binance.com/")
    assert "NOT DONE: " in done.stderr and "Then: make a new key" in done.stderr
    env.unlink()
    if what != "a bad row":  # there nothing can be read; everywhere else the key is gone
        assert states(tmp_path)["Live"] == "revoked"


def test_the_drill_is_whole_and_leaves_nothing(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temp"))
    (tmp_path / "temp").mkdir()
    tempfile.tempdir = None
    state = Path(os.environ["XDG_STATE_HOME"])
    before = sorted(state.rglob("*.json"))
    done = quantlab("panic", "--drill", "--json", root=tmp_path)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["ok"] and all(result["checks"].values()) and len(result["checks"]) == 6
    assert {step["who"] for step in result["steps"]} == {"machine", "you"}
    assert states(tmp_path) == {"Live": "active", "Test": "active"}
    assert sorted(state.rglob("*.json")) == before
    assert not list((tmp_path / "temp").glob("quantlab-drill-*"))
