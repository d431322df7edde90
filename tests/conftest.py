"""What all tests share: no test reads or changes the user's files, and recorded data is optional."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("quantlab", deadline=None)  # how long an example takes says more of the machine than of us
settings.load_profile("quantlab")

_OURS = ("QUANTLAB_", "BINANCE_", "API_", "VAULT_")


def recorded_market() -> Path | None:
    """The folder of recorded Binance data, from QUANTLAB_SHARED_MARKET or beside the checkout; None where absent."""
    named = os.environ.get("QUANTLAB_SHARED_MARKET")
    folder = Path(named) if named else Path(__file__).resolve().parents[2] / "shared" / "market"
    return folder if (folder / "README.md").exists() else None


@pytest.fixture(scope="session")
def shared_market() -> Path:
    """The folder of recorded Binance data; skips where absent."""
    folder = recorded_market()
    if folder is None:
        pytest.skip("recorded market data is not here: set QUANTLAB_SHARED_MARKET to its folder")
    return folder


@pytest.fixture(autouse=True)
def _own_settings(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting of the user's environment, and a root that holds no `.env`."""
    for name in list(os.environ):
        if name.startswith(_OURS):
            monkeypatch.delenv(name)
    root = tmp_path_factory.mktemp("root")
    monkeypatch.setenv("QUANTLAB_ROOT", str(root))
    monkeypatch.setenv("QUANTLAB_HOME", str(root / ".quantlab"))
    monkeypatch.setenv("XDG_STATE_HOME", str(root / "state"))  # the vault's anchor
    monkeypatch.setattr("quantlab.redact._forms", ())  # else each text would be searched for every test's secrets


@pytest.fixture
def free_port() -> Callable[[], int]:
    """A function that gives a loopback port nobody listens on right now."""

    def find() -> int:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
        return port

    return find
