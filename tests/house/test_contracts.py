"""The rooms import only what docs/design.md allows; each line of each contract is broken once, so each can fail."""

from __future__ import annotations

import configparser
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

#: Lints the package in the working directory, once for each item of the JSON list [[contract, {file: text}], …] after
#: writing the files; takes them away again. Prints a JSON list of outputs.
_LINT = """
import contextlib, importlib, io, json, sys
from pathlib import Path
from importlinter.cli import lint_imports

outputs = []
for contract, planted in json.load(sys.stdin):
    before = {name: Path(name).read_text() if Path(name).exists() else None for name in planted}
    for name, text in planted.items():
        Path(name).write_text((before[name] or "") + text)
    importlib.invalidate_caches()
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        lint_imports(limit_to_contracts=(contract,) if contract else (), no_cache=True, no_logo=True)
    outputs.append(output.getvalue())
    for name, text in before.items():
        Path(name).unlink() if text is None else Path(name).write_text(text)
json.dump(outputs, sys.stdout)
"""


def lint(folder: Path, *cases: tuple[str, dict[str, str]]) -> list[str]:
    """What import-linter says of the package in `folder`, for each (contract, files to plant)."""
    environment = {**os.environ, "PYTHONPATH": str(folder), "COLUMNS": "200", "NO_COLOR": "1"}
    done = subprocess.run(
        [sys.executable, "-c", _LINT],
        input=json.dumps(cases),
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    outputs: list[str] = json.loads(done.stdout)
    return [" ".join(output.split()) for output in outputs]


def contracts() -> dict[str, configparser.SectionProxy]:
    """The contracts of .importlinter by their id."""
    parser = configparser.ConfigParser()
    parser.read(ROOT / ".importlinter", encoding="utf-8")
    prefix = "importlinter:contract:"
    return {name.removeprefix(prefix): parser[name] for name in parser.sections() if name.startswith(prefix)}


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the package and its contracts, to plant violations in."""
    shutil.copytree(ROOT / "quantlab", tmp_path / "quantlab", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / ".importlinter", tmp_path)
    return tmp_path


def planted(module: str, imported: list[str]) -> dict[str, str]:
    """The file that makes `module` import all of `imported`, and its text."""
    place = Path(*module.split("."))
    file = place / "planted.py" if (ROOT / place).is_dir() else place.with_suffix(".py")
    return {str(file): "".join(f"\nimport {name}" for name in imported) + "\n"}


def test_every_contract_is_kept() -> None:
    (output,) = lint(ROOT, ("", {}))
    assert f"Contracts: {len(contracts())} kept, 0 broken" in output, output


def test_a_planted_violation_breaks_each_line_of_each_contract(copy: Path) -> None:
    cases, pairs = [], []
    for contract, section in contracts().items():
        sources, forbidden = section["source_modules"].split(), section["forbidden_modules"].split()
        files: dict[str, str] = {}
        for source in sources:
            files |= planted(source, forbidden)
        cases.append((contract, files))
        pairs.append([(source, name) for source in sources for name in forbidden])
    silent = [
        f"{contract}: {source} may import {name}"
        for (contract, _), expected, output in zip(cases, pairs, lint(copy, *cases), strict=True)
        for source, name in expected
        if f"{source} is not allowed to import {name}:" not in output
    ]
    assert silent == []


def test_a_planted_detour_breaks_what_holds_over_any_number_of_steps(copy: Path) -> None:
    """market may import recording, and recording's own contract is not asked here: only the whole way counts."""
    transitive = [name for name, section in contracts().items() if "allow_indirect_imports" not in section]
    assert transitive == ["no-way-out", "venue-apart"]
    detour = planted("quantlab.recording", ["quantlab.exchange"])
    sources = {"no-way-out": "quantlab.market", "venue-apart": "quantlab.venue", "market": "quantlab.market"}
    files = {name: detour | planted(source, ["quantlab.recording.planted"]) for name, source in sources.items()}
    far, apart, direct = lint(copy, *files.items())
    assert "0 kept, 1 broken" in far and "0 kept, 1 broken" in apart
    assert "1 kept, 0 broken" in direct  # the control: the direct contract does not see it


def test_every_room_has_a_contract() -> None:
    held = {name.removeprefix("quantlab.") for s in contracts().values() for name in s["source_modules"].split()}
    package = ROOT / "quantlab"
    rooms = {p.stem for p in package.iterdir() if p.suffix == ".py" or (p / "__init__.py").exists()}
    assert rooms - held == {"__init__", "__main__"}


def test_every_room_is_named_on_the_other_side_too() -> None:
    """A new room that no row forbids could be imported from anywhere."""
    rooms = {name for s in contracts().values() for name in s["source_modules"].split()}
    rows = [s for name, s in contracts().items() if f"quantlab.{name}" in rooms]
    strict = next(s for s in rows if s["source_modules"].split() == ["quantlab.model"])
    assert set(strict["forbidden_modules"].split()) == rooms - {"quantlab.model"}
    for row in rows:
        (source,) = row["source_modules"].split()
        allowed = rooms - set(row["forbidden_modules"].split()) - {source}
        words = row["name"].removeprefix(f"{source.removeprefix('quantlab.')} imports ")
        if words.startswith("only "):
            listed = {f"quantlab.{word}" for word in words.removeprefix("only ").split(", ")} & rooms
        else:
            listed = rooms - {f"quantlab.{word}" for word in words.removeprefix("everything but ").split(", ")}
        assert allowed == listed - {source}, row["name"]
