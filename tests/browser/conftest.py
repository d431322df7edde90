"""Chromium, and a JupyterLab on a checkout of its own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOKEN = "browser-test-token"
_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """A headless browser; skips where Playwright or Chromium is missing."""
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is missing: pip install .[browser]")
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        pytest.skip("Chromium is missing: apt-get install chromium")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=_FLAGS)
        yield browser
        browser.close()


@dataclass
class Watched:
    """A page and what it did: addresses asked for, errors on the console."""

    page: Any
    requests: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def outside(self, *own: str) -> list[str]:
        """Requests that went to none of `own`, nor stayed in the page."""
        return [url for url in self.requests if not url.startswith((*own, "data:", "blob:"))]


@pytest.fixture
def watched(chromium: Any) -> Iterator[Callable[..., Watched]]:
    """A function that opens a new page and watches it; options as of Playwright's `new_context`."""
    contexts = []

    def open_page(**options: Any) -> Watched:
        context = chromium.new_context(viewport={"width": 1400, "height": 1000}, **options)
        contexts.append(context)
        seen = Watched(context.new_page())
        seen.page.on("request", lambda request: seen.requests.append(request.url))
        seen.page.on("console", lambda message: seen.errors.append(message.text) if message.type == "error" else None)
        seen.page.on("pageerror", lambda error: seen.errors.append(str(error)))
        return seen

    yield open_page
    for context in contexts:
        context.close()


@dataclass
class Lab:
    """A running JupyterLab. `root` holds a copy of the notebooks, and its own `.quantlab`."""

    url: str
    root: Path

    def kernel_states(self) -> list[str]:
        """Execution states of the kernels somebody is connected to; none while one registers."""
        try:
            with urllib.request.urlopen(f"{self.url}/api/kernels?token={TOKEN}", timeout=5) as answer:
                return [kernel["execution_state"] for kernel in json.load(answer) if kernel["connections"]]
        except urllib.error.HTTPError:  # 500 while a kernel registers
            return []


@pytest.fixture
def jupyter(tmp_path: Path, free_port: Callable[[], int]) -> Iterator[Lab]:
    """`quantlab lab` on the replay venue."""
    for name in ("notebooks", "jupyter_config"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns(".ipynb_checkpoints"))
    port = free_port()
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("QUANTLAB_", "JUPYTER_", "PYTEST_"))}
    environment |= {
        "QUANTLAB_MARKET": "replay",
        "QUANTLAB_ROOT": str(tmp_path),
        "QUANTLAB_HOME": str(tmp_path / ".quantlab"),
        "JUPYTER_TOKEN": TOKEN,
        "JUPYTER_RUNTIME_DIR": str(tmp_path / "runtime"),
        "JUPYTERLAB_WORKSPACES_DIR": str(tmp_path / "workspaces"),
        "JUPYTERLAB_SETTINGS_DIR": str(tmp_path / "settings"),
        "IPYTHONDIR": str(tmp_path / ".ipython"),
    }
    with (tmp_path / "lab.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "quantlab", "lab", "--port", str(port), "--no-browser"],
            cwd=tmp_path,
            env=environment,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    lab = Lab(f"http://127.0.0.1:{port}", tmp_path)
    try:
        _until_up(lab, process)
        yield lab
    finally:
        subprocess.run(
            [sys.executable, "-m", "quantlab", "stop"], env=environment, cwd=tmp_path, capture_output=True, check=False
        )
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)


def _until_up(lab: Lab, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(f"{lab.url}/api/status?token={TOKEN}", timeout=5):
                return
        except OSError:
            assert process.poll() is None, (lab.root / "lab.log").read_text()
            assert time.monotonic() < deadline, "JupyterLab did not come up"
            time.sleep(0.2)
