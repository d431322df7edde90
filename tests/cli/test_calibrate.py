"""Promise: `quantlab calibrate` prints lines that a fleet file takes, from the books that a run recorded, and leaves a
page that fetches nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from quantlab.fleet.recorder import recording_path
from quantlab.fleet.spec import parse_fleet
from quantlab.ledger import Ledger
from quantlab.recording import Kind
from tests.calibration.test_calibration import START_MS, record, rules, update
from tests.ledger.rows import BOT, RUN

BOTS = '\n[[bot]]\nname = "a"\nstrategy = "ema_cross"\nsymbol = "BTCUSDT"\ntimeframe = "1m"\n'


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A home with a run, and an hour of books: at the best price 1 BTC, then 9 BTC each tick, tighter by and by."""
    home = tmp_path / ".quantlab"
    home.mkdir(mode=0o700)
    with Ledger.open(home) as ledger:
        ledger.begin_run(RUN, [BOT])
    path = recording_path(home, RUN.run_id)
    path.parent.mkdir(mode=0o700)
    asks = [[f"{60_000 + n}.00", "1" if n == 0 else "9"] for n in range(20)]
    book = {"lastUpdateId": 1, "bids": [["59999.00", "9"]], "asks": asks}
    frames = [update(2 + n, START_MS + n * 10_000, [["60000.00", f"{1 + n / 100:.2f}"]]) for n in range(360)]
    answers = [(Kind.ANSWER, "depth:BTCUSDT", json.dumps(book).encode())]
    record(path, [rules("BTCUSDT", "0.00001")], [*answers, *((Kind.FRAME, "", frame) for frame in frames)])
    return tmp_path


def quantlab(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "QUANTLAB_MARKET": "replay", "QUANTLAB_ROOT": str(root)}
    environment["QUANTLAB_HOME"] = str(root / ".quantlab")
    command = [sys.executable, "-m", "quantlab", "calibrate", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=100)


def test_lines_for_a_fleet_file_and_a_page(root: Path) -> None:
    done = quantlab(root, "--sizes", "10000,100000")
    assert done.returncode == 0, done.stderr
    head, _, lines = done.stdout.partition("[paper]")
    assert [line.split()[0] for line in head.splitlines() if line.strip()] == ["model", "fixed", "impact", "uniform"]
    toml, _, page = ("[paper]" + lines).partition("\n\n")
    paper = parse_fleet(toml + BOTS, path=root / "fleet.toml").paper
    assert 0 < paper.impact_bps["BTCUSDT"] < 1
    text = Path(page.strip()).read_text()
    assert "GENERATED market seed 1; no real prices" in text, "where the books came from"
    assert "Content-Security-Policy" in text and "square root of the size" in text and "BTCUSDT" in text


def test_as_json(root: Path) -> None:
    told = json.loads(quantlab(root, "--json", "--no-page", "--sizes", "100000", "--every", "60").stdout)
    assert (told["orders"], told["beyond_known_levels"]) == (2 * 61, 0)  # the hour begins within a minute
    assert {row["model"] for row in told["models"]} == {"fixed", "impact", "uniform"}
    assert "page" not in told


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--sizes", "many"), 2, "--sizes must be amounts"),
        (("--sizes", "100,-1"), 2, "--sizes must be amounts"),
        (("nobody",), 5, "nobody"),
        (("--sizes", "1e12", "--no-page"), 2, "no order could be walked"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(root: Path, arguments: tuple[str, ...], code: int, words: str) -> None:
    done = quantlab(root, *arguments)
    assert (done.returncode, done.stdout) == (code, "")
    assert words in done.stderr and len(done.stderr.strip().splitlines()) == 1
