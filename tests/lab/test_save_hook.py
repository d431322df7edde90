"""Promise: JupyterLab as quantlab starts it writes no notebook and no file that holds a secret, says in which cell it
is, loses nothing, and saves the same document without it. Asked of a running server, through its contents API."""

from __future__ import annotations

import base64
import json
import os
import secrets
import shutil
import socket
import string
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from quantlab.lab.jupyter import environment

ROOT = Path(__file__).resolve().parents[2]
KEY = "aZ0" + "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(61))
#: Looks like nothing: known because it stands in `.env`.
PASSWORD = "correct horse battery staple"


class Server:
    """A running Jupyter server and its contents API."""

    def __init__(self, root: Path, port: int, *options: str, base: dict[str, str] | None = None) -> None:
        self.root, self.url, self.token = root, f"http://127.0.0.1:{port}/api/contents/", "t0ken-of-this-test"
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("JUPYTER", "PYTEST"))}
        given = clean | environment(clean, ROOT, self.token) | {"QUANTLAB_ROOT": str(root), "HOME": str(root / "home")}
        command = [sys.executable, "-m", "jupyterlab", "--no-browser", f"--ServerApp.port={port}"]
        command += [f"--ServerApp.root_dir={root / 'work'}", "--LabApp.core_mode=True", *options]
        self.log = root / "server.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, cwd=root, env=given | (base or {}), stdout=log, stderr=log)

    def wait(self) -> None:
        for _ in range(300):
            try:
                self.ask("GET", "")
                return
            except OSError:
                assert self.process.poll() is None, self.log.read_text()[-2000:]
                time.sleep(0.1)
        raise AssertionError(self.log.read_text()[-2000:])

    def ask(self, method: str, path: str, model: dict[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
        request = urllib.request.Request(
            self.url + path,
            method=method,
            data=None if model is None else json.dumps(model).encode(),
            headers={"Authorization": f"token {self.token}"},
        )
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return answer.status, json.loads(answer.read() or b"{}")
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())

    def save(self, path: str, notebook: dict[str, Any]) -> tuple[int, str]:
        code, answer = self.ask("PUT", path, {"type": "notebook", "format": "json", "content": notebook})
        return code, answer.get("message") or ""

    def written(self) -> bytes:
        """All that lies on disk, the server's log and state included, `.env` not."""
        files = (file for file in self.root.rglob("*") if file.is_file() and file.name != ".env")
        return b"\n".join(file.read_bytes() for file in files)

    def end(self) -> None:
        self.process.terminate()
        self.process.wait(20)


def start(tmp_path: Path, port: int, *options: str, **more: Any) -> Server:
    (tmp_path / "work").mkdir()
    (tmp_path / "home").mkdir()
    (tmp_path / ".env").touch(0o600)
    (tmp_path / ".env").write_text(f'VAULT_PASSWORD="{PASSWORD}"\n')
    server = Server(tmp_path, port, *options, **more)
    try:
        server.wait()
    except BaseException:
        server.end()
        raise
    return server


def find_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = start(tmp_path_factory.mktemp("server"), find_port())
    yield server
    server.end()


def notebook(source: str = "1 + 1", outputs: list[Any] | None = None, **more: Any) -> dict[str, Any]:
    cells = [
        {"cell_type": "markdown", "id": "a", "source": "# Words", "metadata": {}},
        {
            "cell_type": "code",
            "id": "b",
            "source": source,
            "metadata": more.pop("cell_metadata", {}),
            "execution_count": None,
            "outputs": outputs or [],
        },
    ]
    metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3"}} | more.pop("metadata", {})
    return {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}


def stream(text: Any) -> list[Any]:
    return [{"output_type": "stream", "name": "stdout", "text": text}]


def shown(data: dict[str, Any]) -> list[Any]:
    return [{"output_type": "display_data", "metadata": {}, "data": data}]


def typed(value: str) -> dict[str, Any]:
    widget = {
        "model_name": "PasswordModel",
        "model_module": "m",
        "state": {"_model_name": "PasswordModel", "value": value},
    }
    return {"widgets": {"application/vnd.jupyter.widget-state+json": {"state": {"1": widget}, "version_major": 2}}}


#: What is planted → (the notebook around a text, the text that leaks, one that does not, words of the refusal).
LEAKS: dict[str, tuple[Callable[[str], dict[str, Any]], str, str, str]] = {
    "a known value in a source": (lambda text: notebook(f"password = {text!r}"), PASSWORD, "a word", "cell 2 (source)"),
    "a key in a source": (lambda text: notebook(f"k = '{text}'"), KEY, KEY[:40], "cell 2 (source)"),
    "%env": (lambda text: notebook(f"%env BINANCE_API_SECRET={text}"), "tiny-but-mine-1", "<your-secret-here>", "name"),
    "an assignment": (lambda text: notebook(f"api_secret = '{text}'"), "tiny-but-mine-1", "your secret", "cell 2"),
    "an output": (lambda text: notebook(outputs=stream(text)), PASSWORD, "correct horse", "cell 2 (outputs)"),
    "an output in lines": (
        lambda text: notebook(outputs=stream(["so ", text[:5], text[5:], "\n"])), PASSWORD, "words", "cell 2 (outputs)",
    ),
    "a coloured traceback": (
        lambda text: notebook(outputs=[{"output_type": "error", "ename": "E", "evalue": "", "traceback": [text]}]),
        f"\x1b[32m{PASSWORD[:7]}\x1b[0m{PASSWORD[7:]}", "\x1b[32mwords\x1b[0m", "cell 2 (outputs)",
    ),
    "HTML": (lambda text: notebook(outputs=shown({"text/html": text})), f"<b>{KEY}</b>", "<b>x</b>", "Binance"),
    "a picture that holds it": (
        lambda text: notebook(outputs=shown({"image/png": text})),
        base64.encodebytes(b"PNG" + PASSWORD.encode() * 4).decode(), base64.encodebytes(os.urandom(90_000)).decode(),
        "cell 2 (outputs)",
    ),
    "a signed address": (
        lambda text: notebook(outputs=stream(f"GET /api/v3/account?timestamp=1&signature={text}")),
        secrets.token_hex(32), "…", "the signature of a request",
    ),
    "a private key": (
        lambda text: notebook(text), "-----BEGIN PRIVATE KEY-----\nMC4CAQ\n-----END PRIVATE KEY-----",
        "-----BEGIN PUBLIC KEY-----", "a private key",
    ),
    "a cell's metadata": (
        lambda text: notebook(cell_metadata={"papermill": {"parameters": {"x": text}}}), KEY, "x", "cell 2 (metadata)",
    ),
    "the notebook's metadata": (
        lambda text: notebook(metadata={"papermill": {"parameters": {"api_secret": text}}}),
        "tiny-but-mine-1", "", "the notebook's metadata",
    ),
    "a widget's state": (
        lambda text: notebook(metadata=typed(text)), "anything typed", "", "password field",
    ),
}  # fmt: skip


@pytest.mark.parametrize("leak", LEAKS)
def test_a_notebook_with_a_secret_is_refused_and_without_it_saved(server: Server, leak: str) -> None:
    make, secret, harmless, words = LEAKS[leak]
    name = f"{leak.replace(' ', '-').replace('%', '').replace(chr(39), '')}.ipynb"
    code, message = server.save(name, make(secret))
    assert code == 400 and words in message and secret not in message, message
    assert not (server.root / "work" / name).exists()
    code, message = server.save(name, make(harmless))
    assert code in (200, 201), message
    before = (server.root / "work" / name).read_bytes()
    assert server.save(name, make(secret))[0] == 400
    assert (server.root / "work" / name).read_bytes() == before, "the last good version stays"
    if leak not in ("a private key", "a coloured traceback", "a picture that holds it"):  # pieces of which are common
        assert secret.encode() not in server.written()


def test_text_files_copies_and_uploads_are_checked_too(server: Server) -> None:
    data = {"text": f"k={KEY}\n", "base64": base64.b64encode(f"k={KEY}\n".encode()).decode()}
    for form, content in data.items():
        model = {"type": "file", "format": form, "content": content}
        code, answer = server.ask("PUT", f"notes-{form}.txt", model)
        assert code == 400 and "it holds 64 letters and digits" in answer["message"]
        clean = "aGVsbG8=" if form == "base64" else "hello"
        assert server.ask("PUT", f"notes-{form}.txt", model | {"content": clean})[0] == 201
    (server.root / "work" / "leaky.txt").write_text(KEY)  # by other hands than the server's
    code, _ = server.ask("POST", "", {"copy_from": "leaky.txt"})
    assert code == 400
    (server.root / "work" / "leaky.txt").unlink()
    assert KEY.encode() not in server.written()


@pytest.mark.parametrize("cut", [0, 20, 64])
def test_each_part_of_a_large_upload_is_checked(server: Server, cut: int) -> None:
    def upload(name: str, text: str) -> list[int]:
        parts = ["x" * 999 + " ", "y" * 50 + " " + text[:cut], text[cut:] + " z", "the end"]
        numbers = [1, 2, 3, -1]
        model = {"type": "file", "format": "base64"}
        codes = []
        for number, part in zip(numbers, parts, strict=True):
            content = base64.b64encode(part.encode()).decode()
            codes.append(server.ask("PUT", name, model | {"content": content, "chunk": number})[0])
            if codes[-1] >= 400:
                break
        return codes

    name = f"large-{cut}.bin"
    assert upload(name, KEY)[-1] == 400
    assert not (server.root / "work" / name).exists()
    assert all(code < 400 for code in upload(name, KEY[:40]))
    assert (server.root / "work" / name).stat().st_size == 1000 + 51 + 40 + 2 + 7


def test_a_secret_put_into_env_later_is_known_at_the_next_save(server: Server) -> None:
    later = "a quite new token of mine"
    assert server.save("later.ipynb", notebook(f"t = {later!r}"))[0] == 201
    before = (server.root / ".env").read_text()
    (server.root / ".env").write_text(before + f"no setting at all\nAPI_BEARER_TOKEN={later}\n")
    try:
        assert server.save("later.ipynb", notebook(f"t = {later!r}"))[0] == 400
    finally:
        (server.root / ".env").write_text(before)


def test_control_an_ordinary_exception_is_logged_and_saves(tmp_path: Path) -> None:
    """Why the hook raises an HTTP error and nothing else."""
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "jupyter_lab_config.py").write_text(
        "def refuse(**_):\n    raise ValueError('no')\nc.ContentsManager.pre_save_hook = refuse\n"
    )
    server = start(
        tmp_path, find_port(), "--allow-root", "--ServerApp.ip=127.0.0.1",
        base={"JUPYTER_CONFIG_PATH": str(tmp_path / "config"), "JUPYTER_PATH": ""},
    )  # fmt: skip
    try:
        assert server.save("a.ipynb", notebook(f"k = '{KEY}'"))[0] == 201
        assert "Pre-save hook refuse failed" in server.log.read_text()
        assert KEY in (tmp_path / "work" / "a.ipynb").read_text()
    finally:
        server.end()


