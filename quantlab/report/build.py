"""From a run in the ledger to `report.html`: a template notebook, executed in a kernel of its own and converted.

The HTML holds everything it shows and forbids the browser to fetch anything (a Content-Security-Policy in its head);
`report.ipynb` beside it is the executed notebook, to be opened and continued in JupyterLab.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from quantlab.environment import scrubbed
from quantlab.model import NotFound, QuantlabError

if TYPE_CHECKING:
    import polars as pl
    from nbformat import NotebookNode

#: A cell of the report that takes longer than this hangs.
_CELL_TIMEOUT_S = 120
_TEMPLATES = files("quantlab.report") / "templates"


def make_report(run_ids: Sequence[str], *, home: Path, reports: Path) -> Path:
    """Make the report of one run, or the comparison of several; returns the path of its `report.html`.

    `home` holds the ledger. The report lies in `reports/<run id>/` (a comparison: the ids joined by "_vs_"), together
    with `report.ipynb`; readers see the old files or the new ones, never half of one. Raises NotFound when the ledger
    lacks a run, QuantlabError when a cell fails.
    """
    home, reports = home.resolve(), reports.resolve()
    run_ids = list(dict.fromkeys(run_ids))
    _check_known(run_ids, home)
    folder = reports / "_vs_".join(run_ids)[:120]
    folder.mkdir(parents=True, exist_ok=True)
    name = "run.ipynb" if len(run_ids) == 1 else "compare.ipynb"
    notebook = _with_runs((_TEMPLATES / name).read_text(encoding="utf-8"), run_ids)
    _execute(notebook, folder, home)
    page = _to_html(notebook)
    _write(folder / "report.ipynb", _notebook_text(notebook))
    _write(folder / "report.html", page)
    return folder / "report.html"


def make_slippage_page(walks: pl.DataFrame, run_id: str, source: str, *, home: Path, reports: Path) -> Path:
    """Make `slippage.html` beside the report of a run, of the orders that were walked through its books, which
    `walks.parquet` holds. `source` says where the books came from. Raises QuantlabError when a cell fails."""
    folder = reports.resolve() / run_id
    folder.mkdir(parents=True, exist_ok=True)
    walks.write_parquet(folder / "walks.parquet")
    notebook = _with_parameter((_TEMPLATES / "slippage.ipynb").read_text(encoding="utf-8"), "source", source)
    notebook.metadata["title"] = f"Slippage in {run_id}"
    _execute(notebook, folder, home.resolve())
    _write(folder / "slippage.html", _to_html(notebook))
    return folder / "slippage.html"


def report_process(run_id: str, *, home: Path, reports: Path) -> Path:
    """`make_report` in a process of its own, at a lower priority: kernel, plots and nbconvert stay out of the caller's
    memory. Raises QuantlabError with that process's own line when it fails."""
    command = [sys.executable, "-m", "quantlab.report", run_id, "--home", str(home), "--reports", str(reports)]
    done = subprocess.run(
        command, env=scrubbed(os.environ), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        raise QuantlabError(lines[-1] if lines else f"the report of {run_id} failed without a word")
    return Path(done.stdout.strip().splitlines()[-1])


def _check_known(run_ids: Sequence[str], home: Path) -> None:
    from quantlab.ledger import Ledger

    if not run_ids:
        raise NotFound("a report needs a run: `quantlab status` names the last one")
    if not (home / "quantlab.sqlite").exists():
        raise NotFound(f"no ledger at {home}: start a run first")
    with Ledger.open(home, create=False) as ledger:
        for run_id in run_ids:
            ledger.run(run_id)


def _with_runs(text: str, run_ids: Sequence[str]) -> NotebookNode:
    """The template with its `parameters` cell naming the runs."""
    notebook = _with_parameter(text, "run_ids", list(run_ids))
    notebook.metadata["title"] = " against ".join(run_ids)
    return notebook


def _with_parameter(text: str, name: str, value: object) -> NotebookNode:
    import nbformat

    notebook: NotebookNode = nbformat.reads(text, as_version=4)  # type: ignore[no-untyped-call]
    for cell in notebook.cells:
        if "parameters" in cell.metadata.get("tags", ()):
            cell.source = f"{name} = {value!r}"
    return notebook


def _execute(notebook: NotebookNode, folder: Path, home: Path) -> None:
    """Run every cell in a fresh kernel whose working directory is the report's folder, without any secret in its
    environment and without IPython's history."""
    import nbclient
    from jupyter_client.manager import AsyncKernelManager
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
    from traitlets.config import Config

    environment = scrubbed(os.environ) | {"QUANTLAB_HOME": str(home)}
    client = nbclient.NotebookClient(
        notebook,
        timeout=_CELL_TIMEOUT_S,
        kernel_name="python3",
        kernel_manager_class=AsyncKernelManager,
        extra_arguments=["--HistoryManager.enabled=False"],
        record_timing=False,
        config=Config({"KernelManager": {"transport": "tcp", "transport_encryption": "required"}}),
        resources={"metadata": {"path": str(folder)}},
    )
    try:
        client.execute(env=environment)
    except CellExecutionError as error:
        raise QuantlabError(f"the report failed in a cell: {error.ename}: {error.evalue}") from error
    except (CellTimeoutError, DeadKernelError) as error:
        line = str(error).strip().splitlines()[0]
        raise QuantlabError(f"the report's kernel gave up: {line}") from error


def _to_html(notebook: NotebookNode) -> str:
    from nbconvert import HTMLExporter

    exporter = HTMLExporter(  # type: ignore[no-untyped-call]
        template_name="quantlab",
        extra_template_basedirs=[str(_TEMPLATES / "nbconvert")],
        exclude_input=True,
        exclude_input_prompt=True,
        exclude_output_prompt=True,
        embed_images=True,
        sanitize_html=False,
    )
    page, _ = exporter.from_notebook_node(notebook)
    # The same style in front of each table: once is enough here.
    styles = list(re.finditer(r"<style>\n\.ql-table\{.*?</style>", page, re.DOTALL))
    for match in reversed(styles[1:]):
        page = page[: match.start()] + page[match.end() :]
    return str(page)


def _notebook_text(notebook: NotebookNode) -> str:
    import nbformat

    return str(nbformat.writes(notebook)) + "\n"  # type: ignore[no-untyped-call]


def _write(path: Path, text: str) -> None:
    """Write `text` so that a reader sees the old file or the new one."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise QuantlabError(f"{path} cannot be written: {error.strerror or error}") from error
