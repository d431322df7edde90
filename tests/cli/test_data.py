"""Promise: candles asked of an exchange are those it has, an interrupted pull goes on, a file that is refused spoils
nothing, and what a replay tells is kept apart from real prices."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import msgspec
import polars as pl
import pytest

from quantlab.market.history import SCHEMA, History
from quantlab.venue.child import VenueChild
from tests.market.history.test_history import LATER_MS, bulk, frame

DAY_MS = 86_400_000
FROM_MS = 1_748_563_200_000  # 2025-05-30, three days before the generated market opens


@pytest.fixture(scope="module")
def venue() -> Iterator[VenueChild]:
    with VenueChild(hours=1, seed=1) as venue:
        yield venue


def quantlab(root: Path, *arguments: str, url: str = "") -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "QUANTLAB_ROOT": str(root), "QUANTLAB_HOME": str(root / "home")}
    environment |= {"QUANTLAB_MARKET": "replay", "QUANTLAB_VENUE_URL": url} if url else {}
    command = [sys.executable, "-m", "quantlab", "data", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=100)


def told(root: Path, *arguments: str, url: str = "") -> object:
    done = quantlab(root, *arguments, "--json", url=url)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_what_is_pulled_is_what_the_exchange_has(tmp_path: Path, venue: VenueChild) -> None:
    found = told(tmp_path, "pull", "BTCUSDT", "ETHUSDT", "--from", "2025-05-30", "--to", "2025-06-01", url=venue.url)
    assert found["new"] == {"BTCUSDT": 2_880, "ETHUSDT": 2_880}  # type: ignore[index]
    kept = History(tmp_path / "home" / "history-replay").candles("BTCUSDT", "1m")
    query = f"symbol=BTCUSDT&interval=1m&startTime={FROM_MS + DAY_MS}&limit=1000"
    with urllib.request.urlopen(f"{venue.url}/api/v3/klines?{query}", timeout=10) as answer:
        rows = [(int(row[0]), *map(float, row[1:6])) for row in msgspec.json.decode(answer.read())]
    there = pl.DataFrame(rows, schema=SCHEMA, orient="row")
    assert kept.slice(1_440, 1_000).equals(there)
    assert not (tmp_path / "home" / "history").exists(), "no real price is among them"


def test_a_pull_goes_on_where_the_last_one_stopped(tmp_path: Path, venue: VenueChild) -> None:
    """The day that is there already is not asked for again: one question finds out, one brings the rest."""
    first = ("pull", "BTCUSDT", "--from", "2025-05-30", "--to")
    assert told(tmp_path, *first, "2025-05-31", url=venue.url)["new"] == {"BTCUSDT": 1_440}  # type: ignore[index]
    assert told(tmp_path, *first, "2025-06-01", url=venue.url)["new"] == {"BTCUSDT": 1_440}  # type: ignore[index]
    assert told(tmp_path, *first, "2025-06-01", url=venue.url)["new"] == {"BTCUSDT": 0}  # type: ignore[index]
    history = History(tmp_path / "home" / "history-replay")
    assert history.gaps("BTCUSDT", "1m").filter(kind="missing").is_empty()
    earlier = told(tmp_path, "pull", "BTCUSDT", "--from", "2025-05-29", "--to", "2025-06-01", url=venue.url)
    assert earlier["new"] == {"BTCUSDT": 1_440}, "an earlier day is fetched in front"  # type: ignore[index]


def test_a_folder_of_files_with_a_bad_one(tmp_path: Path) -> None:
    given = tmp_path / "files"
    given.mkdir()
    bulk(given, "BTCUSDT-1m-2024-01", frame(100))
    spoiled = bulk(given, "BTCUSDT-1m-2024-02", frame(100, first=120))
    spoiled.write_bytes(spoiled.read_bytes()[:-9])
    bulk(given, "ETHUSDT-1m-2024-01", frame(100).with_columns(close=0.0))
    done = quantlab(tmp_path, "import", str(given))
    assert done.returncode == 2
    assert "2 of 3 files were refused" in done.stderr
    assert "BTCUSDT-1m-2024-02.zip: does not have the SHA-256" in done.stderr
    assert "has a price of zero" in done.stderr
    (row,) = told(tmp_path, "list")  # type: ignore[misc]
    assert (row["symbol"], row["candles"], row["sources"]) == ("BTCUSDT", 100, "BTCUSDT-1m-2024-01.zip")
    assert told(tmp_path, "gaps", "BTCUSDT") == []


def test_what_comes_in_goes_out(tmp_path: Path) -> None:
    History(tmp_path / "home" / "history").add("BTCUSDT", "1m", frame(), source="test", now_ms=LATER_MS)
    for name in ("x.csv", "x.parquet"):
        path = tmp_path / name
        assert told(tmp_path, "export", "BTCUSDT", str(path))["candles"] == 300  # type: ignore[index]
        again = pl.read_csv(path) if path.suffix == ".csv" else pl.read_parquet(path)
        assert again.equals(frame())
    done = quantlab(tmp_path, "export", "BTCUSDT", str(tmp_path / "x.csv"))
    assert done.returncode == 2 and "is there already" in done.stderr


def test_damage_ends_the_check_with_an_error(tmp_path: Path) -> None:
    history = History(tmp_path / "home" / "history")
    history.add("BTCUSDT", "1m", frame(), source="test", now_ms=LATER_MS)
    assert quantlab(tmp_path, "check").returncode == 0
    (path, *_) = history.folder.glob("*/*/*.parquet")
    path.write_bytes(b"PAR1")
    done = quantlab(tmp_path, "check")
    assert done.returncode == 1 and "cannot be read" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("pull", "BTCUSDT", "--from", "yesterday"), 2, '"yesterday" is not a date'),
        (("pull", "BTCUSDT", "--from", "2099-01-01"), 2, "is not before the end"),
        (("pull", "BTCUSDT", "--from", "2025-05-30", "--timeframe", "7m"), 2, 'timeframe "7m"'),
        (("import", "nothing.zip"), 2, "no file nothing.zip"),
        (("gaps", "BTCUSDT"), 5, "no 1m candles of BTCUSDT"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(
    tmp_path: Path, venue: VenueChild, arguments: tuple[str, ...], code: int, words: str
) -> None:
    done = quantlab(tmp_path, *arguments, url=venue.url)
    assert (done.returncode, done.stdout) == (code, ""), done.stdout
    assert words in done.stderr and len(done.stderr.strip().splitlines()) == 1, done.stderr
