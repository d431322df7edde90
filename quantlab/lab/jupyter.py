"""Opening JupyterLab on the start notebook: on loopback, behind a token, without any secret in its environment."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from quantlab.environment import scrubbed
from quantlab.model import NotFound, QuantlabError


def open_jupyter(root: Path, *, port: int, browser: bool) -> None:
    """Run JupyterLab with its root at `root` until it is ended by Ctrl-C or its own menu.

    Prints the address with its token. Raises NotFound without `jupyter_config/`, QuantlabError when it ends at once.
    """
    config = root / "jupyter_config"
    if not config.is_dir():
        raise NotFound(f"no jupyter_config under {root}: run `make lab` in the checkout, or set QUANTLAB_ROOT to it")
    token = os.environ.get("JUPYTER_TOKEN") or secrets.token_urlsafe(24)
    command = [sys.executable, "-m", "jupyterlab", f"--ServerApp.port={port}", f"--ServerApp.root_dir={root}"]
    if not browser:
        command.append("--no-browser")
    if os.getuid() == 0:
        command.append("--allow-root")
    print(f"JupyterLab: http://127.0.0.1:{port}/lab?token={token} (Ctrl-C ends it; runs go on)", flush=True)
    process = subprocess.Popen(command, cwd=root, env=environment(os.environ, root, token))
    signal.signal(signal.SIGTERM, lambda *_: process.terminate())  # else JupyterLab would outlive this command
    while True:
        try:
            code = process.wait()
            break
        except KeyboardInterrupt:
            process.send_signal(signal.SIGTERM)
    if code not in (0, -signal.SIGTERM):
        raise QuantlabError(f"JupyterLab ended with code {code}: is port {port} taken? Give another with --port")


def environment(base: Mapping[str, str], root: Path, token: str) -> dict[str, str]:
    """What JupyterLab and its kernels are given: `base` without secrets, the checkout's configuration, the token.

    Kernels read `.env` themselves where they need it; their environment, which any cell can print, never carries it.
    """
    config = root / "jupyter_config"
    return scrubbed(base, public=True) | {
        "QUANTLAB_ROOT": str(root),
        "JUPYTER_TOKEN": token,
        "JUPYTER_CONFIG_PATH": _before(str(config), base.get("JUPYTER_CONFIG_PATH")),
        "JUPYTER_PATH": _before(str(config / "share" / "jupyter"), base.get("JUPYTER_PATH")),
        "PATH": _before(str(Path(sys.executable).parent), base.get("PATH")),
    }


def _before(first: str, rest: str | None) -> str:
    return os.pathsep.join([first, rest] if rest else [first])
