"""A strategy's file that trades by itself: behind the wall its Python reaches nothing, behind the seal its children and
its C code do not either. The control runs the same file as a script, and all of it arrives."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from quantlab.venue.child import VenueChild

from . import hostile
from .conftest import Proof
from .test_nothing_leaves import SPEED, inside

pytestmark = [pytest.mark.proof, pytest.mark.timeout(300)]

IN_PROCESS, BESIDE_IT = set(hostile.in_process()), set(hostile.beside_it())
FLEET = """
[[bot]]
name = "hostile"
strategy = "hostile.py:Hostile"
symbol = "BTCUSDT"
timeframe = "1m"
capital_usdt = 1000
"""


def arrived(proof: Proof) -> set[str]:
    """The ways that reached the other side."""
    text = "\n".join(f"{request.target} {request.body!r}" for request in proof.recorder.requests)
    return set(re.findall(r"way=(\w+)", text))


def ran(
    proof: Proof, folder: Path, *options: str
) -> tuple[dict[str, Any], dict[str, str], subprocess.CompletedProcess[str]]:
    """The hostile fleet, run on mainnet inside the network: its summary, and what became of each way."""
    shutil.copy(hostile.__file__, folder / "hostile.py")
    (folder / "fleet.toml").write_text(FLEET)
    proof.recorder.forget()
    with VenueChild(hours=1, seed=1, speed=SPEED) as venue:
        url = urlsplit(venue.url)
        proof.recorder.venue = (str(url.hostname), int(url.port or 0))
        words = ("run", "--fleet", "fleet.toml", "--run-id", "hostile", "--minutes", "2", "--foreground", "--json")
        extra = {"QUANTLAB_ROOT": str(folder)}
        done = inside(proof, sys.executable, "-m", "quantlab", *words, *options, folder=folder, extra=extra)
    proof.recorder.venue = None
    assert done.returncode == 0, done.stderr
    became = dict(line.split("\t") for line in (folder / "became.txt").read_text().splitlines())
    return json.loads(done.stdout), became, done


def test_as_a_script_all_of_it_arrives(proof: Proof, tmp_path: Path) -> None:
    shutil.copy(hostile.__file__, tmp_path / "hostile.py")
    proof.recorder.forget()
    done = inside(proof, sys.executable, "hostile.py", folder=tmp_path)
    assert arrived(proof) == IN_PROCESS | BESIDE_IT, done.stdout + done.stderr


def test_behind_the_wall_no_python_in_the_process_arrives(proof: Proof, tmp_path: Path) -> None:
    summary, became, _ = ran(proof, tmp_path)
    assert summary["fills"] > 0, "the fleet itself trades on"
    assert arrived(proof) & IN_PROCESS == set()
    assert all(became[name] for name in IN_PROCESS)
    # What the wall does not promise, and the seal does: this is the seal's own control. A fork has the wall too.
    assert arrived(proof) == BESIDE_IT - {"forked"}


def test_behind_the_seal_nothing_of_it_arrives(proof: Proof, tmp_path: Path) -> None:
    summary, became, _ = ran(proof, tmp_path, "--sealed")
    assert summary["fills"] > 0
    assert arrived(proof) == set()
    assert set(became) == IN_PROCESS | BESIDE_IT
    assert not [request for request in proof.recorder.requests if request.method != "GET" or request.is_signed]
