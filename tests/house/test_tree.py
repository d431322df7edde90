"""What may not be in the repository: registries' hosts, machine paths, recorded data, outputs, secrets."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest

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


def test_no_path_of_a_machine_and_no_notebook_output() -> None:
    assert offenders(r"/(?:home|Users|root)/[a-z]\w*/", tracked()) == []
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
    for name in (".gitignore", ".dockerignore"):
        lines = (ROOT / name).read_text().splitlines()
        assert {".env"} <= set(lines) and any(line.startswith(".quantlab") for line in lines)
