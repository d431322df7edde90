"""Promise: a cell with a secret is not kept in IPython's history, in quantlab's kernels from the start and in any other
IPython from `Workbench.open` on; it runs all the same. Asked of real kernels and their real history files."""

from __future__ import annotations

import os
import secrets
import string
import subprocess
import sys
from pathlib import Path

import pytest
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import KernelManager

from quantlab.lab.history import without_secrets

ROOT = Path(__file__).resolve().parents[2]
KEY = "aZ0" + "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(61))
#: Looks like nothing: known because it stands in `.env`.
PASSWORD = "correct horse battery staple"
OURS = ROOT / "jupyter_config" / "share" / "jupyter" / "kernels"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's home with a password in `.env`; kernels started from here live in it."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("QUANTLAB_ROOT", str(tmp_path))
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "runtime"))
    (tmp_path / ".env").touch(0o600)
    (tmp_path / ".env").write_text(f"VAULT_PASSWORD={PASSWORD}\n")
    return tmp_path


def history_after(home: Path, cells: list[str], kernel: str | None = "quantlab") -> tuple[bytes, list[str]]:
    """The bytes of IPython's folder after a kernel ran `cells`, and what they printed. `kernel` None is a plain one."""
    specs = KernelSpecManager(kernel_dirs=[str(OURS)] if kernel else [])
    manager = KernelManager(kernel_name=kernel or "python3", kernel_spec_manager=specs)
    manager.start_kernel(cwd=str(home))
    client = manager.client()
    printed: list[str] = []

    def keep(message: dict[str, dict[str, str]]) -> None:
        printed.append(message["content"].get("text") or "\n".join(message["content"].get("traceback", [])))

    try:
        client.start_channels()
        client.wait_for_ready(timeout=60)
        for cell in cells:
            client.execute_interactive(cell, output_hook=keep, timeout=60)
        client.execute_interactive("%history -n", output_hook=lambda _: None, timeout=60)
    finally:
        client.shutdown()
        manager.finish_shutdown()
        client.stop_channels()
        manager.cleanup_resources()
    files = [file for file in (home / "ipython").rglob("*") if file.is_file()]
    assert any(file.name == "history.sqlite" for file in files)
    return b"\n".join(file.read_bytes() for file in files), printed


CELLS = ["1 + 41", f"k = '{KEY}'; print(len(k))", f"print('{PASSWORD}'[:3])", "%env BINANCE_API_SECRET=tiny-but-mine-1"]
LEAKS = [KEY.encode(), PASSWORD.encode(), b"tiny-but-mine-1"]


@pytest.mark.parametrize("kernel", ["quantlab", "python3"])
def test_our_kernels_keep_no_secret_from_their_start(home: Path, kernel: str) -> None:
    kept, printed = history_after(home, CELLS, kernel)
    assert [leak for leak in LEAKS if leak in kept] == []
    assert b"1 + 41" in kept, "control: what is harmless is kept"
    assert kept.count(b"not kept in the history: a cell with") >= 3
    assert "64" in "".join(printed) and "cor" in "".join(printed), "the cells ran as they were typed"


def test_control_a_plain_kernel_keeps_them(home: Path) -> None:
    kept, _ = history_after(home, CELLS, kernel=None)
    assert [leak for leak in LEAKS if leak not in kept] == []


def test_workbench_open_protects_any_kernel_and_cleans_what_it_stored_before(home: Path) -> None:
    opened = ["from quantlab import Workbench", "lab = Workbench.open('replay')", "print(type(lab).__name__)"]
    kept, printed = history_after(home, [*CELLS, *opened, *CELLS], kernel=None)
    assert "Workbench" in "".join(printed), printed
    assert [leak for leak in LEAKS if leak in kept] == []
    assert b"1 + 41" in kept and b"Workbench.open" in kept


def test_the_terminal_is_protected_too(home: Path) -> None:
    for loads, leaks in (("pass", True), ("%load_ext quantlab.lab.history", False)):
        folder = home / f"ipython-{leaks}"
        typed = f"{loads}\nk = '{KEY}'\n1 + 41\nexit\n"
        command = [sys.executable, "-m", "IPython", "--simple-prompt", "--no-banner", "--colors=nocolor"]
        environment = os.environ | {"IPYTHONDIR": str(folder)}
        subprocess.run(command, input=typed, text=True, env=environment, cwd=home, check=True, capture_output=True)
        kept = b"".join(file.read_bytes() for file in folder.rglob("history.sqlite*"))
        assert b"1 + 41" in kept
        assert (KEY.encode() in kept) == leaks


def test_what_cannot_be_checked_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    assert without_secrets("1 + 1") == "1 + 1"

    def broken(_: str) -> None:
        raise RuntimeError("no")

    monkeypatch.setattr("quantlab.lab.history.secrets_in_text", broken)
    assert without_secrets("1 + 1").startswith("# not kept in the history")


def test_the_extension_is_light() -> None:
    code = "import sys, quantlab.lab.history; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "quantlab.redact" in loaded
    assert not {"polars", "pandas", "ccxt", "cryptography", "sqlalchemy", "IPython"} & set(loaded)
