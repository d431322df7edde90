"""`.env` is its owner's alone and never in git, not in a branch, a stash or under another folder; what stands in other
files is found. Without git, outside of it and where git fails, what cannot be known is said."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from quantlab.redact import register_secret
from quantlab.settings import Settings

from ..vault.kit import ed25519_pem, letters
from .kit import STRONG_TOKEN, git, look, settings_in

SECRET_LINE = f"BINANCE_API_SECRET={letters('committed')}\n"


@pytest.fixture
def env(chosen: Settings) -> Path:
    path = chosen.root / ".env"
    path.touch(0o600)
    path.write_text("API_PORT=8001\n")
    return path


@pytest.fixture
def repository(chosen: Settings) -> Path:
    """The root is a git checkout with one commit, and ignores `.env`."""
    git(chosen.root, "init", "-q", "-b", "main")
    commit(chosen.root, ".gitignore", ".env\n.quantlab/\n")
    return chosen.root


def commit(folder: Path, name: str, text: str) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)
    git(folder, "add", "-f", "--", name)
    git(folder, "commit", "-q", "-m", f"change {name}")


class TestOwnerOnly:
    def test_modes(self, chosen: Settings, env: Path) -> None:
        assert look("env-owner-only", chosen).verdict == "pass"
        for mode in (0o640, 0o604, 0o620):
            env.chmod(mode)
            line = look("env-owner-only", chosen)
            assert line.verdict == "fail"
            assert f"chmod 600 {env}" in line.mend
            assert line.blocks("paper")

    def test_another_users(self, chosen: Settings, env: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(os, "getuid", lambda: env.stat().st_uid + 1)
        assert "another user" in look("env-owner-only", chosen).detail

    def test_without_one(self, chosen: Settings) -> None:
        assert look("env-owner-only", chosen).verdict == "not applicable"


class TestIgnored:
    def test_it_is(self, chosen: Settings, repository: Path, env: Path) -> None:
        assert look("env-ignored", chosen).verdict == "pass"
        (repository / ".gitignore").write_text("")
        line = look("env-ignored", chosen)
        assert line.verdict == "fail"
        assert ".gitignore" in line.mend

    def test_tracked_in_spite_of_it(self, chosen: Settings, repository: Path, env: Path) -> None:
        git(repository, "add", "-f", ".env")
        line = look("env-ignored", chosen)
        assert line.verdict == "fail"
        assert "git rm --cached" in line.mend

    def test_without_one(self, chosen: Settings, repository: Path) -> None:
        (repository / ".gitignore").write_text("")
        assert look("env-ignored", chosen).verdict == "not applicable"


class TestHistory:
    def test_never_committed(self, chosen: Settings, repository: Path, env: Path) -> None:
        commit(
            repository, ".env.example", "#BINANCE_API_SECRET=\nBINANCE_API_SECRET=your-binance-api-secret-goes-here\n"
        )
        assert look("env-history", chosen).verdict == "pass"

    def test_committed_once_and_removed(self, chosen: Settings, repository: Path, env: Path) -> None:
        commit(repository, ".env", "API_PORT=1\n")
        git(repository, "rm", "-q", "--cached", ".env")
        git(repository, "commit", "-q", "-m", "oh")
        line = look("env-history", chosen)
        assert line.verdict == "fail"
        assert git(repository, "log", "-1", "--format=%h").strip() in line.detail

    def test_on_a_branch_that_was_merged_without_it(self, chosen: Settings, repository: Path) -> None:
        """git leaves such a branch out of a file's history unless it is asked for all of it."""
        git(repository, "switch", "-q", "-c", "side")
        commit(repository, ".env", "API_PORT=1\n")
        git(repository, "rm", "-q", ".env")
        git(repository, "commit", "-q", "-m", "oh")
        git(repository, "switch", "-q", "main")
        commit(repository, "other", "x")
        git(repository, "merge", "-q", "--no-edit", "side")
        git(repository, "branch", "-q", "-D", "side")
        assert look("env-history", chosen).verdict == "fail"

    def test_amended_away_or_on_no_branch(self, chosen: Settings, repository: Path) -> None:
        commit(repository, ".env", "API_PORT=1\n")
        git(repository, "reset", "-q", "--hard", "HEAD~1")
        assert look("env-history", chosen).verdict == "fail"

    def test_in_a_folder_beside(self, chosen: Settings, repository: Path) -> None:
        commit(repository, "old/deploy/.env", "API_PORT=1\n")
        assert look("env-history", chosen).verdict == "fail"

    @pytest.mark.parametrize("line", [SECRET_LINE, f'export API_BEARER_TOKEN="{STRONG_TOKEN}"  # shared\n'])
    def test_a_secrets_line_in_another_file(self, chosen: Settings, repository: Path, line: str) -> None:
        commit(repository, "notes/set-up.txt", f"type this:\n{line}then go on\n")
        commit(repository, "notes/set-up.txt", "gone\n")
        found = look("env-history", chosen)
        assert found.verdict == "fail"
        assert "secret" in found.detail
        assert STRONG_TOKEN not in found.detail

    def test_a_password_of_words_is_found_when_it_is_in_use(self, chosen: Settings, repository: Path) -> None:
        words = "amber-granite-otter"
        commit(repository, "compose.yml", f"environment:\n  VAULT_PASSWORD={words}\n")
        assert look("env-history", chosen).verdict == "pass"  # it could be anybody's example
        register_secret(words)
        assert look("env-history", chosen).verdict == "fail"

    def test_a_checkout_without_a_commit(self, chosen: Settings) -> None:
        git(chosen.root, "init", "-q")
        assert look("env-history", chosen).verdict == "pass"


