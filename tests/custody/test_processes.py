"""Promise: secrets that were exported in a shell reach no child of quantlab that has no use for them: not JupyterLab,
not its kernels, not what a cell starts. (Venue, server, engine and the process of a report: `tests/environment`.)"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from jupyter_client.blocking.client import BlockingKernelClient

from quantlab.environment import SECRET_NAMES
from quantlab.vault.sweep import Place, sweep
from tests.custody.canaries import letters
from tests.custody.day import free_port, until_listening
from tests.custody.machine import CHECKOUT, plain_environment

pytestmark = [pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's"), pytest.mark.timeout(120)]

TOKEN = "t0ken-of-this-test"
#: What a curious cell would try.
CELL = """
import os, pathlib, subprocess, sys
print(dict(os.environ), pathlib.Path("/proc/self/environ").read_bytes())
print(subprocess.run(["env"], capture_output=True, text=True).stdout)
"""


@pytest.fixture(scope="module")
def exported() -> dict[str, str]:
    return {name: letters() for name in sorted(SECRET_NAMES)}


class Lab(NamedTuple):
    process: subprocess.Popen[bytes]
    url: str
    root: Path


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, exported: dict[str, str]) -> Iterator[Lab]:
    """`quantlab lab` in a shell that exported all secrets."""
    root = tmp_path_factory.mktemp("lab")
    shutil.copytree(CHECKOUT / "jupyter_config", root / "jupyter_config")
    port = free_port()
    ours = {"HOME": str(root), "QUANTLAB_ROOT": str(root), "QUANTLAB_MARKET": "replay", "JUPYTER_TOKEN": TOKEN}
    process = subprocess.Popen(
        [sys.executable, "-m", "quantlab", "lab", "--port", str(port), "--no-browser"],
        cwd=root, env=plain_environment() | ours | exported,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        until_listening(port)
        yield Lab(process, f"http://127.0.0.1:{port}", root)
    finally:
        process.terminate()
        process.wait(20)


def ask(url: str, method: str = "GET", body: Any = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, method=method, data=data, headers={"Authorization": f"token {TOKEN}"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.loads(answer.read() or b"null")


def family(pid: int) -> list[int]:
    """The processes that `pid` started, and theirs."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return sorted(found)


def shown(pids: list[int]) -> list[Place]:
    return [
        Place(file, Path(f"/proc/{pid}/{file}"), f"process {pid}", named=False)
        for pid in pids
        for file in ("environ", "cmdline")
    ]


def test_no_child_of_the_lab_sees_them(lab: Lab, exported: dict[str, str]) -> None:
    process, url, root = lab
    kernel = ask(f"{url}/api/kernels", "POST", {"name": "quantlab"})
    said: list[str] = []
    file = next(iter(root.rglob(f"kernel-{kernel['id']}.json")))
    client = BlockingKernelClient(connection_file=str(file))
    client.load_connection_file()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=60)
        client.execute_interactive(CELL, output_hook=lambda message: said.append(str(message["content"])), timeout=60)
        deadline = time.monotonic() + 20
        while len(pids := family(process.pid)) < 3 and time.monotonic() < deadline:
            time.sleep(0.1)
        assert len(pids) >= 3, "the command, JupyterLab, a kernel"
        report = sweep(exported, shown(pids))
        assert report.findings == []
        assert report.files["environ"] >= 2, "JupyterLab's and the kernel's can be read by their user"
        page = root / "page.txt"
        page.write_text("\n".join(said))
        assert "QUANTLAB_ROOT" in page.read_text(), "the cell did look"
        assert not sweep(exported, [Place("cell", page, page.name)]).findings
    finally:
        client.stop_channels()
        ask(f"{url}/api/kernels/{kernel['id']}", "DELETE")


def test_the_control_an_ordinary_child_sees_them(exported: dict[str, str], tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import sys; print('up', flush=True); sys.stdin.read()"]
    environment = plain_environment() | exported
    process = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None and process.stdout.readline()
    found = {one.secret for one in sweep(exported, shown([process.pid]))}
    process.communicate()
    assert found == SECRET_NAMES
