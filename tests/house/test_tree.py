"""What the repository must and may not hold: a lock for all that is asked; no host, machine path, output or secret."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from quantlab.settings import SECRET_NAMES, SETTING_NAMES

ROOT = Path(__file__).resolve().parents[2]
#: Put together here, so that this file does not name what it looks for.
REGISTRIES = ["py" + "pi.org", "python" + "hosted.org", "registry." + "npmjs", "deb." + "debian.org", "crates" + ".io"]
_BINARY = {".png", ".svg", ".jpg", ".parquet", ".gz", ".zst", ".woff2", ".ico"}


def tracked() -> list[Path]:
    """Files that git has or would take."""
    try:
        done = subprocess.run(
            ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    return [ROOT / line for line in done.stdout.splitlines() if (ROOT / line).is_file()]


def offenders(pattern: str, files: list[Path]) -> list[str]:
    return [
        f"{file.relative_to(ROOT) if file.is_relative_to(ROOT) else file}: {found[0]}"
        for file in files
        if file.suffix not in _BINARY and (found := re.search(pattern, file.read_text("utf-8", errors="replace")))
    ]


def test_no_file_names_a_registry(tmp_path: Path) -> None:
    pattern = "|".join(map(re.escape, REGISTRIES))
    assert offenders(pattern, tracked()) == []
    planted = tmp_path / "planted.txt"
    planted.write_text("https://files." + REGISTRIES[1] + "/packages")
    assert offenders(pattern, [planted])


def test_no_lock_that_names_hosts() -> None:
    names = {file.name for file in tracked()}
    assert "uv.lock" not in names and not any(re.fullmatch(r"pylock.*\.toml", name) for name in names)


def test_the_lock_is_universal_and_hashed() -> None:
    text = (ROOT / "requirements.lock").read_text()
    assert "://" not in text
    assert re.search(r"^appnope==.*sys_platform == 'darwin'", text, re.MULTILINE), "made without --universal"
    for block in re.split(r"\n(?=[A-Za-z0-9])", text.strip()):
        assert "--hash=sha256:" in block, block.splitlines()[0]
    for compiled in ("numpy", "polars-runtime-32", "cryptography"):  # wheels of every platform, not of this one
        assert text.split(f"\n{compiled}==")[1].split("\n", 12)[-2].startswith("    --hash="), compiled


def test_the_lock_holds_what_pyproject_asks() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = [Requirement(line) for line in project["dependencies"]]
    asked += [Requirement(line) for extra in project["optional-dependencies"].values() for line in extra]
    pins = dict(re.findall(r"^([a-z0-9._-]+)==([^\s;]+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE))
    assert [str(r) for r in asked if not r.specifier.contains(pins.get(canonicalize_name(r.name), "0"))] == []
    assert not Requirement("ccxt>=99").specifier.contains(pins["ccxt"])


def test_a_python_too_old_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    if shutil.which("make") is None:
        pytest.skip("no make here")
    shutil.copy(ROOT / "Makefile", tmp_path)
    for name in ("pyproject.toml", "requirements.lock", "requirements-bootstrap.lock"):
        (tmp_path / name).touch()
    for code, words in ((1, "quantlab needs Python 3.11 or later"), (0, "setting up .venv")):
        (tmp_path / "python").write_text(f"#!/bin/sh\nexit {code}\n")  # the second is the control: it passes the check
        (tmp_path / "python").chmod(0o755)
        command = ["make", "--no-print-directory", "setup", "PYTHON=./python"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=30)
        assert done.stdout.splitlines()[0].startswith(words)
        assert done.returncode == 2


def test_no_path_of_a_machine_and_no_notebook_output(tmp_path: Path) -> None:
    pattern = r"/(?:home|Users|root)/[a-z]\w*/|/wo" + r"rk/[a-z]+"
    assert offenders(pattern, tracked()) == []
    planted = tmp_path / "planted.py"
    planted.write_text('"/home' + '/somebody/quantlab"')
    assert offenders(pattern, [planted])
    for notebook in (file for file in tracked() if file.suffix == ".ipynb"):
        cells = json.loads(notebook.read_text())["cells"]
        assert not any(cell.get("outputs") or cell.get("execution_count") for cell in cells), notebook.name


def test_the_example_names_every_setting_and_no_secret() -> None:
    text = (ROOT / ".env.example").read_text()
    named = re.findall(r"^#?([A-Z_]+)=(.*)$", text, re.MULTILINE)
    assert sorted(name for name, _ in named) == sorted(SETTING_NAMES)
    assert all(value == "" for name, value in named if name in SECRET_NAMES)


def test_make_env_writes_an_owner_only_file_and_never_over_one(tmp_path: Path) -> None:
    (tmp_path / ".ci").mkdir()
    for name in (".ci/make_env.py", ".env.example"):
        (tmp_path / name).write_text((ROOT / name).read_text())
    command = [sys.executable, str(tmp_path / ".ci" / "make_env.py")]
    old = os.umask(0o022)
    try:
        subprocess.run(command, check=True, capture_output=True)
    finally:
        os.umask(old)
    made = tmp_path / ".env"
    assert stat.S_IMODE(made.stat().st_mode) == 0o600
    text = made.read_text()
    for name in ("VAULT_PASSWORD", "API_BEARER_TOKEN"):
        found = re.search(rf"^{name}=(\S+)$", text, re.MULTILINE)
        assert found and len(found[1]) >= 43
    subprocess.run(command, check=True, capture_output=True)
    assert made.read_text() == text


def test_ignored_files_cover_secrets_and_state() -> None:
    ignored = [".env", ".env.bak", ".quantlab/quantlab.db", "reports/a-run/report.html", "uv.lock", ".venv/bin/python"]
    wanted = [".env.example", "reports/README.md", "requirements.lock"]
    command = ["git", "check-ignore", "--no-index", "--stdin"]
    done = subprocess.run(command, cwd=ROOT, input="\n".join(ignored + wanted), capture_output=True, text=True)
    if done.returncode == 128:
        pytest.skip("not a git checkout")
    assert done.stdout.splitlines() == ignored
    assert {".git", "**/.env", "**/.env.*", "**/.quantlab"} <= set((ROOT / ".dockerignore").read_text().splitlines())
