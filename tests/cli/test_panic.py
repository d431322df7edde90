"""`quantlab panic`: the address where a key is deleted comes first, no password is asked for, and what it leaves cannot
sign. The drill plays all of it with a stopwatch and touches nothing of the user's."""

from __future__ import annotations

import json
import os
import tempfile
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
    first, second = done.stderr.splitlines()[:2]
    assert first.startswith("DELETE THE KEY NOW: https://www.binance.com/") and '"Live"' in first
    assert second.startswith("DELETE THE KEY NOW: https://testnet.binance.vision/") and '"Test"' in second
    assert "it was opened by" in done.stderr and "vault rotate" in done.stderr
    assert states(tmp_path) == {"Live": "revoked", "Test": "revoked"}
    with Vault.open(home, PASSWORD) as vault, pytest.raises(Exception, match="its secret is gone"):
        vault.signer("Live", "anything")


def test_one_key_by_its_label(tmp_path: Path, home: Path) -> None:
    assert states(tmp_path) == {"Live": "active", "Test": "active"}  # the control
    done = quantlab("panic", "Test", "--json", root=tmp_path)
    assert done.stderr.startswith("DELETE THE KEY NOW: https://testnet")
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
