"""`quantlab preflight` as a user types it: exit 3 where the mode demands it, JSON and a page, statements, no secret."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from quantlab.cli import run
from quantlab.settings import Settings

from ..vault.kit import PASSWORD, pair
from .kit import passed, with_key


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "user"
    folder.mkdir()
    monkeypatch.setenv("QUANTLAB_ROOT", str(folder))
    monkeypatch.setenv("QUANTLAB_HOME", ".quantlab")
    return folder


def preflight(*arguments: str) -> int:
    return run(["preflight", "--offline", *arguments])


def test_paper_passes_without_anything_and_live_is_refused(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert preflight() == 0
    shown = capsys.readouterr().out
    assert "✗ fail" in shown
    assert "mend:" in shown
    assert "nothing blocks" in shown
    assert not (root / ".quantlab").exists()
    assert preflight("--mode", "live") == 3
    captured = capsys.readouterr()
    assert "blocked by" in captured.err
    assert captured.err.count("\n") == 1


def test_json_is_whole_even_where_it_is_refused(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert preflight("--mode", "live", "--json") == 3
    result = json.loads(capsys.readouterr().out)
    assert (result["mode"], result["ok"]) == ("live", False)
    assert "tested-on-paper" in result["blocked"]
    assert {"id", "what", "verdict", "detail", "why", "mend", "severity"} == set(result["lines"][0])


def test_a_page(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert preflight("--html", str(root / "page.html")) == 0
    assert (root / "page.html").read_text(encoding="utf-8").startswith("<!doctype html>")


def test_statements(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def verdict(*arguments: str) -> str:
        capsys.readouterr()
        preflight("--json", "--mode", "live", *arguments)
        lines = json.loads(capsys.readouterr().out)["lines"]
        return next(str(line["verdict"]) for line in lines if line["id"] == "2fa")

    assert verdict() == "fail"
    assert verdict("--state", "2fa", "--state", "anti-phishing") == "pass"
    assert verdict() == "pass"
    assert verdict("--unstate", "2fa") == "fail"


@pytest.mark.parametrize(
    "arguments", [["--mode", "sandbox"], ["--state", "3fa"], ["--state", "2fa", "--unstate", "2fa"], ["--nothing"]]
)
def test_wrong_usage_is_one_line(root: Path, capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    assert preflight(*arguments) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not (root / ".quantlab").exists()


def test_a_readable_env_is_refused(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / ".env").touch(0o600)
    assert preflight() == 0
    (root / ".env").chmod(0o644)
    assert preflight() == 3
    assert "chmod 600" in capsys.readouterr().err


def test_no_secret_is_shown(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    credential = pair("the command")
    home = root / ".quantlab"
    with_key(Settings(root=root, home=home), credential, label="[bold]My[/] key", seen=passed())
    (root / ".env").touch(0o600)
    (root / ".env").write_text(f"VAULT_PASSWORD={PASSWORD}\n")
    (root / "notes.md").write_text(f"{credential.api_key} {credential.secret} {PASSWORD}\n")
    for arguments in ([], ["--json"], ["--html", str(root / "page.html")]):
        preflight("--mode", "live", *arguments)
    captured = capsys.readouterr()
    shown = captured.out + captured.err + (root / "page.html").read_text(encoding="utf-8")
    assert "notes.md" in shown
    assert "[bold]My[/]" in shown
    for secret in (credential.api_key, credential.secret, PASSWORD):
        assert secret not in shown
