"""The kinds of artefacts that a day with quantlab leaves, where each lies, and how a leak would lie in it."""

from __future__ import annotations

import gzip
import json
import pickle
import shutil
import sqlite3
import struct
import subprocess
import zlib
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NamedTuple

import zstandard

Plant = Callable[[Path, str], Path]


class Kind(NamedTuple):
    """`patterns` are of paths below the machine's folder. `plant(copy, leak)` puts a leak into a copy of an artefact,
    in the structure of its kind, and returns the path to look at. `like` names the artefact to copy."""

    patterns: tuple[str, ...]
    plant: Plant
    like: str = ""


# -- planting ---------------------------------------------------------------------------------------------------------


def in_line(copy: Path, leak: str) -> Path:
    """As a line in the middle of a text."""
    lines = copy.read_bytes().splitlines(keepends=True)
    lines.insert(len(lines) // 2, f"DEBUG aiohttp.client GET /x?y={leak}\n".encode())
    copy.write_bytes(b"".join(lines))
    return copy


def in_page(copy: Path, leak: str) -> Path:
    """As a cell of a table in HTML."""
    page = copy.read_text()
    assert "</" in page
    middle = page.index("</", len(page) // 2)
    copy.write_text(f"{page[:middle]}<td title='x'>{leak}</td>{page[middle:]}")
    return copy


def in_json(copy: Path, leak: str) -> Path:
    """As a string deep in a JSON document."""
    document = json.loads(copy.read_text())
    deep: Any = document if isinstance(document, dict) else document[0]
    deep["settings"] = {"list": [1, {"text": f"before {leak}"}]}
    copy.write_text(json.dumps(document))
    return copy


def in_csv(copy: Path, leak: str) -> Path:
    text = copy.read_text()
    copy.write_text(f'{text}"{leak}",,\n')
    return copy


def in_row(copy: Path, leak: str) -> Path:
    """As a value in a row of a SQLite database."""
    connection = sqlite3.connect(copy)
    connection.execute("PRAGMA journal_mode=DELETE")
    connection.execute("CREATE TABLE planted (id INTEGER PRIMARY KEY, value TEXT)")
    connection.execute("INSERT INTO planted (value) VALUES (?)", (leak,))
    connection.commit()
    connection.close()
    return copy


def in_wal(copy: Path, leak: str) -> Path:
    """As a row that was committed to the log and is not in the database yet."""
    database = copy.with_name("planted.sqlite")
    connection = sqlite3.connect(database)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("CREATE TABLE planted (value TEXT)")
    connection.execute("INSERT INTO planted VALUES (?)", (leak,))
    connection.commit()
    shutil.copy(f"{database}-wal", copy)
    connection.close()
    return copy


def at_end(copy: Path, leak: str) -> Path:
    """In the bytes behind what is used."""
    with copy.open("r+b") as file:
        file.seek(-len(leak) - 100, 2)
        file.write(leak.encode())
    return copy


def in_chunk(copy: Path, leak: str) -> Path:
    """As a frame in a compressed chunk of a recording."""
    packed = zstandard.compress(b'{"e":"trade"}' * 50 + leak.encode() + b'{"e":"trade"}' * 50)
    with copy.open("ab") as file:
        file.write(struct.pack("<II", len(packed), zlib.crc32(packed)) + packed)
    return copy


def in_gzip(copy: Path, leak: str) -> Path:
    """As a line of a file that was rotated and compressed."""
    packed = copy.with_name(f"{copy.name}.1.gz")
    packed.write_bytes(gzip.compress(in_line(copy, leak).read_bytes()))
    return packed


def in_pickle(copy: Path, leak: str) -> Path:
    copy.write_bytes(pickle.dumps({"before": copy.read_bytes(), "settings": {"value": leak}}))
    return copy


def in_entry(copy: Path, leak: str) -> Path:
    """As a variable, or an argument, among those that end with a zero byte."""
    copy.write_bytes(copy.read_bytes() + f"X_TOKEN={leak}\0".encode())
    return copy


def in_commit(copy: Path, leak: str) -> Path:
    """As a file of a commit that a later commit took away."""
    root = copy.parent
    who = ("-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false")
    (root / "planted.txt").write_text(leak)
    for step in ("add -f planted.txt", "commit -qm x", "rm -q planted.txt", "commit -qm y"):
        subprocess.run(["git", *who, *step.split()], cwd=root, check=True, capture_output=True)
    return copy


def in_env(copy: Path, leak: str) -> Path:
    """As a line that was commented out instead of taken out."""
    copy.write_text(copy.read_text() + f"# BINANCE_API_SECRET={leak}\n")
    return copy


def _notebook(change: Callable[[dict[str, Any], str], None]) -> Plant:
    def plant(copy: Path, leak: str) -> Path:
        notebook = json.loads(copy.read_text())
        change(notebook, leak)
        copy.write_text(json.dumps(notebook, indent=1))
        return copy

    return plant


def _source(notebook: dict[str, Any], leak: str) -> None:
    notebook["cells"][1]["source"] = ["import os\n", f"key = '{leak}'\n"]


def _output(notebook: dict[str, Any], leak: str) -> None:
    shown = next(cell for cell in notebook["cells"] if cell.get("outputs"))
    shown["outputs"].append({"output_type": "stream", "name": "stdout", "text": ["words\n", f"{leak}\n"]})


def _metadata(notebook: dict[str, Any], leak: str) -> None:
    notebook["metadata"]["papermill"] = {"parameters": {"key": leak}}


def _widgets(notebook: dict[str, Any], leak: str) -> None:
    states = notebook["metadata"]["widgets"]["application/vnd.jupyter.widget-state+json"]["state"]
    states["planted"] = {"model_name": "TextModel", "state": {"value": leak}}


# -- kinds ------------------------------------------------------------------------------------------------------------

_DAY = ("lab/notebooks/day.ipynb",)
KINDS: dict[str, Kind] = {
    "database": Kind(("lab/.quantlab/quantlab.sqlite", "seen/*/quantlab.sqlite"), in_row),
    "write-ahead log": Kind(("lab/.quantlab/quantlab.sqlite-wal", "seen/*/quantlab.sqlite-wal"), in_wal),
    "shared memory of the database": Kind(("seen/*/quantlab.sqlite-shm",), at_end),
    "anchor outside the home": Kind(("user/.local/state/quantlab/vaults/*.json",), in_json),
    "engine's own files": Kind(("lab/.quantlab/engine.*", "lab/.quantlab/api-token", "lab/.quantlab/*.lock"), in_line),
    "vault backup": Kind(("lab/vault-backup.json",), in_json),
    "inventory as JSON": Kind(("lab/inventory.json",), in_json),
    "inventory as CSV": Kind(("lab/inventory.csv",), in_csv),
    "inventory as HTML": Kind(("lab/inventory.html",), in_page),
    "pre-flight page": Kind(("lab/preflight.html",), in_page),
    "run log": Kind(("lab/.quantlab/logs/*.log",), in_gzip),
    "run recording": Kind(("lab/.quantlab/recordings/*.qlog",), in_chunk),
    "report page": Kind(("lab/reports/*/report.html",), in_page),
    "report notebook": Kind(("lab/reports/*/report.ipynb",), _notebook(_output)),
    "manifest": Kind(("lab/reports/*/manifest.json",), in_json),
    "summary": Kind(("lab/reports/*/summary.json",), in_json),
    "notebook source": Kind(_DAY, _notebook(_source)),
    "notebook output": Kind(_DAY, _notebook(_output)),
    "notebook metadata": Kind(_DAY, _notebook(_metadata)),
    "notebook widget state": Kind(_DAY, _notebook(_widgets)),
    "notebooks that were shipped": Kind(("lab/notebooks/0*.ipynb",), _notebook(_source)),
    "Jupyter checkpoint": Kind(("lab/notebooks/.ipynb_checkpoints/*.ipynb",), _notebook(_source)),
    "papermill output": Kind(("lab/keys-of-the-day.ipynb",), _notebook(_metadata)),
    "IPython history": Kind(("user/.ipython/profile_default/history.sqlite*",), in_row, "history.sqlite"),
    "Jupyter connection file": Kind(("seen/runtime/*",), in_json, "jpserver.json"),
    "Jupyter settings and runtime": Kind(("user/.local/share/jupyter/*", "user/.jupyter/*"), in_line),
    "JupyterLab's log": Kind(("seen/jupyter/server.log",), in_line),
    "HTTP body": Kind(("seen/http/*.body",), in_json, "fleet.body"),
    "HTTP headers": Kind(("seen/http/*.headers",), in_line, "preflight.headers"),
    "control socket's answer": Kind(("seen/control/*.json",), in_json),
    "server's console and access log": Kind(("seen/server/serve.log",), in_line),
    "venue's request log": Kind(("seen/venue/requests.json",), in_json),
    "standard output": Kind(("seen/stdout/*.txt",), in_line),
    "standard error and tracebacks": Kind(("seen/stderr/*.txt",), in_line),
    "terminal": Kind(("seen/terminal/*.txt",), in_line),
    "libraries' debug log": Kind(("seen/debug/*.log", "lab/notebooks/debug.log"), in_gzip),
    "pickle": Kind(("lab/notebooks/pickles/*.pkl",), in_pickle),
    "process environment": Kind(("seen/proc/*.environ",), in_entry),
    "process arguments": Kind(("seen/proc/*.cmdline",), in_entry),
    "shell history": Kind(("user/.bash_history",), in_line),
    "git history": Kind(("lab/.git",), in_commit),
    "git's own files": Kind(("lab/.git/*", "lab/.gitignore"), in_line, "config"),
    "temporary file": Kind(("tmp/*",), in_line, "executed.ipynb"),
    ".env, cleaned": Kind(("lab/.env", "lab/.env.*"), in_env),
    "Jupyter configuration": Kind(("lab/jupyter_config/*",), in_line, "jupyter_lab_config.py"),
}
#: What the day may leave beyond that: swept too, and named so that it is noticed.
OTHER = "anything else"


def kinds_of(path: str) -> Iterator[str]:
    """The kinds of the file at `path` (below the machine's folder). A notebook is of several."""
    found = [kind for kind, row in KINDS.items() if any(fnmatchcase(path, pattern) for pattern in row.patterns)]
    yield from found or [OTHER]