def test_without_the_hook_jupyterlab_does_not_start(tmp_path: Path) -> None:
    config = tmp_path / "config"
    shutil.copytree(ROOT / "jupyter_config", config, ignore=shutil.ignore_patterns("__pycache__"))
    (config / "save_hook.py").write_text("import no_such_module\n")
    paths = {"JUPYTER_CONFIG_PATH": str(config), "QUANTLAB_ROOT": str(tmp_path), "HOME": str(tmp_path)}
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", f"--ServerApp.port={find_port()}"]
    done = subprocess.run(command, env=os.environ | paths, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode != 0 and "notebooks would be saved unchecked" in done.stderr


def test_the_hook_is_light() -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT / 'jupyter_config')!r}); import jupyter_server.services.contents."
        "largefilemanager; before = set(sys.modules); import save_hook; print(*(set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    loaded = done.stdout.split()
    assert "quantlab.redact" in loaded
    assert not {"pandas", "polars", "ccxt", "cryptography", "sqlalchemy", "quantlab.lab"} & set(loaded)


def test_what_goes_wrong_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "jupyter_config"))
    import save_hook  # type: ignore[import-not-found]
    from tornado.web import HTTPError

    with pytest.raises(HTTPError) as refused:
        save_hook.refuse_secrets(model={"content": {"cells": [3]}}, path="x")
    assert refused.value.status_code == 500 and "cannot be checked" in (refused.value.reason or "")
    save_hook.refuse_secrets(model={"content": {"cells": []}}, path="x")
    save_hook.refuse_secrets(model={"type": "directory"}, path="x")
