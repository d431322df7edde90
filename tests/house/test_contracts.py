"""The rooms import only what docs/design.md allows; a planted violation breaks each contract, so each can fail."""

from __future__ import annotations

import configparser
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def lint(folder: Path) -> str:
    """Run import-linter in `folder` on the package there; returns its output."""
    environment = {**os.environ, "PYTHONPATH": str(folder), "COLUMNS": "200"}
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as run; run()", "--no-cache"]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=100)
    return done.stdout + done.stderr


def contracts() -> dict[str, configparser.SectionProxy]:
    parser = configparser.ConfigParser()
    parser.read(ROOT / ".importlinter", encoding="utf-8")
    return {
        parser[name]["name"]: parser[name] for name in parser.sections() if name.startswith("importlinter:contract:")
    }


def test_every_contract_is_kept() -> None:
    output = lint(ROOT)
    assert f"Contracts: {len(contracts())} kept, 0 broken" in output, output


def test_a_planted_violation_breaks_each_contract(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "quantlab", tmp_path / "quantlab", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / ".importlinter", tmp_path)
    for section in contracts().values():
        source = section["source_modules"].split()[0].removeprefix("quantlab.")
        target = section["forbidden_modules"].split()[0]
        place = tmp_path / "quantlab" / source
        file = place / "_planted.py" if place.is_dir() else place.with_suffix(".py")
        with file.open("a", encoding="utf-8") as planted:
            planted.write(f"\nimport {target}  # planted\n")
    output = lint(tmp_path)
    kept = re.findall(r"(.+) KEPT", output)
    assert "broken" in output and not kept, output


def test_every_room_has_a_contract() -> None:
    held = {name.removeprefix("quantlab.") for s in contracts().values() for name in s["source_modules"].split()}
    package = ROOT / "quantlab"
    rooms = {p.stem for p in package.iterdir() if p.suffix == ".py" or (p / "__init__.py").exists()}
    assert rooms - held == {"__init__", "__main__"}
