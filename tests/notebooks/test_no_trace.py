"""Promise: a password, a key and a secret typed at the prompts of the notebook on keys leave no trace: not in its
sources, outputs, metadata or widget state, not in IPython's history, and in no other file, in raw, base64, hex or URL
form."""

from __future__ import annotations

import asyncio
import base64
import json
import random
import string
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import nbformat
import pytest
from jupyter_client.asynchronous.client import AsyncKernelClient
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell

from quantlab.venue.child import VenueChild

from .test_notebooks import ROOT, environment

PASSWORD = "Mk7/quartz VIOLET+93"
#: What a cell prints or writes out, so that it must be found again: neither looks like a secret.
PRINTED, WRITTEN = "a printed control, quartz 41", "a written control, basalt 58"
_CONTROLS = f"""
import getpass; print(getpass.getpass("control: "))
written = {WRITTEN!r}
"""


def letters(seed: str) -> str:
    return "".join(random.Random(seed).choices(string.ascii_letters + string.digits, k=64))


KEY, SECRET = letters("canary key"), letters("canary secret")
TYPED = {"password": PASSWORD, "API key": KEY, "secret": SECRET}


class Typing(NotebookClient):
    """Executes a notebook as JupyterLab does for a person: prompts are answered, and kept in `asked`."""

    def type(self, answers: list[str]) -> None:
        self.answers = answers
        self.asked: list[dict[str, Any]] = []

    async def async_start_new_kernel_client(self) -> AsyncKernelClient:
        client: AsyncKernelClient = await super().async_start_new_kernel_client()
        client.allow_stdin = True
        self._person = asyncio.create_task(self._answer(client))
        return client

    async def _answer(self, client: AsyncKernelClient) -> None:
        while self.answers:
            request = await client.get_stdin_msg(timeout=None)
            self.asked.append(request["content"])
            client.input(self.answers.pop(0))


@pytest.fixture
def venue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VenueChild]:
    file = tmp_path_factory.mktemp("venue") / "keys.json"
    file.touch(0o600)
    file.write_text(json.dumps([{"api_key": KEY, "secret": SECRET}]))
    with VenueChild(hours=1, speed=1.0, keys=file) as venue:
        yield venue


@pytest.mark.timeout(180)
def test_what_is_typed_leaves_no_trace(tmp_path: Path, venue: VenueChild) -> None:
    notebook = nbformat.read(ROOT / "notebooks" / "04_key_custody.ipynb", as_version=4)
    parameters = next(cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", ()))
    parameters.source = parameters.source.replace("set_up = False", "set_up = True")
    notebook.cells = [cell for cell in notebook.cells if "lab.drill()" not in cell.source]  # it asks nobody
    notebook.cells.append(new_code_cell(_CONTROLS.strip()))
    client = Typing(notebook, timeout=120, resources={"metadata": {"path": str(tmp_path)}}, ipython_hist_file="")
    # A new password twice, the pair; the audit asks for the password that is kept nowhere; the control.
    client.type([PASSWORD, PASSWORD, KEY, SECRET, PASSWORD, PRINTED])
    client.execute(env=environment(tmp_path) | {"QUANTLAB_VENUE_URL": venue.url})

    assert client.answers == []
    assert all(request["password"] is True for request in client.asked)
    executed = tmp_path / "executed.ipynb"
    nbformat.write(notebook, executed)
    page = executed.read_text()
    assert "is in the vault: enableReading" in page, "the key was taken in"
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    history = next(path for path in files if path.name == "history.sqlite")
    traces = [
        f"{name} as {form} in {path.relative_to(tmp_path)}"
        for path in files
        for name, value in TYPED.items()
        for form, needle in forms(value).items()
        if needle in path.read_bytes()
    ]
    assert traces == []
    # Controls: what is printed is found in the notebook, what stands in a cell in the history too.
    assert PRINTED in page
    assert WRITTEN in page
    assert any(WRITTEN.encode() in path.read_bytes() for path in files if path.parent == history.parent)


def forms(value: str) -> dict[str, bytes]:
    raw = value.encode()
    return {
        "raw": raw,
        "base64": base64.b64encode(raw).rstrip(b"="),
        "hex": raw.hex().encode(),
        "URL": quote(value, safe="").encode(),
        "JSON": json.dumps(value)[1:-1].encode(),
    }


def test_the_forms_are_found_where_they_stand() -> None:
    """The control of the sweep itself."""
    planted = {"raw": PASSWORD, "hex": PASSWORD.encode().hex(), "URL": "Mk7%2Fquartz%20VIOLET%2B93"}
    for form, text in planted.items():
        assert forms(PASSWORD)[form] in f"before {text} after".encode()
