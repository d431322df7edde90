"""`import quantlab` is light: it loads no room and no library; its names are resolved when asked for."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import quantlab

PACKAGE = Path(quantlab.__file__).parent

_LOADED = """
import sys
before = set(sys.modules)
import quantlab
{more}
top = {{name.partition(".")[0] for name in set(sys.modules) - before}}
libraries = top - sys.stdlib_module_names - {{"quantlab"}}
print(sorted(libraries | {{name for name in sys.modules if name.startswith("quantlab.")}}))
"""


def loaded(more: str = "") -> str:
    command = [sys.executable, "-c", _LOADED.format(more=more)]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout.strip()


def test_importing_the_package_loads_nothing_else() -> None:
    assert loaded() == "[]"
    assert "quantlab.model" in loaded("import quantlab.model")  # the control: what is loaded is seen


def test_every_name_it_offers_resolves() -> None:
    assert {"Workbench", "__version__"} <= set(dir(quantlab)) == set(quantlab.__all__)
    for name in quantlab.__all__:
        assert getattr(quantlab, name) is not None
    assert quantlab.Workbench.__name__ == "Workbench"
    with pytest.raises(AttributeError, match="no attribute 'Workbank'"):
        quantlab.Workbank  # noqa: B018


def test_no_room_imports_from_the_root() -> None:
    """`from quantlab import Workbench` inside the package would tie a room to all the others. Modules are fine."""
    offending = []
    for file in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module == "quantlab":
                names = {name.name for name in node.names} - {"__version__"}
                offending += [f"{file.name}: {name}" for name in names if name in quantlab.__all__]
    assert offending == []
