"""Keys at rest: sealed and nowhere in plain text, the vault whole and not an older copy, for the right exchange."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from quantlab.environment import hold_secrets
from quantlab.ledger.keys import KeyStore
from quantlab.settings import Settings
from quantlab.vault import Seen, Vault
from quantlab.vault.anchor import anchor_path

from ..vault.kit import PASSWORD, letters, pair, sql
from .kit import change_key, look, passed, settings_in, with_key

KEY, SECRET = letters("plain key"), letters("plain secret")


@pytest.fixture
def keyed(chosen: Settings) -> Settings:
    with_key(chosen, pair("at rest"), seen=passed())
    return chosen


@pytest.fixture
def _nothing_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("quantlab.environment._held", {})


class TestEncrypted:
    def test_a_vault_is(self, keyed: Settings) -> None:
        line = look("encrypted", keyed)
        assert line.verdict == "pass"
        assert "600,000" in line.detail
        assert "no known secret" in line.detail

    def test_nothing_to_keep(self, chosen: Settings) -> None:
        assert look("encrypted", chosen).verdict == "not applicable"

    def test_a_pair_in_env_is_not(self, keyed: Settings) -> None:
        (keyed.root / ".env").touch(0o600)
        (keyed.root / ".env").write_text(f"BINANCE_API_KEY={KEY}\nBINANCE_API_SECRET={SECRET}\n")
        line = look("encrypted", settings_in(keyed.root, binance_api_key=KEY, binance_api_secret=SECRET))
        assert line.verdict == "fail"
        assert "in .env" in line.detail
        assert "import-env" in line.mend

    @pytest.mark.usefixtures("_nothing_held")
    def test_a_pair_in_the_environment_is_not(self, keyed: Settings) -> None:
        hold_secrets({"BINANCE_API_KEY": KEY})
        line = look("encrypted", settings_in(keyed.root, binance_api_key=KEY))
        assert line.verdict == "fail"
        assert "in the environment" in line.detail

    def test_a_secret_readable_in_the_database(self, keyed: Settings) -> None:
        assert look("encrypted", keyed).verdict == "pass"
        with KeyStore.open(keyed.home) as store, store.transaction():
            store.log(1, "a mistake", None, words=pair("at rest").secret)
        line = look("encrypted", keyed)
        assert line.verdict == "fail"
        assert 'secret of "Paper Trading"' in line.detail

    def test_weak_iterations_are_raised_by_the_look_itself(self, chosen: Settings) -> None:
        Vault.create(chosen.home, PASSWORD, iterations=100_000).close()
        assert look("encrypted", settings_in(chosen.root, vault_password=None)).verdict == "fail"
        assert look("encrypted", chosen).verdict == "pass"
        assert look("encrypted", settings_in(chosen.root, vault_password=None)).verdict == "pass"


class TestWhole:
    def test_the_newest(self, keyed: Settings) -> None:
        assert look("rollback", keyed).verdict == "pass"

    @pytest.mark.parametrize("password", [PASSWORD, None])
    def test_an_old_copy(self, keyed: Settings, tmp_path: Path, password: str | None) -> None:
        shutil.copytree(keyed.home, tmp_path / "copy")
        with_key(keyed, pair("newer"), label="Newer", seen=passed())
        assert look("rollback", keyed).verdict == "pass"
        shutil.rmtree(keyed.home)
        shutil.copytree(tmp_path / "copy", keyed.home)
        line = look("rollback", settings_in(keyed.root, vault_password=password))
        assert line.verdict == "fail"
        assert "old copy" in line.detail

    def test_a_row_changed_outside(self, keyed: Settings) -> None:
        change_key(keyed, label="Another")
        assert look("rollback", keyed).verdict == "fail"
        change_key(keyed, label="Paper Trading")
        assert look("rollback", keyed).verdict == "pass"

    def test_keys_without_their_vault(self, keyed: Settings) -> None:
        sql(keyed.home, "DELETE FROM vault")
        assert look("rollback", keyed).verdict == "fail"

    def test_a_machine_without_memory(self, keyed: Settings) -> None:
        with KeyStore.open(keyed.home) as store:
            anchor = anchor_path(store.headers()[0].vault_id)
        anchor.unlink()
        closed = settings_in(keyed.root, vault_password=None)
        assert "no memory" in look("rollback", closed).detail
        Vault.open(keyed.home, PASSWORD).close()  # as the line says
        assert look("rollback", closed).verdict == "pass"
        anchor.write_text("not what quantlab wrote")
        assert look("rollback", closed).verdict == "unknown"


class TestPassword:
    def test_beside_the_database_is_said_and_stops_nothing(self, keyed: Settings) -> None:
        (keyed.root / ".env").touch(0o600)
        (keyed.root / ".env").write_text(f"VAULT_PASSWORD={PASSWORD}\n")
        line = look("vault-password", keyed)
        assert line.verdict == "fail"
        assert "in .env" in line.detail
        assert line.severity["testnet"] == "info"

    def test_a_systemd_credential(self, keyed: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "quantlab-vault-password").write_text(PASSWORD)
        monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
        line = look("vault-password", settings_in(keyed.root, vault_password=None))
        assert line.verdict == "pass"
        assert "systemd" in line.detail

    def test_kept_nowhere(self, keyed: Settings) -> None:
        assert look("vault-password", settings_in(keyed.root, vault_password=None)).verdict == "pass"

    def test_a_wrong_one_blocks_where_keys_are_needed(self, keyed: Settings) -> None:
        line = look("vault-password", settings_in(keyed.root, vault_password="Xx9-granite-AMBER-17"), "testnet")
        assert line.verdict == "fail"
        assert line.blocks("testnet")
        assert not line.blocks("paper")


class TestEnvironment:
    def test_it_agrees(self, keyed: Settings) -> None:
        assert look("environment", keyed).verdict == "pass"

    def test_a_key_for_another_exchange(self, chosen: Settings) -> None:
        with_key(chosen, pair("other"), environment="testnet", seen=Seen("not auditable", passed().checked_ms))
        line = look("environment", chosen)
        assert line.verdict == "fail"
        assert "testnet" in line.detail
        assert not line.blocks("testnet")
        (chosen.root / ".env").touch(0o600)
        (chosen.root / ".env").write_text("QUANTLAB_MARKET=testnet\n")
        assert look("environment", chosen.model_copy(update={"market": "testnet"})).verdict == "pass"

    def test_a_flag_that_says_otherwise(self, chosen: Settings) -> None:
        (chosen.root / ".env").touch(0o600)
        (chosen.root / ".env").write_text("BINANCE_TESTNET=true\n")
        line = look("environment", chosen)
        assert line.verdict == "fail"
        assert "testnet" in line.detail
        assert look("environment", chosen.model_copy(update={"market": "testnet"})).verdict == "pass"
        assert look("environment", chosen.model_copy(update={"market": "replay"})).verdict == "pass"
        (chosen.root / ".env").write_text("BINANCE_TESTNET=true\nQUANTLAB_MARKET=mainnet\n")
        assert "contradict" in look("environment", chosen).detail

    def test_a_mode_for_another_market(self, chosen: Settings) -> None:
        assert look("environment", chosen, "testnet").verdict == "fail"
        assert look("environment", chosen, "live").verdict == "pass"
        testnet = chosen.model_copy(update={"market": "testnet"})
        (chosen.root / ".env").touch(0o600)
        (chosen.root / ".env").write_text("QUANTLAB_MARKET=testnet\n")
        assert look("environment", testnet, "testnet").verdict == "pass"
        assert look("environment", testnet, "live").verdict == "fail"
