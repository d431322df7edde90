"""This machine: state and tokens for their owner alone, a server that nobody reaches without a strong token, no memory
on the disk."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from quantlab.model.errors import Refused
from quantlab.preflight import machine
from quantlab.server.token import require_strong
from quantlab.settings import Settings
from quantlab.vault.backup import backup

from ..vault.kit import pair
from .kit import STRONG_TOKEN, look, passed, settings_in, with_key


@pytest.fixture
def kept(chosen: Settings) -> Settings:
    """A home with all that runs leave, as quantlab makes it."""
    with_key(chosen, pair("files"), seen=passed())
    for name in ("logs/run.log", "recordings/run.qlog", "backups/old.vault"):
        (chosen.home / name).parent.mkdir(exist_ok=True)
        (chosen.home / name).touch(0o600)
    return chosen


class TestServer:
    @pytest.mark.parametrize(
        "token",
        [None, "", "short", "a" * 64, STRONG_TOKEN[:42], STRONG_TOKEN, STRONG_TOKEN + "ä", "abcdefgh" * 8],
    )
    @pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.com", "127.0.0.2"])
    def test_it_judges_as_the_server_does(self, chosen: Settings, host: str, token: str | None) -> None:
        try:
            require_strong(None if token is None else SecretStr(token), host)
            expected = "pass"
        except Refused:
            expected = "fail"
        assert look("server", settings_in(chosen.root, api_host=host, api_bearer_token=token)).verdict == expected

    @pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
    def test_this_machine_alone_needs_none(self, chosen: Settings, host: str) -> None:
        assert look("server", settings_in(chosen.root, api_host=host)).verdict == "pass"

    def test_a_weak_one_blocks_where_orders_leave(self, chosen: Settings) -> None:
        line = look("server", settings_in(chosen.root, api_host="0.0.0.0", api_bearer_token="weak-token"))
        assert [line.blocks(mode) for mode in ("paper", "testnet", "live")] == [False, True, True]  # type: ignore[arg-type]
        assert "weak-token" not in line.detail


class TestApiToken:
    def test_for_its_owner_alone(self, chosen: Settings) -> None:
        assert look("api-token", chosen).verdict == "not applicable"
        chosen.home.mkdir(mode=0o700)
        (chosen.home / "api-token").touch(0o600)
        assert look("api-token", chosen).verdict == "pass"
        (chosen.home / "api-token").chmod(0o644)
        assert look("api-token", chosen).verdict == "fail"


class TestFiles:
    def test_as_quantlab_makes_them(self, kept: Settings) -> None:
        assert look("files", kept).verdict == "pass"

    def test_nothing_kept_yet(self, chosen: Settings) -> None:
        assert look("files", chosen).verdict == "not applicable"

    @pytest.mark.parametrize(
        "name",
        ["", "quantlab.sqlite", "quantlab.sqlite-wal", "logs/run.log", "recordings/run.qlog", "backups/old.vault"],
    )
    def test_one_that_others_can_read(self, kept: Settings, name: str) -> None:
        path = kept.home / name
        path.touch()
        path.chmod(path.stat().st_mode & 0o700 | 0o040)
        line = look("files", kept)
        assert line.verdict == "fail"
        assert str(path) in line.detail
        assert f"chmod -R go-rwx {kept.home}" in line.mend

    def test_a_backup_elsewhere(self, kept: Settings, tmp_path: Path) -> None:
        backup(kept.home, tmp_path / "a backup")
        assert look("files", kept).verdict == "pass"
        (tmp_path / "a backup").chmod(0o644)
        line = look("files", kept)
        assert line.verdict == "fail"
        assert f"chmod 600 '{tmp_path}/a backup'" in line.mend

    def test_another_users(self, kept: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(os, "getuid", lambda: kept.home.stat().st_uid + 1)
        line = look("files", kept)
        assert "another user" in line.detail
        assert "chown" in line.mend


class TestCoreDumps:
    @pytest.fixture(autouse=True)
    def _limit(self) -> Iterator[None]:
        before = resource.getrlimit(resource.RLIMIT_CORE)
        yield
        resource.setrlimit(resource.RLIMIT_CORE, before)

    @pytest.fixture
    def pattern(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        path = tmp_path / "core_pattern"
        path.write_text("core\n")
        monkeypatch.setattr(machine, "_CORE_PATTERN", path)
        monkeypatch.setattr("sys.platform", "linux")
        return path

    def test_off(self, chosen: Settings, pattern: Path) -> None:
        hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
        resource.setrlimit(resource.RLIMIT_CORE, (0, hard))
        line = look("core-dumps", chosen)
        assert line.verdict == "pass"
        assert "'core'" in line.detail

    def test_on(self, chosen: Settings, pattern: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(resource, "getrlimit", lambda which: (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        line = look("core-dumps", chosen)
        assert line.verdict == "fail"
        assert "unlimited" in line.detail

    def test_a_collector_is_not_held_back_by_the_limit(
        self, chosen: Settings, pattern: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        pattern.write_text("|/usr/lib/systemd/systemd-coredump %P\n")
        monkeypatch.setattr(resource, "getrlimit", lambda which: (0, 0))
        monkeypatch.setattr(machine, "dumps_forbidden", lambda: False)
        assert look("core-dumps", chosen).verdict == "fail"
        monkeypatch.setattr(machine, "dumps_forbidden", lambda: True)
        assert look("core-dumps", chosen).verdict == "pass"
