"""Promise: JupyterLab and every kernel in it are started without a secret in their environment."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from quantlab.lab.jupyter import environment, open_jupyter
from quantlab.model import NotFound


def test_kernels_inherit_no_secret_and_find_our_configuration(tmp_path: Path) -> None:
    base = {"PATH": "/bin", "HOME": "/h", "BINANCE_API_KEY": "s", "VAULT_PASSWORD": "s", "API_BEARER_TOKEN": "s"}
    given = environment(base, tmp_path, "token")
    assert "s" not in given.values()
    assert given["HOME"] == "/h"
    assert given["JUPYTER_TOKEN"] == "token"
    assert given["JUPYTER_CONFIG_PATH"] == str(tmp_path / "jupyter_config")
    assert given["JUPYTER_PATH"] == str(tmp_path / "jupyter_config" / "share" / "jupyter")
    assert given["PATH"].endswith(os.pathsep + "/bin")


def test_the_users_own_paths_come_after_ours(tmp_path: Path) -> None:
    given = environment({"JUPYTER_PATH": "/mine"}, tmp_path, "t")
    assert given["JUPYTER_PATH"].endswith(os.pathsep + "/mine")


def test_without_the_checkout_it_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="make lab"):
        open_jupyter(tmp_path, port=8888, browser=False)