class TestWithoutGit:
    def test_outside_of_a_checkout(self, chosen: Settings, env: Path) -> None:
        for id in ("env-ignored", "env-history"):
            assert look(id, chosen).verdict == "not applicable"
        assert look("tree", chosen).verdict == "pass"

    def test_not_installed(self, chosen: Settings, env: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("PATH", str(tmp_path))
        assert look("env-history", chosen).verdict == "not applicable"
        (chosen.root / ".git").mkdir()
        line = look("env-history", chosen)
        assert line.verdict == "unknown"
        assert "not installed" in line.detail

    def test_a_checkout_that_git_cannot_read(self, chosen: Settings, repository: Path) -> None:
        (repository / ".git" / "HEAD").write_text("ref: refs/heads/main\n")
        (repository / ".git" / "config").write_text("[broken")
        assert look("env-history", chosen).verdict == "unknown"

    def test_the_repository_runs_no_program_of_its_own(
        self, chosen: Settings, repository: Path, env: Path, tmp_path: Path
    ) -> None:
        ran = tmp_path / "ran"
        program = tmp_path / "program"
        program.write_text(f"#!/bin/sh\ntouch {ran}\n")
        program.chmod(0o755)
        for setting in ("core.fsmonitor", "diff.external", "core.pager", "diff.x.textconv"):
            git(repository, "config", setting, str(program))
        (repository / ".gitattributes").write_text("* diff=x\n")
        commit(repository, "a.txt", SECRET_LINE)
        ran.unlink(missing_ok=True)
        for id in ("env-ignored", "env-history", "tree"):
            look(id, chosen)
        assert not ran.exists()
        git(repository, "status")  # the control: plain git does
        assert ran.exists()


class TestTree:
    def test_a_secret_that_is_in_use(self, chosen: Settings, env: Path) -> None:
        env.write_text(f"API_BEARER_TOKEN={STRONG_TOKEN}\n")
        assert look("tree", chosen).verdict == "pass"  # `.env` is where it may be
        (chosen.root / "deep").mkdir()
        (chosen.root / "deep" / "todo.md").write_text(f"curl -H 'X: {STRONG_TOKEN}'")
        line = look("tree", chosen)
        assert line.verdict == "fail"
        assert "deep/todo.md" in line.detail
        assert STRONG_TOKEN not in line.detail
        assert line.blocks("testnet")

    def test_what_only_looks_like_one_stops_live_alone(self, chosen: Settings) -> None:
        (chosen.root / "key.py").write_text(f'KEY = "{letters("somebody")}"\n')
        line = look("tree", chosen)
        assert line.verdict == "fail"
        assert [line.blocks(mode) for mode in ("paper", "testnet", "live")] == [False, False, True]  # type: ignore[arg-type]

    def test_private_keys(self, chosen: Settings) -> None:
        (chosen.root / "doc.md").write_text("-----BEGIN PRIVATE KEY-----\n…\n-----END PRIVATE KEY-----\n")
        assert look("tree", chosen).verdict == "pass"
        (chosen.root / "id.pem").write_text(ed25519_pem("in the tree"))
        assert "id.pem" in look("tree", chosen).detail

    def test_the_pair_of_binances_documents_is_nobodys(self, chosen: Settings) -> None:
        printed = "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j"
        (chosen.root / "doc.md").write_text(f"openssl dgst -sha256 -hmac {printed}")
        assert look("tree", chosen).verdict == "pass"
        (chosen.root / "doc.md").write_text(f"openssl dgst -sha256 -hmac {printed[::-1]}")
        assert look("tree", chosen).verdict == "fail"

    def test_in_git_tracked_and_untracked_are_read_and_ignored_are_not(
        self, chosen: Settings, repository: Path
    ) -> None:
        commit(repository, ".gitignore", ".env\nignored.txt\n")
        (repository / "ignored.txt").write_text(letters("ignored"))
        assert look("tree", chosen).verdict == "pass"
        (repository / "untracked.txt").write_text(letters("untracked"))
        assert "untracked.txt" in look("tree", chosen).detail
        (repository / "untracked.txt").unlink()
        commit(repository, "ümläut name.txt", letters("tracked"))
        assert "ümläut name.txt" in look("tree", chosen).detail

    def test_files_that_are_no_text_or_too_large_or_gone_are_left_out(self, chosen: Settings) -> None:
        (chosen.root / "binary").write_bytes(b"\0" + letters("binary").encode())
        (chosen.root / "large.txt").write_text(letters("large") + "x" * (5 << 20))
        (chosen.root / "gone").symlink_to(chosen.root / "nowhere")
        os.mkfifo(chosen.root / "pipe")
        assert look("tree", chosen).verdict == "pass"

    def test_a_tree_too_large_to_finish_is_not_called_clean(
        self, chosen: Settings, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (chosen.root / "a.txt").write_text("a")
        monkeypatch.setattr("quantlab.preflight.plain_text._LOOK_S", -1.0)
        assert look("tree", chosen).verdict == "unknown"


def test_no_secret_is_an_argument_of_git(chosen: Settings, repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import subprocess

    real, seen = subprocess.run, []

    def watched(command: list[str], **options: object) -> object:
        seen.append(" ".join(command) + repr(options.get("env")))
        return real(command, **options)  # type: ignore[call-overload]

    monkeypatch.setattr(subprocess, "run", watched)
    monkeypatch.setenv("API_BEARER_TOKEN", STRONG_TOKEN)
    for id in ("env-ignored", "env-history", "tree"):
        look(id, settings_in(chosen.root, api_bearer_token=STRONG_TOKEN))
    assert len(seen) > 3
    assert not any(STRONG_TOKEN in call for call in seen)
