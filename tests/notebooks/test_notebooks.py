"""Promise: the notebooks run from top to bottom on the replay venue, as they are shipped, and stay thin: at most three
lines of code a cell, parameters in a tagged cell, no outputs and no path of anybody's machine in git."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from quantlab.ledger import Ledger

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("**/[!.]*.ipynb"))
NAMES = [path.relative_to(ROOT / "notebooks").as_posix() for path in NOTEBOOKS]


def test_all_are_here() -> None:
    assert NAMES == [
        "00_start_here.ipynb",
        "01_market_inspector.ipynb",
        "02_launch_fleet.ipynb",
        "03_compare_runs.ipynb",
        "04_key_custody.ipynb",
        "05_backtest.ipynb",
        "06_sweep_and_validate.ipynb",
        "08_slippage.ipynb",
        "batch/backtest_one.ipynb",
    ]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=NAMES)
def test_a_notebook_is_an_essay(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert notebook.metadata.kernelspec.name == "python3"
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    prose = [cell for cell in notebook.cells if cell.cell_type == "markdown"]
    assert prose[0].source.startswith("# ")
    batch = path.parent.name == "batch"  # for papermill: more parameters, less to read
    assert len(prose) * (3 if batch else 2) >= len(code), "more to read than to run"
    tagged = [cell for cell in code if "parameters" in cell.metadata.get("tags", ())]
    assert len(tagged) == 1
    for cell in code:
        assert cell.outputs == []
        assert cell.execution_count is None
        lines = [line for line in cell.source.splitlines() if line.strip()]
        assert len(lines) <= ((8 if batch else 4) if cell is tagged[0] else 3), cell.source
    assert not re.search(r"/home/|/Users/|/work/|/tmp/|C:\\\\", path.read_text())


@pytest.mark.timeout(240)
def test_they_run_from_top_to_bottom(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "notebooks", tmp_path / "notebooks", ignore=shutil.ignore_patterns(".ipynb_checkpoints"))
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "--nbval-lax",
            "-q",
            "-p",
            "no:cacheprovider",
            "-c",
            "pytest.ini",
            "notebooks",
        ],
        cwd=tmp_path,
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:]
    with Ledger.open(tmp_path / ".quantlab", create=False) as ledger:
        runs = [ledger.run(run_id) for run_id in ledger.run_ids()]
    assert [run.state for run in runs] == ["finished", "finished"]
    for run in runs:
        assert run.summary is not None
        assert run.summary["bots"] == 45
        assert run.summary["fills"] > 0
        assert run.summary["accounting_ok"] is True
        assert run.summary["requests"]["order_requests"] == 0
        assert (tmp_path / "reports" / run.run_id / "report.html").exists()
    # The same market, fleet and seed: the same fills, whoever started the run.
    assert runs[0].summary["fills_sha256"] == runs[1].summary["fills_sha256"]  # type: ignore[index]


def environment(root: Path) -> dict[str, str]:
    """A user's environment without settings, on the replay venue, with IPython's files beside the run's."""
    ours = ("QUANTLAB_", "BINANCE_", "API_", "VAULT_", "PYTEST_", "JUPYTER_")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return clean | {
        "QUANTLAB_MARKET": "replay",
        "QUANTLAB_ROOT": str(root),
        "QUANTLAB_HOME": str(root / ".quantlab"),
        "IPYTHONDIR": str(root / ".ipython"),
    }
