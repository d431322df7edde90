"""Promise: with `papermill --engine quantlab` no secret gets into a notebook: neither as a parameter, by value, look or
name, nor by what a cell prints; and nothing is written before that is known."""

from __future__ import annotations

import os
import secrets
import string
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import papermill
import pytest
from nbformat.v4 import new_code_cell, new_notebook
from papermill.engines import papermill_engines

from quantlab.lab.papermill import QuantlabEngine, refuse_parameters
from quantlab.model import Refused

KEY = "aZ0" + "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(61))
#: Looks like nothing: known because it stands in `.env`.
PASSWORD = "correct horse battery staple"


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a notebook, and a password in `.env`."""
    monkeypatch.setenv("QUANTLAB_ROOT", str(tmp_path))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    (tmp_path / ".env").touch(0o600)
    (tmp_path / ".env").write_text(f"VAULT_PASSWORD={PASSWORD}\n")
    cells = [new_code_cell("x = 'a'", metadata={"tags": ["parameters"]}), new_code_cell("print(x + 'bc')")]
    cells.append(new_code_cell("from pathlib import Path; print(Path('.env').read_text() if x == 'leak' else 'end')"))
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(new_notebook(cells=cells, metadata={"kernelspec": kernel}), tmp_path / "in.ipynb")
    return tmp_path


def run(lab: Path, engine: str | None, **parameters: Any) -> Path:
    out = lab / "out.ipynb"
    papermill.execute_notebook(
        lab / "in.ipynb", out, parameters, engine_name=engine, cwd=lab, progress_bar=False, kernel_name="python3"
    )
    return out


def test_the_entry_point_names_the_engine() -> None:
    assert papermill_engines.get_engine("quantlab") is QuantlabEngine


def test_harmless_parameters_run_and_are_kept(lab: Path) -> None:
    text = run(lab, "quantlab", x="harmless", max_tokens=5).read_text()
    assert "harmlessbc" in text and '"papermill"' in text


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("x", PASSWORD, "a value from .env"),
        ("x", KEY, "64 letters and digits"),
        ("x", f"https://h/?timestamp=1&signature={'0123456789abcdef' * 4}", "the signature of a request"),
        ("api_secret", "tiny", "by its name"),
    ],
    ids=["known", "a key", "a signature", "by name"],  # never the value: it is drawn anew in each process
)
def test_a_secret_is_refused_before_anything_is_written(lab: Path, name: str, value: str, words: str) -> None:
    with pytest.raises(Refused, match=f'parameter "{name}" is .*{words}') as refused:
        run(lab, "quantlab", **{name: value})
    assert value not in str(refused.value)
    assert not (lab / "out.ipynb").exists()
    assert value in run(lab, None, **{name: value}).read_text(), "control: papermill's own engine writes it"


def test_what_a_cell_prints_is_refused_before_it_is_saved(lab: Path) -> None:
    with pytest.raises(Refused, match=r"cell 4 \(outputs\) holds a value from .env"):
        run(lab, "quantlab", x="leak")
    assert PASSWORD not in (lab / "out.ipynb").read_text(), "cells before it were saved"
    assert "leakbc" in (lab / "out.ipynb").read_text()
    assert PASSWORD in run(lab, None, x="leak").read_text(), "control"


def test_the_command_refuses_in_one_line_at_the_end(lab: Path) -> None:
    command = [sys.executable, "-m", "papermill", "in.ipynb", "out.ipynb", "-p", "x", PASSWORD, "--no-progress-bar"]
    environment = os.environ | {"QUANTLAB_ROOT": str(lab)}
    done = subprocess.run([*command, "--engine", "quantlab"], cwd=lab, env=environment, capture_output=True, text=True)
    assert done.returncode != 0 and not (lab / "out.ipynb").exists()
    assert 'Refused: parameter "x" is a value from .env' in done.stderr.splitlines()[-1]
    assert PASSWORD not in done.stderr + done.stdout
    done = subprocess.run(command, cwd=lab, env=environment, capture_output=True, text=True)
    assert done.returncode == 0 and PASSWORD in (lab / "out.ipynb").read_text(), "control"


@pytest.mark.parametrize(
    "name",
    ["password", "api_key", "apiKey", "API_SECRET", "binanceApiSecret", "token", "bearer_token", "x.secret", "key.pem"],
)
def test_names_of_secrets(name: str) -> None:
    parameters: dict[str, Any] = {name: "v"}
    if "." in name:
        outer, inner = name.split(".")
        parameters = {outer: {inner: "v"}}
    with pytest.raises(Refused):
        refuse_parameters(parameters)
    refuse_parameters({name: None, "empty": ""})


@pytest.mark.parametrize("name", ["symbol", "secretary", "tokenizer", "keys", "compass", "run_id", "passes"])
def test_other_names(name: str) -> None:
    refuse_parameters({name: "v"})
