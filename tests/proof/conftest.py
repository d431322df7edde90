"""The network, and a recorder at its other end, for all of the proof."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from .network import Network, why_not
from .recorder import Recorder

#: Where a name leads. Each stands for an address of its own, so that the counters of the network tell them apart.
ROUTES = {
    "data-api.binance.vision": "rest",
    "data-stream.binance.vision": "stream",
    "testnet.binance.vision": "testnet",
    "stream.testnet.binance.vision": "testnet",
    "ws-api.testnet.binance.vision": "testnet",
    "api.binance.com": "orders",
}


@dataclass
class Proof:
    network: Network
    recorder: Recorder
    environment: dict[str, str]


@pytest.fixture(scope="session")
def proof(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proof]:
    if why := why_not():
        pytest.skip(why)
    folder = tmp_path_factory.mktemp("proof")
    with (
        Network(os.getpid() % 10_000, ("rest", "stream", "testnet", "orders", "elsewhere")) as network,
        Recorder(
            network.addresses, network.resolver, lambda name: ROUTES.get(name, "elsewhere"), Path(folder)
        ) as recorder,
    ):
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        environment = kept | {
            "SSL_CERT_FILE": str(recorder.ca),
            "XDG_STATE_HOME": str(folder / "state"),
            "PYTHONPATH": str(Path(__file__).parents[2]),
        }
        yield Proof(network, recorder, environment)
